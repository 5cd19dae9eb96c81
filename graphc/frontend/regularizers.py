"""Regularizers: penalties on weights and outputs that are added to the loss."""

from __future__ import annotations

import math
from typing import Any, Self

from graphc.frontend import ops
from graphc.frontend.arguments import one_of
from graphc.frontend.naming import snake_case
from graphc.frontend.registry import Registry

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]


class Regularizer:
    """Base of regularizers: a callable from a tensor to a scalar penalty.

    Override `__call__` and, for arguments of your own, `get_config`.

    Example:
        >>> import graphc
        >>> class L3(graphc.regularizers.Regularizer):
        ...     def __call__(self, x):
        ...         return 0.5 * graphc.ops.sum(graphc.ops.abs(x) ** 3)
        >>> float(L3()([1.0, 2.0]))
        4.5
    """

    def __call__(self, x: Any) -> Any:
        """The penalty on `x`, a scalar tensor."""
        raise NotImplementedError(f"{type(self).__name__} must override `__call__`.")

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal regularizer from."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The regularizer that `get_config` described."""
        return cls(**config)


class L1L2(Regularizer):
    """``l1 * sum(abs(x)) + l2 * sum(x**2)``.

    Args:
        l1: The factor of the absolute values; a finite number.
        l2: The factor of the squares; a finite number.

    Raises:
        ValueError: If a factor is not a finite number.
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _factor("l1", l1)
        self.l2 = _factor("l2", l2)

    def __call__(self, x: Any) -> Any:
        penalty = ops.zeros((), dtype=x.dtype)
        if self.l1:
            penalty = penalty + self.l1 * ops.sum(ops.absolute(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return penalty

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """``l1 * sum(abs(x))``.

    Args:
        l1: The factor; a finite number.

    Raises:
        ValueError: If it is not a finite number.
    """

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = _factor("l1", 0.01 if l1 is None else l1)

    def __call__(self, x: Any) -> Any:
        return self.l1 * ops.sum(ops.absolute(x))

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """``l2 * sum(x**2)``.

    Args:
        l2: The factor; a finite number.

    Raises:
        ValueError: If it is not a finite number.
    """

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = _factor("l2", 0.01 if l2 is None else l2)

    def __call__(self, x: Any) -> Any:
        return self.l2 * ops.sum(ops.square(x))

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Pushes the rows or columns of a matrix to be orthogonal to one another.

    The penalty is `factor` times the mean absolute cosine of all pairs.

    Args:
        factor: The factor; a finite number.
        mode: ``"rows"`` or ``"columns"``.

    Raises:
        ValueError: For another mode, or a factor that is not a finite number.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor("factor", factor)
        self.mode = one_of("mode", mode, ("rows", "columns"))

    def __call__(self, x: Any) -> Any:
        """The penalty on a matrix.

        Raises:
            ValueError: If the rank of `x` is not 2.
        """
        if len(x.shape) != 2:
            raise ValueError(
                f"Expected a tensor of rank 2. Received: x.shape={tuple(x.shape)}"
            )
        if self.mode == "columns":
            x = ops.transpose(x)
        x = ops.normalize(x, axis=1)
        cosines = ops.matmul(x, ops.transpose(x))
        size = int(x.shape[0])
        off_diagonal = cosines * (1.0 - ops.eye(size, dtype=x.dtype))
        pairs = size * (size - 1.0) / 2.0
        return self.factor * 0.5 * ops.sum(ops.absolute(off_diagonal)) / pairs

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


def _factor(name: str, factor: Any) -> float:
    factor = 0.0 if factor is None else factor
    number = isinstance(factor, (int, float)) and not isinstance(factor, bool)
    if not number or not math.isfinite(factor):
        raise ValueError(
            f"Invalid value for argument {name}: expected a finite number. "
            f"Received: {name}={factor!r}"
        )
    return float(factor)


_REGISTRY = Registry("regularizer", "keras.regularizers", snake_case)

# Keras's second names.
l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_REGISTRY.add(L1, L2, L1L2, OrthogonalRegularizer, l1_l2=L1L2)


def get(identifier: Any) -> Any:
    """The regularizer that `identifier` stands for.

    Args:
        identifier: A name such as ``"l2"``, a config, a class, a regularizer or
            another callable, or None.

    Raises:
        ValueError: For an unknown name or something that cannot be called.
    """
    return _REGISTRY.get(identifier)


def serialize(regularizer: Any) -> Any:
    """The config of a regularizer, which `deserialize` reads."""
    return _REGISTRY.serialize(regularizer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The regularizer that a config describes.

    Args:
        config: What `serialize` returned.
        custom_objects: Names to find classes of your own by.

    Raises:
        ValueError: If the config is malformed or names nothing registered.
    """
    return _REGISTRY.deserialize(config, custom_objects)
