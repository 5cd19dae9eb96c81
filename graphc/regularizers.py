"""Penalties on weights."""

from graphc.frontend.regularizers import *
from graphc.frontend.regularizers import __all__ as __all__
