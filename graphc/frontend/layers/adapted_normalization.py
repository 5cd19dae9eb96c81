"""Normalization by statistics that are given or taken from data once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from graphc.frontend import ops
from graphc.frontend.layers.layer import Layer

_LEAST_DEVIATION = 1e-7


class Normalization(Layer):
    """Subtracts a mean and divides by the root of a variance, which are not trained.

    They are given, or `adapt` takes them from data.

    Args:
        axis: The axes whose positions have a mean and a variance each; None if there is
            one for all elements.
        mean: The mean, which broadcasts to the shape of these axes.
        variance: The variance.
        invert: Whether to undo the normalization instead.

    Raises:
        ValueError: If only one of `mean` and `variance` is given.

    Example:
        >>> import numpy as np, graphc
        >>> layer = graphc.layers.Normalization()
        >>> data = np.array([[0.0, 1.0], [2.0, 5.0]], "float32")
        >>> layer.adapt(data)
        >>> layer(data).numpy().tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
    """

    examples_apart = True

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        if (mean is None) != (variance is None):
            raise ValueError(
                "When setting values directly, both `mean` and `variance` must be set. "
                f"Received: mean={mean} and variance={variance}"
            )
        listed = () if axis is None else (axis,) if isinstance(axis, int) else axis
        self.axis = tuple(listed)
        self.input_mean = mean
        self.input_variance = variance
        self.invert = invert
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates the statistics, unless they are given."""
        rank = len(input_shape)
        if any(not -rank <= axis < rank for axis in self.axis):
            raise ValueError(
                "All `axis` values must be axes of the inputs. "
                f"Received: axis={self.axis}, input_shape={tuple(input_shape)}"
            )
        self._kept = tuple(sorted(axis % rank for axis in self.axis))
        shape = tuple(input_shape[axis] for axis in self._kept)
        if None in shape:
            raise ValueError(
                "All `axis` values must have a known size. "
                f"Received: axis={self.axis}, input_shape={tuple(input_shape)}"
            )
        self._rank, self._shape = rank, shape
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(
                name="mean", shape=shape, initializer="zeros", trainable=False
            )
            self.adapt_variance = self.add_weight(
                name="variance", shape=shape, initializer="ones", trainable=False
            )
            # Keras's files have it.
            self.count = self.add_weight(
                name="count",
                shape=(),
                dtype="int32",
                initializer="zeros",
                trainable=False,
            )
        self.built = True

    def adapt(self, data: Any) -> None:
        """Takes the mean and the variance from data.

        Args:
            data: An array, or batches: an iterable of arrays, or of tuples whose first
                entry is one.

        Raises:
            ValueError: If mean and variance were given, or there are no data.
        """
        if self.input_mean is not None:
            raise ValueError(
                f"Normalization layer '{self.name}' was given its statistics. "
                f"Received: mean={self.input_mean}, variance={self.input_variance}"
            )
        count, mean, squares = 0.0, np.zeros(()), np.zeros(())
        for batch in batches_of(data):
            if not self.built:
                self.ensure_built_for((None, *batch.shape[1:]))
            summed = tuple(a for a in range(batch.ndim) if a not in self._kept)
            size = float(np.prod([batch.shape[a] for a in summed]))
            wide = batch.astype(np.float64)
            # Chan et al., "Updating Formulae ... Sample Variances", 1979.
            shift = wide.mean(summed) - mean
            total = count + size
            squares = (
                squares + wide.var(summed) * size + shift**2 * (count * size / total)
            )
            mean = mean + shift * (size / total)
            count = total
        if not count:
            raise ValueError("`adapt` needs data. Received: no batches")
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(squares / count)

    @property
    def mean(self) -> Any:
        """What is subtracted: the mean, as given or taken from data, to be broadcast."""
        given = self.input_mean is not None
        return self._broadcast(self.input_mean if given else self.adapt_mean)

    @property
    def variance(self) -> Any:
        """The variance, as given or taken from data, to be broadcast to inputs."""
        given = self.input_variance is not None
        return self._broadcast(self.input_variance if given else self.adapt_variance)

    def _broadcast(self, given: Any) -> np.ndarray[Any, Any]:
        full = np.broadcast_to(np.asarray(given, np.float32), self._shape)
        others = set(range(self._rank)).difference(self._kept)
        return np.expand_dims(full, tuple(sorted(others)))

    def call(self, inputs: Any) -> Any:
        """Normalizes the inputs, or undoes it."""
        x = ops.cast(inputs, self.compute_dtype)
        mean, variance = self._statistics(x)
        deviation = ops.maximum(ops.sqrt(variance), _LEAST_DEVIATION)
        return mean + x * deviation if self.invert else (x - mean) / deviation

    def _statistics(self, x: Any) -> tuple[Any, Any]:
        """Mean and variance, which broadcast to the inputs."""
        shape = [x.shape[a] if a in self._kept else 1 for a in range(x.ndim)]
        kept = [x.shape[a] for a in self._kept]

        def laid_out(given: Any) -> Any:
            found = ops.cast(ops.convert_to_tensor(given), self.compute_dtype)
            return ops.reshape(ops.broadcast_to(found, kept), shape)

        if self.input_mean is None:
            return laid_out(self.adapt_mean), laid_out(self.adapt_variance)
        return laid_out(self.input_mean), laid_out(self.input_variance)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "axis": list(self.axis),
            "invert": self.invert,
            "mean": np.array(self.input_mean).tolist(),
            "variance": np.array(self.input_variance).tolist(),
        }


def batches_of(data: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays of a data set."""
    given: Iterable[Any] = data
    if hasattr(data, "shape"):
        given = [data]
    elif hasattr(data, "__getitem__"):
        given = (data[index] for index in range(len(data)))
    for batch in given:
        yield np.asarray(batch[0] if isinstance(batch, (list, tuple)) else batch)
