"""Adafactor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.variables import Variable


class Adafactor(Optimizer):
    """Adam whose average squares are kept as the products of rows and columns.

    Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear
    Memory Cost", 2018. The last two axes of a variable are factored; variables of
    fewer axes keep all average squares.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        beta_2_decay: The share of a step in the averages is the step's number to the
            power of this.
        epsilon_1: Added to the squares of gradients.
        epsilon_2: The least root mean square of a variable that steps are relative to.
        clip_threshold: The largest root mean square of a step before it is scaled.
        relative_step: Whether a learning rate that is a number falls with the root of
            the number of steps.
        **options: What else `Optimizer` takes, such as `weight_decay`.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step
        self._rows: dict[int, Variable] = {}
        self._columns: dict[int, Variable] = {}
        self._velocities: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        for index, variable in enumerate(variables):
            shape = tuple(variable.shape)
            if len(shape) >= 2:
                for factors, kept in (
                    (self._rows, shape[:-1]),
                    (self._columns, (*shape[:-2], shape[-1])),
                ):
                    factors[index] = self.add_variable(
                        kept, dtype=variable.dtype, name=variable.name
                    )
            self._velocities.append(
                self.add_variable_from_reference(variable, "velocity")
            )

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        rate = ops.cast(learning_rate, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        if isinstance(self._learning_rate, Variable) and self.relative_step:
            rate = ops.minimum(rate, ops.rsqrt(step))
        rate = ops.minimum(rate, ops.rsqrt(step))
        size = ops.maximum(ops.cast(self.epsilon_2, dtype), _root_mean_square(variable))
        velocity = self._velocities[self._get_variable_index(variable)]
        self._move_squares(variable, ops.square(gradient) + self.epsilon_1, step)
        update = gradient / ops.sqrt(velocity)
        excess = _root_mean_square(update) / self.clip_threshold
        self.assign_sub(variable, size * rate * (update / ops.maximum(1.0, excess)))

    def _move_squares(self, variable: Variable, squares: Any, step: Any) -> None:
        """Moves the averages of squares of a variable, factored if it has two axes."""
        index = self._get_variable_index(variable)
        velocity = self._velocities[index]
        share = ops.power(step, self.beta_2_decay)

        def move(average: Variable, new: Any) -> None:
            self.assign(average, (1.0 - share) * average + share * new)

        if index not in self._rows:
            move(velocity, squares)
            return
        rows, columns = self._rows[index], self._columns[index]
        move(rows, ops.mean(squares, axis=-1))
        move(columns, ops.mean(squares, axis=-2))
        relative = rows / ops.mean(rows, axis=-1, keepdims=True)
        self.assign(
            velocity, ops.expand_dims(relative, -1) * ops.expand_dims(columns, -2)
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }


def _root_mean_square(x: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(x)))


REGISTRY.add(Adafactor)
