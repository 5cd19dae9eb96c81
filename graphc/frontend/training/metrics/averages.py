"""Sums and means over batches, and metrics that are the mean of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from graphc.frontend import ops
from graphc.frontend.registry import Registry
from graphc.frontend.training import losses
from graphc.frontend.training.losses.reduction import (
    align_weight,
    apply_mask,
    mask_of,
)
from graphc.frontend.training.metrics.metric import REGISTRY, Metric


def samplewise(
    values: Any, sample_weight: Any, dtype: str, reduce: Callable[..., Any] = ops.mean
) -> tuple[Any, Any]:
    """One weighted value per sample, and the weights.

    Args:
        values: A tensor ``[B, ...]``, or a scalar.
        sample_weight: Weights of the samples ``[B]`` or of the values, or None; a
            scalar weighs the batch as one value.
        dtype: The dtype to compute in.
        reduce: ``ops.mean`` or ``ops.sum``.

    Returns:
        Values times weights, reduced over all but the first axis, and the weights
        likewise (None for None).
    """
    mask = mask_of(values)
    values = ops.convert_to_tensor(values, dtype=dtype)
    if mask is not None:
        sample_weight = apply_mask(sample_weight, mask, dtype, reduction="sum")
    if sample_weight is None:
        return _over_samples(values, reduce), None
    weight = ops.convert_to_tensor(sample_weight, dtype=dtype)
    rank = len(weight.shape)
    if rank < len(values.shape):
        values = reduce(values, axis=tuple(range(rank, len(values.shape))))
    # The weights are summed too, so they get the shape of what they weigh.
    weight = align_weight(weight, values) + ops.zeros_like(values)
    return _over_samples(values * weight, reduce), _over_samples(weight, reduce)


def _over_samples(values: Any, reduce: Callable[..., Any]) -> Any:
    rank = len(values.shape)
    return reduce(values, axis=tuple(range(1, rank))) if rank > 1 else values


class Mean(Metric):
    """The weighted mean of values.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.

    Example:
        >>> import graphc
        >>> mean = graphc.metrics.Mean()
        >>> mean.update_state([1.0, 3.0, 5.0, 7.0])
        >>> float(mean.result())
        4.0
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds values to the mean.

        Args:
            values: A tensor ``[B, ...]``, or a scalar.
            sample_weight: Weights of the samples ``[B]`` or of the values, a scalar,
                or None.
        """
        values, weights = samplewise(values, sample_weight, self.dtype)
        self.total.assign_add(ops.sum(values))
        counted = ops.ones_like(values) if weights is None else weights
        self.count.assign_add(ops.sum(counted))

    def result(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)


class Sum(Metric):
    """The weighted sum of values.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds values to the sum.

        Args:
            values: A tensor ``[B, ...]``, or a scalar.
            sample_weight: Weights of the samples ``[B]`` or of the values, or None.
        """
        values, _ = samplewise(values, sample_weight, self.dtype, ops.sum)
        self.total.assign_add(ops.sum(values))

    def result(self) -> Any:
        return self.total.value


class MeanMetricWrapper(Mean):
    """The weighted mean of a function of targets and predictions.

    Args:
        fn: A callable ``(y_true, y_pred, **kwargs)`` that returns one value per sample.
        name: Its name; made up from the class's by default.
        dtype: The dtype of the state; see `Metric`.
        **kwargs: Further arguments of `fn`.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs
        if self._direction is None and losses.REGISTRY.holds(fn):
            self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to the mean.

        Args:
            y_true: The targets.
            y_pred: The predictions; a mask that a layer attached to them leaves
                positions out.
            sample_weight: Weights of the samples ``[B]`` or of the values, or None.
        """
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        mask = mask_of(y_pred)
        if mask is not None:
            sample_weight = apply_mask(sample_weight, mask, self.dtype, reduction="sum")
        super().update_state(values, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | self._fn_kwargs
        if type(self) is MeanMetricWrapper:
            own = FUNCTIONS.holds(self._fn)
            registry = FUNCTIONS if own else losses.REGISTRY
            config["fn"] = registry.serialize(self._fn)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if isinstance(config.get("fn"), (str, dict)):
            config = config | {"fn": _function(config["fn"])}
        return cls(**config)


def _function(config: Any) -> Any:
    name = config["config"] if isinstance(config, dict) else config
    registry = FUNCTIONS if FUNCTIONS.has(name) else losses.REGISTRY
    return registry.deserialize(config)


FUNCTIONS = Registry("metric function", "keras.metrics")
"""The functions that metrics average and that are not losses."""

REGISTRY.add(Mean, MeanMetricWrapper, Sum)
