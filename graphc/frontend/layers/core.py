"""Core layers: Dense, EinsumDense, Embedding, Activation, Lambda and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.frontend import activations, constraints, initializers, ops, regularizers
from graphc.frontend.arguments import positive_integer
from graphc.frontend.dtypes import is_float
from graphc.frontend.layers.float8 import Float8Layer
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.layer import Layer


class Dense(Float8Layer):
    """``activation(inputs @ kernel + bias)`` over the last axis.

    Args:
        units: The size of the output's last axis.
        activation: A name or a function; none by default.
        use_bias: Whether to add a bias.
        kernel_initializer: Of the kernel, of shape (inputs' last axis, units).
        bias_initializer: Of the bias, of shape (units,).
        kernel_regularizer: A penalty on the kernel.
        bias_regularizer: A penalty on the bias.
        activity_regularizer: A penalty on the output.
        kernel_constraint: Projects the kernel after each update.
        bias_constraint: Projects the bias after each update.

    Inputs have the shape (batch, ..., features), outputs (batch, ..., units).

    Raises:
        ValueError: If `units` is no positive integer, or the size of the inputs' last
            axis is not known.

    Example:
        >>> import graphc
        >>> graphc.layers.Dense(3)([[1.0, 2.0]]).shape
        (1, 3)
    """

    examples_apart = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **keywords: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **keywords)
        self.units = positive_integer("units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates the kernel and the bias."""
        size = input_shape[-1]
        if size is None:
            raise ValueError(
                f"The last axis of the input of Dense layer '{self.name}' must be known."
                f" Received: input_shape={tuple(input_shape)}"
            )
        self.build_scales()
        self.kernel = self.add_weight(
            name="kernel",
            shape=(size, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: size})
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Computes the output."""
        x = self.plus_bias(self.product(ops.matmul, inputs))
        return x if self.activation is None else self.activation(x)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


class Embedding(Layer):
    """Vectors for integers: ``embeddings[inputs]``.

    Negative integers count from the end. Those beyond the table read its nearest row;
    nothing warns of them, so check ``inputs.max() < input_dim`` once for new data.

    Args:
        input_dim: The number of different integers.
        output_dim: The size of a vector.
        embeddings_initializer: Of the vectors, of shape (input_dim, output_dim).
        embeddings_regularizer: A penalty on the vectors.
        embeddings_constraint: Projects the vectors after each update.
        mask_zero: Whether 0 is padding, which later layers and the loss leave out.
        weights: The vectors to start with, in a list of one array.

    Inputs are integers of any shape; outputs have one more axis, of size `output_dim`.

    Example:
        >>> import graphc
        >>> graphc.layers.Embedding(100, 8)(graphc.Input((10,), dtype="int32")).shape
        (None, 10, 8)
    """

    examples_apart = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **keywords: Any,
    ) -> None:
        keywords.pop("input_length", None)
        super().__init__(**keywords)
        self.input_dim = positive_integer("input_dim", input_dim)
        self.output_dim = positive_integer("output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.autocast = False
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) else [weights])

    def build(self, input_shape: Any = None) -> None:
        """Creates the vectors."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Looks the vectors up."""
        if inputs.dtype not in ("int32", "int64", "uint8", "uint32"):
            inputs = ops.cast(inputs, "int32")
        return ops.cast(ops.take(self.embeddings, inputs, axis=0), self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True where the input is not 0, if zeros are masked."""
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(
                self.embeddings_initializer
            ),
            "embeddings_regularizer": regularizers.serialize(
                self.embeddings_regularizer
            ),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
        }


class ReversibleEmbedding(Embedding):
    """An embedding that can also turn vectors into logits of the integers.

    Args:
        input_dim: The number of different integers.
        output_dim: The size of a vector.
        tie_weights: Whether both directions use the same vectors.
        embeddings_initializer: Of the vectors, of shape (input_dim, output_dim).
        embeddings_regularizer: A penalty on the vectors.
        embeddings_constraint: Projects the vectors after each update.
        mask_zero: Whether 0 is padding, which later layers and the loss leave out.
        reverse_dtype: The dtype that logits are computed in, if another one.
        logit_soft_cap: How large logits become at most, by a tanh.

    Call arguments:
        inputs: Integers (...), or with `reverse` vectors (..., output_dim).
        reverse: Whether to compute logits (..., input_dim).

    Example:
        >>> import graphc
        >>> layer = graphc.layers.ReversibleEmbedding(10, 4)
        >>> layer(layer([[1, 2, 3]]), reverse=True).shape
        (1, 3, 10)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **keywords,
        )
        self.tie_weights = tie_weights
        self.reverse_dtype = reverse_dtype
        self.logit_soft_cap = logit_soft_cap
        self.autocast = True  # of vectors; integers stay as they are

    def build(self, input_shape: Any = None) -> None:
        """Creates the vectors."""
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                name="reverse_embeddings",
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        """Looks vectors up, or computes logits."""
        if not reverse:
            return super().call(inputs)
        tied = self.tie_weights
        kernel = ops.transpose(self.embeddings) if tied else self.reverse_embeddings
        if self.reverse_dtype is not None:
            inputs = ops.cast(inputs, self.reverse_dtype)
            kernel = ops.cast(kernel, self.reverse_dtype)
        logits = ops.matmul(inputs, kernel)
        if self.logit_soft_cap is None:
            return logits
        return ops.tanh(logits / self.logit_soft_cap) * self.logit_soft_cap

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True where an integer is not 0, if zeros are masked; none for logits."""
        if is_float(inputs.dtype):
            return None
        return super().compute_mask(inputs, previous_mask)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "tie_weights": self.tie_weights,
            "reverse_dtype": self.reverse_dtype,
            "logit_soft_cap": self.logit_soft_cap,
        }


class Activation(Layer):
    """Applies an activation function.

    Args:
        activation: A name or a function.
    """

    examples_apart = True

    def __init__(self, activation: Any, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.activation = activations.get(activation)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Computes the output."""
        return self.activation(inputs)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "activation": activations.serialize(self.activation),
        }


class Identity(Layer):
    """Returns its input."""

    examples_apart = True

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Returns the input."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return super().get_config()


class Lambda(Layer):
    """Wraps a function of tensors as a layer.

    A saved model keeps the graph that the function was traced to, never its code.

    Args:
        function: Takes the input, and `mask` or `training` if it has such parameters.
        output_shape: Kept for Keras's signature; shapes are found by tracing.
        mask: The mask of the output, or a function ``(inputs, mask)`` that returns it.
        arguments: Further keyword arguments of the function.

    Example:
        >>> import graphc
        >>> graphc.layers.Lambda(lambda x: x * 2.0)([[1.0, 2.0]]).numpy()
        array([[2., 4.]], dtype=float32)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        if not callable(function):
            raise ValueError(
                f"Expected `function` to be callable. Received: function={function!r}"
            )
        self.function = function
        self.arguments = dict(arguments or {})
        self.mask = mask
        self.supports_masking = mask is not None

    def call(self, inputs: Any) -> Any:
        """Calls the function."""
        return self.function(inputs, **self.arguments)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the output."""
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask


class Masking(Layer):
    """Masks the steps of a sequence whose features all equal a value.

    Args:
        mask_value: The value of padded steps.
    """

    def __init__(self, mask_value: float = 0.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.mask_value = mask_value
        self.supports_masking = True

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True where a step is not padding."""
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        """The input with padded steps set to 0."""
        kept = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return inputs * ops.cast(kept, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "mask_value": self.mask_value}
