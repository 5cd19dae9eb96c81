"""Metrics."""

from graphc.frontend.training.metrics import *
from graphc.frontend.training.metrics import __all__ as __all__
