"""Layers for features that are categories: encoding numbers of them, making bins."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.frontend import ops
from graphc.frontend.arguments import one_of, positive_integer
from graphc.frontend.layers.adapted_normalization import batches_of
from graphc.frontend.layers.layer import Layer

_ENCODINGS = ("one_hot", "multi_hot", "count")

Summary = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def check_mode(given: str, accepted: tuple[str, ...]) -> str:
    """An output mode under the name that layers use.

    Raises:
        ValueError: For another one.
    """
    mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(given, given)
    return mode if mode in accepted else one_of("output_mode", given, accepted)


def _encoded(numbers: Any, mode: str, depth: int, dtype: str, weights: Any) -> Any:
    """Numbers of categories as rows of `depth` numbers."""
    if not numbers.shape:
        numbers = ops.reshape(numbers, (1,))
    if mode == "one_hot" and len(numbers.shape) > 1 and numbers.shape[-1] == 1:
        numbers = ops.squeeze(numbers, -1)
    rows = ops.one_hot(ops.cast(numbers, "int32"), depth, dtype=dtype)
    if mode == "one_hot":
        return rows
    if weights is not None:
        rows = rows * ops.cast(weights, dtype)[..., None]
    axis = 1 if len(numbers.shape) > 1 else 0
    return ops.max(rows, axis) if mode == "multi_hot" else ops.sum(rows, axis)


class CategoryEncoding(Layer):
    """Encodes numbers of categories as vectors.

    Args:
        num_tokens: How many categories there are: inputs are below it.
        output_mode: ``"one_hot"`` makes a vector of each number, ``"multi_hot"`` one of
            each row of numbers, with 1 where a number occurs, and ``"count"`` one that
            says how often each occurs.

    Call arguments:
        inputs: Integers (n,) or (batch, n).
        count_weights: With ``"count"``, how much each number counts.

    Example:
        >>> import graphc
        >>> layer = graphc.layers.CategoryEncoding(4, output_mode="count")
        >>> layer([[0, 2, 2], [1, 1, 3]]).numpy()
        array([[1., 0., 2., 0.],
               [0., 2., 0., 1.]], dtype=float32)
    """

    examples_apart = True

    def __init__(
        self, num_tokens: int, output_mode: str = "multi_hot", **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.num_tokens = positive_integer("num_tokens", num_tokens)
        self.output_mode = check_mode(output_mode, _ENCODINGS)

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        """Encodes the numbers."""
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(
                "`count_weights` needs output_mode='count'."
                f" Received: output_mode={self.output_mode!r}"
            )
        mode, dtype = self.output_mode, self.compute_dtype
        return _encoded(inputs, mode, self.num_tokens, dtype, count_weights)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "output_mode": self.output_mode,
        }


class Discretization(Layer):
    """The number of the bin in which each element lies.

    Args:
        bin_boundaries: Where one bin ends and the next one begins, in order.
        num_bins: How many bins `adapt` makes, in which about as many data lie each.
        epsilon: How exact its boundaries are: they are quantiles up to this part.
        output_mode: ``"int"`` for the number, or how it is encoded; see
            `CategoryEncoding`.

    Raises:
        ValueError: Unless one of `bin_boundaries` and `num_bins` is given.

    Example:
        >>> import graphc
        >>> graphc.layers.Discretization([0.0, 1.0])([-3.0, 0.5, 7.0]).numpy()
        array([0, 1, 2], dtype=int32)
    """

    examples_apart = True

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError(
                "Expected one of `bin_boundaries` and `num_bins`."
                f" Received: bin_boundaries={bin_boundaries}, num_bins={num_bins}"
            )
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.output_mode = check_mode(output_mode, ("int", *_ENCODINGS))
        self.bin_boundaries: list[float] | None = None
        if bin_boundaries is not None:
            self.bin_boundaries = [float(b) for b in bin_boundaries]

    def adapt(self, data: Any) -> None:
        """Takes the boundaries from data.

        Args:
            data: An array, or batches: an iterable of arrays, or of tuples whose first
                entry is one.

        Raises:
            ValueError: If the boundaries were given, or there are no data.
        """
        if self.num_bins is None:
            raise ValueError(
                f"Discretization layer '{self.name}' was given its boundaries."
                f" Received: bin_boundaries={self.bin_boundaries}"
            )
        found: Summary = (np.zeros(0, "f"), np.zeros(0, "f"))
        for batch in batches_of(data):
            parts = zip(_summary(batch, self.epsilon), found, strict=True)
            values, weights = (np.concatenate(pair) for pair in parts)
            order = np.argsort(values)
            found = _compressed(values[order], weights[order], self.epsilon)
        if not len(found[0]):
            raise ValueError("`adapt` needs data. Received: no batches")
        values, _ = _compressed(*found, 1 / self.num_bins)
        self.bin_boundaries = values[:-1].tolist()

    def call(self, inputs: Any) -> Any:
        """Finds the bins."""
        if self.bin_boundaries is None:
            raise ValueError(
                f"Discretization layer '{self.name}' has no boundaries yet. Call"
                " adapt(data) first, or give `bin_boundaries`."
            )
        boundaries = np.asarray(self.bin_boundaries, np.float32)
        numbers = ops.digitize(inputs, boundaries)
        if self.output_mode == "int":
            return ops.cast(numbers, "int32")
        depth = len(self.bin_boundaries) + 1
        return _encoded(numbers, self.output_mode, depth, self.compute_dtype, None)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "bin_boundaries": self.bin_boundaries,
            "num_bins": self.num_bins,
            "epsilon": self.epsilon,
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned, adapted as that one was."""
        if config["num_bins"] is None:
            return cls(**config)
        made = cls(**{**config, "bin_boundaries": None})
        made.bin_boundaries = config["bin_boundaries"]
        return made


def _summary(batch: np.ndarray[Any, Any], epsilon: float) -> Summary:
    """Some of the values of a batch in order, and how many each one stands for."""
    values = np.sort(batch.astype(np.float32), axis=None)
    step = max(values.size * epsilon, 1)
    kept = values[int(step - 1) :: int(step)]
    return kept, np.full(kept.shape, step, np.float32)


def _compressed(values: Any, weights: Any, epsilon: float) -> Summary:
    """Quantiles, `epsilon` apart, of values that stand for several each."""
    if len(values) * epsilon < 1:
        return values, weights
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    sums = weights.cumsum()
    found = np.interp(shares, sums / sums[-1], values)
    counts = np.diff(np.interp(shares, sums / sums[-1], sums), prepend=0)
    return found.astype(np.float32), counts.astype(np.float32)
