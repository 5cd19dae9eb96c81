"""Projections of weights after each update."""

from graphc.frontend.constraints import *
from graphc.frontend.constraints import __all__ as __all__
