"""The measurement store: every trial, in an SQLite file that processes share."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, cast

from graphc.ir.errors import LoadError
from graphc.tuning.space import Choice, Space
from graphc.tuning.trial import STATUSES, Facts, Status, Trial

BUSY_SECONDS = 60.0
"""How long a writer waits for others."""

COLUMNS = (
    *("id", "created", "run", "key", "shape", "device", "tools", "choice", "status"),
    *("reason", "ratio", "median", "spread", "rounds", "accepted", "digest"),
    *("predicted", "features", "conditions"),
)
"""The columns, as `export` writes them."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS trials (
  id INTEGER PRIMARY KEY,
  created TEXT NOT NULL,
  run INTEGER NOT NULL,
  key TEXT NOT NULL, shape TEXT NOT NULL, device TEXT NOT NULL, tools TEXT NOT NULL,
  choice TEXT NOT NULL,
  status TEXT NOT NULL, reason TEXT,
  ratio REAL, median REAL, spread REAL,
  rounds INTEGER NOT NULL, accepted INTEGER NOT NULL,
  digest TEXT, predicted REAL, features TEXT NOT NULL, conditions TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS about ON trials (key, shape, device, tools, run);
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tuned, on what.

    Attributes:
        key: The kernel or graph.
        shape: Its sizes.
        device: The device.
        tools: The versions of what compiles and runs it.
    """

    key: str
    shape: str
    device: str
    tools: str

    def fields(self) -> tuple[str, str, str, str]:
        """The fields, in the order of the columns."""
        return self.key, self.shape, self.device, self.tools


class MeasurementStore:
    """Trials in a file. Several processes may write to it at the same time.

    Args:
        path: The file; it is made with its folder if need be.

    Raises:
        LoadError: When used, if the file is no such store.
        OSError: If the folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def begin(self, subject: Subject, again: bool) -> int:
        """The number of a run: a new one, or the latest, which then goes on."""
        where = "WHERE key=? AND shape=? AND device=? AND tools=?"
        with self._connected() as connection:
            (latest,) = connection.execute(
                f"SELECT max(run) FROM trials {where}", subject.fields()
            ).fetchone()
        return (latest or 0) + again if latest else 1

    def add(self, subject: Subject, run: int, space: Space, trial: Trial) -> None:
        """Adds a trial."""
        facts = trial.facts or Facts("")
        row = (
            *(datetime.now(UTC).isoformat(timespec="seconds"), run),
            *subject.fields(),
            *(space.text(trial.choice), trial.status, trial.reason),
            *(trial.ratio, trial.median, trial.spread, trial.rounds, trial.accepted),
            *(facts.digest or None, facts.predicted),
            *(json.dumps(dict(facts.features)), json.dumps(dict(trial.conditions))),
        )
        marks = ",".join("?" * len(row))
        with self._connected() as connection:
            connection.execute(
                f"INSERT INTO trials ({','.join(COLUMNS[1:])}) VALUES ({marks})", row
            )

    def history(self, subject: Subject, run: int, space: Space) -> dict[Choice, Trial]:
        """The trials of a run so far; choices that the space no longer has are left out.

        Raises:
            LoadError: If a row is none.
        """
        found: dict[Choice, Trial] = {}
        for row in self.rows(subject, run):
            try:
                choice = space.parse(row["choice"])
            except LoadError:
                continue
            found[choice] = _trial(choice, row)
        return found

    def rows(
        self, subject: Subject | None = None, run: int | None = None
    ) -> list[dict[str, Any]]:
        """All rows, or those of a run, oldest first."""
        where, values = "", ()
        if subject is not None:
            where = "WHERE key=? AND shape=? AND device=? AND tools=? AND run=?"
            values = (*subject.fields(), run)
        with self._connected() as connection:
            connection.row_factory = sqlite3.Row
            query = f"SELECT {','.join(COLUMNS)} FROM trials {where} ORDER BY id"
            return [dict(row) for row in connection.execute(query, values)]

    def export(self, file: TextIO) -> int:
        """Writes all trials as CSV with a header; returns how many."""
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        rows = self.rows()
        table.writerows(rows)
        return len(rows)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with (
                closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS)) as connection,
                connection,
            ):
                _prepare(connection)
                yield connection
        except sqlite3.DatabaseError as error:
            raise LoadError(
                f"{os.fspath(self.path)!a} is no measurement store that can be used",
                received=str(error)[:200],
                hint="--store names another file",
            ) from error


def _prepare(connection: sqlite3.Connection) -> None:
    # Readers and one writer at a time; others wait.
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    known = connection.execute("SELECT name FROM sqlite_master WHERE name='about'")
    if known.fetchone() is None:
        connection.executescript(_SCHEMA)


def _trial(choice: Choice, row: dict[str, Any]) -> Trial:
    """The trial of a row.

    Raises:
        LoadError: If it is none.
    """
    try:
        statuses: dict[str, Status] = {status: status for status in STATUSES}
        facts = None
        if row["digest"] is not None:
            features = {k: float(v) for k, v in json.loads(row["features"]).items()}
            facts = Facts(str(row["digest"]), row["predicted"], features)
        return Trial(
            choice=choice,
            status=statuses[row["status"]],
            ratio=float(row["ratio"]),
            median=None if row["median"] is None else float(row["median"]),
            spread=None if row["spread"] is None else float(row["spread"]),
            rounds=int(row["rounds"]),
            accepted=bool(row["accepted"]),
            reason=row["reason"],
            facts=facts,
            conditions=cast("dict[str, Any]", json.loads(row["conditions"])),
        )
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise LoadError(
            f"trial {row['id']} of the measurement store is damaged",
            received=str(error)[:200],
        ) from error
