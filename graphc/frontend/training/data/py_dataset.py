"""Data sets that users write as classes: `PyDataset`, and its batches."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from graphc.frontend.training.data.batch import (
    convert_batch,
    unpack_x_y_sample_weight,
)
from graphc.frontend.training.data.prefetch import prefetch
from graphc.frontend.training.data.source import (
    BatchSource,
    permutation,
    positions,
)

__all__ = ["PyDataset", "PyDatasetSource"]


class PyDataset:
    """Base class of data sets that compute one batch at a time.

    A subclass implements ``__getitem__`` (a whole batch: ``x``, ``(x, y)`` or
    ``(x, y, sample_weight)``) and ``__len__`` (the number of batches), or `num_batches`
    in its place. `fit` shuffles the order of the batches if ``shuffle=True``.

    Args:
        workers: Threads or processes that compute batches ahead.
        use_multiprocessing: Whether they are processes. These are started afresh for
            each epoch: the data set must be picklable and its class importable.
        max_queue_size: Batches to have ready at most.

    Example:
    >>> class Squares(PyDataset):
    ...     def __init__(self, x, batch_size, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.x, self.batch_size = x, batch_size
    ...
    ...     def __len__(self):
    ...         return -(-len(self.x) // self.batch_size)
    ...
    ...     def __getitem__(self, index):
    ...         start = index * self.batch_size
    ...         x = self.x[start : start + self.batch_size]
    ...         return x, x**2
    """

    def __init__(
        self,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """The batch at `index`."""
        raise NotImplementedError(
            f"Expected {type(self).__name__} to implement __getitem__(index)"
        )

    @property
    def num_batches(self) -> int | None:
        """Batches in an epoch; None if they never end."""
        if not hasattr(self, "__len__"):
            raise NotImplementedError(
                f"Expected {type(self).__name__} to implement __len__ or num_batches"
            )
        return len(self)  # pyright: ignore[reportArgumentType]

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


class PyDatasetSource(BatchSource):
    """Batches that a `PyDataset` computes, ahead of their use and in order.

    Args:
        dataset: The data set.
        steps: Batches in an epoch, or None for all.
        shuffle: Whether to shuffle the order of the batches.
        class_weight: Weights by class index, or None.
        key: What the order is derived from: an integer of 128 bits.

    Raises:
        ValueError: If the data set is empty, or endless without `steps_per_epoch`.
    """

    def __init__(
        self,
        dataset: PyDataset,
        *,
        steps: int | None = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        key: int = 0,
    ) -> None:
        self._dataset = dataset
        self._steps = steps
        self._shuffle = bool(shuffle)
        self._load = _Load(dataset, class_weight)
        self._key = key
        if dataset.num_batches == 0:
            raise ValueError(
                "Expected at least one batch. Received: an empty PyDataset"
            )
        if dataset.num_batches is None and not steps:
            raise ValueError(
                "Expected `steps_per_epoch` with a PyDataset whose `num_batches` is "
                "None. Received: steps_per_epoch=None"
            )

    @property
    def num_batches(self) -> int | None:
        return self._steps or self._dataset.num_batches

    def epoch(self, epoch: int) -> Generator[Any, None, None]:
        self._dataset.on_epoch_begin()
        with closing(_load_ahead(self._load, self._indices(epoch))) as batches:
            yield from batches
        self._dataset.on_epoch_end()

    def _indices(self, epoch: int) -> Iterator[int]:
        batches = self._dataset.num_batches
        steps = self._steps or batches or 0
        if batches is None:
            yield from range(epoch * steps, (epoch + 1) * steps)
            return
        order, order_turn = range(batches), -1
        for turn, index in positions(epoch, steps, batches):
            if self._shuffle and turn != order_turn:
                order, order_turn = permutation(batches, self._key, turn), turn
            yield int(order[index])


@dataclass(frozen=True)
class _Load:
    """Computes a batch and converts it: the part of the work that is done ahead."""

    dataset: PyDataset
    class_weight: Mapping[int, float] | None

    def __call__(self, index: int) -> Any:
        parts = unpack_x_y_sample_weight(self.dataset[index])
        return convert_batch(*parts, self.class_weight)


def _load_ahead(load: _Load, indices: Iterable[int]) -> Generator[Any, None, None]:
    """The batches at `indices`, computed by threads or processes."""
    dataset = load.dataset
    if dataset.use_multiprocessing:
        # Forking a process in which a compiler's threads run can deadlock.
        executor = ProcessPoolExecutor(
            dataset.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_receive,
            initargs=(load,),
        )
        return _map_ahead(executor, _load_received, indices, dataset.max_queue_size)
    if dataset.workers > 1:
        executor = ThreadPoolExecutor(dataset.workers, "graphc-dataset")
        return _map_ahead(executor, load, indices, dataset.max_queue_size)
    return prefetch(map(load, indices))


def _map_ahead(
    executor: Executor,
    function: Callable[[int], Any],
    indices: Iterable[int],
    ahead: int,
) -> Generator[Any, None, None]:
    pending: deque[Future[Any]] = deque()
    try:
        for index in indices:
            pending.append(executor.submit(function, index))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


_received: list[_Load] = []
"""In a worker process: what loads its batches."""


def _receive(load: _Load) -> None:
    _received.append(load)


def _load_received(index: int) -> Any:
    return _received[-1](index)
