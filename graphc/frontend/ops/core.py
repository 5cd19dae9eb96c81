"""Conversion, dtypes and shapes of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import is_float, result_type, standardize_dtype
from graphc.frontend.ops.elementwise import clip
from graphc.frontend.ops.operands import TensorLike, holds_tensor, read, refuse
from graphc.frontend.tensor import Array, Tensor, is_tensor
from graphc.frontend.tracing import current_trace, tensor, value
from graphc.ir import dtype as ir_dtype
from graphc.ir import ops as ir_ops
from graphc.ir.types import product

__all__ = [
    "array",
    "cast",
    "convert_to_numpy",
    "convert_to_tensor",
    "copy",
    "dtype",
    "is_tensor",
    "ndim",
    "saturate_cast",
    "shape",
    "size",
    "stop_gradient",
    "view",
]


@op
def cast(x: TensorLike, dtype: Any) -> Tensor:
    """Converts x to another dtype.

    Floats become integers by dropping what is behind the point, limited to the range
    of the dtype; any number but 0 becomes True.
    """
    return tensor(value(x, standardize_dtype(dtype)))


@op
def saturate_cast(x: TensorLike, dtype: Any) -> Tensor:
    """Converts x to another dtype, first limited to the range of that dtype."""
    name = standardize_dtype(dtype)
    operand = read(x)
    if name == "bool" or operand.dtype.kind == "bool":
        return tensor(value(tensor(operand), name))
    low, high = _range(name)
    own_low, own_high = _range(operand.dtype.long_name)
    limited = clip(
        tensor(operand),
        low if low > own_low else None,
        high if high < own_high else None,
    )
    return tensor(value(limited, name))


def _range(name: str) -> tuple[Any, Any]:
    element = ir_dtype(name).numpy
    if is_float(name):
        limits = ml_dtypes.finfo(element)
        return float(limits.min), float(limits.max)
    limits = ml_dtypes.iinfo(element)
    return int(limits.min), int(limits.max)


@op
def view(x: TensorLike, dtype: Any = None) -> Tensor:
    """The bits of x read as another dtype of the same width; x itself for None.

    Raises:
        GraphError: If the dtypes differ in width.
    """
    operand = read(x)
    if dtype is None or standardize_dtype(dtype) == operand.dtype.long_name:
        return tensor(operand)
    return tensor(ir_ops.bitcast_convert(operand, dtype=standardize_dtype(dtype)))


def convert_to_tensor(
    x: TensorLike, dtype: Any = None, sparse: Any = None, ragged: Any = None
) -> Tensor:
    """Makes x a tensor.

    Args:
        x: A tensor, an array, a number or nested lists. Python's floats become the
            default float, its integers int32.
        dtype: The dtype of the result, if another one is wanted.
        sparse: Accepted as in Keras; True is refused, as graphs have dense tensors.
        ragged: The same.

    Returns:
        A tensor; x itself if it is one of that dtype.

    Raises:
        GraphError: If x does not hold numbers.
    """
    if sparse or ragged:
        refuse(f"Expected dense tensors. Received: sparse={sparse}, ragged={ragged}")
    name = None if dtype is None else standardize_dtype(dtype)
    if isinstance(x, Tensor) and name in (None, x.dtype):
        return x
    if current_trace() is not None or isinstance(x, Tensor) or holds_tensor(x):
        return _converted(x, name)
    # Not through a graph, which would hold each element of a list as a literal.
    host = _host_array(x)
    wanted = name or _default_dtype(x, host)
    both_floats = host.dtype.kind == "f" and is_float(wanted)
    if host.dtype.name == wanted or both_floats:
        return Array(host.astype(ir_dtype(wanted).numpy))
    return cast(host, wanted)


@op
def _converted(x: TensorLike, dtype: str | None) -> Tensor:
    return tensor(value(x, dtype))


def _host_array(x: Any) -> np.ndarray[Any, Any]:
    try:
        host = np.asarray(x)
        standardize_dtype(host.dtype)
    except ValueError:
        refuse(
            "Expected a tensor, an array, a number or nested lists of numbers. "
            f"Received: {type(x).__name__} {str(x)[:80]!r}"
        )
    return host


def _default_dtype(x: Any, host: np.ndarray[Any, Any]) -> str:
    """The dtype of what is no tensor: NumPy's defaults become those of Python."""
    if host.dtype == np.float64:
        return result_type(float)
    chosen = isinstance(x, np.ndarray)
    return "int32" if host.dtype == np.int64 and not chosen else host.dtype.name


def array(x: TensorLike, dtype: Any = None) -> Tensor:
    """Makes x a tensor; the same as `convert_to_tensor`."""
    return convert_to_tensor(x, dtype)


def copy(x: TensorLike) -> Tensor:
    """Makes x a tensor. Tensors do not change, so that none need be copied."""
    return convert_to_tensor(x)


def convert_to_numpy(x: TensorLike) -> np.ndarray[Any, Any]:
    """The elements of x as a NumPy array.

    Raises:
        GraphError: While tracing, where tensors have no value.
    """
    return x.numpy() if isinstance(x, Array) else np.asarray(x)


@op
def stop_gradient(variable: TensorLike) -> Tensor:
    """The same tensor, through which no gradient flows."""
    return tensor(ir_ops.stop_gradient(read(variable)))


# -- what is known of a tensor ---------------------------------------------------------


def shape(x: TensorLike) -> tuple[Any, ...]:
    """The size of each dimension, as a tuple.

    While tracing, a size that is not known yet is a symbolic dimension: it can be
    computed with, and used in shapes. Of a symbolic input such a size is None.
    """
    return tuple(x.shape if isinstance(x, Tensor) else np.shape(x))


def ndim(x: TensorLike) -> int:
    """The number of dimensions."""
    return len(shape(x))


def size(x: TensorLike) -> Any:
    """The number of elements; None if a size of a symbolic input is not known."""
    sizes: Sequence[Any] = shape(x)
    return None if any(s is None for s in sizes) else product(sizes)


def dtype(x: TensorLike) -> str:
    """The name of the dtype, such as ``"float32"``."""
    return x.dtype if isinstance(x, Tensor) else _default_dtype(x, _host_array(x))
