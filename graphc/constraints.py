"""Projections of weights after each update."""

from graphc.frontend.constraints import *
from graphc.frontend.constraints import __all__ as __all__
from graphc.frontend.nearest_names import suggest_nearest

suggest_nearest(__name__)
