"""Building artifacts: a program, its weights and what it was compiled to, in one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphc.artifacts.compiler import kept_options
from graphc.artifacts.contents import (
    FORMAT,
    GRAPH,
    LOCK,
    MAX_GRAPH,
    SCHEDULES,
    WEIGHTS,
    Contents,
    PackedProgram,
    donated,
)
from graphc.artifacts.contract import Contract
from graphc.artifacts.programs import Programs
from graphc.files.atomic_file import write_file
from graphc.files.container import Chunks, digest_of, write_container
from graphc.files.lock import Line, Locked, lock_text
from graphc.files.tensors import dump_tensors
from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph
from graphc.runtime.executable import Executable
from graphc.runtime.options import CompileOptions
from graphc.runtime.settings import Settings

Say = Callable[[str], None]
"""Called with what is being done."""


@dataclass(frozen=True, slots=True)
class Source:
    """What an artifact is made of.

    Attributes:
        name: What it is called.
        kind: ``predict``, ``train_step``, ``eval_step`` or ``graph``.
        graph: The graph as traced: inputs, then state, to outputs, then what replaces
            state.
        inputs: The names of the inputs.
        outputs: The names of the outputs.
        state: The arrays of the state by name, in the order of the parameters.
        written: For each of the last results, the place in `state` of what it replaces.
        metrics: The places in `state` of what starts afresh in each epoch, with the
            arrays that it starts with.
    """

    name: str
    kind: str
    graph: Graph
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    state: Mapping[str, np.ndarray]
    written: tuple[int, ...] = ()
    metrics: tuple[int, ...] = ()


def write_artifact(
    path: str,
    source: Source,
    contract: Contract,
    targets: Iterable[str] = ("xla",),
    options: CompileOptions | None = None,
    weights_path: str | None = None,
    say: Say = lambda stage: None,
) -> Contents:
    """Writes an artifact; an existing file is replaced when the new one is complete.

    Args:
        path: The file's name.
        source: What it is made of.
        contract: The sizes that it is compiled for.
        targets: The targets that it is compiled for. Their devices need not be here.
        options: What the compiles are asked for, but for the target.
        weights_path: A file of their own for the weights, which `load` is then given.
        say: Told what is being done.

    Returns:
        What the artifact holds.

    Raises:
        GraphError: If the source does not fit together, or the contract does not fit
            the graph.
        TargetError, UnsupportedError, PassError, CompileError: As `compile_graph`.
        OSError: If the file cannot be written; an existing one stays as it was.
    """
    options = options or CompileOptions()
    lock = Settings.read().lock() if options.lock is None else options.lock
    options = replace(options, check=None, lock=lock)
    contract.check(source.graph, source.inputs)
    _check(source)
    text = str(source.graph).encode()
    if len(text) > MAX_GRAPH:
        raise GraphError(
            "the graph is too large for an artifact",
            received=f"{len(text)} bytes of text; at most {MAX_GRAPH}",
            hint="keep large arrays in weights, not in constants",
        )
    members: dict[str, Chunks] = {GRAPH: [text]}
    weights = dump_tensors(source.state, {"format": FORMAT.name})
    if weights_path is None:
        members[WEIGHTS] = weights
    lines: dict[Line, None] = {}
    programs: list[PackedProgram] = []
    sized = Programs(source.graph, contract, options)
    donate = donated(len(source.inputs), source.written)
    for target in targets:
        for sizes in contract.programs():
            say(compiling(target, sizes))
            executable = sized.compile(sizes, target, donate)
            lines |= dict.fromkeys(executable.lines)
            made = _packed(members, target, sizes, len(programs), executable)
            if made is not None:
                programs.append(made)
    used = Locked(tuple(sorted(lines, key=str))) if lines else None
    if used is not None:
        members[LOCK] = [lock_text(used.lines).encode()]
    contents = Contents(
        name=source.name,
        kind=source.kind,
        inputs=source.inputs,
        outputs=source.outputs,
        state=tuple(source.state),
        written=source.written,
        contract=contract,
        options=kept_options(options),
        weights=None if weights_path is None else digest_of(weights),
        programs=tuple(programs),
        lock=used,
        metrics=source.metrics,
    )
    say("writing")
    if weights_path is not None:
        write_file(weights_path, weights)
    write_container(path, FORMAT, members, contents.to_json())
    return contents


def _check(source: Source) -> None:
    """Raises a `GraphError` unless names and arrays are those of the graph."""
    parameters = source.graph.parameters
    given = len(source.inputs) + len(source.state)
    if given != len(parameters):
        raise GraphError(
            f"graph @{source.graph.name} has {len(parameters)} parameters",
            received=f"{len(source.inputs)} inputs and {len(source.state)} tensors",
        )
    results = len(source.outputs) + len(source.written)
    if results != len(source.graph.results):
        raise GraphError(
            f"graph @{source.graph.name} has {len(source.graph.results)} results",
            received=f"{len(source.outputs)} outputs and {len(source.written)} tensors",
        )
    own = parameters[len(source.inputs) :]
    for parameter, (name, array) in zip(own, source.state.items(), strict=True):
        type = parameter.type
        if (array.shape, array.dtype) != (type.shape, type.dtype.numpy):
            raise GraphError(
                f"the tensor {name!r} is not {type}",
                received=f"an array of dtype {array.dtype} and shape {array.shape}",
            )


def _packed(
    members: dict[str, Chunks],
    target: str,
    sizes: Mapping[str, int],
    number: int,
    executable: Executable,
) -> PackedProgram | None:
    """Puts a program among the members; what the manifest says of it.

    None if there is nothing to keep of it.
    """
    packed = executable.program.pack()
    if packed is None:
        return None
    report = executable.report
    numerics = () if report is None else tuple(map(str, report.numerics))
    names = tuple(sorted(packed.files))
    facts = {**packed.facts, **_schedules(executable)}
    program = PackedProgram(target, dict(sizes), number, facts, names, numerics)
    members |= {at: [packed.files[name]] for name, at in program.members.items()}
    return program


def _schedules(executable: Executable) -> dict[str, Any]:
    """The schedule of each kernel and where it is from; nothing without kernels."""
    report = executable.kernels()
    if report is None:
        return {}
    kernels = [cost.kernel for cost in report.costs]
    origins = report.origins
    return {SCHEDULES: {k.name: f"{k.schedule} by {origins[k.name]}" for k in kernels}}


def compiling(target: str, sizes: Mapping[str, int]) -> str:
    """What is told of the compile for a target and sizes."""
    text = ", ".join(f"{name}={size}" for name, size in sizes.items())
    return f"compiling for {target}" + (f", {text}" if text else "")
