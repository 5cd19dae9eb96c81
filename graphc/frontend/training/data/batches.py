"""Data of any kind as batches of NumPy arrays, in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from graphc.frontend.arguments import positive_integer
from graphc.frontend.seeds import global_seed, next_draw, random_key
from graphc.frontend.training.data.array_source import ArraySource, split_validation
from graphc.frontend.training.data.arrays import is_array_like
from graphc.frontend.training.data.batch import Batch
from graphc.frontend.training.data.iterable_source import IterableSource
from graphc.frontend.training.data.py_dataset import PyDataset, PyDatasetSource
from graphc.frontend.training.data.source import BatchSource

__all__ = ["Batches"]

BATCH_SIZE = 32


class Batches:
    """The batches of each epoch over data of any kind.

    Doubles become `floatx`, 64-bit integers become 32-bit ones if their values fit.
    Nothing of the libraries that data may come from is imported.

    Args:
        x: Inputs: arrays, tensors or tables (NumPy, JAX, torch, TensorFlow, pandas,
            polars, Arrow), lists of numbers, or nests of these; or a `PyDataset`; or
            anything that yields batches: a generator, a data loader, a data set.
        y: Targets, if `x` is arrays.
        sample_weight: A weight for each sample, if `x` is arrays.
        batch_size: Samples in a batch of arrays, 32 for None; the last batch may have
            fewer. Other sources decide themselves.
        steps: Batches in an epoch; None for all. Each epoch goes on where the last one
            left off.
        shuffle: Whether to shuffle arrays (by sample, or by ``"batch"``) and the
            batches of a `PyDataset`. The order is a function of `seed` and the epoch.
        class_weight: Weights by class index; excludes `sample_weight`.
        validation_split: The fraction of samples at the end of arrays to leave out, for
            `validation`.
        seed: What the order is derived from; None for the global seed and how often
            data was shuffled since it was set.

    Raises:
        ValueError: If arguments contradict each other, data is not numeric or empty,
            or numbers of samples differ.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = None,
        steps: int | None = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        validation_split: float = 0.0,
        seed: int | None = None,
    ) -> None:
        if steps is not None:
            positive_integer("steps", steps)
        self._held_out: Batch | None = None
        self._epoch: Generator[Any, None, None] | None = None
        key = _shuffle_key(seed) if shuffle else 0
        if _is_arrays(x):
            if validation_split:
                (x, y, sample_weight), self._held_out = split_validation(
                    x, y, sample_weight, validation_split
                )
            self._source: BatchSource = ArraySource(
                x,
                y,
                sample_weight,
                batch_size=BATCH_SIZE if batch_size is None else batch_size,
                steps=steps,
                shuffle=shuffle,
                class_weight=class_weight,
                key=key,
            )
            return
        if not hasattr(x, "__iter__") and not isinstance(x, PyDataset):
            raise ValueError(
                "Unrecognized data type. Expected arrays, a PyDataset or something "
                f"that yields batches. Received: x={x!r} (of type {type(x).__name__})"
            )
        _refuse_parts(y, sample_weight, validation_split)
        if isinstance(x, PyDataset):
            self._source = PyDatasetSource(
                x, steps=steps, shuffle=shuffle, class_weight=class_weight, key=key
            )
        else:
            self._source = IterableSource(x, steps=steps, class_weight=class_weight)

    @property
    def num_batches(self) -> int | None:
        """Batches in an epoch; None until a source that does not say was read once."""
        return self._source.num_batches

    @property
    def batch_size(self) -> int | None:
        """Samples in a batch; None if the source decides."""
        return self._source.batch_size

    @property
    def exhausted(self) -> bool:
        """Whether the source has run dry and cannot start over."""
        return self._source.exhausted

    def epoch(self, epoch: int) -> Generator[Any, None, None]:
        """The batches of one epoch, as `Model.train_step` receives them.

        Args:
            epoch: The index of the epoch, from 0.

        Returns:
            Yields ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``; see
            `pack_x_y_sample_weight`.

        Raises:
            ValueError: If a batch is malformed or there is none.
        """
        self.close()
        self._epoch = self._source.epoch(epoch)
        return self._epoch

    def validation(self, batch_size: int | None, steps: int | None) -> Batches:
        """The batches of the samples that `validation_split` left out.

        Args:
            batch_size: Samples in a batch; None for as many as in training.
            steps: Batches to use; None for all.

        Raises:
            ValueError: If there was no `validation_split`.
        """
        if self._held_out is None:
            raise ValueError("Expected a `validation_split`. Received: None")
        return Batches(
            *self._held_out,
            batch_size=self.batch_size if batch_size is None else batch_size,
            steps=steps,
            shuffle=False,
        )

    def close(self) -> None:
        """Ends the current epoch, and the thread that reads ahead for it."""
        if self._epoch is not None:
            self._epoch.close()
            self._epoch = None


def _shuffle_key(seed: int | None) -> int:
    if seed is not None:
        return seed % 2**128
    words = random_key(global_seed(), next_draw("shuffle"))
    return int.from_bytes(words.tobytes(), "little")


def _is_arrays(x: Any) -> bool:
    return is_array_like(x) or isinstance(x, (list, tuple, dict))


def _refuse_parts(y: Any, sample_weight: Any, validation_split: float) -> None:
    for name, part in (("y", y), ("sample_weight", sample_weight)):
        if part is not None:
            raise ValueError(
                f"When `x` yields batches, `{name}` must be part of them. Expected "
                f"{name}=None. Received: {name} of type {type(part).__name__}"
            )
    if validation_split:
        raise ValueError(
            "`validation_split` is only supported for arrays. Expected "
            f"`validation_data`. Received: validation_split={validation_split}"
        )
