"""Products of 8-bit floats in layers, with scales that lag behind by a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml_dtypes import finfo

from graphc.frontend import dtype_policies, ops
from graphc.frontend.dtype_policies import FLOAT8, QuantizedFloat8DTypePolicy
from graphc.frontend.layers.call_spec import CALL_CONTEXT
from graphc.frontend.layers.layer import Layer
from graphc.frontend.tracing import Trace, current_trace, name_scope
from graphc.frontend.variables import Variable
from graphc.ir.types import F8E4M3FN, F8E5M2, DType

FORWARD, BACKWARD = F8E4M3FN, F8E5M2
"""The dtypes of operands, which need accuracy, and of gradients, which need range.

Micikevicius et al., FP8 formats for deep learning, 2022.
"""

ROUNDED = ("inputs", "kernel", "outputs_grad")
"""What is rounded; the names of its scales and histories begin with these."""


def compute_float8_scale(amax: Any, scale: Any, dtype_max: float) -> Any:
    """What to divide a tensor by, so that `amax` becomes the largest of a dtype.

    Args:
        amax: The largest magnitude, a scalar.
        scale: The scale until now, which stays where `amax` is 0 or not finite.
        dtype_max: The largest number of the dtype.

    Source: the update of Transformer Engine's ``DelayedScaling`` with no margin, of
    which this is the inverse, as in Keras.
    """
    usable = ops.logical_and(ops.greater(amax, 0.0), ops.isfinite(amax))
    inverse = ops.where(usable, dtype_max / amax, 1.0 / scale)
    return 1.0 / inverse


def compute_float8_amax_history(x: Any, amax_history: Any) -> Any:
    """A history of largest magnitudes, the oldest replaced by that of `x`.

    The latest stands first, the others from the end backwards, as in Keras.
    """
    latest = ops.cast(ops.max(ops.abs(x)), amax_history.dtype)
    rolled = ops.roll(amax_history, shift=-1)
    return ops.scatter_update(rolled, [[0]], ops.reshape(latest, (1,)))


def quantize_and_dequantize(x: Any, scale: Any, dtype: DType) -> Any:
    """`x` rounded to a multiple of what an 8-bit float can be; what is larger is cut."""
    largest = float(finfo(dtype.numpy).max)
    scale = ops.cast(scale, x.dtype)
    rounded = ops.cast(ops.clip(x / scale, -largest, largest), dtype.long_name)
    return ops.cast(rounded, x.dtype) * scale


class Float8Layer(Layer):
    """Base of layers that multiply inputs by a kernel, in 8-bit floats if asked to.

    With a policy such as ``"float8_from_mixed_bfloat16"``, or after `quantize`, the
    inputs and the kernel are rounded to ``float8_e4m3fn`` and the gradient of the
    product to ``float8_e5m2``, each after division by a scale of its own. The scale is
    made of the largest magnitudes that the history of the steps before holds, so that
    rounding need not wait for all elements. Scales and histories are weights that each
    update replaces; the backward part computes them. All of it is as in Keras.
    """

    kernel: Variable
    bias: Variable | None
    _scaled_in: Trace | None = None

    @property
    def quantization_mode(self) -> str | None:
        """``"float8"``, or None."""
        return self.dtype_policy.quantization_mode

    def quantize(self, mode: str = FLOAT8, config: Any = None) -> None:
        """Makes a built layer multiply 8-bit floats from now on.

        Args:
            mode: ``"float8"``.
            config: Kept for Keras's signature.

        Raises:
            ValueError: If the layer is not built, is quantized already, or cannot be
                in this way.
        """
        if not self.built:
            raise ValueError(
                "Cannot quantize a layer that isn't yet built. "
                f"Layer '{self.name}' isn't built yet."
            )
        if self.quantization_mode is not None:
            raise ValueError(
                f"Layer '{self.name}' is already quantized with"
                f" dtype_policy='{self.dtype_policy.name}'. Received: mode={mode}"
            )
        policy = QuantizedFloat8DTypePolicy(mode, self.dtype_policy.name)
        path = self.kernel.path.rpartition("/")[0]
        with name_scope(path or self.name):
            self._add_scales(policy)
        self.dtype_policy = dtype_policies.get(policy)

    def build_scales(self) -> None:
        """Creates the scales and histories that the policy asks for.

        `build` calls it first: that is Keras's order of weights.
        """
        policy = self.dtype_policy
        if isinstance(policy, QuantizedFloat8DTypePolicy):
            self._add_scales(policy)

    def _add_scales(self, policy: QuantizedFloat8DTypePolicy) -> None:
        length = policy.amax_history_length
        for name in ROUNDED if length else ():
            for role, shape, start in (
                ("scale", (), "ones"),
                ("amax_history", (length,), "zeros"),
            ):
                weight = self.add_weight(
                    name=f"{name}_{role}",
                    shape=shape,
                    initializer=start,
                    dtype="float32",
                    autocast=False,
                    overwrite_with_gradient=True,
                )
                setattr(self, weight.name, weight)

    def product(self, multiply: Callable[[Any, Any], Any], inputs: Any) -> Any:
        """The product of the inputs and the kernel.

        Args:
            multiply: Takes both; must be linear in each.
            inputs: The inputs.

        Raises:
            ValueError: If the layer is called twice in a training step: the two new
                histories would be added.
        """
        policy = self.dtype_policy
        if not isinstance(policy, QuantizedFloat8DTypePolicy):
            return multiply(inputs, self.kernel)
        if not policy.amax_history_length:
            x = multiply(_round_now(inputs), _round_now(self.kernel))
            return _round_gradient_now(x)
        self._check_called_once()
        x = multiply(
            _round(inputs, *self._scaling("inputs")),
            _round(self.kernel, *self._scaling("kernel")),
        )
        return _round_gradient(x, *self._scaling("outputs_grad"))

    def plus_bias(self, x: Any) -> Any:
        """`x` with the bias added, if there is one.

        Beside 8-bit floats a float32 bias is rounded to bfloat16, as Keras does so that
        a library for such products can add it.
        """
        if self.bias is None:
            return x
        bias: Any = self.bias
        if self.quantization_mode is not None and self.compute_dtype == "float32":
            bias = ops.cast(ops.cast(bias, "bfloat16"), bias.dtype)
        return ops.add(x, bias)

    def _scaling(self, name: str) -> tuple[Variable, Variable]:
        return getattr(self, f"{name}_scale"), getattr(self, f"{name}_amax_history")

    def _check_called_once(self) -> None:
        trace = current_trace()
        if CALL_CONTEXT.training and self._scaled_in is trace:
            raise ValueError(
                f"Layer '{self.name}' of policy '{self.dtype_policy.name}' is called"
                " twice in one training step, but has one history of magnitudes."
                " Expected one call, or a policy with amax_history_length=0."
            )
        if CALL_CONTEXT.training:
            object.__setattr__(self, "_scaled_in", trace)


def _next(x: Any, scale: Any, history: Any, dtype: DType) -> tuple[Any, Any]:
    """The scale and the history that the next step uses."""
    largest = float(finfo(dtype.numpy).max)
    return (
        compute_float8_scale(ops.max(history), scale, largest),
        compute_float8_amax_history(x, history),
    )


@ops.custom_gradient
def _round(x: Any, scale: Any, history: Any) -> Any:
    """`x` rounded; the gradients of the scale and the history are the next ones."""

    def gradient(upstream: Any) -> tuple[Any, Any, Any]:
        return upstream, *_next(x, scale, history, FORWARD)

    return quantize_and_dequantize(x, scale, FORWARD), gradient


@ops.custom_gradient
def _round_gradient(y: Any, scale: Any, history: Any) -> Any:
    """`y`, whose gradient is rounded."""

    def gradient(upstream: Any) -> tuple[Any, Any, Any]:
        rounded = quantize_and_dequantize(upstream, scale, BACKWARD)
        return rounded, *_next(upstream, scale, history, BACKWARD)

    return y, gradient


def _rounded_now(x: Any, dtype: DType) -> Any:
    """`x` rounded with the scale of its own largest magnitude."""
    amax = ops.cast(ops.max(ops.abs(x)), "float32")
    scale = compute_float8_scale(amax, 1.0, float(finfo(dtype.numpy).max))
    return quantize_and_dequantize(x, scale, dtype)


@ops.custom_gradient
def _round_now(x: Any) -> Any:
    return _rounded_now(x, FORWARD), lambda upstream: upstream


@ops.custom_gradient
def _round_gradient_now(y: Any) -> Any:
    return y, lambda upstream: _rounded_now(upstream, BACKWARD)
