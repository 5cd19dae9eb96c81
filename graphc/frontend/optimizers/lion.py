"""Lion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.variables import Variable


class Lion(Optimizer):
    """Steps of equal size in each element, by the sign of an average gradient.

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023. It
    wants a learning rate a tenth of Adam's, and more weight decay.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        beta_1: The share of the average in what the step's sign is of, in 0..1.
        beta_2: How much of the average gradient is kept in each step.
        **options: What else `Optimizer` takes, such as `weight_decay`.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        if not 0 < beta_1 <= 1:
            raise ValueError(
                "Argument `beta_1` must be above 0 and at most 1; at 0 the average "
                f"would not be read. Received: beta_1={beta_1}"
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self._momentums: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        average = self._momentums[self._get_variable_index(variable)]
        mixed = average * self.beta_1 + gradient * (1.0 - self.beta_1)
        self.assign_sub(variable, rate * ops.sign(mixed))
        self.assign(average, average * self.beta_2 + gradient * (1.0 - self.beta_2))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2}


REGISTRY.add(Lion)
