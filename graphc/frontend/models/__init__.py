"""Model and Sequential."""

from graphc.frontend.models.model import Model
from graphc.frontend.models.sequential import Sequential

__all__ = ["Model", "Sequential"]
