"""Losses, as functions and as classes."""

from graphc.frontend.training.losses import *
from graphc.frontend.training.losses import __all__ as __all__
