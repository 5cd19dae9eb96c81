"""``graphc compile``: artifacts from models, functions and graphs."""

from __future__ import annotations

import json
import operator
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from graphc.artifacts.building import Source, write_artifact
from graphc.artifacts.contents import SUFFIX
from graphc.artifacts.contract import Contract, Sizes
from graphc.artifacts.programs import Programs
from graphc.cli.cases import errors_of
from graphc.cli.options import numbers, picks_kind
from graphc.cli.show import describe_contents
from graphc.cli.stages import shown_stages
from graphc.cli.text import printable, read_graph, read_pipeline
from graphc.cli.tuning import refuse_search, search_settings, searches, tune_tasks
from graphc.files.container import checked_path
from graphc.files.lock import Key, Locked, read_locked
from graphc.files.tensors import read_tensor_file
from graphc.frontend.compilation import Executable
from graphc.frontend.models import Model
from graphc.frontend.models.export import model_source, program_source
from graphc.frontend.saving import load_model
from graphc.frontend.tracing import without_locations
from graphc.frontend.transforms import TensorSpec, program_of
from graphc.ir import Graph, tensor_type
from graphc.ir.errors import GraphcError, LoadError
from graphc.passes.plugins import load_module
from graphc.runtime.options import CompileOptions
from graphc.runtime.settings import Settings
from graphc.tuning.tuner import Task, tasks_of

PRECISIONS = {
    "f32": "float32",
    "bf16": "mixed_bfloat16",
    "f16": "mixed_float16",
}
"""Short names of precision policies."""


