"""Global settings."""

from graphc.frontend.config import *
from graphc.frontend.config import __all__ as __all__
from graphc.frontend.nearest_names import suggest_nearest

suggest_nearest(__name__)
