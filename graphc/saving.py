"""Saving and loading models and weights."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.saving import *
from graphc.frontend.saving import __all__ as __all__

suggest_nearest(__name__)
