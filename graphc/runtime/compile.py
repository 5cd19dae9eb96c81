"""Compiling graphs for targets: passes, emission, compilation."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph, check_graph
from graphc.passes import Report, run_with_report
from graphc.runtime import load_backend
from graphc.runtime.executable import Executable
from graphc.runtime.settings import Settings
from graphc.runtime.stages import Stages
from graphc.runtime.targets import find_emitter, find_target


def compile_graph(
    graph: Graph,
    target: str = "xla",
    pipeline: str | None = None,
    donate: Sequence[int] = (),
) -> Executable:
    """`graph` compiled for `target`, ready to be called with arrays.

    Args:
        graph: A graph without dimension symbols; it stays as it is.
        target: The name of a target; `graphc.runtime.targets.targets` lists them.
        pipeline: The passes to run instead of the target's own, by name or as text.
            They must leave what the target takes: for XLA, primitives and calls.
        donate: The positions of parameters whose arrays the results may overwrite.
            Put the results that replace donated parameters in the same order: an
            array is reused for the first result of its type that is left.

    Raises:
        TargetError: For an unknown target, or one that is not available here.
        UnsupportedError: If the target does not serve something in the graph.
        GraphError: If the graph has dimension symbols, or `donate` names no parameter.
        PassError: If a pass fails.
        CompileError: If the target's compiler refuses the graph.
    """
    check_graph(graph, "compile")
    chosen = find_target(target)
    backend = load_backend(chosen.backend)
    positions = _checked_donation(graph, donate)
    stages = Stages(graph.name, Settings.read())
    lowered, report = _lower(graph, _chosen(pipeline, backend.PIPELINE), stages)
    program = backend.compile(lowered, chosen.device, positions, stages)
    return Executable(lowered, chosen.name, program, stages.seconds, report)


def emit(graph: Graph, target: str = "xla", pipeline: str | None = None) -> str:
    """The text that `graph` is compiled from for `target`: StableHLO for XLA.

    Args:
        graph: A graph without dimension symbols; it stays as it is.
        target: The name of a target; its device need not be here.
        pipeline: The passes to run instead of the target's own.

    Raises:
        TargetError, UnsupportedError, GraphError, PassError: As `compile_graph`.
    """
    check_graph(graph, "emit")
    backend = find_emitter(target)
    stages = Stages(graph.name, Settings.read())
    lowered, _ = _lower(graph, _chosen(pipeline, backend.PIPELINE), stages)
    return backend.emit(lowered)


def _chosen(pipeline: str | None, default: str) -> str:
    return default if pipeline is None else pipeline


def _lower(graph: Graph, pipeline: str, stages: Stages) -> tuple[Graph, Report | None]:
    """A copy of `graph` after the passes, and what they did."""
    check_bound(graph)
    stages.dump("input.gir", graph)
    with stages.timed("passes"):
        if pipeline:
            lowered, report = run_with_report(
                graph,
                pipeline,
                verify=stages.settings.verify,
                dump_dir=stages.place("passes"),
            )
        else:
            lowered, report = graph.copy(), None
    stages.dump("lowered.gir", lowered)
    return lowered, report


def check_bound(graph: Graph) -> None:
    """Raises a `GraphError` if the graph has dimension symbols."""
    if symbols := sorted(graph.symbols):
        raise GraphError(
            f"graph @{graph.name} has dimension symbols",
            received=", ".join(symbols),
            hint=f"bind them: graph.bind({', '.join(f'{s}=...' for s in symbols)})",
        )


def _checked_donation(graph: Graph, donate: Sequence[int]) -> tuple[int, ...]:
    positions = tuple(dict.fromkeys(donate))
    if any(not 0 <= position < len(graph.parameters) for position in positions):
        raise GraphError(
            f"graph @{graph.name}: donate must name parameters by position,"
            f" 0 to {len(graph.parameters) - 1}",
            received=str(list(donate))[:200],
        )
    return positions
