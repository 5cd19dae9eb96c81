"""Muon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.optimizers.adam import adam_rate, move_average
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.variables import Variable


class Muon(Optimizer):
    """Steps along orthogonalized averages of gradients for matrices, Adam elsewhere.

    Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks",
    2024; the scale of steps is that of Liu et al., "Muon is Scalable for LLM
    Training", 2025.

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        adam_beta_1: How much of the average gradient Adam keeps in each step.
        adam_beta_2: How much of the average squared gradient Adam keeps.
        adam_weight_decay: The weight decay of variables that Adam updates.
        epsilon: Added to the root of the average squared gradient.
        weight_decay: The weight decay of the other variables; see `Optimizer`.
        exclude_layers: Regular expressions; Adam updates variables in whose paths one
            is found.
        exclude_embeddings: Whether Adam updates variables whose paths have
            "embedding".
        muon_a: The first coefficient of the Newton-Schulz iteration.
        muon_b: The second.
        muon_c: The third.
        adam_lr_ratio: Adam's learning rate, in units of `learning_rate`.
        momentum: How much of the average gradient is kept in each step.
        ns_steps: The number of Newton-Schulz iterations.
        nesterov: Whether momentum is Nesterov's.
        rms_rate: The root mean square of a step, in units of the learning rate; None
            to leave steps at a spectral norm of about 1.
        **options: What else `Optimizer` takes, such as `clipnorm`.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        *,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or ())
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate
        self._momentums: list[Variable] = []
        self._velocities: dict[int, Variable] = {}

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        for index, variable in enumerate(variables):
            self._momentums.append(
                self.add_variable_from_reference(variable, "momentum")
            )
            if self._is_adams(variable):
                self._velocities[index] = self.add_variable_from_reference(
                    variable, "velocity"
                )

    def _is_adams(self, variable: Variable) -> bool:
        """Whether Adam updates a variable."""
        path = variable.path
        return (
            len(variable.shape) != 2
            or (self.exclude_embeddings and "embedding" in path.lower())
            or any(re.search(pattern, path) for pattern in self.exclude_layers)
        )

    def weight_decay_of(self, variable: Variable) -> float | None:
        return self.adam_weight_decay if self._is_adams(variable) else self.weight_decay

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        gradient = ops.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        average = self._momentums[index]
        if index in self._velocities:
            self._adam_step(gradient, variable, learning_rate, self._velocities[index])
            return
        self.assign(average, average * self.momentum + gradient)
        direction: Any = average
        if self.nesterov:
            direction = gradient + self.momentum * average
        rate = ops.cast(learning_rate, variable.dtype)
        if self.rms_rate is not None:
            rate = rate * (max(variable.shape) ** 0.5 * self.rms_rate)
        self.assign_sub(variable, rate * self._orthogonalized(direction))

    def _adam_step(
        self, gradient: Any, variable: Variable, learning_rate: Any, squares: Variable
    ) -> None:
        average = self._momentums[self._get_variable_index(variable)]
        rate = adam_rate(
            self,
            learning_rate * self.adam_lr_ratio,
            variable.dtype,
            self.adam_beta_1,
            self.adam_beta_2,
        )
        move_average(self, average, gradient, self.adam_beta_1)
        move_average(self, squares, ops.square(gradient), self.adam_beta_2)
        self.assign_sub(variable, average * rate / (ops.sqrt(squares) + self.epsilon))

    def _orthogonalized(self, matrix: Any) -> Any:
        """The nearest orthogonal matrix, roughly: a quintic Newton-Schulz iteration."""
        rows, columns = matrix.shape
        x = ops.transpose(matrix) if rows > columns else matrix
        # The iteration converges for singular values of at most 1.
        x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
        for _ in range(self.ns_steps):
            gram = ops.matmul(x, ops.transpose(x))
            polynomial = self.muon_b * gram + self.muon_c * ops.matmul(gram, gram)
            x = self.muon_a * x + ops.matmul(polynomial, x)
        return ops.transpose(x) if rows > columns else x

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "adam_beta_1": self.adam_beta_1,
            "adam_beta_2": self.adam_beta_2,
            "adam_weight_decay": self.adam_weight_decay,
            "epsilon": self.epsilon,
            "exclude_layers": self.exclude_layers,
            "exclude_embeddings": self.exclude_embeddings,
            "muon_a": self.muon_a,
            "muon_b": self.muon_b,
            "muon_c": self.muon_c,
            "adam_lr_ratio": self.adam_lr_ratio,
            "momentum": self.momentum,
            "ns_steps": self.ns_steps,
            "nesterov": self.nesterov,
            "rms_rate": self.rms_rate,
        }


REGISTRY.add(Muon)
