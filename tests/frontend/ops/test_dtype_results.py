"""The dtypes of results by the kind of function.

See `test_keras_surface` for those that Keras gives.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from graphc.frontend import ops

NAMES = (
    *("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32"),
    *("float16", "bfloat16", "float32"),
)
TO_FLOAT = (
    *("exp", "log", "sqrt", "sin", "tanh", "arctan", "floor", "ceil", "reciprocal"),
    *("mean", "std", "var", "logsumexp", "average", "norm", "gelu", "softmax"),
    *("leaky_relu", "erfc", "log_sigmoid", "rsqrt", "sigmoid", "silu", "normalize"),
)
KEPT = ("abs", "max", "sort", "trunc", "ravel", "flip", "zeros_like", "nan_to_num")
KEPT_BUT_BOOL = ("square", "relu", "hard_tanh", "cumsum", "cumprod")
WIDE_INTEGERS = ("sum", "prod", "trace")
POSITIONS = ("argmax", "argsort", "count_nonzero")
TRUTHS = ("isnan", "isfinite", "logical_not", "any", "all")


def array(name: str) -> np.ndarray:
    return np.ones((2, 2), getattr(ml_dtypes, name, name))


def results(functions: tuple[str, ...]) -> dict[tuple[str, str], str]:
    return {
        (function, name): getattr(ops, function)(array(name)).dtype
        for function in functions
        for name in NAMES
    }


def test_functions_of_floats() -> None:
    for (_, name), found in results(TO_FLOAT).items():
        assert found == (name if "float" in name else "float32")


def test_functions_that_keep_the_dtype() -> None:
    assert all(found == name for (_, name), found in results(KEPT).items())
    for (_, name), found in results(KEPT_BUT_BOOL).items():
        assert found == ("int32" if name == "bool" else name)


def test_sums_of_small_integers_are_wide() -> None:
    for (_, name), found in results(WIDE_INTEGERS).items():
        kinds = {"u": "uint32", "i": "int32", "b": "int32"}
        assert found == (name if "float" in name else kinds[name[0]])


def test_positions_and_truths() -> None:
    assert set(results(POSITIONS).values()) == {"int32"}
    assert set(results(TRUTHS).values()) == {"bool"}


def test_wide_dtypes_are_kept() -> None:
    assert ops.add(np.int64([1]), np.int64([2])).dtype == "int64"
    assert ops.sum(np.int64([1])).dtype == "int64"
    wide = ops.cast(np.float32([1]), "float64")
    assert ops.exp(wide).dtype == "float64"
    assert ops.mean(wide + np.float32(1)).dtype == "float64"


def test_float64_of_numpy_is_its_default_and_becomes_float32() -> None:
    assert ops.add(np.ones(2), np.ones(2)).dtype == "float32"
    assert ops.exp(np.float64(1)).dtype == "float32"
    assert ops.multiply(np.float16([1]), np.float64(2)).dtype == "float16"
    assert ops.convert_to_tensor(np.ones(2), "float64").dtype == "float64"
