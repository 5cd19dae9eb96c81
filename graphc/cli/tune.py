"""``graphc tune``: which pipeline or schedule is fastest here; kept in a lock file."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from graphc.cli.cases import choose_sizes
from graphc.cli.compile import PRECISIONS
from graphc.cli.options import KINDS, picks_clock
from graphc.cli.plugins import LOADED, loads_plugins
from graphc.cli.text import printable, read_graph, read_pipeline, write_whole
from graphc.frontend.models.graphs import BLOCKS, model_graph
from graphc.frontend.saving import load_model
from graphc.frontend.tracing import without_locations
from graphc.ir import Graph
from graphc.ir.errors import GraphcError
from graphc.passes.memory_budget import parse_bytes
from graphc.runtime.settings import Settings as Environment
from graphc.tuning.cluster import ClusterRunner
from graphc.tuning.lock import NAME, Key, Line, read_lock, write_lock
from graphc.tuning.plot import plot
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
    missing,
    open_worker,
    tasks_of,
    tune_task,
)

STORE = "measurements.sqlite"
"""The measurement store in the cache directory."""


@click.command()
@click.argument("file", required=False)
@click.option("--target", default="xla:cpu", show_default=True, help="What to run on.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="predict",
    show_default=True,
    help="Which step of a saved model.",
)
@click.option("--batch", metavar="SIZES", help="The batch sizes, such as 1,8,32.")
@click.option(
    "-p", "--pipeline", metavar="TEXT|@FILE", help="The pipeline to vary; by default"
    " the target's own."
)  # fmt: skip
@click.option(
    "--precision",
    default="f32",
    show_default=True,
    help="The precisions that results may be computed by, the usual one first.",
)
@click.option(
    "--steps",
    default="1",
    show_default=True,
    help="Steps in one dispatch of a model's train or eval step, such as 1,4,16.",
)
@click.option(
    "--strategy",
    type=click.Choice(list(STRATEGIES)),
    default="evolutionary",
    show_default=True,
    help="How the next choice is found.",
)
@click.option("--trials", type=click.IntRange(min=1), help="Try so many choices.")
@click.option("--seconds", type=click.FloatRange(min=0), help="Search for so long.")
@click.option("--seed", default=0, show_default=True, help="What is drawn from.")
@picks_clock
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT,
    show_default=True,
    help="The seconds that a choice may take to compile or to be measured.",
)
@click.option("--memory", help="What a choice may need, such as 2GiB.")
@click.option("--lock", "lock_file", default=NAME, show_default=True, help="The file.")
@click.option("--locked", is_flag=True, help="Do not tune: fail if a line is missing.")
@click.option("--again", is_flag=True, help="Measure what was measured before, too.")
@click.option("--store", "store_file", help="The measurement store, an SQLite file.")
@click.option("--cluster", metavar="ADDRESS", help="Run choices on a Ray cluster.")
@click.option("--export", metavar="csv|FILE.csv", help="Write all measurements.")
@click.option("--plot", "plot_file", metavar="FILE.html|FILE.png", help="Draw them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@loads_plugins
@click.pass_context
def tune(
    context: click.Context,
    file: str | None,
    lock_file: str,
    locked: bool,
    store_file: str | None,
    cluster: str | None,
    export: str | None,
    plot_file: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Measure variants of what FILE is compiled to; write the fastest to a lock file.

    FILE is a saved model (.graphc) or a graph (.gir, .mlir). On XLA the variants are
    pipelines; on Triton, schedules of each kernel. Candidates run in a process of their
    own. An interrupted search goes on where it was; a line that the lock has already is
    kept unless --again is given. Without FILE, --export and --plot show what the
    measurement store has.

    Exit codes: 0 for success, 1 if --locked misses a line, 2 for wrong usage or a file
    that cannot be used, 130 if interrupted.
    """
    if file is None and export is None and plot_file is None:
        raise click.UsageError("name a FILE, or --export or --plot")
    if file is not None:
        settings = _settings(asked, context.meta.get(LOADED, []))
        tasks = _tasks(file, asked, settings)
        lock = read_lock(lock_file) if Path(lock_file).exists() else {}
        if locked:
            context.exit(_report_missing(tasks, lock))
        lines = _tuned(
            tasks,
            lock,
            Path(lock_file),
            lambda: _store(store_file),
            settings,
            _opener(cluster),
        )
        _report(lines, as_json)
    if export is not None:
        _export(_store(store_file), export)
    if plot_file is not None:
        plot(_store(store_file).rows(), Path(plot_file))


def _settings(asked: dict[str, Any], load: list[str]) -> Settings:
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
        again=asked["again"],
        load=tuple(load),
    )


