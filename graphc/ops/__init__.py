"""Functions of tensors, with Keras's names."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.ops import *
from graphc.frontend.ops import __all__ as __all__
from graphc.ops import image as image
from graphc.ops import linalg as linalg

suggest_nearest(__name__)
