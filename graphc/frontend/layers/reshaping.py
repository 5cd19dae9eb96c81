"""Reshaping layers: the same elements in another arrangement, padded or cropped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.config import standardize_data_format
from graphc.frontend.layers.convolution import sizes
from graphc.frontend.layers.core import positive_integer
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.layer import Layer
from graphc.ir.types import product


class Flatten(Layer):
    """All axes but the batch joined into one.

    Args:
        data_format: ``"channels_first"`` moves the channels last before flattening.
    """

    examples_apart = True

    def __init__(self, data_format: str | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Any) -> Any:
        """Flattens the input."""
        x = inputs
        if self.data_format == "channels_first" and x.ndim > 2:
            x = ops.transpose(x, (0, *range(2, x.ndim), 1))
        if x.ndim == 1:
            return ops.expand_dims(x, -1)
        return ops.reshape(x, (x.shape[0], product(x.shape[1:])))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """The elements of each sample in another shape.

    Args:
        target_shape: The shape without the batch; one size may be -1.
    """

    examples_apart = True

    def __init__(self, target_shape: Sequence[int], **keywords: Any) -> None:
        super().__init__(**keywords)
        listed = (target_shape,) if isinstance(target_shape, int) else target_shape
        self.target_shape = tuple(listed)
        if sum(d == -1 for d in self.target_shape) > 1:
            raise ValueError(
                "The `target_shape` can have at most one unknown size."
                f" Received: target_shape={self.target_shape}"
            )

    def build(self, input_shape: Any) -> None:
        """Checks that the number of elements fits."""
        rest = input_shape[1:]
        if all(d is not None for d in rest):
            have = math.prod(rest)
            known = math.prod(d for d in self.target_shape if d != -1)
            exact = -1 not in self.target_shape
            if (exact and have != known) or (not exact and known and have % known):
                raise ValueError(
                    "The total size of the tensor must be unchanged. Received:"
                    f" input_shape={tuple(rest)}, target_shape={self.target_shape}"
                )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Reshapes the input."""
        return ops.reshape(inputs, (inputs.shape[0], *self.target_shape))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "target_shape": list(self.target_shape)}


class Permute(Layer):
    """The axes of each sample in another order.

    Args:
        dims: The order; axes count from 1, the batch does not take part.
    """

    examples_apart = True

    def __init__(self, dims: Sequence[int], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of"
                " indices in `dims` must be consecutive and start from 1."
                f" Received: dims={dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        """Permutes the axes."""
        return ops.transpose(inputs, (0, *self.dims))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "dims": list(self.dims)}


class RepeatVector(Layer):
    """A vector repeated as the steps of a sequence.

    Args:
        n: How many times.
    """

    examples_apart = True

    def __init__(self, n: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.n = positive_integer("n", n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        """Repeats the input."""
        return ops.repeat(ops.expand_dims(inputs, 1), self.n, axis=1)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "n": self.n}


def margins(name: str, given: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns at each side, from an integer, two integers or two pairs.

    Raises:
        ValueError: If `given` is none of these.
    """
    if isinstance(given, int):
        return (given, given), (given, given)
    if len(given) != 2:
        raise ValueError(f"`{name}` should have two elements. Received: {name}={given}")
    (a, b), (c, d) = [(g, g) if isinstance(g, int) else tuple(g) for g in given]
    return (a, b), (c, d)


class ZeroPadding2D(Layer):
    """Zeros around images.

    Args:
        padding: Rows and columns: an integer, two integers, or two pairs.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    examples_apart = True

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.padding = margins("padding", padding)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=4)

    def call(self, inputs: Any) -> Any:
        """Pads the images."""
        none = (0, 0)
        if self.data_format == "channels_last":
            return ops.pad(inputs, (none, *self.padding, none))
        return ops.pad(inputs, (none, none, *self.padding))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "padding": [list(p) for p in self.padding],
            "data_format": self.data_format,
        }


class Cropping2D(Layer):
    """Images without their margins.

    Args:
        cropping: Rows and columns: an integer, two integers, or two pairs.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    examples_apart = True

    def __init__(
        self,
        cropping: Any = ((0, 0), (0, 0)),
        data_format: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.cropping = margins("cropping", cropping)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=4)

    def call(self, inputs: Any) -> Any:
        """Crops the images."""
        first = 1 if self.data_format == "channels_last" else 2
        starts, limits = [0] * 4, list(inputs.shape)
        for axis, (before, after) in enumerate(self.cropping, first):
            starts[axis], limits[axis] = before, limits[axis] - after
        return ops.slice(
            inputs, starts, [b - a for a, b in zip(starts, limits, strict=True)]
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "cropping": [list(p) for p in self.cropping],
            "data_format": self.data_format,
        }


class UpSampling2D(Layer):
    """Images made larger by repeating rows and columns.

    Args:
        size: The factors for rows and columns.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        interpolation: ``"nearest"``.
    """

    examples_apart = True

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.size = sizes("size", size, 2)
        self.data_format = standardize_data_format(data_format)
        if interpolation != "nearest":
            raise ValueError(
                "Expected `interpolation` to be 'nearest'."
                f" Received: interpolation={interpolation!r}"
            )
        self.interpolation = interpolation
        self.input_spec = InputSpec(ndim=4)

    def call(self, inputs: Any) -> Any:
        """Repeats rows and columns."""
        first = 1 if self.data_format == "channels_last" else 2
        x = ops.repeat(inputs, self.size[0], axis=first)
        return ops.repeat(x, self.size[1], axis=first + 1)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "size": list(self.size),
            "data_format": self.data_format,
            "interpolation": self.interpolation,
        }
