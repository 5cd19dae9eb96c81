"""Metrics."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.training.metrics import *
from graphc.frontend.training.metrics import __all__ as __all__

suggest_nearest(__name__)
