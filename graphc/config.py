"""Global settings."""

from graphc.frontend.config import *
from graphc.frontend.config import __all__ as __all__
