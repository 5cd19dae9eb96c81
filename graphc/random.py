"""Random tensors and seed generators."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.random import *
from graphc.frontend.random import __all__ as __all__

suggest_nearest(__name__)
