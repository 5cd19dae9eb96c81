"""Merging layers: several inputs into one output."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.layers.layer import Layer
from graphc.frontend.ops.operands import axis_of


class _Merge(Layer):
    """Combines a list of tensors elementwise; shapes broadcast."""

    combine: Callable[[Any, Any], Any]

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Checks that there are at least two inputs."""
        self.check_inputs(input_shape, 2)
        self.built = True

    def check_inputs(self, input_shape: Any, smallest: int) -> None:
        """Raises a ValueError unless the input is a list of at least `smallest`."""
        nested = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
        if not nested or len(input_shape) < smallest:
            raise ValueError(
                f"A `{type(self).__name__}` layer should be called on a list of at"
                f" least {smallest} inputs. Received: input_shape={input_shape}"
            )

    def call(self, inputs: Any) -> Any:
        """Combines the inputs from left to right."""
        return functools.reduce(type(self).combine, inputs)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True where no input is masked."""
        masks = [m for m in previous_mask or () if m is not None]
        return functools.reduce(ops.logical_and, masks) if masks else None

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return super().get_config()


class Add(_Merge):
    """The sum of its inputs."""

    combine = staticmethod(ops.add)


class Subtract(_Merge):
    """The first of its two inputs minus the second."""

    combine = staticmethod(ops.subtract)

    def build(self, input_shape: Any) -> None:
        """Checks that there are exactly two inputs."""
        self.check_inputs(input_shape, 2)
        if len(input_shape) != 2:
            raise ValueError(
                "A `Subtract` layer should be called on exactly 2 inputs."
                f" Received: input_shape={input_shape}"
            )
        self.built = True


class Multiply(_Merge):
    """The product of its inputs."""

    combine = staticmethod(ops.multiply)


class Maximum(_Merge):
    """The elementwise maximum of its inputs."""

    combine = staticmethod(ops.maximum)


class Minimum(_Merge):
    """The elementwise minimum of its inputs."""

    combine = staticmethod(ops.minimum)


class Average(_Merge):
    """The mean of its inputs."""

    combine = staticmethod(ops.add)

    def call(self, inputs: Any) -> Any:
        """The mean of the inputs."""
        return super().call(inputs) / len(inputs)


class Concatenate(_Merge):
    """Its inputs one behind the other along an axis.

    Args:
        axis: The axis; all others must agree.

    Raises:
        ValueError: If they do not, or if there is no list of inputs.

    Example:
        >>> import graphc
        >>> a, b = graphc.Input((3,)), graphc.Input((4,))
        >>> graphc.layers.Concatenate()([a, b]).shape
        (None, 7)
    """

    def __init__(self, axis: int = -1, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        """Checks that all other axes agree."""
        self.check_inputs(input_shape, 1)
        rest = [
            tuple(d for i, d in enumerate(s) if i != axis_of(self.axis, len(s)))
            for s in input_shape
        ]
        for shape in rest[1:]:
            fits = len(shape) == len(rest[0]) and all(
                a == b or a is None or b is None
                for a, b in zip(shape, rest[0], strict=True)
            )
            if not fits:
                raise ValueError(
                    "A `Concatenate` layer requires inputs with matching shapes except"
                    " for the concatenation axis."
                    f" Received: input_shape={input_shape}, axis={self.axis}"
                )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Concatenates the inputs."""
        return ops.concatenate(list(inputs), axis=self.axis)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The masks one behind the other; inputs without a mask count as kept."""
        masks = list(previous_mask or ())
        if not any(m is not None for m in masks):
            return None
        rank = len(inputs[0].shape)
        if self.axis % rank == rank - 1 and rank > 2:
            return functools.reduce(
                ops.logical_and, [m for m in masks if m is not None]
            )
        filled = [
            ops.ones(tuple(x.shape[:-1]), dtype="bool") if m is None else m
            for x, m in zip(inputs, masks, strict=True)
        ]
        return ops.concatenate(filled, axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "axis": self.axis}


class Dot(_Merge):
    """The dot product of two inputs along axes.

    Args:
        axes: The axis, or the axis of each input, to sum over.
        normalize: Whether to normalize the inputs along the axes first: the cosine
            similarity.
    """

    def __init__(self, axes: Any, normalize: bool = False, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.axes = axes
        self.normalize = normalize

    def call(self, inputs: Any) -> Any:
        """Sums the products."""
        left, right = inputs
        axes: Sequence[int] = (
            (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        )
        first, second = axes[0] % left.ndim, axes[1] % right.ndim
        if self.normalize:
            left = ops.normalize(left, axis=first)
            right = ops.normalize(right, axis=second)
        letters = "abcdefghij"
        a = "z" + letters[: left.ndim - 1]
        b = "z" + letters[left.ndim - 1 : left.ndim + right.ndim - 2]
        b = b[:second] + a[first] + b[second + 1 :]
        out = "".join(c for c in a + b[1:] if c != a[first])
        result = ops.einsum(f"{a},{b}->{out}", left, right)
        return ops.expand_dims(result, 1) if result.ndim == 1 else result

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def add(inputs: Sequence[Any], **keywords: Any) -> Any:
    """The sum of the inputs: a new `Add` layer, called."""
    return Add(**keywords)(inputs)


def subtract(inputs: Sequence[Any], **keywords: Any) -> Any:
    """The first of two inputs minus the second: a new `Subtract` layer, called."""
    return Subtract(**keywords)(inputs)


def multiply(inputs: Sequence[Any], **keywords: Any) -> Any:
    """The product of the inputs: a new `Multiply` layer, called."""
    return Multiply(**keywords)(inputs)


def maximum(inputs: Sequence[Any], **keywords: Any) -> Any:
    """The elementwise maximum of the inputs: a new `Maximum` layer, called."""
    return Maximum(**keywords)(inputs)


def minimum(inputs: Sequence[Any], **keywords: Any) -> Any:
    """The elementwise minimum of the inputs: a new `Minimum` layer, called."""
    return Minimum(**keywords)(inputs)


def average(inputs: Sequence[Any], **keywords: Any) -> Any:
    """The mean of the inputs: a new `Average` layer, called."""
    return Average(**keywords)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **keywords: Any) -> Any:
    """The inputs one behind the other: a new `Concatenate` layer, called."""
    return Concatenate(axis, **keywords)(inputs)


def dot(inputs: Sequence[Any], axes: Any = -1, **keywords: Any) -> Any:
    """The dot product of two inputs along axes: a new `Dot` layer, called."""
    return Dot(axes, **keywords)(inputs)
