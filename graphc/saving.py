"""Saving and loading models and weights."""

from graphc.frontend.saving import *
from graphc.frontend.saving import __all__ as __all__
