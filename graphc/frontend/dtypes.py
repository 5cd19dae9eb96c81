"""Names of dtypes, Keras's type promotion, and the default float dtype."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from graphc.frontend.arguments import one_of
from graphc.ir.dims import SymbolicDim
from graphc.ir.errors import GraphError
from graphc.ir.types import DTYPES, dtype

__all__ = [
    "floatx",
    "is_float",
    "is_int",
    "result_type",
    "set_floatx",
    "standardize_dtype",
]

FLOATX = ("bfloat16", "float16", "float32", "float64")

_NAMES = {d.long_name: d.long_name for d in DTYPES.values()}
_FLOATS = {d.long_name for d in DTYPES.values() if d.is_float}
_INTEGERS = {d.long_name for d in DTYPES.values() if d.is_integer}

_floatx = "float32"


def floatx() -> str:
    """The default float dtype: ``"float32"`` unless `set_floatx` changed it."""
    return _floatx


def set_floatx(value: str) -> None:
    """Sets the default float dtype.

    Args:
        value: ``"bfloat16"``, ``"float16"``, ``"float32"`` or ``"float64"``.

    Raises:
        ValueError: If `value` is none of these.
    """
    global _floatx
    _floatx = one_of("value", value, FLOATX)


def standardize_dtype(of: Any) -> str:
    """The name of a dtype, such as ``"float32"``.

    Args:
        of: A name, a NumPy or graphc dtype, one of the types ``bool``, ``int`` and
            ``float``, or None, which stands for `floatx`.

    Raises:
        ValueError: If there is no such dtype.
    """
    if isinstance(of, str) and of in _NAMES:
        return of
    if of is None or of is float:
        return _floatx
    if of is int or of == "int":
        return "int32"
    if isinstance(of, str) or type(of).__module__ == "torch":
        of = str(of).removeprefix("torch.")  # str(torch.float32)
    try:
        return dtype(of).long_name
    except GraphError as error:
        raise ValueError(
            f"Expected a dtype, one of {', '.join(_NAMES)}. Received: dtype={of!r}"
        ) from error


def is_float(name: str) -> bool:
    """Whether `name` is a floating-point dtype."""
    return name in _FLOATS


def is_int(name: str) -> bool:
    """Whether `name` is an integer dtype, signed or unsigned; bool is not."""
    return name in _INTEGERS


def result_type(*of: Any) -> str:
    """The dtype that operands of these dtypes are promoted to.

    Python numbers are weak: they take the dtype of what they meet where its kind can
    hold them, so ``float16`` times ``2.5`` stays ``float16``. NumPy's default scalars
    (``np.float64(2)``, ``np.int64(2)``) count as Python numbers.

    Args:
        *of: Dtype names, tensors, arrays, Python numbers, or the types ``bool``,
            ``int`` and ``float``. None stands for `floatx`.

    Returns:
        The dtype's name. Without arguments it is `floatx`.

    Raises:
        ValueError: If there is no common dtype, as for ``int4`` and ``int8``.
    """
    found = _least_upper_bound(tuple([_promotion_name(x) for x in of]))
    return _WEAK_RESULTS.get(found) or (_floatx if found == "float" else found)


# JAX's promotion lattice, which is Keras's: every dtype with those directly above it.
# "int" and "float" are weak Python numbers.
_ABOVE: dict[str, tuple[str, ...]] = {
    "bool": ("int",),
    "int": ("uint8", "int8"),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("float",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float",),
    "float": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64",),
    "float64": (),
}
_WEAK_RESULTS = {"int": "int32"}
_WEAK_TYPES: dict[type, str] = {
    bool: "bool",
    int: "int",
    SymbolicDim: "int",
    float: "float",
    np.float64: "float",
    np.int64: "int",
}


def _promotion_name(x: Any) -> str:
    """The node of the promotion lattice that `x` stands for."""
    if isinstance(x, str) and x in _NAMES:
        return x
    weak = _WEAK_TYPES.get(x) if isinstance(x, type) else _WEAK_TYPES.get(type(x))
    if weak is not None:
        return weak
    return standardize_dtype(getattr(x, "dtype", x))


@functools.cache
def _upper(name: str) -> frozenset[str]:
    return frozenset({name}).union(*map(_upper, _ABOVE.get(name, ())))


@functools.lru_cache(maxsize=4096)
def _least_upper_bound(names: tuple[str, ...]) -> str:
    if not names:
        return "float"
    common = frozenset.intersection(*map(_upper, names))
    for name in common:
        if common <= _upper(name):
            return name
    raise ValueError(
        "Expected dtypes with a common dtype; convert one of them with ops.cast. "
        f"Received: {', '.join(names)}"
    )
