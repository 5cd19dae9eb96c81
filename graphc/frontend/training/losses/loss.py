"""The base of losses, and losses made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from graphc.frontend import dtype_policies, ops, trees
from graphc.frontend.arguments import one_of
from graphc.frontend.dtypes import floatx
from graphc.frontend.naming import auto_name, snake_case
from graphc.frontend.registry import Registry
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import name_scope
from graphc.frontend.training.losses.reduction import (
    REDUCTIONS,
    mask_of,
    match_ranks,
    reduce_weighted,
)


class Loss:
    """Base of losses: compares targets with predictions and reduces to a scalar.

    Override `call` and, for arguments of your own, `get_config`.

    Args:
        name: Its name; made up from the class's by default.
        reduction: ``"sum_over_batch_size"`` and ``"mean"`` (both the mean over all
            values), ``"sum"``, ``"mean_with_sample_weight"`` (divided by the sum of
            the weights), ``"none"`` or None.
        dtype: The dtype (or dtype policy) computed in; ``config.floatx()`` by default.

    Raises:
        ValueError: For an unknown reduction.

    Example:
        >>> import graphc
        >>> class MeanFourthPower(graphc.losses.Loss):
        ...     def call(self, y_true, y_pred):
        ...         return graphc.ops.mean((y_true - y_pred) ** 4, axis=-1)
        >>> float(MeanFourthPower()([[0.0, 0.0]], [[1.0, 2.0]]))
        8.5
    """

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        self.name = name or auto_name(snake_case(type(self).__name__))
        self.reduction = one_of("reduction", reduction, REDUCTIONS)
        self.dtype_policy = dtype_policies.get(dtype or floatx())

    @property
    def dtype(self) -> str:
        """The dtype computed in, by its long name."""
        return self.dtype_policy.compute_dtype

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The losses of single examples.

        Args:
            y_true: The targets, a tensor ``[B, ...]``.
            y_pred: The predictions, a tensor ``[B, ...]``.

        Returns:
            A float tensor of one value per example, and per position in an example.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `call`.")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss.

        Args:
            y_true: The targets.
            y_pred: The predictions; a mask that a layer attached to them leaves
                positions out.
            sample_weight: Weights of the examples ``[B]`` (or of their positions), by
                which losses are multiplied before they are reduced.

        Returns:
            A scalar, unless the reduction is ``"none"``.
        """
        mask = mask_of(y_pred)
        with name_scope(self.name):
            y_true = _converted(y_true, self._target_dtype)
            y_pred = _converted(y_pred, self.dtype)
            losses = self.call(y_true, y_pred)
            by_loss = mask_of(losses)
            if mask is not None and by_loss is not None:
                mask = mask & by_loss
            elif by_loss is not None:
                mask = by_loss
            return reduce_weighted(
                losses, sample_weight, mask, self.reduction, self.dtype
            )

    @property
    def _target_dtype(self) -> str | None:
        """What targets are converted to; None to leave them as they are."""
        return self.dtype

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal loss from."""
        config: dict[str, Any] = {"name": self.name, "reduction": self.reduction}
        if self.dtype_policy.name != floatx():
            config["dtype"] = self.dtype_policy.name
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The loss that `get_config` described."""
        return cls(**config)


class LossFunctionWrapper(Loss):
    """A loss made of a function ``(y_true, y_pred, **kwargs)``.

    Args:
        fn: Returns one loss per example.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
        **kwargs: Further arguments of `fn`.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if isinstance(y_true, Tensor) and isinstance(y_pred, Tensor):
            y_true, y_pred = match_ranks(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | self._fn_kwargs
        if type(self) is LossFunctionWrapper:
            config["fn"] = REGISTRY.serialize(self.fn)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if isinstance(config.get("fn"), (str, dict)):
            config = config | {"fn": REGISTRY.deserialize(config["fn"])}
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.name}, kwargs={self._fn_kwargs})>"


def _converted(tree: Any, dtype: str | None) -> Any:
    """`tree` with tensors of `dtype` as leaves; lists of numbers are tensors."""
    leaves = trees.leaves(tree)
    if not any(hasattr(leaf, "shape") for leaf in leaves):
        return ops.convert_to_tensor(tree, dtype=dtype)
    return trees.map_leaves(lambda x: ops.convert_to_tensor(x, dtype=dtype), tree)


REGISTRY = Registry("loss", "keras.losses")
REGISTRY.add(LossFunctionWrapper)
