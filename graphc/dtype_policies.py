"""Which dtypes layers compute and store in."""

from graphc.frontend.dtype_policies import *
from graphc.frontend.dtype_policies import __all__ as __all__
from graphc.frontend.nearest_names import suggest_nearest

suggest_nearest(__name__)
