"""Searching for what is fastest: options, progress and results that commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from graphc.cli.options import picks_clock
from graphc.cli.text import printable
from graphc.files.lock import Key, Line, write_lock
from graphc.ir.errors import GraphcError
from graphc.passes.memory_budget import parse_bytes
from graphc.runtime.settings import Settings as Environment
from graphc.tuning.runner import TIMEOUT
from graphc.tuning.search import Budget
from graphc.tuning.store import MeasurementStore
from graphc.tuning.strategies import STRATEGIES
from graphc.tuning.trial import Trial
from graphc.tuning.tuner import (
    Open,
    Settings,
    Task,
    known_line,
    line_of,
    open_worker,
    tune_task,
)

F = TypeVar("F", bound=Callable[..., Any])

STORE = "measurements.sqlite"
"""The measurement store in the cache directory."""

_SEARCH = (
    click.option(
        "--strategy",
        type=click.Choice(list(STRATEGIES)),
        default="evolutionary",
        show_default=True,
        help="How the next choice is found.",
    ),
    click.option(
        "--trials",
        type=click.IntRange(min=1),
        help="Try so many choices; 64 unless --seconds is given.",
    ),
    click.option("--seconds", type=click.FloatRange(min=0), help="Search for so long."),
    click.option("--seed", default=0, show_default=True, help="What is drawn from."),
    picks_clock,
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=TIMEOUT,
        show_default=True,
        help="The seconds that a choice may take to compile or to be measured.",
    ),
    click.option("--memory", help="What a choice may need, such as 2GiB."),
    click.option("--store", help="The measurement store, an SQLite file."),
)


def searches(command: F) -> F:
    """Gives a command the options of a search, which `search_settings` reads."""
    for option in reversed(_SEARCH):
        command = option(command)
    return command


def refuse_search(context: click.Context, search: Iterable[str]) -> None:
    """Raises a `UsageError` if a command that does not search is told how to.

    Args:
        context: The call of the command.
        search: The names of its options that are of searches.
    """
    own = {parameter.name: parameter for parameter in context.command.params}
    for name in search:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{own[name].opts[0]} is for --tune")


def search_settings(asked: Mapping[str, Any], load: Sequence[str]) -> Settings:
    """How a search is done that a command's options ask for.

    Args:
        asked: The options.
        load: Modules of the user's that register passes and ops.
    """
    trials, seconds = asked["trials"], asked["seconds"]
    if trials is None and seconds is None:
        trials = Settings().budget.trials
    memory = asked["memory"]
    return Settings(
        strategy=asked["strategy"],
        budget=Budget(trials, seconds),
        seed=asked["seed"],
        timeout=asked["timeout"],
        memory=None if memory is None else parse_bytes(memory),
        clock=asked["clock"],
        again=bool(asked.get("again")),
        load=tuple(load),
    )


def open_store(file: str | None) -> MeasurementStore:
    """The measurement store: a file, or else the one in the cache.

    Raises:
        GraphcError: If there is no cache.
    """
    if file is not None:
        return MeasurementStore(Path(file))
    environment = Environment.read()
    kept = environment.store()
    if environment.cache is None or kept is None or not kept.prepare():
        raise GraphcError(
            "measurements are kept in the cache, which is not used",
            hint="--store FILE keeps them in a file",
        )
    return MeasurementStore(environment.cache / STORE)


def tune_tasks(
    tasks: list[Task],
    lock: dict[Key, Line],
    path: Path | None,
    store_file: str | None,
    settings: Settings,
    open_runner: Open = open_worker,
) -> list[tuple[Line, float | None]]:
    """Searches for each task that a lock has no line about.

    Args:
        tasks: What there is to tune.
        lock: The lock, which gets the lines.
        path: Where it is written to after each search; None for nowhere.
        store_file: The file of the measurement store; that of the cache unless given.
        settings: How searches are done.
        open_runner: What measures.

    Returns:
        The line of each task, with its time relative to the canonical choice's, or
        None if it was kept.
    """
    lines: list[tuple[Line, float | None]] = []
    store = None
    for number, task in enumerate(tasks, 1):
        line = known_line(task, lock)
        if line is not None and not settings.again:
            lines.append((line, None))
            continue
        store = store or open_store(store_file)
        title = f"{number}/{len(tasks)} {task.subject.key}"
        with _progress(title, task, settings.budget.trials) as show:
            try:
                outcome = tune_task(task, store, settings, open_runner, show)
            except KeyboardInterrupt:
                click.echo("the same command goes on where this one was", err=True)
                raise
        line = line_of(task, outcome)
        lock[task.about] = line
        if path is not None:
            write_lock(path, lock)
        lines.append((line, outcome.ratio))
    return lines


@contextmanager
def _progress(
    title: str, task: Task, trials: int | None
) -> Iterator[Callable[[Trial, Trial], object]]:
    """Shows on standard error how far a search is, and the best so far."""
    total = task.space.size if trials is None else min(trials, task.space.size)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        job = bar.add_task(printable(title), total=total, best="")

        def show(trial: Trial, best: Trial) -> None:
            text = f"best {best.ratio:.3f}: {task.space.text(best.choice)}"
            bar.update(job, advance=1, best=printable(text))

        yield show
