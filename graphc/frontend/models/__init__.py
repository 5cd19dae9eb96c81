"""Model and Sequential, and models made from configs."""

from graphc.frontend.layers.registry import LAYERS
from graphc.frontend.models.cloning import clone_model, model_from_json
from graphc.frontend.models.model import Model
from graphc.frontend.models.sequential import Sequential

LAYERS.add(Sequential, Functional=Model)

__all__ = ["Model", "Sequential", "clone_model", "model_from_json"]
