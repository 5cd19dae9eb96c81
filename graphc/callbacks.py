"""Callbacks: what runs between steps and epochs."""

from graphc.frontend.callbacks import *
from graphc.frontend.callbacks import __all__ as __all__
from graphc.frontend.nearest_names import suggest_nearest

suggest_nearest(__name__)
