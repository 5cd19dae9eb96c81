"""Normalization of the largest singular value of a layer's kernel."""

from __future__ import annotations

from typing import Any

from graphc.frontend import initializers, ops
from graphc.frontend.layers.layer import Layer
from graphc.frontend.layers.wrapper import Wrapper


class SpectralNormalization(Wrapper):
    """Divides the kernel of a layer by its largest singular value, in each step.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial
    Networks", 2018. The value is found by power iteration, which goes on from step to
    step.

    Args:
        layer: A layer with a `kernel` or `embeddings`.
        power_iterations: The iterations in a step, at least 1.

    Raises:
        ValueError: If `power_iterations` is not positive, or, when it is built, the
            layer has no kernel.
    """

    def __init__(
        self, layer: Layer, power_iterations: int = 1, **keywords: Any
    ) -> None:
        super().__init__(layer, **keywords)
        if power_iterations <= 0:
            raise ValueError(
                "`power_iterations` should be greater than zero. Received: "
                f"power_iterations={power_iterations}"
            )
        self.power_iterations = power_iterations

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer, and creates the vector of the power iteration."""
        super().build(input_shape)
        # A weight of this layer too, as in Keras, whose order of weights this gives.
        self.kernel = kernel = self._inner_kernel()
        self.vector_u = self.add_weight(
            name="vector_u",
            shape=(1, kernel.shape[-1]),
            initializer=initializers.TruncatedNormal(stddev=0.02),
            dtype=kernel.dtype,
            trainable=False,
        )
        self.built = True

    def _inner_kernel(self) -> Any:
        for name in ("kernel", "embeddings"):
            if (found := getattr(self.layer, name, None)) is not None:
                return found
        raise ValueError(
            "SpectralNormalization needs a layer with a `kernel` or `embeddings`. "
            f"Received: layer={self.layer!r}"
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Applies the layer, in training with its kernel normalized first."""
        if training:
            self._normalize()
        return self.layer(inputs)

    def _normalize(self) -> None:
        kernel, left = self.kernel, self.vector_u.value
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        right = left
        for _ in range(self.power_iterations):
            right = ops.normalize(ops.matmul(left, ops.transpose(matrix)), axis=(0, 1))
            left = ops.normalize(ops.matmul(right, matrix), axis=(0, 1))
        left, right = ops.stop_gradient(left), ops.stop_gradient(right)
        largest = ops.matmul(ops.matmul(right, matrix), ops.transpose(left))
        # A kernel of zeros has no direction; it and the vector stay as they are.
        empty = ops.all(ops.equal(kernel, 0))
        scale = ops.where(empty, 1.0, ops.reshape(largest, ()))
        self.vector_u.assign(ops.where(empty, self.vector_u, left))
        kernel.assign(kernel / scale)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "power_iterations": self.power_iterations}