@click.command()
@click.argument("source", metavar="SRC")
@click.option("-o", "--output", required=True, help=f"The artifact, NAME{SUFFIX}.")
@click.option(
    "--target", "targets", multiple=True, help="Compile for this; may be repeated."
)
@picks_kind()
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME:TYPE",
    help="An input of a function, such as x:f32[B,224,224,3].",
)
@click.option("--batch", metavar="SIZES", help="The batch sizes, such as 1,8,32.")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="NAME=SIZES",
    help="The sizes of another dimension, such as N0=64,128.",
)
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="B=1..64",
    help="All sizes of a dimension; what lies between is padded.",
)
@click.option(
    "--precision",
    help="f32, bf16, f16 or the name of a policy.",
)
@click.option(
    "-p",
    "--passes",
    metavar="TEXT|@FILE",
    help="A pipeline instead of the target's own, as graphc opt takes it.",
)
@click.option(
    "--lock",
    metavar="FILE",
    help="A lock file of `graphc tune`: it chooses the pipeline for XLA, the schedules"
    " of kernels for Triton. It is kept in the artifact.",
)
@click.option(
    "--locked", is_flag=True, help="Fail if the lock file lacks a line about something."
)
@click.option(
    "--tune",
    is_flag=True,
    help="Measure first what the lock lacks, as `graphc tune` does, and keep it.",
)
@searches
@click.option("--weights", help="The tensors of a graph's state, a .safetensors file.")
@click.option(
    "--separate-weights",
    metavar="FILE",
    help="Write the weights to this file, and not into the artifact.",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
@click.pass_context
def compile(
    context: click.Context,
    source: str,
    output: str,
    targets: tuple[str, ...],
    kind: str,
    inputs: tuple[str, ...],
    batch: str | None,
    sizes: tuple[str, ...],
    ranges: tuple[str, ...],
    precision: str | None,
    passes: str | None,
    lock: str | None,
    locked: bool,
    tune: bool,
    weights: str | None,
    separate_weights: str | None,
    force: bool,
    as_json: bool,
    **search: Any,
) -> None:
    """Compile SRC ahead of time, into one file that runs without its Python.

    SRC is a saved model (.graphc), a graph (.gir, .mlir), or package.module:object: a
    model, or a function, whose inputs --input describes. The artifact is run by
    `graphc run` and loaded by graphc.load.

    --tune searches as `graphc tune` does, for all sizes and targets; the options from
    --strategy to --store are for it. What it finds is in the artifact, and in the file
    that --lock names.

    Exit codes: 0 for success, 2 for wrong usage, a file that cannot be used, or a
    program that cannot be compiled.
    """
    if not tune:
        refuse_search(context, search)
    elif locked:
        raise click.UsageError("--locked forbids what --tune does")
    path = _output(output, force)
    contract = Contract(_sizes(batch, sizes, ranges))
    options = CompileOptions(
        passes=None if passes is None else read_pipeline(passes),
        precision=PRECISIONS.get(precision or "f32", precision or ""),
        lock=_lock(lock, locked, tune),
    )
    with shown_stages(quiet=as_json) as say:
        say("reading")
        found = _source(source, kind, inputs, weights)
        if tune:
            tuned = _tuned(
                found, contract, targets or ("xla",), options, search, lock, say
            )
            options = replace(options, lock=tuned)
        contents = write_artifact(
            path,
            found,
            contract,
            targets or ("xla",),
            options,
            separate_weights,
            say,
        )
    size = Path(path).stat().st_size
    if as_json:
        click.echo(json.dumps({"path": path, "bytes": size, **contents.to_json()}))
    else:
        click.echo(f"{printable(path)}: {describe_contents(contents, size)}")


def _lock(lock: str | None, locked: bool, tune: bool) -> Locked | None:
    """The lock that compiles go by: of a file, else of ``GRAPHC_LOCK``, else none.

    A file that is to be written need not be there.

    Raises:
        UsageError: If lines are required and there is no file.
    """
    if lock is not None:
        new = tune and not Path(lock).exists()
        return None if new else read_locked(lock, locked)
    found = Settings.read().lock()
    if locked and found is None:
        raise click.UsageError("--locked needs --lock FILE, or GRAPHC_LOCK")
    return found and replace(found, required=locked)


def _tuned(
    source: Source,
    contract: Contract,
    targets: Sequence[str],
    options: CompileOptions,
    search: Mapping[str, Any],
    path: str | None,
    say: Callable[[str], None],
) -> Locked:
    """The lines about all programs of an artifact: those of a lock, the others measured.

    They are written to the lock file if there is one.
    """
    lock = {} if options.lock is None else options.lock.lock
    settings = search_settings(search, ())
    programs = Programs(source.graph, contract, options)
    tasks: dict[Key, Task] = {}
    for target in targets:
        say(f"looking for what there is to tune for {target}")
        for sizes in contract.programs():
            graph, asked, bindings = programs.prepared(sizes, target)
            bound = graph.bind(**bindings) if bindings else graph
            tasks |= {
                task.about: task
                for task in tasks_of(
                    *({1: bound}, target, bindings, settings),
                    pipeline=asked.passes,
                    precisions=[asked.precision],
                )
            }
    say(f"tuning {len(tasks)} programs and kernels")
    where = None if path is None else Path(path)
    lines = tune_tasks([*tasks.values()], lock, where, search["store"], settings)
    return Locked(tuple(line for line, _ in lines))


def _output(output: str, force: bool) -> str:
    """The name of the file to write.

    Raises:
        UsageError: If it has another ending, or exists and is not to be replaced.
    """
    try:
        path = checked_path(output, SUFFIX, force)
    except ValueError:
        raise click.UsageError(
            f"the artifact's name must end in {SUFFIX}: {printable(output)!r}"
        ) from None
    except FileExistsError:
        raise click.UsageError(
            f"{printable(output)} exists; --force replaces it"
        ) from None
    directory = Path(path).parent
    if not directory.is_dir():  # said before minutes of compiling
        raise click.UsageError(f"there is no directory {printable(str(directory))}")
    return path


def _sizes(
    batch: str | None, sizes: tuple[str, ...], ranges: tuple[str, ...]
) -> dict[str, Sizes]:
    """The sizes by symbol that options name."""
    found: dict[str, Sizes] = {}
    for text in ranges:
        match = re.fullmatch(r"(\w+)=(\d+)\.\.(\d+)", text)
        if match is None or not 0 < int(match[2]) <= int(match[3]) < 2**31:
            raise click.UsageError(f"--range is like B=1..64, not {printable(text)!r}")
        found[match[1]] = Sizes.between(int(match[2]), int(match[3]))
    listed = [] if batch is None else [("--batch", "B", batch)]
    for text in sizes:
        name, _, values = text.partition("=")
        if not name.isidentifier():
            raise click.UsageError(f"--size is like N0=64,128, not {printable(text)!r}")
        listed.append(("--size", name, values))
    for option, name, values in listed:
        if name in found:
            raise click.UsageError(f"{option} is the second to say what {name} is")
        found[name] = Sizes(tuple(sorted({*numbers(values, option)})))
    return found


def _source(
    source: str, kind: str, inputs: tuple[str, ...], weights: str | None
) -> Source:
    path = Path(source)
    if path.suffix == ".graphc":
        with errors_of(source), without_locations():
            return model_source(load_model(source), kind)
    if source == "-" or path.suffix in (".gir", ".mlir"):
        return _graph_source(read_graph(source), weights)
    if ":" not in source:
        raise click.UsageError(
            f"{printable(source)!r} is neither a .graphc, .gir or .mlir file nor"
            " package.module:object"
        )
    return _object_source(_load_object(source), source, kind, inputs)


def _load_object(source: str) -> Any:
    """What ``package.module:object`` names; runs the module, as the user asked for.

    Raises:
        PassError, LoadError: If there is no such module, or no such object in it.
    """
    module, _, name = source.rpartition(":")
    if os.getcwd() not in sys.path:  # as for a script that lies there
        sys.path.insert(0, os.getcwd())
    found = load_module(module)
    try:
        return operator.attrgetter(name)(found)
    except AttributeError as error:
        raise LoadError(f"{printable(source)}: {error}") from None


def _object_source(
    found: Any, source: str, kind: str, inputs: tuple[str, ...]
) -> Source:
    if isinstance(found, Model):
        with errors_of(source):
            return model_source(found, kind)
    if isinstance(found, Executable):
        return program_source(found.program, found.program.name, "graph")
    if isinstance(found, Graph):
        return _graph_source(found, None)
    if not callable(found):
        raise LoadError(
            f"{printable(source)} is no model, function or graph",
            received=type(found).__name__,
        )
    if not inputs:
        raise click.UsageError("a function needs --input NAME:TYPE for each argument")
    function = getattr(found, "function", found)  # what graphc.jit wraps
    program = program_of(function, [_spec(text) for text in inputs])
    return program_source(program, program.name, "graph")


def _spec(text: str) -> TensorSpec:
    name, colon, spelled = text.partition(":")
    if not colon or not name.isidentifier():
        raise click.UsageError(
            f"--input is like x:f32[B,224,224,3], not {printable(text)!r}"
        )
    type = tensor_type(spelled)
    shape = [dim if isinstance(dim, int) else str(dim) for dim in type.shape]
    return TensorSpec(shape, type.dtype.long_name, name)


def _graph_source(graph: Graph, weights: str | None) -> Source:
    """A graph whose state, if it has any, is in a file."""
    roles = [p.attributes.get("role") == "state" for p in graph.parameters]
    names = [p.name or f"p{p.index}" for p in graph.parameters]
    inputs = [name for name, state in zip(names, roles, strict=True) if not state]
    own = names[len(inputs) :]
    if roles != sorted(roles):
        raise GraphcError("a graph's state must come behind its inputs")
    state: dict[str, np.ndarray[Any, Any]] = {}
    if own:
        if weights is None:
            raise click.UsageError(
                f"the graph has state ({', '.join(own[:5])}): give --weights FILE"
            )
        state, _ = read_tensor_file(weights)
        if missing := sorted(set(own) - state.keys()):
            raise LoadError(
                f"{printable(weights)} lacks tensors",
                received=", ".join(missing[:5]),
            )
        state = {name: state[name] for name in own}
    outputs = tuple(f"result_{i}" for i in range(len(graph.results)))
    return Source(graph.name, "graph", graph, tuple(inputs), outputs, state)
