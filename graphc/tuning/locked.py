"""Compiling by what tuning chose: a pipeline for each graph, schedules for kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from graphc.files.lock import STATIC, Key, Line, Lock, Locked
from graphc.ir.errors import LoadError
from graphc.ir.graph import Graph
from graphc.ir.printer import program_digest
from graphc.runtime.compile import compile_graph
from graphc.runtime.executable import Executable
from graphc.runtime.options import CompileOptions
from graphc.runtime.settings import Settings
from graphc.runtime.targets import backend_name, find_target
from graphc.tuning.machine import device_name
from graphc.tuning.pipelines import (
    FLOAT32,
    PRECISION,
    STEPS,
    PipelineSpace,
    pipeline_space,
)
from graphc.tuning.space import Choice, Space


def graph_subject(
    graph: Graph, target: str, sizes: Mapping[str, int], precision: str = FLOAT32
) -> Key:
    """What the line about a graph is about.

    Args:
        graph: The graph without symbols.
        target: The target.
        sizes: What the symbols were bound to.
        precision: The policy that float32 is computed by unless tuning chooses another.

    Raises:
        TargetError: If the target is not available.
    """
    parts = [f"{name}={size}" for name, size in sorted(sizes.items())] or [STATIC]
    if precision != FLOAT32:
        parts.append(precision)
    key = f"graph:{graph.name}@{program_digest(graph)}"
    return key, " ".join(parts), device_name(target)


def choice_of(line: Line, space: Space) -> Choice:
    """The choice of a line, if it is one of the space.

    Raises:
        LoadError: If it is not: whatever a file says, nothing else is compiled.
    """
    try:
        return space.parse(line.choice)
    except LoadError as error:
        error.message = f"{line.key}: {error.message}"
        raise


def locked_pipeline(
    graph: Graph,
    target: str,
    sizes: Mapping[str, int],
    lock: Lock,
    pipeline: str | None = None,
    precision: str = FLOAT32,
) -> str | None:
    """The pipeline that a lock chose for a graph; None if it has no line about it.

    It has the passes of the precision that was chosen, or else of the usual one.

    Args:
        graph: The graph without symbols.
        target: The target.
        sizes: What the symbols were bound to.
        lock: The lock.
        pipeline: The pipeline that was varied; the target's own unless given.
        precision: The usual policy that float32 is computed by.

    Raises:
        LoadError: If the choice is none of the pipeline's variants.
    """
    line = lock.get(graph_subject(graph, target, sizes, precision))
    if line is None:
        return None
    text = find_target(target).pipeline if pipeline is None else pipeline
    space = _widest(text, line.choice, precision)
    return space.pipeline_of(choice_of(line, space.space))


def compile_as_asked(
    graph: Graph,
    options: CompileOptions,
    donate: Sequence[int] = (),
    bindings: Mapping[str, int] | None = None,
    prepare: bool = False,
) -> Executable:
    """An executable for a graph; a lock chooses where it has lines.

    For Triton the lines are about kernels, for other targets about whole graphs.

    Args:
        graph: The graph.
        options: What the user asks for.
        donate: Positions of parameters whose buffers the results may reuse.
        bindings: The sizes of its dimension symbols.
        prepare: Whether state that is not donated is prepared, as `compile_graph` says.

    Raises:
        CompileError: As `compile_graph`, or if a line is required and missing.
        LoadError: If the lock is damaged, or chooses what nobody could have tuned.
    """
    lock = Settings.read().lock() if options.lock is None else options.lock
    line = None
    if lock is not None and backend_name(options.target) != "triton":
        options, line = _locked(graph, options, bindings or {}, lock)
    executable = compile_graph(
        graph,
        options.target,
        options.passes,
        donate,
        options.precision,
        options.memory_budget,
        bindings,
        options.check,
        lock,
        prepare,
    )
    if line is not None:
        executable.lines = (line,)
    return executable


def _locked(
    graph: Graph, options: CompileOptions, sizes: Mapping[str, int], lock: Locked
) -> tuple[CompileOptions, Line | None]:
    """The options with the pipeline and precision that a lock has for a graph.

    And the line that has them, if there is one.
    """
    bound = graph.bind(**sizes) if sizes else graph
    target, precision = options.target, options.precision
    lines, about = lock.lock, graph_subject(bound, target, sizes, precision)
    passes = locked_pipeline(bound, target, sizes, lines, options.passes, precision)
    if passes is not None:
        return replace(options, passes=passes, precision=FLOAT32), lines[about]
    if lock.required:
        raise lock.missing(about)
    return options, None


def _widest(pipeline: str, choice: str, precision: str) -> PipelineSpace:
    """All variants of a pipeline, with the precision and steps that a choice has."""
    chosen = [word.partition("=") for word in choice.split(" ")]
    policies = [value for name, _, value in chosen if name == PRECISION]
    steps = [int(v) for name, _, v in chosen if name == STEPS and v.isdecimal()]
    return pipeline_space(pipeline, (precision, *policies), (1, *steps))
