"""Reshaping layers: the same elements in another arrangement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.arguments import positive_integer
from graphc.frontend.config import standardize_data_format
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
