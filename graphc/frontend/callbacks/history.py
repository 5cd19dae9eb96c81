"""`History`: the metrics of all epochs, which `fit` returns."""

from __future__ import annotations

from typing import Any

from graphc.frontend.callbacks.callback import Callback

__all__ = ["History"]


class History(Callback):
    """Records the metrics of each epoch. `fit` adds one and returns it.

    Attributes:
        epoch: The indices of the epochs.
        history: For each metric its value in each epoch.

    Example:
        ``model.fit(x, y, epochs=2).history`` is ``{"loss": [0.71, 0.35]}``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.model.history = self

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
