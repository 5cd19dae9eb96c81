"""Learning-rate schedules: the learning rate as a function of the training step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

from graphc.frontend import ops
from graphc.frontend.registry import Registry

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """Base of schedules: a callable from the step to the learning rate.

    Inside a training step, `step` is a tensor: compute with `graphc.ops`, and choose
    with ``ops.where`` instead of ``if``. Override `__call__` and, so that an optimizer
    can be saved, `get_config`.

    Example:
        >>> import graphc
        >>> class Warmup(graphc.optimizers.schedules.LearningRateSchedule):
        ...     def __call__(self, step):
        ...         return 0.1 * graphc.ops.minimum(1.0, (step + 1) / 10)
        ...     def get_config(self):
        ...         return {}
        >>> float(Warmup()(4))
        0.05000000074505806
    """

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`.

        Args:
            step: The number of updates made before, an integer scalar.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `__call__`.")

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal schedule from."""
        raise NotImplementedError(
            f"{type(self).__name__} must override `get_config` in order to be saved."
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The schedule that `get_config` described."""
        return cls(**config)


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Args:
        initial_learning_rate: The learning rate at step 0.
        decay_steps: The number of steps over which it changes by `decay_rate`.
        decay_rate: The factor.
        staircase: Whether the quotient of steps is rounded down.
        name: A name.

    Raises:
        ValueError: If `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Any:
        periods = ops.cast(step, "float32") / self.decay_steps
        if self.staircase:
            periods = ops.floor(periods)
        return self._decay(periods)

    def _decay(self, periods: Any) -> Any:
        return self.initial_learning_rate * ops.power(self.decay_rate, periods)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class InverseTimeDecay(ExponentialDecay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Args:
        initial_learning_rate: The learning rate at step 0.
        decay_steps: The number of steps by which the step is divided.
        decay_rate: The factor.
        staircase: Whether the quotient of steps is rounded down.
        name: A name.

    Raises:
        ValueError: If `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(
            initial_learning_rate, decay_steps, decay_rate, staircase, name
        )

    def _decay(self, periods: Any) -> Any:
        return self.initial_learning_rate / (1.0 + self.decay_rate * periods)


class PiecewiseConstantDecay(LearningRateSchedule):
    """One learning rate up to each boundary.

    Args:
        boundaries: Steps, increasing.
        values: Learning rates, one more than boundaries: ``values[i]`` is in force up
            to and including ``boundaries[i]``, the last one after them all.
        name: A name.

    Raises:
        ValueError: If there is not one more value than boundaries.
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "There must be one more `values` than `boundaries`. "
                f"Received: len(values)={len(values)}, "
                f"len(boundaries)={len(boundaries)}"
            )
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rate = ops.convert_to_tensor(self.values[-1], dtype="float32")
        later = zip(reversed(self.boundaries), reversed(self.values[:-1]), strict=True)
        for boundary, value in later:
            rate = ops.where(step <= boundary, value, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        return {
            "boundaries": self.boundaries,
            "values": self.values,
            "name": self.name,
        }


class PolynomialDecay(LearningRateSchedule):
    """From one learning rate to another along ``(1 - step / decay_steps) ** power``.

    Args:
        initial_learning_rate: The learning rate at step 0.
        decay_steps: The number of steps after which it stays at the end.
        end_learning_rate: The learning rate at the end.
        power: The power; 1 makes a straight line.
        cycle: Whether, at the end, decay starts again over twice, then thrice, ... as
            many steps.
        name: A name.

    Raises:
        ValueError: If `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        steps: Any = float(self.decay_steps)
        if self.cycle:
            steps = steps * ops.maximum(ops.ceil(step / self.decay_steps), 1.0)
        else:
            step = ops.minimum(step, steps)
        left = 1.0 - step / steps
        span = self.initial_learning_rate - self.end_learning_rate
        return span * ops.power(left, self.power) + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave down, after an optional linear warm-up.

    Args:
        initial_learning_rate: Where decay (with a warm-up: the warm-up) starts.
        decay_steps: The number of steps of decay.
        alpha: The learning rate at the end, as a fraction of the one that decay starts
            from.
        name: A name.
        warmup_target: Where the warm-up ends and decay starts; None for no warm-up.
        warmup_steps: The number of steps of the warm-up.

    Raises:
        ValueError: If `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        if self.warmup_target is None:
            return self._decay(step, self.initial_learning_rate)
        decayed = self._decay(step - self.warmup_steps, self.warmup_target)
        if not self.warmup_steps:
            return decayed
        span = self.warmup_target - self.initial_learning_rate
        warmed = span * (step / self.warmup_steps) + self.initial_learning_rate
        return ops.where(step < self.warmup_steps, warmed, decayed)

    def _decay(self, step: Any, start: float) -> Any:
        done = ops.minimum(step, float(self.decay_steps)) / self.decay_steps
        wave = 0.5 * (1.0 + ops.cos(math.pi * done))
        return start * ((1.0 - self.alpha) * wave + self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine wave down, again and again (SGDR).

    Args:
        initial_learning_rate: The learning rate at step 0.
        first_decay_steps: The number of steps of the first period.
        t_mul: How many times longer each period is than the one before.
        m_mul: How many times higher each period starts than the one before.
        alpha: The lowest learning rate, as a fraction of the initial one.
        name: A name.

    Raises:
        ValueError: If `first_decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _positive("first_decay_steps", first_decay_steps)
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Any:
        done = ops.cast(step, "float32") / self.first_decay_steps
        if self.t_mul == 1.0:
            period = ops.floor(done)
            done = done - period
        else:
            # Period i starts after 1 + t + ... + t**(i-1) = (1 - t**i) / (1 - t).
            grown = 1.0 - done * (1.0 - self.t_mul)
            period = ops.floor(ops.log(grown) / math.log(self.t_mul))
            before = (1.0 - ops.power(self.t_mul, period)) / (1.0 - self.t_mul)
            done = (done - before) / ops.power(self.t_mul, period)
        height = ops.power(self.m_mul, period)
        wave = 0.5 * height * (1.0 + ops.cos(math.pi * done))
        return self.initial_learning_rate * ((1.0 - self.alpha) * wave + self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul,
            "m_mul": self.m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


def _positive(name: str, steps: float) -> float:
    if not steps > 0:
        raise ValueError(f"`{name}` must be greater than 0. Received: {name}={steps}")
    return steps


REGISTRY = Registry("learning rate schedule", "keras.optimizers.schedules")
REGISTRY.add(
    *(CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay),
    *(PiecewiseConstantDecay, PolynomialDecay),
)


def serialize(
    learning_rate_schedule: LearningRateSchedule | Callable[..., Any],
) -> dict[str, Any]:
    """The config of a schedule, which `deserialize` reads."""
    return REGISTRY.serialize(learning_rate_schedule)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The schedule that a config describes.

    Args:
        config: What `serialize` returned.
        custom_objects: Names to find classes of your own by.

    Raises:
        ValueError: If the config is malformed or names nothing registered.
    """
    return REGISTRY.deserialize(config, custom_objects)
