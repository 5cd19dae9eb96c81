"""Model, Sequential and what makes models from others or from files."""

from graphc.frontend import models
from graphc.frontend.models import *
from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.saving import load_model as load_model
from graphc.frontend.saving import save_model as save_model

__all__ = [*models.__all__, "load_model", "save_model"]
del models

suggest_nearest(__name__)
