"""Adagrad and Adadelta: rates from the squares of all gradients so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import initializers, ops
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.variables import Variable


class Adagrad(Optimizer):
    """Gradient descent on the gradient over the root of the sum of its squares.

    Source: Duchi et al., "Adaptive Subgradient Methods", 2011.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        initial_accumulator_value: What the sums of squares start at.
        epsilon: Added to the sum of squares.
        **options: What else `Optimizer` takes, such as `weight_decay`.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon
        self._sums: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        start = initializers.Constant(self.initial_accumulator_value)
        self._sums = self.add_optimizer_variables(variables, "accumulator", start)

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        total = self._sums[self._get_variable_index(variable)]
        self.assign_add(total, ops.square(gradient))
        self.assign_sub(variable, rate * gradient / ops.sqrt(total + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


class Adadelta(Optimizer):
    """Gradient descent by steps of the size that recent steps had.

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`. The
            original has 1.0.
        rho: How much of the averages of squares is kept in each step.
        epsilon: Added to the averages of squares.
        **options: What else `Optimizer` takes, such as `weight_decay`.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.epsilon = epsilon
        self._gradients: list[Variable] = []
        self._steps: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._gradients, self._steps = self.add_optimizer_variables(
            variables, ["accumulated_grad", "accumulated_delta_var"]
        )

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        gradient = ops.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        gradients, steps = self._gradients[index], self._steps[index]
        self._average(gradients, gradient)
        scale = ops.sqrt(steps + self.epsilon) / ops.sqrt(gradients + self.epsilon)
        step = scale * gradient
        self._average(steps, step)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * step)

    def _average(self, squares: Variable, new: Any) -> None:
        self.assign(squares, self.rho * squares + (1.0 - self.rho) * ops.square(new))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rho": self.rho, "epsilon": self.epsilon}


REGISTRY.add(Adagrad, Adadelta)
