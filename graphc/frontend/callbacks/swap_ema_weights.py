"""`SwapEMAWeights`: evaluates with the moving averages of the weights."""

from __future__ import annotations

from typing import Any

from graphc.frontend.callbacks.callback import Callback

__all__ = ["SwapEMAWeights"]


class SwapEMAWeights(Callback):
    """Puts the optimizer's moving averages in place of the weights during evaluation.

    The optimizer must have ``use_ema=True``.

    Args:
        swap_on_epoch: Whether to do so at the end of each epoch too, until the next one
            begins: callbacks that come later, such as `ModelCheckpoint`, then see the
            averages, and training leaves them in the model.

    Raises:
        ValueError: When used with an optimizer that keeps no averages.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._weights: Any = None
        self._for_run = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._put_back()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.swap_on_epoch:
            self._swap()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._weights = None  # what the last training left is where this one starts

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begin_run()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._end_run()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begin_run()

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._end_run()

    def _begin_run(self) -> None:
        self._for_run = self._weights is None
        if self._for_run:
            self._swap()

    def _end_run(self) -> None:
        if self._for_run:
            self._put_back()

    def _swap(self) -> None:
        optimizer = self.model.optimizer
        if not optimizer.use_ema:
            raise ValueError(
                "SwapEMAWeights: Expected an optimizer with `use_ema=True`. "
                f"Received: {type(optimizer).__name__} with use_ema=False"
            )
        self._weights = self.model.get_weights()
        optimizer.finalize_variable_values(self.model.trainable_variables)

    def _put_back(self) -> None:
        if self._weights is not None:
            self.model.set_weights(self._weights)
            self._weights = None
