"""Relatives of Adam: Adamax, Nadam and LAMB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.optimizers.adam import (
    move_average,
    started_share,
    step_number,
)
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.variables import Variable


class _MomentOptimizer(Optimizer):
    """An optimizer with an average of gradients and a second moment of them."""

    second_name = "velocity"

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self._first: list[Variable] = []
        self._second: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._first, self._second = self.add_optimizer_variables(
            variables, ["momentum", self.second_name]
        )

    def _moments(self, variable: Variable) -> tuple[Variable, Variable]:
        index = self._get_variable_index(variable)
        return self._first[index], self._second[index]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


class Adamax(_MomentOptimizer):
    """Adam by the largest gradient in place of the average square.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014,
    section 7.1.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        beta_1: How much of the average gradient is kept in each step.
        beta_2: How much of the largest absolute gradient is kept in each step.
        epsilon: Added to the largest absolute gradient.
        **options: What else `Optimizer` takes, such as `weight_decay`.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    second_name = "norm"

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        rate = ops.cast(learning_rate, dtype) / started_share(self, self.beta_1, dtype)
        average, largest = self._moments(variable)
        move_average(self, average, gradient, self.beta_1)
        self.assign(largest, ops.maximum(self.beta_2 * largest, ops.abs(gradient)))
        self.assign_sub(variable, rate * average / (largest + self.epsilon))


_MOMENTUM_DECAY = 0.96


class Nadam(_MomentOptimizer):
    """Adam with Nesterov momentum, which grows over the steps.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2015. The product of
    the momenta of all steps is a variable of the optimizer, so it is saved too.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        beta_1: How much of the average gradient is kept in each step, at last.
        beta_2: How much of the average squared gradient is kept in each step.
        epsilon: Added to the root of the average squared gradient.
        **options: What else `Optimizer` takes, such as `weight_decay`.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    _product: Variable

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        dtype = variables[0].dtype if variables else None
        self._product = self.add_variable((), "ones", dtype, name="momentum_product")

    def _momentum(self, step: Any) -> Any:
        decayed = ops.power(ops.cast(_MOMENTUM_DECAY, step.dtype), step)
        return self.beta_1 * (1.0 - 0.5 * decayed)

    def begin_update(self) -> None:
        step = step_number(self, self._product.dtype)
        self.assign(self._product, self._product * self._momentum(step))

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        gradient = ops.cast(gradient, variable.dtype)
        step = step_number(self, variable.dtype)
        now, next_one = self.once(
            ("momenta", variable.dtype),
            lambda: (self._momentum(step), self._momentum(step + 1.0)),
        )
        product = ops.cast(self._product, variable.dtype)
        average, squares = self._moments(variable)
        move_average(self, average, gradient, self.beta_1)
        move_average(self, squares, ops.square(gradient), self.beta_2)
        ahead = next_one * average / (1.0 - product * next_one)
        ahead = ahead + (1.0 - now) * gradient / (1.0 - product)
        share = started_share(self, self.beta_2, variable.dtype)
        root = ops.sqrt(squares / share)
        rate = ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, ahead * rate / (root + self.epsilon))


class Lamb(_MomentOptimizer):
    """Adam with steps as large as the variable, for large batches.

    Source: You et al., "Large Batch Optimization for Deep Learning", 2019.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        beta_1: How much of the average gradient is kept in each step.
        beta_2: How much of the average squared gradient is kept in each step.
        epsilon: Added to the root of the average squared gradient.
        **options: What else `Optimizer` takes, such as `weight_decay`.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        average, squares = self._moments(variable)
        move_average(self, average, gradient, self.beta_1)
        move_average(self, squares, ops.square(gradient), self.beta_2)
        root = ops.sqrt(squares / started_share(self, self.beta_2, dtype))
        update = average / started_share(self, self.beta_1, dtype)
        update = update / (root + self.epsilon)
        size = ops.sqrt(ops.sum(ops.square(variable)))
        update_size = ops.sqrt(ops.sum(ops.square(update)))
        both = ops.logical_and(size > 0, update_size > 0)
        trust = ops.where(both, size / ops.where(both, update_size, 1.0), 1.0)
        rate = ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, trust * rate * update)


REGISTRY.add(Adamax, Nadam, Lamb)
