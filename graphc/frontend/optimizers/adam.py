"""Adam, and Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.variables import Variable


def step_number(optimizer: Optimizer, dtype: str) -> Any:
    """The number of the step that is being made, counted from 1."""
    return optimizer.once(
        ("step", dtype), lambda: ops.cast(optimizer.iterations + 1, dtype)
    )


def started_share(optimizer: Optimizer, beta: float, dtype: str) -> Any:
    """The share of an average that is of what was averaged: it started at 0.

    Args:
        optimizer: Whose steps are averaged.
        beta: How much of the average is kept in each step.
        dtype: The dtype of the share.
    """

    def share() -> Any:
        step = step_number(optimizer, dtype)
        return 1.0 - ops.power(ops.cast(beta, dtype), step)

    return optimizer.once(("started share", beta, dtype), share)


def move_average(
    optimizer: Optimizer, average: Variable, new: Any, beta: float
) -> None:
    """Moves an exponential average, of which `beta` is kept, towards `new`."""
    optimizer.assign_add(average, (new - average) * (1.0 - beta))


def adam_rate(
    optimizer: Optimizer, learning_rate: Any, dtype: str, beta_1: float, beta_2: float
) -> Any:
    """The learning rate for the averages of Adam, which makes up for their start."""

    def rate() -> Any:
        first = started_share(optimizer, beta_1, dtype)
        second = started_share(optimizer, beta_2, dtype)
        return ops.cast(learning_rate, dtype) * ops.sqrt(second) / first

    return optimizer.once(("adam rate", dtype), rate)


class Adam(Optimizer):
    """Gradient descent on the average gradient over the root of its average square.

    In step t, ``m = beta_1 * m + (1 - beta_1) * g``, ``v = beta_2 * v + (1 - beta_2) *
    g**2`` and ``w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m /
    (sqrt(v) + epsilon)`` (Kingma and Ba, "Adam", 2015, the form before section 2.1; for
    `amsgrad` Reddi et al., "On the Convergence of Adam and Beyond", 2018).

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        beta_1: How much of the average gradient is kept in each step.
        beta_2: How much of the average squared gradient is kept in each step.
        epsilon: Added to the root of the average squared gradient.
        amsgrad: Whether to divide by the largest average so far (AMSGrad).
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
        >>> optimizer = graphc.optimizers.Adam(learning_rate=0.1)
        >>> optimizer.apply([graphc.ops.array([0.5, -1.0])], [w])
        >>> w.numpy().round(3)
        array([0.9, 2.1], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad
        self._momentums: list[Variable] = []
        self._velocities: list[Variable] = []
        self._largest: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        if self.amsgrad:
            self._largest = self.add_optimizer_variables(variables, "velocity_hat")

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        rate = adam_rate(self, learning_rate, dtype, self.beta_1, self.beta_2)
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index], self._velocities[index]
        move_average(self, momentum, gradient, self.beta_1)
        move_average(self, velocity, ops.square(gradient), self.beta_2)
        if self.amsgrad:
            largest = self._largest[index]
            self.assign(largest, ops.maximum(largest, velocity))
            velocity = largest
        self.assign_sub(variable, momentum * rate / (ops.sqrt(velocity) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """Adam with weight decay: each variable also loses a fraction of itself per step.

    ``w -= learning_rate * weight_decay * w`` before Adam's update (Loshchilov and
    Hutter, "Decoupled Weight Decay Regularization", 2019).

    Args:
        learning_rate: A number, a schedule or a callable; see `Optimizer`.
        weight_decay: The fraction subtracted in each step; see `Optimizer`.
        beta_1: How much of the average gradient is kept in each step.
        beta_2: How much of the average squared gradient is kept in each step.
        epsilon: Added to the root of the average squared gradient.
        amsgrad: Whether to divide by the largest average so far (AMSGrad).
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
        ValueError: If `weight_decay` is None, and as for `Adam`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
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
        if weight_decay is None:
            raise ValueError(
                "Argument `weight_decay` must be a float. Use Adam to train without. "
                "Received: weight_decay=None"
            )


REGISTRY.add(Adam, AdamW)
