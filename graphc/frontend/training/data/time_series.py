"""Windows of a time series as a data set."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.frontend.arguments import positive_integer
from graphc.frontend.training.data.arrays import to_array
from graphc.frontend.training.data.py_dataset import PyDataset


class TimeSeries(PyDataset):
    """Batches of windows, cut out of an array when they are needed.

    Args:
        data: Steps, of shape (time, ...).
        targets: What belongs to the windows by the number of their first step; or None.
        starts: The first step of each window.
        offsets: The steps of a window, counted from its first one.
        batch_size: The number of windows in a batch.
    """

    def __init__(
        self, data: Any, targets: Any, starts: Any, offsets: Any, batch_size: int
    ) -> None:
        super().__init__()
        self._data = data
        self._targets = targets
        self._starts = starts
        self._offsets = offsets
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._starts) // self._batch_size)

    def __getitem__(self, index: int) -> Any:
        """The batch at `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"Expected a batch below {len(self)}. Received: {index}")
        first = index * self._batch_size
        starts = self._starts[first : first + self._batch_size]
        windows = self._data[starts[:, None] + self._offsets]
        return windows if self._targets is None else (windows, self._targets[starts])


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> TimeSeries:
    """Windows of a time series, as a `PyDataset` that `fit` takes and loops can read.

    Args:
        data: Steps, of shape (time, ...).
        targets: What belongs to each window, by the number of its first step: an array
            of shape (time or fewer, ...); or None.
        sequence_length: The number of steps in a window.
        sequence_stride: By how many steps windows begin after one another.
        sampling_rate: How many steps lie between those of a window.
        batch_size: The number of windows in a batch; the last one may have fewer.
        shuffle: Whether windows are in random order, the same in each epoch; `fit`
            shuffles the order of batches in any case, unless ``shuffle=False``.
        seed: A seed for that order.
        start_index: The first step that is used; 0 by default.
        end_index: The step to stop before; the number of steps by default.

    Raises:
        ValueError: If a number is not positive, or there is no window.

    Example:
        >>> import numpy as np
        >>> import graphc
        >>> windows = graphc.utils.timeseries_dataset_from_array(
        ...     np.arange(6), np.arange(6) * 10, 3, sampling_rate=2)
        >>> windows[0]
        (array([[0, 2, 4],
               [1, 3, 5]]), array([ 0, 10]))
    """
    positive_integer("sequence_length", sequence_length)
    positive_integer("sequence_stride", sequence_stride)
    positive_integer("sampling_rate", sampling_rate)
    positive_integer("batch_size", batch_size)
    used = slice(start_index, end_index)
    steps = to_array(data)[used]
    known = None if targets is None else to_array(targets)[used]
    count = len(steps) - (sequence_length - 1) * sampling_rate
    if known is not None:
        count = min(count, len(known))
    if count <= 0:
        raise ValueError(
            f"Expected data with a window of {sequence_length} steps, {sampling_rate}"
            f" apart. Received: {len(steps)} steps"
            + ("" if known is None else f" and {len(known)} targets")
        )
    starts = np.arange(0, count, sequence_stride)
    if shuffle:
        starts = np.random.default_rng(seed).permutation(starts)
    offsets = np.arange(sequence_length) * sampling_rate
    return TimeSeries(steps, known, starts, offsets, batch_size)
