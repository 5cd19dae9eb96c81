"""`ProgbarLogger`: the progress that `fit`, `evaluate` and `predict` print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.frontend.callbacks.callback import Callback
from graphc.frontend.progress import Progbar, print_message

__all__ = ["ProgbarLogger"]


class ProgbarLogger(Callback):
    """Shows a progress bar for each epoch, or a line for ``verbose=2``.

    `fit`, `evaluate` and `predict` add one unless ``verbose=0``.
    """

    once_per_block = True

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progbar | None = None
        self._target: int | None = None
        self._seen = 0
        self._training = False

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self._target = params.get("steps")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._training = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        epochs = self.params.get("epochs", 1)
        if self.params.get("verbose") and epochs > 1:
            print_message(f"Epoch {epoch + 1}/{epochs}")
        self._begin()

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        self._update(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._end(logs)
        # A source that does not know its length is read once by now.
        self._target = self._target or self._seen

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._training:
            self._begin()

    def on_test_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        if not self._training:
            self._update(batch, logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self._training:
            self._end(logs)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begin()

    def on_predict_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        self._update(batch, {})

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._end({})

    def _begin(self) -> None:
        self._seen = 0
        self._bar = Progbar(self._target, verbose=self.params.get("verbose", 1))

    def _update(self, batch: int, logs: Mapping[str, Any] | None) -> None:
        self._seen = batch + 1
        if self._bar is not None:
            logs = {} if logs is None else logs
            self._bar.update(self._seen, logs, finalize=False)

    def _end(self, logs: Mapping[str, Any] | None) -> None:
        if self._bar is not None and self._seen:
            self._bar.update(self._seen, logs or {}, finalize=True)
        self._bar = None
