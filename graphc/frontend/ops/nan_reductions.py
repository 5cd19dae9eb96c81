"""Reductions and scans that pass over nan."""

from __future__ import annotations

import math
from typing import Any

from graphc.frontend.dispatch import op
from graphc.frontend.ops import elementwise, logic, reduction
from graphc.frontend.ops.operands import TensorLike, floats, read
from graphc.frontend.ops.reduction import Axis
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir.ops.along_axes import widen

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]


def _replaced(x: TensorLike, by: float) -> Tensor:
    """x with a number in the place of nan; integers have none."""
    operand = read(x)
    found = tensor(operand)
    if not operand.dtype.is_float:
        return found
    return logic.where(logic.isnan(found), by, found)


@op
def nansum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axes, in which nan counts as 0; arguments as `sum`."""
    return reduction.sum(_replaced(x, 0.0), axis, keepdims)


@op
def nanprod(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over axes, in which nan counts as 1; arguments as `sum`."""
    return reduction.prod(_replaced(x, 1.0), axis, keepdims)


@op
def nancumsum(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The sums up to each element, in which nan counts as 0; see `cumsum`."""
    return reduction.cumsum(_replaced(x, 0.0), axis, dtype)


@op
def nancumprod(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The products up to each element, in which nan counts as 1; see `cumsum`."""
    return reduction.cumprod(_replaced(x, 1.0), axis, dtype)


# -- means and variances ---------------------------------------------------------------


def _known(x: Tensor) -> Tensor:
    """Where x is not nan."""
    return logic.equal(x, x)


def _average(x: Tensor, known: Tensor, axis: Axis) -> Tensor:
    """The mean of the known elements, keeping dimensions; nan where there are none."""
    total = reduction.sum(logic.where(known, x, 0.0), axis, keepdims=True)
    count = reduction.sum(tensor(value(known, x.dtype)), axis, keepdims=True)
    return elementwise.divide(total, count)


def _dropped(x: Tensor, axis: Axis, keepdims: bool, dtype: str) -> Tensor:
    found = x if keepdims else reduction.sum(x, axis)  # over one element each
    return tensor(value(found, dtype))


@op
def nanmean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over axes of what is not nan; nan where there is nothing else."""
    operand = floats(x)
    wide = tensor(widen(operand))
    found = _average(wide, _known(wide), axis)
    return _dropped(found, axis, keepdims, operand.dtype.long_name)


@op
def nanvar(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The variance over axes of what is not nan; see `nanmean`."""
    operand = floats(x)
    wide = tensor(widen(operand))
    known = _known(wide)
    apart = wide - _average(wide, known, axis)
    found = _average(apart * apart, known, axis)
    return _dropped(found, axis, keepdims, operand.dtype.long_name)


@op
def nanstd(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The standard deviation over axes of what is not nan; see `nanmean`."""
    return elementwise.sqrt(nanvar(x, axis, keepdims))


# -- extremes --------------------------------------------------------------------------


def _extreme(x: TensorLike, axis: Axis, keepdims: bool, largest: bool) -> Tensor:
    operand = read(x)
    pick = reduction.max if largest else reduction.min
    given = tensor(operand)
    if not operand.dtype.is_float:
        return pick(given, axis, keepdims)
    found = pick(_replaced(given, -math.inf if largest else math.inf), axis, keepdims)
    return logic.where(
        reduction.all(logic.isnan(given), axis, keepdims), math.nan, found
    )


@op
def nanmax(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes that is not nan; nan if all are."""
    return _extreme(x, axis, keepdims, largest=True)


@op
def nanmin(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes that is not nan; nan if all are."""
    return _extreme(x, axis, keepdims, largest=False)


def _position(x: TensorLike, axis: int | None, keepdims: bool, largest: bool) -> Tensor:
    given = tensor(read(x))
    pick = reduction.argmax if largest else reduction.argmin
    found = pick(_replaced(given, -math.inf if largest else math.inf), axis, keepdims)
    return logic.where(reduction.all(logic.isnan(given), axis, keepdims), -1, found)


@op
def nanargmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the largest element that is not nan lies, as int32; -1 if all are nan."""
    return _position(x, axis, keepdims, largest=True)


@op
def nanargmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the smallest element that is not nan lies, as int32; -1 if all are nan."""
    return _position(x, axis, keepdims, largest=False)
