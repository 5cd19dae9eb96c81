"""Constraints: projections of weights, applied after each update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from graphc.frontend import config, ops
from graphc.frontend.naming import snake_case
from graphc.frontend.registry import Registry

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]

Axes = int | Sequence[int]


class Constraint:
    """Base of constraints: a callable from a weight to its projection.

    Override `__call__` and, for arguments of your own, `get_config`.
    """

    def __call__(self, w: Any) -> Any:
        """What the weight `w` becomes; of its shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__} must override `__call__`.")

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal constraint from."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The constraint that `get_config` described."""
        return cls(**config)


class MaxNorm(Constraint):
    """Keeps norms along `axis` at most `max_value`.

    Args:
        max_value: The largest norm.
        axis: The axis or axes of which the norm is taken; 0 for a ``Dense`` kernel.
    """

    def __init__(self, max_value: float = 2, axis: Axes = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        desired = ops.clip(norms, 0, self.max_value)
        return ops.cast(w, norms.dtype) * (desired / (config.epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Replaces negative weights by 0."""

    def __call__(self, w: Any) -> Any:
        return ops.maximum(w, 0)


class UnitNorm(Constraint):
    """Gives weights norm 1 along `axis`.

    Args:
        axis: The axis or axes of which the norm is taken; 0 for a ``Dense`` kernel.
    """

    def __init__(self, axis: Axes = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        return w / (config.epsilon() + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Keeps norms along `axis` between `min_value` and `max_value`.

    Args:
        min_value: The smallest norm.
        max_value: The largest norm.
        rate: How much of the way is gone at once: 1 enforces the bounds.
        axis: The axis or axes of which the norm is taken; 0 for a ``Dense`` kernel.
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: Axes = 0,
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        clipped = ops.clip(norms, self.min_value, self.max_value)
        desired = self.rate * clipped + (1 - self.rate) * norms
        return w * (desired / (config.epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


def _norms(w: Any, axis: Axes) -> Any:
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


_REGISTRY = Registry("constraint", "keras.constraints", snake_case)

# Keras's second names.
max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

_REGISTRY.add(MaxNorm, MinMaxNorm, NonNeg, UnitNorm)


def get(identifier: Any) -> Any:
    """The constraint that `identifier` stands for.

    Args:
        identifier: A name such as ``"max_norm"``, a config, a class, a constraint or
            another callable, or None.

    Raises:
        ValueError: For an unknown name or something that cannot be called.
    """
    return _REGISTRY.get(identifier)


def serialize(constraint: Any) -> Any:
    """The config of a constraint, which `deserialize` reads."""
    return _REGISTRY.serialize(constraint)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The constraint that a config describes.

    Args:
        config: What `serialize` returned.
        custom_objects: Names to find classes of your own by.

    Raises:
        ValueError: If the config is malformed or names nothing registered.
    """
    return _REGISTRY.deserialize(config, custom_objects)