def _tasks(file: str, asked: dict[str, Any], settings: Settings) -> list[Task]:
    """What there is to tune, for each batch size."""
    steps = sorted(set(numbers(asked["steps"], "--steps")))
    policies = [PRECISIONS.get(name) or name for name in asked["precision"].split(",")]
    pipeline, given = asked["pipeline"], asked["batch"]
    batches = [None] if given is None else numbers(given, "--batch")
    whole = read_steps(file, asked["kind"], steps)
    tasks: dict[Key, Task] = {}
    for batch in batches:
        first = whole[steps[0]]
        sizes = {
            name: size
            for name, size in choose_sizes(first, {}, batch).items()
            if name in first.symbols and name != "K"
        }
        bound = {
            count: graph.bind(**sizes, **({"K": count} if count > 1 else {}))
            for count, graph in whole.items()
        }
        for task in tasks_of(
            bound,
            asked["target"],
            sizes,
            settings,
            None if pipeline is None else read_pipeline(pipeline),
            policies,
        ):
            tasks.setdefault(task.about, task)
    return list(tasks.values())


def read_steps(file: str, kind: str, steps: list[int]) -> dict[int, Graph]:
    """The graph of a file for each number of steps per dispatch.

    Raises:
        UsageError: If several steps are asked of what has no steps.
    """
    blocks = {step: block for block, step in BLOCKS.items()}
    if file == "-" or Path(file).suffix != ".graphc":
        if steps != [1]:
            raise click.UsageError("--steps is for saved models")
        return {1: read_graph(file)}
    if steps != [1] and kind not in blocks:
        raise click.UsageError(f"--steps is for {' and '.join(blocks)}")
    with without_locations():
        model = load_model(file)
        return {
            count: model_graph(model, kind if count == 1 else blocks[kind])
            for count in steps
        }


def numbers(text: str, option: str) -> list[int]:
    """The positive numbers of an option, between commas.

    Raises:
        UsageError: If it holds something else.
    """
    parts = text.split(",")
    if not all(p.isdecimal() and 0 < int(p) < 2**31 for p in parts):
        raise click.UsageError(f"{option} is like 1,8,32, not {printable(text)!r}")
    return [int(part) for part in parts]


def _store(file: str | None) -> MeasurementStore:
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


def _opener(cluster: str | None) -> Open:
    """What measures: a process here, or a machine of a cluster."""
    if cluster is None:
        return open_worker

    def open_remote(task: Task, timeout: float) -> ClusterRunner:
        device = task.subject.device
        return ClusterRunner(cluster, task.job, device, task.describe, timeout)

    return open_remote


def _report_missing(tasks: list[Task], lock: dict[Key, Line]) -> int:
    lacking = list(missing(tasks, lock))
    for task in lacking:
        click.echo(f"no line about {' | '.join(task.about)}", err=True)
    if not lacking:
        click.echo(f"{len(tasks)} of {len(tasks)} are locked")
    return 1 if lacking else 0


def _tuned(
    tasks: list[Task],
    lock: dict[Key, Line],
    path: Path,
    open_store: Callable[[], MeasurementStore],
    settings: Settings,
    open_runner: Open,
) -> list[tuple[Line, float | None]]:
    """The line of each task, with its time relative to the canonical choice's."""
    lines: list[tuple[Line, float | None]] = []
    store = None
    for number, task in enumerate(tasks, 1):
        line = known_line(task, lock)
        if line is not None and not settings.again:
            lines.append((line, None))
            continue
        store = store or open_store()
        title = f"{number}/{len(tasks)} {task.subject.key}"
        with _progress(title, task, settings.budget.trials) as show:
            try:
                outcome = tune_task(task, store, settings, open_runner, show)
            except KeyboardInterrupt:
                click.echo("the same command goes on where this one was", err=True)
                raise
        line = line_of(task, outcome)
        lock[task.about] = line
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


def _report(lines: list[tuple[Line, float | None]], as_json: bool) -> None:
    if as_json:
        data = [
            {
                "key": line.key,
                "shape": line.shape,
                "device": line.device,
                "choice": line.choice,
                "median": line.median,
                "spread": line.spread,
                "trials": line.trials,
                "ratio": ratio,
            }
            for line, ratio in lines
        ]
        click.echo(json.dumps(data))
        return
    if not lines:
        click.echo("there is nothing to choose")
    for line, ratio in lines:
        note = "kept from the lock" if ratio is None else f"{ratio:.3f} of canonical"
        click.echo(printable(f"{line.key}, {line.shape}: {line.choice} ({note})"))
        click.echo(f"  {line.median * 1e6:.1f} us, spread {line.spread * 1e6:.1f}")


def _export(store: MeasurementStore, where: str) -> None:
    text = io.StringIO()
    store.export(text)
    if where == "csv":
        click.echo(text.getvalue(), nl=False)
    else:
        write_whole(Path(where), text.getvalue().encode())
