"""Which dtypes layers compute and store in."""

from graphc.frontend.dtype_policies import *
from graphc.frontend.dtype_policies import __all__ as __all__
