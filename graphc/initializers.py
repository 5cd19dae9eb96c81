"""Initial values of weights."""

from graphc.frontend.initializers import *
from graphc.frontend.initializers import __all__ as __all__
