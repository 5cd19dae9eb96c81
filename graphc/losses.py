"""Losses, as functions and as classes."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.training.losses import *
from graphc.frontend.training.losses import __all__ as __all__

suggest_nearest(__name__)
