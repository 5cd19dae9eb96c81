"""The errors that graphc raises."""

from graphc.ir.errors import *
from graphc.ir.errors import __all__ as __all__
