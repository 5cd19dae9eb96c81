"""Activation functions."""

from graphc.frontend.activations import *
from graphc.frontend.activations import __all__ as __all__
