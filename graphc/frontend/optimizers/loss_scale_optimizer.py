"""Dynamic loss scaling around another optimizer, for training in float16."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from graphc.frontend import ops
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.tracing import name_scope
from graphc.frontend.variables import Variable


class LossScaleOptimizer(Optimizer):
    """Scales the loss so that float16 gradients neither vanish nor overflow.

    The scale doubles after `dynamic_growth_steps` updates with finite gradients. A
    gradient that is not finite halves it, and its step changes nothing else.

    Args:
        inner_optimizer: The optimizer that makes the updates.
        initial_scale: The scale to start with.
        dynamic_growth_steps: How many steps in a row must be finite before the scale
            doubles.
        name: Its name.
        **kwargs: None are known.

    Raises:
        ValueError: For an argument that is not known.
        TypeError: If `inner_optimizer` is not an optimizer.
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(inner_optimizer, Optimizer):
            raise TypeError(
                "`inner_optimizer` must be an Optimizer. "
                f"Received: inner_optimizer={inner_optimizer!r}"
            )
        super().__init__(learning_rate=0.0, name=name, **kwargs)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        self._step_counter: Any = None
        self._dynamic_scale: Any = None

    @property
    def dynamic_scale(self) -> Any:
        """The current scale: a variable once the optimizer is built."""
        return (
            self.initial_scale if self._dynamic_scale is None else self._dynamic_scale
        )

    @property
    def variables(self) -> list[Variable]:
        """The variables of this optimizer, then those of the inner one."""
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def iterations(self) -> Any:
        """The number of updates made by the inner optimizer."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        self._step_counter = self._track(np.zeros((), np.int32), "step_counter")
        scale = np.asarray(self.initial_scale, np.float32)
        self._dynamic_scale = self._track(scale, "dynamic_scale")
        self.inner_optimizer.build(variables)
        super().build(variables)

    def apply(
        self,
        grads: Iterable[Any],
        trainable_variables: Sequence[Variable] | None = None,
    ) -> None:
        grads = list(grads)
        if not grads:
            return
        variables = self._checked_variables(grads, trainable_variables)
        with name_scope(self.name):
            finite = all_finite(
                [gradient for gradient in grads if gradient is not None]
            )
            scale = self._dynamic_scale
            unscaled = [
                gradient
                if gradient is None or variable.overwrite_with_gradient
                else gradient / ops.cast(scale, gradient.dtype)
                for gradient, variable in zip(grads, variables, strict=True)
            ]
            self._assign_where(
                finite,
                lambda: self.inner_optimizer.apply(unscaled, variables),
                [*variables, *self.inner_optimizer.variables],
            )
            self._update_scale(finite)

    def _update_scale(self, finite: Any) -> None:
        counter, scale = self._step_counter, self._dynamic_scale
        grown = ops.greater_equal(counter + 1, self.dynamic_growth_steps)
        after = ops.where(grown, 2.0 * scale, scale)
        scale.assign(ops.where(finite, after, 0.5 * scale))
        counter.assign(ops.where(ops.logical_and(finite, ~grown), counter + 1, 0))

    def scale_loss(self, loss: Any) -> Any:
        """`loss` times the current scale, and scaled by the inner optimizer."""
        return self.inner_optimizer.scale_loss(loss) * ops.cast(
            self.dynamic_scale, loss.dtype
        )

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inner_optimizer": REGISTRY.serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        inner = REGISTRY.deserialize(config["inner_optimizer"], custom_objects)
        return cls(**(config | {"inner_optimizer": inner}))


def all_finite(gradients: Sequence[Any]) -> Any:
    """Whether all elements of all gradients are finite, a boolean scalar tensor."""
    finite = ops.all(ops.isfinite(gradients[0]))
    for gradient in gradients[1:]:
        finite = ops.logical_and(finite, ops.all(ops.isfinite(gradient)))
    return finite


REGISTRY.add(LossScaleOptimizer)
