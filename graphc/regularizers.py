"""Penalties on weights."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.regularizers import *
from graphc.frontend.regularizers import __all__ as __all__

suggest_nearest(__name__)
