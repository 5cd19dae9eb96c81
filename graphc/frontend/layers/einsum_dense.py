"""EinsumDense: a dense layer whose contraction is an einsum equation."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from graphc.frontend import activations, constraints, initializers, ops, regularizers
from graphc.frontend.layers.float8 import Float8Layer


class EinsumDense(Float8Layer):
    """``activation(einsum(equation, inputs, kernel) + bias)``.

    Args:
        equation: Such as ``"ab,bc->ac"`` or ``"...x,xy->...y"``; the second operand is
            the kernel.
        output_shape: The output's shape without the batch (without the ellipsis'
            dimensions where there is one).
        activation: A name or a function; none by default.
        bias_axes: The output axes that the bias has; no bias by default.
        kernel_initializer: Of the kernel.
        bias_initializer: Of the bias.
        kernel_regularizer: A penalty on the kernel.
        bias_regularizer: A penalty on the bias.
        kernel_constraint: Projects the kernel after each update.
        bias_constraint: Projects the bias after each update.
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.equation = equation.replace(" ", "")
        if not re.fullmatch(r"[a-zA-Z.]+,[a-zA-Z]+->[a-zA-Z.]+", self.equation):
            raise ValueError(
                "Expected an equation such as 'ab,bc->ac'."
                f" Received: equation={equation!r}"
            )
        self.partial_output_shape = (
            (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        )
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        """Creates the kernel and the bias."""
        kernel_shape, bias_shape = self._weight_shapes(input_shape)
        self.build_scales()
        self.kernel = self.add_weight(
            name="kernel",
            shape=kernel_shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if bias_shape is not None:
            self.bias = self.add_weight(
                name="bias",
                shape=bias_shape,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def _weight_shapes(self, input_shape: Any) -> tuple[Any, Any]:
        left, rest = self.equation.split(",")
        kernel, out = rest.split("->")
        size: dict[str, Any] = {}
        if left.startswith("..."):
            size.update(zip(reversed(left[3:]), reversed(input_shape), strict=False))
        else:
            size.update(zip(left.replace("...", ""), input_shape, strict=False))
        letters = out.replace("...", "")
        known = (
            self.partial_output_shape
            if "..." in out and not out.endswith("...")
            else (None, *self.partial_output_shape)
        )
        for letter, given in zip(letters[::-1], known[::-1], strict=False):
            if given is not None and size.get(letter) is None:
                size[letter] = given
        missing = [letter for letter in kernel if size.get(letter) is None]
        if missing:
            raise ValueError(
                f"Weight dimension '{missing[0]}' of the equation '{self.equation}' is"
                f" not known. Received: input_shape={tuple(input_shape)},"
                f" output_shape={self.partial_output_shape}"
            )
        bias = None
        if self.bias_axes:
            first = min(letters.index(axis) for axis in self.bias_axes)
            bias = tuple(
                size[letter] if letter in self.bias_axes else 1
                for letter in letters[first:]
            )
        return tuple(size[letter] for letter in kernel), bias

    def call(self, inputs: Any) -> Any:
        """Computes the output."""
        x = self.plus_bias(self.product(partial(ops.einsum, self.equation), inputs))
        return x if self.activation is None else self.activation(x)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "equation": self.equation,
            "output_shape": list(self.partial_output_shape),
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }
