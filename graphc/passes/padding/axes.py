"""Axes that are longer than what they hold: where their elements are, and padding."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from graphc.ir.dims import Dim, substitute, symbols_of
from graphc.ir.types import TensorType
from graphc.ir.values import Literal

Factors: TypeAlias = tuple[Dim, ...]
"""Dims, the slowest first, whose product an axis is. Of a factor with a padded symbol
the first elements count, as many as it has without padding."""


@dataclass(frozen=True, slots=True)
class PaddedAxis:
    """One axis of a value whose size depends on a padded symbol.

    Attributes:
        factors: Where elements are; None if the value is the same all along the axis,
            so that it may be taken to be anywhere.
        fill: What the padding holds; None if that is not known.
    """

    factors: Factors | None
    fill: Literal | None = None

    @property
    def unfilled(self) -> PaddedAxis:
        """The axis with nothing known of its padding."""
        return replace(self, fill=None)


State: TypeAlias = Mapping[int, PaddedAxis]
"""The padded axes of a value by position."""


def prefixes(type: TensorType, symbols: Collection[str]) -> dict[int, PaddedAxis]:
    """The state of a value whose elements are the first ones along each axis."""
    return {axis: PaddedAxis((type.shape[axis],)) for axis in padded(type, symbols)}


def padded(type: TensorType, symbols: Collection[str]) -> list[int]:
    """The axes of a type that depend on padded symbols."""
    return [axis for axis, dim in enumerate(type.shape) if varies(dim, symbols)]


def varies(dim: Dim, symbols: Collection[str]) -> bool:
    """Whether a dim depends on a padded symbol."""
    return not symbols_of([dim]).isdisjoint(symbols)


def factors_of(type: TensorType, state: State, axis: int) -> Factors:
    """Where the elements of an axis are; the first ones if they may be anywhere."""
    known = state[axis].factors if axis in state else None
    return known or (type.shape[axis],)


def places(
    factors: Factors, sizes: Mapping[str, int], room: Mapping[str, int]
) -> np.ndarray[Any, Any]:
    """Where along an axis with `room` its elements are."""
    counts = [int(substitute(dim, sizes)) for dim in factors]
    extents = [int(substitute(dim, room)) for dim in factors]
    grid = np.indices(counts).reshape(len(counts), -1)
    return np.ravel_multi_index(tuple(grid), extents)


def regrouped(
    factors: Iterable[Dim], shape: Sequence[Dim], symbols: Collection[str]
) -> list[Factors] | None:
    """The factors of each dim of another shape of the same elements.

    None if an axis would not be a product of factors: then elements that lie in order
    without padding lie in another order with it.
    """
    left = [dim for dim in factors if dim != 1][::-1]
    found: list[Factors] = []
    for size in shape:
        taken: list[Dim] = []
        while size != 1:
            if not left or size == 0:
                return None
            factor = left.pop()
            if _divides(factor, size):
                size = size // factor
            elif _divides(size, factor) and not varies(factor // size, symbols):
                left.append(factor // size)
                factor, size = size, 1
            else:
                return None
            taken.append(factor)
        found.append(_merged(taken, symbols))
    return None if left else found


def _divides(divisor: Dim, dim: Dim) -> bool:
    return divisor != 0 and dim // divisor * divisor == dim


def _merged(factors: Sequence[Dim], symbols: Collection[str]) -> Factors:
    """Factors with those that are not padded put to the ones before them."""
    merged: list[Dim] = []
    for factor in factors:
        if merged and not varies(factor, symbols):
            merged[-1] = merged[-1] * factor
        else:
            merged.append(factor)
    return tuple(merged) or (1,)
