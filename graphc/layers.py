"""Keras's layers."""

from graphc.frontend.layers import *
from graphc.frontend.layers import __all__ as __all__
