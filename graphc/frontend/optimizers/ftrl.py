"""FTRL, for sparse features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import initializers, ops
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.variables import Variable


class Ftrl(Optimizer):
    """Follow the regularized leader, with penalties that make weights zero.

    Source: McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        learning_rate_power: How the rate falls with the sum of squared gradients, at
            most 0.
        initial_accumulator_value: What the sums of squares start at.
        l1_regularization_strength: The penalty on absolute values.
        l2_regularization_strength: The penalty on squares.
        l2_shrinkage_regularization_strength: A penalty on squares that is part of the
            gradient.
        beta: Added to the roots of the sums, in units of the learning rate.
        **options: What else `Optimizer` takes, such as `weight_decay`.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        if learning_rate_power > 0:
            raise ValueError(
                "`learning_rate_power` needs to be negative or zero. "
                f"Received: learning_rate_power={learning_rate_power}"
            )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(
                    f"`{name}` needs to be positive or zero. "
                    f"Received: {name}={getattr(self, name)}"
                )
        self._sums: list[Variable] = []
        self._linears: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        start = initializers.Constant(self.initial_accumulator_value)
        self._sums, self._linears = self.add_optimizer_variables(
            variables, ["accumulator", "linear"], [start, "zeros"]
        )

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        sums, linear = self._sums[index], self._linears[index]
        total = sums + ops.square(gradient)
        root = ops.power(total, -self.learning_rate_power)
        growth = (root - ops.power(sums, -self.learning_rate_power)) / rate
        shrinkage = 2.0 * self.l2_shrinkage_regularization_strength * variable
        self.assign_add(linear, gradient + shrinkage - growth * variable)
        curvature = (root + self.beta) / rate + 2.0 * self.l2_regularization_strength
        limit = self.l1_regularization_strength
        excess = ops.clip(linear, -limit, limit) - linear
        self.assign(variable, excess / curvature)
        self.assign(sums, total)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "learning_rate_power": self.learning_rate_power,
            "beta": self.beta,
            **{name: getattr(self, name) for name in _NOT_NEGATIVE},
        }


_NOT_NEGATIVE = (
    "initial_accumulator_value",
    "l1_regularization_strength",
    "l2_regularization_strength",
    "l2_shrinkage_regularization_strength",
)

REGISTRY.add(Ftrl)
