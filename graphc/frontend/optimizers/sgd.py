"""Gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.variables import Variable


class SGD(Optimizer):
    """Gradient descent: ``w -= learning_rate * g``.

    With momentum, a velocity ``v = momentum * v - learning_rate * g`` is added instead;
    with Nesterov momentum, ``momentum * v - learning_rate * g`` of the new velocity.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        momentum: How much of the velocity is kept, in 0..1.
        nesterov: Whether momentum is Nesterov's.
        weight_decay: The fraction subtracted in each step; see `Optimizer`.
        clipnorm: The largest norm of a gradient.
        clipvalue: The largest absolute value in a gradient.
        global_clipnorm: The largest norm of all gradients together.
        use_ema: Whether to average the variables; see `Optimizer`.
        ema_momentum: How much of the average is kept in each step.
        ema_overwrite_frequency: Steps between setting variables to their averages.
        loss_scale_factor: What the loss is multiplied by.
        gradient_accumulation_steps: Steps whose mean gradient makes one update.
        name: Its name.
        **kwargs: None are known.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.

    Example:
        >>> import graphc
        >>> w = graphc.Variable([1.0, 2.0])
        >>> graphc.optimizers.SGD(0.1).apply([graphc.ops.array([0.5, -1.0])], [w])
        >>> w.numpy()
        array([0.95, 2.1 ], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **kwargs,
        )
        if not 0 <= momentum <= 1:
            raise ValueError(
                "`momentum` must be a float between [0, 1]. "
                f"Received: momentum={momentum}"
            )
        self.momentum = momentum
        self.nesterov = nesterov
        self._momentums: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        if self.momentum:
            self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        step = ops.cast(gradient, variable.dtype) * ops.cast(
            learning_rate, variable.dtype
        )
        if not self.momentum:
            self.assign_sub(variable, step)
            return
        velocity = self._momentums[self._get_variable_index(variable)]
        moved = velocity * self.momentum - step
        self.assign(velocity, moved)
        if self.nesterov:
            moved = moved * self.momentum - step
        self.assign_add(variable, moved)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "momentum": self.momentum,
            "nesterov": self.nesterov,
        }


REGISTRY.add(SGD)
