"""Keras's layers."""

from graphc.frontend.layers import *
from graphc.frontend.layers import __all__ as __all__
from graphc.frontend.nearest_names import suggest_nearest

suggest_nearest(__name__)
