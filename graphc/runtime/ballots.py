"""Ballots: what executors say of one result, who is wrong, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, final

import numpy as np
from ml_dtypes import finfo

from graphc.ir.location import Location
from graphc.ir.tolerance import RMSE_FACTOR, inaccuracy, rmse, tolerance
from graphc.ir.types import TensorType

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Standard:
    """What a result is measured by.

    Attributes:
        type: The type of the result.
        exact: Its value in float64, from the same inputs.
        reference: The evaluator's value in the result's own dtype.
    """

    type: TensorType
    exact: Array
    reference: Array

    def wrong(self, found: Array) -> Array:
        """Which elements of `found` are further off than rounding explains."""
        if (found.shape, found.dtype) != (self.exact.shape, self.reference.dtype):
            return np.ones(self.exact.shape, bool)
        right = _equal(found, self.reference) | _equal(found, self.exact)
        if self.type.dtype.is_float:
            right |= _distance(found, self.exact) <= self.allowed()
        return ~right

    def agree(self, one: Array, other: Array) -> bool:
        """Whether two values are as close as two right ones are."""
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            return False
        same = _equal(one, other)
        if self.type.dtype.is_float and one.shape == self.exact.shape:
            same |= _distance(one, other) <= 2 * self.allowed()
        return bool(same.all())

    def allowed(self) -> Array:
        """How far each element of a float result may be from the exact one."""
        raise NotImplementedError


@final
@dataclass(frozen=True, slots=True)
class NodeStandard(Standard):
    """What a result of one node is measured by: element by element.

    Attributes:
        nudged: The value in float64 from operands that are some units in the last place
            off: rounding within the node may do as much to the result.
        ulp: What the op's record allows.
        by_element: Whether an element's rounding error depends on that element alone.
    """

    nudged: Array
    ulp: float
    by_element: bool

    def allowed(self) -> Array:
        limits, info = tolerance(self.type.dtype), finfo(self.type.dtype.numpy)
        relative = max(limits.relative, self.ulp * float(info.eps))
        magnitude = np.where(np.isfinite(self.exact), np.abs(self.exact), 0.0)
        honest = np.maximum(
            _finite(_distance(self.reference, self.exact)),
            _finite(_distance(self.nudged, self.exact)),
        )
        # What is less than a normal number may be flushed to zero.
        allowed = relative * magnitude + float(info.smallest_normal)
        if not self.by_element:
            allowed = allowed + limits.absolute * np.max(magnitude, initial=0.0)
            honest = np.max(honest, initial=0.0)
        return np.maximum(allowed, RMSE_FACTOR * honest)


@final
@dataclass(frozen=True, slots=True)
class ProgramStandard(Standard):
    """What a result within a program is measured by: errors have come a long way."""

    def wrong(self, found: Array) -> Array:
        if inaccuracy(found, self.reference, self.exact) is None:
            return np.zeros(self.exact.shape, bool)
        return Standard.wrong(self, found)

    def allowed(self) -> Array:
        limits = tolerance(self.type.dtype)
        known = np.isfinite(self.exact) & np.isfinite(self.reference.astype(np.float64))
        exact = self.exact[known]
        size = rmse(exact, np.zeros_like(exact))
        honest = rmse(self.reference[known], exact)
        bound = RMSE_FACTOR * honest + limits.absolute + limits.relative * size
        return np.full(self.exact.shape, bound)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one executor says of a disputed result.

    Attributes:
        executor: Its name.
        value: The element where the dispute is largest.
        absolute: The largest distance from the exact values.
        relative: The largest such distance as a part of the exact magnitude.
        ulp: The largest such distance in units in the last place.
    """

    executor: str
    value: float
    absolute: float
    relative: float
    ulp: float


@dataclass(frozen=True, slots=True)
class Dispute:
    """A result on which executors differ.

    Attributes:
        line: The node's line in the text, or what of the graph the result is.
        location: Where the node comes from.
        result: The number of the result.
        type: Its type.
        index: The element where the difference is largest.
        exact: That element in float64.
        count: How many elements are wrong.
        opinions: What each executor says.
        odd: The one executor that the others outvote, or None if none does.
        operands: What the node reads.
        alone: Whether the node was given the evaluator's operands; else the difference
            comes from the program as a whole, up to here.
    """

    line: str
    location: Location | None
    result: int
    type: TensorType
    index: tuple[int, ...]
    exact: float
    count: int
    opinions: tuple[Opinion, ...]
    odd: str | None
    operands: tuple[str, ...] = ()
    alone: bool = True


