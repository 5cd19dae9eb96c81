"""Batches of arrays that are in memory, or mapped into it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from graphc.frontend.arguments import one_of, positive_integer
from graphc.frontend.training.data.arrays import Array, model_dtype, to_array
from graphc.frontend.training.data.batch import (
    Batch,
    check_sizes,
    flatten,
    map_arrays,
    pack_x_y_sample_weight,
)
from graphc.frontend.training.data.source import BatchSource, permutation, positions
from graphc.frontend.training.data.weights import (
    class_weights_to_sample_weights,
    match_sample_weights,
)

__all__ = ["ArraySource", "split_validation"]

# Larger arrays are converted batch by batch: a second copy might not fit in memory.
CAST_AT_ONCE_BYTES = 1 << 28


class ArraySource(BatchSource):
    """Batches of nested arrays: views of them where nothing is shuffled or converted.

    Args:
        x: Inputs: an array or a nest of arrays with the samples along the first axis.
        y: Targets, or None.
        sample_weight: A weight for each sample, or None.
        batch_size: Samples in a batch; the last one may have fewer.
        steps: Batches in an epoch, or None for one turn over the data.
        shuffle: True shuffles the samples before each turn; ``"batch"`` shuffles whole
            batches, which stay contiguous, as memory-mapped files need.
        class_weight: Weights by class index, or None.
        key: What the order is derived from: an integer of 128 bits.

    Raises:
        ValueError: If the numbers of samples differ or are 0, data is not numeric, or
            an option is out of range.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int = 32,
        steps: int | None = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        key: int = 0,
    ) -> None:
        positive_integer("batch_size", batch_size)
        one_of("shuffle", shuffle, (True, False, "batch"))
        x, y, sample_weight = _as_arrays(x, y, sample_weight)
        if class_weight:
            sample_weight = class_weights_to_sample_weights(
                y, class_weight, sample_weight
            )
        sample_weight = match_sample_weights(sample_weight, y)
        self.num_samples = check_sizes(x, y, sample_weight)
        if self.num_samples == 0:
            raise ValueError("Expected at least one sample. Received: empty arrays")
        self.batch_size = self._size = batch_size
        self._turn_batches = -(-self.num_samples // batch_size)
        self._steps = steps or self._turn_batches
        self._shuffle = shuffle if shuffle == "batch" else bool(shuffle)
        self._key = key
        arrays, self._structure = flatten(pack_x_y_sample_weight(x, y, sample_weight))
        self._columns = [_Column(array) for array in arrays]
        self._order_turn, self._order_cache = -1, np.arange(0)

    @property
    def num_batches(self) -> int:
        return self._steps

    def epoch(self, epoch: int) -> Generator[Any, None, None]:
        for turn, batch in positions(epoch, self._steps, self._turn_batches):
            rows = self._rows(turn, batch)
            yield self._structure.unflatten([c.take(rows) for c in self._columns])

    def _rows(self, turn: int, batch: int) -> slice | Array:
        """What selects the samples of a batch; a slice if they are contiguous."""
        if self._shuffle == "batch":
            batch = int(self._order(turn)[batch])
        rows = slice(batch * self._size, (batch + 1) * self._size)
        return self._order(turn)[rows] if self._shuffle is True else rows

    def _order(self, turn: int) -> Array:
        """The order of the samples, or of the batches, in one turn over the data."""
        if turn != self._order_turn:
            self._order_turn, self._order_cache = turn, self._shuffled(turn)
        return self._order_cache

    def _shuffled(self, turn: int) -> Array:
        if self._shuffle is True:
            return permutation(self.num_samples, self._key, turn)
        # A smaller last batch stays last, so that every turn has one at its end.
        full = self.num_samples // self._size
        order = np.arange(self._turn_batches)
        order[:full] = permutation(full, self._key, turn)
        return order


class _Column:
    """One array of the data set and the dtype in which its batches are taken."""

    def __init__(self, array: Array) -> None:
        mapped = isinstance(array, np.memmap)
        # Looking for the largest integer would read the whole file.
        self._dtype = None if mapped else model_dtype(array)
        if not mapped and array.nbytes <= CAST_AT_ONCE_BYTES:
            array = array.astype(self._dtype, copy=False)
        self._array = array

    def take(self, rows: slice | Array) -> Array:
        part = self._array[rows]
        return np.asarray(part, dtype=self._dtype or model_dtype(part))


def _as_arrays(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """The parts of data as nests of arrays."""
    # One by one: lists of numbers, with arrays behind, look like one list of numbers.
    return (
        map_arrays(to_array, x),
        map_arrays(to_array, y),
        map_arrays(to_array, sample_weight),
    )


def split_validation(
    x: Any, y: Any, sample_weight: Any, validation_split: float
) -> tuple[Batch, Batch]:
    """The data without its last samples, and those samples, for validation.

    Args:
        x: Inputs: arrays, or nests of arrays.
        y: Targets, or None.
        sample_weight: Weights of the samples, or None.
        validation_split: The fraction of samples to take from the end, in (0, 1).

    Raises:
        ValueError: If the fraction is out of range or leaves no sample on a side.
    """
    if not 0 < validation_split < 1:
        raise ValueError(
            "Expected `validation_split` to be between 0 and 1. "
            f"Received: validation_split={validation_split}"
        )
    data = _as_arrays(x, y, sample_weight)
    samples = check_sizes(*data)
    split = int(samples * (1.0 - validation_split))
    if split in (0, samples):
        raise ValueError(
            f"Training data contains {samples} samples, which is not sufficient to "
            "split it into a validation and training set. Expected more data or "
            f"another fraction. Received: validation_split={validation_split}"
        )
    training = map_arrays(lambda array: array[:split], data)
    return training, map_arrays(lambda array: array[split:], data)
