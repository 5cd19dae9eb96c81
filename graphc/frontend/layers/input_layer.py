"""Input: where a functional model starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend.keras_tensor import KerasTensor, Operation
from graphc.frontend.layers.layer import Layer


class InputLayer(Layer):
    """A model's input.

    Args:
        shape: The shape without the batch dimension; None for unknown sizes.
        batch_size: The batch size, if fixed.
        dtype: The dtype; the default is ``config.floatx()``.
        batch_shape: The shape with the batch dimension, instead of `shape`.
        name: The input's name.
    """

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        sparse: bool | None = None,
        batch_shape: Sequence[int | None] | None = None,
        name: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, **keywords)
        if sparse:
            raise ValueError("Sparse inputs are not supported. Received: sparse=True")
        if (shape is None) == (batch_shape is None):
            raise ValueError(
                "Expected exactly one of `shape` and `batch_shape`."
                f" Received: shape={shape}, batch_shape={batch_shape}"
            )
        if batch_shape is None:
            if isinstance(shape, int) or shape is None:
                raise ValueError(
                    f"Expected `shape` to be a tuple of integers and None, as in"
                    f" shape=({shape},). Received: shape={shape}"
                )
            batch_shape = (batch_size, *shape)
        self.batch_shape = tuple(batch_shape)
        self.input_dtype = self.dtype_policy.compute_dtype
        self.tensor = KerasTensor(self.batch_shape, self.input_dtype, self.name)
        self.tensor.operation = Operation(self, (), {}, self.name)
        self.tensor.operation.outputs = self.tensor
        self._operations.append(self.tensor.operation)
        self.built = True

    def call(self) -> Any:
        """The symbolic tensor; an input computes nothing."""
        return self.tensor

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self.input_dtype,
            "name": self.name,
        }


def Input(  # noqa: N802
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    sparse: bool | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
    tensor: KerasTensor | None = None,
) -> KerasTensor:
    """The symbolic input of a functional model.

    Args:
        shape: The shape without the batch dimension; None for unknown sizes.
        batch_size: The batch size, if fixed.
        dtype: The dtype; the default is ``config.floatx()``.
        sparse: Only False is supported.
        batch_shape: The shape with the batch dimension, instead of `shape`.
        name: The input's name.
        tensor: An existing symbolic tensor, returned as it is.

    Example:
        >>> import graphc
        >>> x = graphc.Input((4,))
        >>> graphc.Model(x, graphc.layers.Dense(2)(x)).output_shape
        (None, 2)
    """
    if tensor is not None:
        return tensor
    return InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        batch_shape=batch_shape,
        name=name,
    ).tensor
