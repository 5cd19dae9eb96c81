"""The base class of callbacks: sixteen hooks into training, evaluation, inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["Callback", "Mode", "overrides"]

Mode = Literal["train", "test", "predict"]


class Callback:
    """Base class of callbacks: subclass it and override the hooks of interest.

    Callbacks may read and write the model's weights and the optimizer's learning rate,
    and set ``model.stop_training``. The `logs` of a batch hook are a mapping whose
    values are fetched from the device when they are read; those of other hooks are a
    dict of floats that callbacks may add to.

    Attributes:
        model: The model, from `set_model`.
        params: ``verbose``, ``epochs`` and ``steps`` of the run, from `set_params`.
        once_per_block: Whether one call of a batch hook may stand for several steps. A
            run in which no callback needs a call for each step can keep the device
            busy without waiting for the host.

    Example:
    >>> class StopAt(Callback):
    ...     def __init__(self, accuracy):
    ...         super().__init__()
    ...         self.accuracy = accuracy
    ...
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         if logs["accuracy"] >= self.accuracy:
    ...             self.model.stop_training = True
    """

    once_per_block: bool = False

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model that is trained, evaluated or used."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Receives the parameters of a run before it begins."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Receives the model before a run begins."""
        self._model = model

    def uses_batch_hooks(self, mode: Mode) -> bool:
        """Whether the hooks around each batch do anything in a run of this kind.

        Args:
            mode: ``"train"``, ``"test"`` or ``"predict"``.
        """
        return any(overrides(self, name) for name in BATCH_HOOKS[mode])

    def on_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called before an epoch of training.

        Args:
            epoch: The index of the epoch, from 0.
            logs: Nothing yet.
        """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called after an epoch of training and the validation that follows it.

        Args:
            epoch: The index of the epoch, from 0.
            logs: The metrics of the epoch; those of validation as ``val_...``.
        """

    def on_train_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called before a training step.

        Args:
            batch: The index of the batch in the epoch, from 0.
            logs: Nothing yet.
        """
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called after a training step.

        Args:
            batch: The index of the batch in the epoch, from 0.
            logs: The metrics of the epoch so far, fetched when read.
        """
        self.on_batch_end(batch, logs)

    def on_test_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called before an evaluation step, also of validation in `fit`."""

    def on_test_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called after an evaluation step, also of validation in `fit`."""

    def on_predict_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called before an inference step of `predict`."""

    def on_predict_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called after an inference step of `predict`; `logs` has the ``outputs``."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called when `fit` begins."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Called when `fit` ends; `logs` are those of the last epoch."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called when `evaluate`, or validation in `fit`, begins."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Called when `evaluate`, or validation in `fit`, ends; `logs` are its results."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called when `predict` begins."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """Called when `predict` ends."""


BATCH_HOOKS: dict[Mode, tuple[str, ...]] = {
    "train": (
        *("on_batch_begin", "on_batch_end"),
        *("on_train_batch_begin", "on_train_batch_end"),
    ),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


def overrides(callback: Callback, hook: str) -> bool:
    """Whether a callback, or its class, has a hook of its own."""
    function = getattr(getattr(callback, hook), "__func__", None)
    return function is not getattr(Callback, hook)
