"""Activation functions."""

from graphc.frontend.activations import *
from graphc.frontend.activations import __all__ as __all__
from graphc.frontend.nearest_names import suggest_nearest

suggest_nearest(__name__)
