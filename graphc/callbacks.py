"""Callbacks: what runs between steps and epochs."""

from graphc.frontend.callbacks import *
from graphc.frontend.callbacks import __all__ as __all__
