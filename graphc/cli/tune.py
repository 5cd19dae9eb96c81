"""``graphc tune``: which pipeline or schedule is fastest here; kept in a lock file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click

from graphc.cli.cases import choose_sizes, errors_of
from graphc.cli.compile import PRECISIONS
from graphc.cli.options import numbers, picks_kind, picks_sizes
from graphc.cli.plugins import LOADED, loads_plugins
from graphc.cli.text import printable, read_graph, read_pipeline, write_whole
from graphc.cli.tuning import open_store, search_settings, searches, tune_tasks
from graphc.files.lock import NAME, Key, Line, read_lock
from graphc.frontend.models.graphs import BLOCKS, model_graph
from graphc.frontend.saving import load_model
from graphc.frontend.tracing import without_locations
from graphc.ir import Graph
from graphc.tuning.cluster import ClusterRunner
from graphc.tuning.plot import plot
from graphc.tuning.store import MeasurementStore
from graphc.tuning.tuner import Open, Settings, Task, missing, open_worker, tasks_of


@click.command()
@click.argument("file", required=False)
@click.option("--target", default="xla:cpu", show_default=True, help="What to run on.")
@picks_kind()
@click.option(
    "--batch",
    metavar="SIZES",
    help="The batch sizes, such as 1,8,32; 2 unless given.",
)
@picks_sizes
@click.option(
    "-p",
    "--passes",
    "--pipeline",
    "pipeline",
    metavar="TEXT|@FILE",
    help="The pipeline to vary; by default the target's own.",
)
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
@searches
@click.option("--lock", "lock_file", default=NAME, show_default=True, help="The file.")
@click.option("--locked", is_flag=True, help="Do not tune: fail if a line is missing.")
@click.option("--again", is_flag=True, help="Measure what was measured before, too.")
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
    store: str | None,
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
    if not (export is None or export == "csv" or export.endswith(".csv")):
        raise click.UsageError(
            f"--export takes csv, or a file NAME.csv: {printable(export)!r}"
        )
    if file is not None:
        settings = search_settings(asked, context.meta.get(LOADED, []))
        tasks = _tasks(file, asked, settings)
        lock = read_lock(lock_file) if Path(lock_file).exists() else {}
        if locked:
            context.exit(_report_missing(tasks, lock))
        lines = tune_tasks(
            tasks, lock, Path(lock_file), store, settings, _opener(cluster)
        )
        _report(lines, as_json)
    if export is not None:
        _export(open_store(store), export)
    if plot_file is not None:
        plot(open_store(store).rows(), Path(plot_file))


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
            for name, size in choose_sizes(first, {}, batch, asked["sizes"]).items()
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
    with errors_of(file), without_locations():
        model = load_model(file)
        return {
            count: model_graph(model, kind if count == 1 else blocks[kind])
            for count in steps
        }


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
