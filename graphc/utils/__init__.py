"""What Keras's ``keras.utils`` offers: data sets, labels, progress bars, seeds, plots."""

from graphc.frontend.config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from graphc.frontend.dtypes import standardize_dtype
from graphc.frontend.keras_tensor import is_keras_tensor
from graphc.frontend.models.plotting import model_to_dot, plot_model
from graphc.frontend.naming import clear_session
from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.preprocessing import normalize, pad_sequences, to_categorical
from graphc.frontend.progress import Progbar
from graphc.frontend.seeds import set_random_seed
from graphc.frontend.serialization.objects import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from graphc.frontend.training.data import (
    PyDataset,
    pack_x_y_sample_weight,
    timeseries_dataset_from_array,
    unpack_x_y_sample_weight,
)

Sequence = PyDataset

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "standardize_dtype",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

suggest_nearest(__name__)
