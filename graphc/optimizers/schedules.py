"""Learning-rate schedules."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.training.schedules import *
from graphc.frontend.training.schedules import __all__ as __all__

suggest_nearest(__name__)
