"""Initial values of weights."""

from graphc.frontend.initializers import *
from graphc.frontend.initializers import __all__ as __all__
from graphc.frontend.nearest_names import suggest_nearest

suggest_nearest(__name__)
