"""The axes that steps of attention lie along, and the arrangement with one such axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphc.frontend import ops
from graphc.ir.types import product


@dataclass(frozen=True)
class AttentionAxes:
    """Arranges (batch, ..., features) as (examples, steps, features), and back.

    Attributes:
        rank: The inputs' rank.
        axes: The axes that steps lie along, counted from 0. The others between them and
            the features are of different examples, as the batch is.
    """

    rank: int
    axes: tuple[int, ...]

    @classmethod
    def of(cls, rank: int, axes: Sequence[int] | None) -> AttentionAxes:
        """The axes of inputs of a rank.

        Args:
            rank: The inputs' rank.
            axes: The axes, counted from the end if negative; all but the batch and the
                features if None.

        Raises:
            ValueError: If there are no axes between the batch and the features, or
                `axes` are not different ones of them.
        """
        if rank < 3:
            raise ValueError(
                "Attention takes inputs (batch, ..., features) of rank 3 at least."
                f" Received: inputs of rank {rank}"
            )
        if axes is None:
            return cls(rank, tuple(range(1, rank - 1)))
        found = tuple(axis + rank if axis < 0 else axis for axis in axes)
        if (
            not found
            or len({*found}) < len(found)
            or not {*found} <= {*range(1, rank - 1)}
        ):
            raise ValueError(
                "`attention_axes` must be different axes between the batch and the"
                f" features. Received: attention_axes={tuple(axes)} for inputs of rank"
                f" {rank}"
            )
        return cls(rank, found)

    @property
    def is_plain(self) -> bool:
        """Whether inputs have this arrangement already."""
        return self.rank == 3

    def merge(self, x: Any) -> Any:
        """(batch, ..., features) as (examples, steps, features)."""
        return self._merged(x, (x.shape[-1],))

    def merge_mask(self, mask: Any) -> Any:
        """Booleans (batch, ...) as (examples, steps)."""
        return self._merged(mask, ())

    def merge_pairs(self, mask: Any, query: Any) -> Any:
        """Booleans for pairs of steps as (examples or 1, heads or 1, T, S).

        Args:
            mask: (..., queries' steps, keys' steps), where each of the two has all
                `axes`; what is missing before them is inserted there.
            query: The queries, which say how many examples there are.
        """
        examples = [query.shape[axis] for axis in self.examples]
        steps = len(self.axes)
        first, last = mask.shape[: -2 * steps], mask.shape[-2 * steps :]
        first = (*first, *(1 for _ in range(len(examples) + 1 - len(first))))
        pairs = product(last[:steps]), product(last[steps:])
        mask = ops.reshape(mask, (*first, *pairs))
        if any(size != 1 for size in first[:-1]):
            mask = ops.broadcast_to(mask, (*examples, first[-1], *pairs))
        return ops.reshape(mask, (product(mask.shape[:-3]), *mask.shape[-3:]))

    def split(self, y: Any, query: Any) -> Any:
        """(examples, steps, ...) as (batch, ..., ...) of the query's shape."""
        order = (*self.examples, *self.axes)
        rest = y.shape[2:]
        y = ops.reshape(y, (*(query.shape[axis] for axis in order), *rest))
        places = [order.index(axis) for axis in range(len(order))]
        return ops.transpose(y, (*places, *range(len(order), len(y.shape))))

    def split_weights(self, weights: Any, query: Any, key: Any) -> Any:
        """(examples, heads, T, S) as (batch, ..., heads, T..., S...)."""
        examples = (query.shape[axis] for axis in self.examples)
        steps = (x.shape[axis] for x in (query, key) for axis in self.axes)
        return ops.reshape(weights, (*examples, weights.shape[1], *steps))

    @property
    def examples(self) -> tuple[int, ...]:
        """The axes that are of different examples, the batch first."""
        return tuple(axis for axis in range(self.rank - 1) if axis not in self.axes)

    def _merged(self, x: Any, features: Sequence[Any]) -> Any:
        order = (*self.examples, *self.axes)
        x = ops.transpose(x, (*order, *range(len(order), len(x.shape))))
        examples = product(x.shape[: len(self.examples)])
        steps = product(x.shape[len(self.examples) : len(order)])
        return ops.reshape(x, (examples, steps, *features))
