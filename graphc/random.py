"""Random tensors and seed generators."""

from graphc.frontend.random import *
from graphc.frontend.random import __all__ as __all__
