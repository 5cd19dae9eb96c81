"""Optimizers."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.optimizers import *
from graphc.frontend.optimizers import __all__ as __all__
from graphc.optimizers import schedules as schedules

suggest_nearest(__name__)