def dispute(
    standard: Standard,
    values: Mapping[str, Array],
    line: str,
    location: Location | None = None,
    result: int = 0,
    operands: tuple[str, ...] = (),
    alone: bool = False,
) -> Dispute:
    """The dispute over one result of which at least one of `values` is wrong.

    Args:
        standard: What the result is measured by.
        values: What each executor says, the evaluator first.
        line: The node's line, or what the result is.
        location: Where the node comes from.
        result: The number of the result.
        operands: What the node reads.
        alone: Whether the node was given the evaluator's operands.
    """
    wrong = {name: standard.wrong(value) for name, value in values.items()}
    worst = max(wrong, key=lambda name: int(wrong[name].sum()))
    index = _largest(standard, values[worst], wrong[worst])
    return Dispute(
        line,
        location,
        result,
        standard.type,
        index,
        float(standard.exact[index]),
        int(wrong[worst].sum()),
        tuple(_opinion(name, value, standard, index) for name, value in values.items()),
        outvoted(standard, values),
        operands,
        alone,
    )


def outvoted(standard: Standard, values: Mapping[str, Array]) -> str | None:
    """The one executor that agrees with no other while all others agree."""
    agreeing = [
        {a, b}
        for a, b in combinations(values, 2)
        if standard.agree(values[a], values[b])
    ]
    others = len(values) - 1
    for name in values:
        without = [pair for pair in agreeing if name not in pair]
        if others > 1 and without == agreeing and len(without) == _pairs(others):
            return name
    return None


def describe_array(array: Array) -> str:
    """The type of an array and the range of its elements."""
    text = f"{array.dtype}{list(array.shape)}"
    if not array.size:
        return text
    wide = array.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    if finite.size:
        text += f" in {finite.min():.6g} .. {finite.max():.6g}"
    if finite.size < wide.size:
        text += f", {wide.size - finite.size} of {wide.size} not finite"
    return text


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _equal(one: Array, other: Array) -> Array:
    """Which elements are the same, NaN being the same as NaN."""
    if one.shape != other.shape:
        return np.zeros(one.shape, bool)
    both = one.astype(np.float64), other.astype(np.float64)
    return (one == other) | (np.isnan(both[0]) & np.isnan(both[1]))


def _distance(one: Array, other: Array) -> Array:
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return np.abs(one.astype(np.float64) - other.astype(np.float64))


def _finite(errors: Array) -> Array:
    return np.where(np.isfinite(errors), errors, 0.0)


def _largest(standard: Standard, found: Array, wrong: Array) -> tuple[int, ...]:
    """The wrong element that is furthest off, those that are not finite first."""
    if found.shape != standard.exact.shape:
        return (0,) * standard.exact.ndim
    error = _distance(found, standard.exact)
    error = np.where(np.isnan(error), np.inf, error)
    place = np.argmax(np.where(wrong, error, -1.0))
    return tuple(int(i) for i in np.unravel_index(place, wrong.shape))


def _opinion(
    name: str, found: Array, standard: Standard, index: tuple[int, ...]
) -> Opinion:
    if found.shape != standard.exact.shape:
        nan = float("nan")
        return Opinion(f"{name} (of shape {found.shape})", nan, nan, nan, nan)
    exact = standard.exact.astype(np.float64)
    error = np.where(_equal(found, exact), 0.0, _distance(found, exact))
    part = error / np.maximum(np.abs(exact), np.finfo(np.float64).tiny)
    units = error
    if standard.type.dtype.is_float:
        units = part / float(finfo(standard.type.dtype.numpy).eps)
    return Opinion(
        name,
        float(found[index]),
        _greatest(error),
        _greatest(np.where(exact == 0, 0.0, part)),
        _greatest(np.where(exact == 0, 0.0, units)),
    )


def _greatest(errors: Array) -> float:
    return float(np.max(np.where(np.isnan(errors), np.inf, errors), initial=0.0))
