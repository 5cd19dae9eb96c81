"""`CSVLogger`: the metrics of all epochs as a table in a file."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np

from graphc.frontend.callbacks.callback import Callback

__all__ = ["CSVLogger"]

MISSING = "NA"


class CSVLogger(Callback):
    """Writes a row with the metrics of each epoch to a CSV file.

    The first row has the names: ``epoch`` and the metrics in alphabetical order, those
    of later epochs behind. A metric that an epoch lacks is ``NA`` in its row.

    Args:
        filename: The file to write.
        separator: What separates the columns.
        append: Whether to add rows to a file that exists instead of replacing it.

    Example:
        ``model.fit(x, y, callbacks=[CSVLogger("training.csv")])``
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        separator: str = ",",
        append: bool = False,
    ) -> None:
        super().__init__()
        self.filename = Path(filename)
        self.separator = separator
        self.append = append
        self._names: list[str] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.append:
            self.filename.write_text("")
        rows = self._read()
        self._names = rows[0][1:] if rows else []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        new = [name for name in sorted(logs) if name not in self._names]
        if new:  # the first epoch's, or those of a validation that comes later
            self._names += new
            self._add_columns(new)
        cells = [_format(logs.get(name, MISSING)) for name in self._names]
        self._write("a", [[epoch, *cells]])

    def _add_columns(self, names: list[str]) -> None:
        rows = self._read() or [["epoch"]]
        missing = [MISSING] * len(names)
        self._write("w", [rows[0] + names, *(row + missing for row in rows[1:])])

    def _read(self) -> list[list[str]]:
        if not self.filename.exists():
            return []
        with self.filename.open(newline="") as file:
            return list(csv.reader(file, delimiter=self.separator))

    def _write(self, mode: str, rows: list[list[Any]]) -> None:
        # Opened for each row, so that the file is whole whatever ends the training.
        with self.filename.open(mode, newline="") as file:
            writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
            writer.writerows(rows)


def _format(value: Any) -> Any:
    if isinstance(value, str) or np.ndim(value) == 0:
        return value
    return "[" + ", ".join(map(str, np.ravel(value).tolist())) + "]"
