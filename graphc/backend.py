"""What Keras's ``keras.backend`` offers: dtypes, settings and sessions."""

from graphc.frontend.config import (
    backend,
    epsilon,
    image_data_format,
    set_epsilon,
    set_image_data_format,
)
from graphc.frontend.dtypes import floatx, result_type, set_floatx, standardize_dtype
from graphc.frontend.dtypes import is_float as is_float_dtype
from graphc.frontend.dtypes import is_int as is_int_dtype
from graphc.frontend.keras_tensor import is_keras_tensor
from graphc.frontend.naming import clear_session
from graphc.frontend.nearest_names import suggest_nearest

__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "result_type",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_dtype",
]

suggest_nearest(__name__)
