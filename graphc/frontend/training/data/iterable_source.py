"""Batches of generators and of data loaders: anything that yields batches."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from graphc.frontend.training.data.batch import (
    convert_batch,
    unpack_x_y_sample_weight,
)
from graphc.frontend.training.data.prefetch import prefetch
from graphc.frontend.training.data.source import BatchSource

__all__ = ["IterableSource"]

_END = object()


class IterableSource(BatchSource):
    """Batches read from an iterable by a background thread.

    Args:
        source: Yields ``x``, ``(x, y)`` or ``(x, y, sample_weight)``. An iterator can
            be read once; anything else, such as a data loader, starts over.
        steps: Batches in an epoch, or None for all that the source yields.
            Each epoch goes on where the last left off.
        class_weight: Weights by class index, or None.

    Raises:
        ValueError: If the source says that it is endless and there is no
            `steps_per_epoch`, or that it is empty.
    """

    def __init__(
        self,
        source: Any,
        *,
        steps: int | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        self._source = source
        self._steps = steps
        self._class_weight = class_weight
        self._one_shot = hasattr(source, "__next__")
        self._stream: Iterator[Any] | None = None
        self._started = False
        self._length = None if self._one_shot else _length(source)
        if self._length == 0:
            raise _no_batch()
        if self._length == sys.maxsize and not steps:
            raise ValueError(
                "Expected `steps_per_epoch` with data that repeats forever. "
                "Received: steps_per_epoch=None"
            )

    @property
    def num_batches(self) -> int | None:
        return self._steps or self._length

    def epoch(self, epoch: int) -> Generator[Any, None, None]:
        count = 0
        if not self.exhausted:
            batches = prefetch(map(self._convert, self._read()))
            with contextlib.closing(batches):
                for batch in batches:
                    count += 1
                    yield batch
        self._started = self._started or count > 0
        if not self._started:
            raise _no_batch()
        if count < (self._steps or 1):
            self._warn()
        if not self._steps:
            self._length = self._length or count

    def _read(self) -> Iterator[Any]:
        """The batches of an epoch as the source yields them."""
        if not self._steps:
            yield from self._start()
            self.exhausted = self._one_shot
            return
        for _ in range(self._steps):
            if self._stream is None:
                self._stream = self._start()
            item = next(self._stream, _END)
            if item is _END and not self._one_shot:
                self._stream = self._start()
                item = next(self._stream, _END)
            if item is _END:
                self.exhausted = True
                return
            yield item

    def _start(self) -> Iterator[Any]:
        if hasattr(self._source, "as_numpy_iterator"):  # tf.data
            return self._source.as_numpy_iterator()
        return iter(self._source)

    def _convert(self, item: Any) -> Any:
        return convert_batch(*unpack_x_y_sample_weight(item), self._class_weight)

    def _warn(self) -> None:
        warnings.warn(
            "Your input ran out of data; interrupting training. Make sure that your "
            "dataset or generator can generate at least `steps_per_epoch * epochs` "
            "batches.",
            stacklevel=2,
        )


def _length(source: Any) -> int | None:
    """How many batches the source says it has: maxsize for endless, None for unknown."""
    if hasattr(source, "cardinality"):  # tf.data
        cardinality = int(source.cardinality())
        return {-1: sys.maxsize, -2: None}.get(cardinality, cardinality)
    try:
        return len(source)
    except (TypeError, NotImplementedError):
        return None
    except OverflowError:
        return sys.maxsize


def _no_batch() -> ValueError:
    return ValueError(
        "Expected the data to yield at least one batch. Received: an empty data set or "
        "generator"
    )
