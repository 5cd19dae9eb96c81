"""Merging layers: several inputs into one output."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.layers.layer import Layer
from graphc.frontend.ops.operands import axis_of


class _Merge(Layer):
    """Combines a list of tensors elementwise; shapes broadcast behind the batch."""

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
        return functools.reduce(type(self).combine, _of_one_rank(inputs))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True where an input is kept; None if one has no mask and is kept everywhere."""
        return _either(previous_mask or ())

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
    """The product of its inputs; what a mask leaves out does not count."""

    combine = staticmethod(ops.multiply)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The product, with 0 where the masks leave out all inputs."""
        masks = _spread(mask, inputs)
        product = super().call(
            [
                x if kept is None else ops.where(kept, x, ops.ones_like(x))
                for x, kept in zip(inputs, masks, strict=True)
            ]
        )
        kept = _either(masks)
        if kept is None:
            return product
        return ops.where(kept, product, ops.zeros_like(product))


class _Extreme(_Merge):
    """A maximum or minimum: what a mask leaves out does not count."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Takes an input alone where the masks leave out the other."""
        found, *rest = _of_one_rank(inputs)
        kept, *masks = _spread(mask, inputs)
        for x, also in zip(rest, masks, strict=True):
            x = x if also is None else ops.where(also, x, found)
            found = found if kept is None else ops.where(kept, found, x)
            kept = _either([kept, also])
            found = type(self).combine(found, x)
        return found


class Maximum(_Extreme):
    """The elementwise maximum of its inputs; what a mask leaves out does not count."""

    combine = staticmethod(ops.maximum)


class Minimum(_Extreme):
    """The elementwise minimum of its inputs; what a mask leaves out does not count."""

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
        given = [m.ndim for m in masks if m is not None]
        if not given:
            return None
        axis = axis_of(self.axis, len(inputs[0].shape))
        if axis >= max(given):  # of the features that the masks leave out or keep
            return _either(masks)
        filled = [
            ops.ones(x.shape[: max(given)], dtype="bool") if m is None else m
            for x, m in zip(inputs, masks, strict=True)
        ]
        return ops.concatenate(filled, axis=axis)

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

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: what comes out has no steps of the inputs."""

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def _of_one_rank(inputs: Sequence[Any]) -> list[Any]:
    """The inputs with axes of size 1 behind the batch where others have more axes."""
    rank = max(x.ndim for x in inputs)
    return [
        ops.expand_dims(x, tuple(range(1, 1 + rank - x.ndim))) if x.ndim < rank else x
        for x in inputs
    ]


def _spread(masks: Any, inputs: Sequence[Any]) -> list[Any]:
    """The masks with trailing axes of size 1, so that they broadcast to the inputs.

    An input that gets axes behind the batch has steps nowhere: its mask is left out.
    """
    rank = max(x.ndim for x in inputs)
    given: Sequence[Any] = [None] * len(inputs) if masks is None else masks
    return [
        None
        if m is None or x.ndim < rank
        else ops.reshape(m, (*m.shape, *(1 for _ in range(rank - m.ndim))))
        for m, x in zip(given, inputs, strict=True)
    ]


def _either(masks: Sequence[Any]) -> Any:
    """True where one of the masks is; None if one is None, which keeps everything."""
    if not masks or any(m is None for m in masks):
        return None
    return functools.reduce(ops.logical_or, masks)


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
