"""Functions of tensors, with Keras's names."""

from graphc.frontend.ops import *
from graphc.frontend.ops import __all__ as __all__
