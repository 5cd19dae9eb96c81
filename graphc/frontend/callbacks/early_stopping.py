"""`EarlyStopping`: ends training when a metric no longer improves."""

from __future__ import annotations

from typing import Any

from graphc.frontend.callbacks.callback import Callback
from graphc.frontend.callbacks.objective import Objective
from graphc.frontend.progress import print_message

__all__ = ["EarlyStopping"]


class EarlyStopping(Callback):
    """Stops training when a monitored metric has stopped improving.

    Args:
        monitor: The name of the metric in the logs.
        min_delta: The least change that counts as an improvement.
        patience: Epochs without improvement after which training stops.
        verbose: Whether to print what it does.
        mode: ``"min"``, ``"max"`` or ``"auto"``: which way the metric improves.
        baseline: A value that the metric must beat within `patience` epochs.
        restore_best_weights: Whether to go back to the weights of the best epoch when
            training ends; otherwise those of the last step stay.
        start_from_epoch: Epochs at the start in which nothing is monitored.

    Attributes:
        best: The best value so far, or None.
        best_epoch: The index of its epoch.
        stopped_epoch: The index of the epoch at which training was stopped, or 0.
        wait: Epochs since the last improvement.

    Raises:
        ValueError: For an unknown `mode`; in training for ``"auto"`` and a metric whose
            direction cannot be told.

    Example:
        ``model.fit(x, y, epochs=100, validation_split=0.1,
        callbacks=[EarlyStopping(patience=3, restore_best_weights=True)])``
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._objective = Objective("EarlyStopping", monitor, mode, min_delta)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch = 0
        self.best_weights: Any = None
        self.stopped_epoch = 0
        self.wait = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._forget()
        self._objective.begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        current = self._objective.read(logs, self.model)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember_weights(epoch)
        self.wait += 1
        if self._objective.improves(current, self.best):
            self.best = current
            self._remember_weights(epoch)
            if self._objective.improves(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember_weights(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.verbose and self.stopped_epoch > 0:
            print_message(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print_message(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)
