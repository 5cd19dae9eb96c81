"""RMSprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.variables import Variable


class RMSprop(Optimizer):
    """Gradient descent on the gradient over the root of its average square.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        rho: How much of the average squared gradient is kept in each step.
        momentum: How much of the velocity is kept in each step.
        epsilon: Added to the average squared gradient.
        centered: Whether to divide by the root of the variance instead, which takes
            an average of the gradient too.
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
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
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
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered
        self._velocities: list[Variable] = []
        self._momentums: list[Variable] = []
        self._average_gradients: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        if self.momentum > 0:
            self._momentums = self.add_optimizer_variables(variables, "momentum")
        if self.centered:
            self._average_gradients = self.add_optimizer_variables(
                variables, "average_gradient"
            )

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        velocity = self._velocities[index]
        rest = 1.0 - self.rho
        self.assign(velocity, self.rho * velocity + rest * ops.square(gradient))
        variance: Any = velocity
        if self.centered:
            average = self._average_gradients[index]
            self.assign(average, self.rho * average + rest * gradient)
            variance = velocity - ops.square(average)
        step = rate * gradient * ops.rsqrt(variance + self.epsilon)
        if self.momentum > 0:
            momentum = self._momentums[index]
            self.assign(momentum, self.momentum * momentum + step)
            step = momentum
        self.assign_sub(variable, step)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }


REGISTRY.add(RMSprop)
