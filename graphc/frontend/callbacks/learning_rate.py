"""Callbacks that set the learning rate: by epoch, or when a metric stands still."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.frontend.callbacks.callback import Callback
from graphc.frontend.callbacks.objective import Objective
from graphc.frontend.progress import print_message

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


class LearningRateScheduler(Callback):
    """Sets the learning rate of each epoch by a function.

    The logs get the learning rate as ``learning_rate``.

    Args:
        schedule: Takes the index of the epoch, from 0, and optionally the current
            learning rate; returns the new one.
        verbose: Whether to print it.

    Raises:
        ValueError: In training, if `schedule` returns no number.

    Example:
        ``LearningRateScheduler(lambda epoch, lr: lr if epoch < 10 else lr * 0.9)``
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _accepts(schedule, 2)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        arguments = (epoch, _get_rate(self.model)) if self._takes_rate else (epoch,)
        returned = self.schedule(*arguments)
        try:
            rate = float(np.asarray(returned))
        except (TypeError, ValueError):
            raise ValueError(
                "Expected the output of the `schedule` function to be a float. "
                f"Received: {returned!r}"
            ) from None
        self.model.optimizer.learning_rate = rate
        if self.verbose:
            print_message(
                f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to "
                f"{rate}."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = _get_rate(self.model)


class ReduceLROnPlateau(Callback):
    """Reduces the learning rate when a monitored metric has stopped improving.

    The logs get the learning rate of the epoch as ``learning_rate``.

    Args:
        monitor: The name of the metric in the logs.
        factor: What to multiply the learning rate by, below 1.
        patience: Epochs without improvement after which to do so.
        verbose: Whether to print it.
        mode: ``"min"``, ``"max"`` or ``"auto"``: which way the metric improves.
        min_delta: The least change that counts as an improvement.
        cooldown: Epochs after a reduction in which no epoch counts.
        min_lr: The least learning rate.

    Attributes:
        best: The best value so far, or None.
        wait: Epochs since the last improvement.
        cooldown_counter: Epochs until they count again.

    Raises:
        ValueError: For a `factor` of 1 or more or an unknown `mode`; in training for
            ``"auto"`` and a metric whose direction cannot be told.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__()
        if factor >= 1.0:
            raise ValueError(
                f"Expected `factor` to be less than 1. Received: factor={factor}"
            )
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._objective = Objective("ReduceLROnPlateau", monitor, mode, min_delta)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._forget()
        self._objective.begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        current = self._objective.read(logs, self.model)
        logs["learning_rate"] = _get_rate(self.model)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._objective.improves(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        rate = _get_rate(self.model)
        # The rate comes back from the optimizer rounded to float32.
        if rate <= np.float32(self.min_lr):
            return
        rate = max(rate * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = rate
        if self.verbose:
            print_message(
                f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}."
            )
        self.cooldown_counter = self.cooldown
        self.wait = 0


def _get_rate(model: Any) -> float:
    return float(np.asarray(model.optimizer.learning_rate))


def _accepts(function: Callable[..., Any], count: int) -> bool:
    """Whether `function` can be called with `count` arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a built-in function that has no signature
        return True
    return True
