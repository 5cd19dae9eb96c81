"""`ModelCheckpoint`: saves the model, or its weights, during training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphc.frontend.callbacks.callback import Callback, Mode
from graphc.frontend.callbacks.objective import Objective
from graphc.frontend.progress import print_message

__all__ = ["ModelCheckpoint"]

MODEL_SUFFIX = ".graphc"
WEIGHTS_SUFFIX = ".safetensors"


class ModelCheckpoint(Callback):
    """Saves the model or its weights at the end of epochs, or every few batches.

    Args:
        filepath: Where to save to: a file name that ends in ``.graphc`` for models and
            in ``.safetensors`` for weights. It may name ``{epoch}`` and ``{batch}``,
            counted from 1, and metrics, with formats: ``"{epoch:02d}-{val_loss:.2f}"``.
        monitor: The name of the metric in the logs that decides what is best.
        verbose: Whether to print what it does.
        save_best_only: Whether to save only what is better than all before.
        save_weights_only: Whether to save the weights (with `Model.save_weights`)
            instead of the model (with `Model.save`).
        mode: ``"min"``, ``"max"`` or ``"auto"``: which way the metric improves.
        save_freq: ``"epoch"``, or the number of batches after which to save.
        initial_value_threshold: A value that the metric must beat to be the first best.

    Attributes:
        best: The best value so far, or None.

    Raises:
        ValueError: For another ending of the file name, `save_freq` or `mode`; in
            training for ``"auto"`` and a metric whose direction cannot be told.
        KeyError: In training, if `filepath` names a metric that there is not.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__()
        self.filepath = os.fspath(filepath)
        _check_suffix(self.filepath, save_weights_only)
        if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
            raise ValueError(
                "Expected `save_freq` to be 'epoch' or a positive number of batches. "
                f"Received: save_freq={save_freq!r}"
            )
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.best = initial_value_threshold
        self._objective = Objective("ModelCheckpoint", monitor, mode)
        self._epoch = 0
        self._batches = 0

    def uses_batch_hooks(self, mode: Mode) -> bool:
        return mode == "train" and self.save_freq != "epoch"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._objective.begin()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches == self.save_freq:
            self._batches = 0
            self._save(batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(None, logs or {})

    def _save(self, batch: int | None, logs: Mapping[str, Any]) -> None:
        if self.save_best_only and not self._is_best(logs):
            return
        path = self._path(batch, logs)
        self._print(f"saving model to {path}")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)

    def _is_best(self, logs: Mapping[str, Any]) -> bool:
        """Whether the monitored value is the best so far; notes it if so."""
        current = self._objective.read(logs, self.model)
        if current is None:
            return False
        before = "None" if self.best is None else f"{self.best:.5f}"
        if not self._objective.improves(current, self.best):
            self._print(f"{self.monitor} did not improve from {before}")
            return False
        self._print(f"{self.monitor} improved from {before} to {current:.5f}")
        self.best = current
        return True

    def _path(self, batch: int | None, logs: Mapping[str, Any]) -> str:
        names = dict(logs) | {"epoch": self._epoch + 1}
        if batch is not None:
            names["batch"] = batch + 1
        try:
            return self.filepath.format(**names)
        except KeyError as error:
            raise KeyError(
                f"Failed to format this callback filepath. Expected one of "
                f"{sorted(names)} in braces. Received: filepath={self.filepath!r}, "
                f"which names {error}"
            ) from None

    def _print(self, message: str) -> None:
        if self.verbose:
            print_message(f"Epoch {self._epoch + 1}: {message}")


def _check_suffix(filepath: str, weights: bool) -> None:
    what, suffix = (
        ("`save_weights_only=True`", WEIGHTS_SUFFIX)
        if weights
        else ("models", MODEL_SUFFIX)
    )
    if not filepath.endswith(suffix):
        raise ValueError(
            f"Expected a `filepath` that ends in {suffix!r} for {what}. "
            f"Received: filepath={filepath!r}"
        )
