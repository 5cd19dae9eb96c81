"""`BackupAndRestore`: training goes on where it was interrupted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from graphc.files.atomic_file import write_file
from graphc.files.tensors import FORMAT, STATE, UNSEALED, dump_tensors, read_tensor_file
from graphc.files.tensors import sealed as with_digest
from graphc.frontend.callbacks.callback import Callback
from graphc.frontend.serialization.variable_paths import canonical_paths
from graphc.frontend.variables import Variable, assign_all
from graphc.ir.errors import LoadError

__all__ = ["BackupAndRestore"]

_FILE = "training.safetensors"
_EPOCH = "epochs"


class BackupAndRestore(Callback):
    """Saves the state of training after each epoch; `fit` goes on after the last one.

    Call `fit` again as before, in the same or another process: with the same data it
    computes what it would have computed without the interruption. The state is that of
    the model, its optimizer and its random generators.

    Args:
        backup_dir: A folder for this training alone; it is made if missing.
        save_freq: ``"epoch"``.
        delete_checkpoint: Whether to delete the state when training ends.

    Raises:
        ValueError: For another `save_freq`; in `fit`, if the model is not built.
        LoadError: In `fit`, if the saved state is damaged or of another model.

    Example:
        ``BackupAndRestore("backup")``
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if save_freq != "epoch":
            raise ValueError(
                f"Expected `save_freq` to be 'epoch'. Received: save_freq={save_freq!r}"
            )
        self._path = Path(backup_dir) / _FILE
        self.delete_checkpoint = delete_checkpoint

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._path.exists():
            return
        if not self.model.built:
            raise ValueError(
                f"BackupAndRestore found {self._path}, but the model has no weights yet."
                " Build it with model.build(input_shape) before fit()."
            )
        arrays, metadata = read_tensor_file(str(self._path))
        variables = self._variables()
        found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
        wanted = {
            name: (variable.type.shape, variable.type.dtype.numpy)
            for name, variable in variables.items()
        }
        epochs = metadata.get(_EPOCH, "")
        if found != wanted or not epochs.isdecimal():
            names = sorted(found.keys() | wanted.keys())
            differing = [n for n in names if found.get(n) != wanted.get(n)]
            raise LoadError(
                f"{self._path}: the state of another model or optimizer",
                received=", ".join(ascii(name)[:80] for name in differing[:5]),
                hint="delete the file to start anew",
            )
        assign_all([(variables[name], array) for name, array in arrays.items()])
        self.model.first_epoch = max(self.model.first_epoch, int(epochs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        arrays = {name: v.numpy() for name, v in self._variables().items()}
        metadata = {FORMAT: STATE, **UNSEALED, _EPOCH: str(epoch + 1)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_file(str(self._path), with_digest(dump_tensors(arrays, metadata)))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.delete_checkpoint:
            self._path.unlink(missing_ok=True)

    def _variables(self) -> dict[str, Variable]:
        """The variables of the model and the optimizer by name."""
        optimizer = self.model.optimizer
        optimizer.build(self.model.trainable_variables)
        listed = enumerate(optimizer.variables)
        variables = {f"optimizer/{number}": variable for number, variable in listed}
        return variables | {
            f"model/{path}": v for path, v in canonical_paths(self.model).items()
        }
