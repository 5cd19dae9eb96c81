"""Learning-rate schedules."""

from graphc.frontend.training.schedules import *
from graphc.frontend.training.schedules import __all__ as __all__
