"""What all sources of batches have in common, and the order of their batches."""

from __future__ import annotations

import abc
from collections.abc import Generator
from typing import Any

import numpy as np

from graphc.frontend.training.data.arrays import Array

__all__ = ["BatchSource", "permutation", "positions"]


class BatchSource(abc.ABC):
    """Where batches come from: arrays, a `PyDataset`, or an iterable.

    Attributes:
        batch_size: Samples in a batch, of which the last may have fewer; None if the
            source decides.
        exhausted: Whether the source has run dry and cannot start over.
    """

    batch_size: int | None = None
    exhausted: bool = False

    @property
    @abc.abstractmethod
    def num_batches(self) -> int | None:
        """Batches in an epoch; None until a source that does not say was read once."""

    @abc.abstractmethod
    def epoch(self, epoch: int) -> Generator[Any, None, None]:
        """The batches of one epoch, whose order depends on the seed and `epoch` only.

        Close it when leaving early: it may hold a thread.

        Args:
            epoch: The index of the epoch, from 0.

        Raises:
            ValueError: If a batch is malformed or there is none.
        """


def permutation(length: int, key: int, turn: int) -> Array:
    """The order of `length` things in the `turn`-th turn over them: a pure function."""
    # The turns use disjoint parts of the one counter that the key selects.
    generator = np.random.Philox(key=key, counter=[0, 0, 0, turn])
    return np.random.Generator(generator).permutation(length)


def positions(
    epoch: int, steps: int, batches: int
) -> Generator[tuple[int, int], None, None]:
    """The turn over the data and the batch in it, for each step of an epoch.

    An epoch of fewer steps than there are batches leaves off where the next goes on;
    one of more starts over.
    """
    for position in range(epoch * steps, (epoch + 1) * steps):
        yield divmod(position, batches)
