"""Model, Sequential and what makes models from others."""

from graphc.frontend.models import *
from graphc.frontend.models import __all__ as __all__
