"""Compiling graphs for targets: passes, emission, compilation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from graphc.files.lock import Locked
from graphc.ir.collection import collection_paused
from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph, check_graph
from graphc.ir.nonfinite import watched
from graphc.passes import Report, run_with_report
from graphc.passes.checking import NUMERICS
from graphc.passes.memory_bill import is_state
from graphc.passes.memory_budget import plan_memory
from graphc.passes.micro_batch import MicroBatches
from graphc.passes.pipelines import preparing
from graphc.passes.precision import policy_text
from graphc.passes.prepare_weights import PrepareWeights, parts
from graphc.runtime import load_backend
from graphc.runtime.backend import Backend, Program
from graphc.runtime.confirmation import confirm
from graphc.runtime.executable import Executable
from graphc.runtime.options import NAN
from graphc.runtime.prepared import PreparedProgram
from graphc.runtime.settings import Settings
from graphc.runtime.stages import Stages
from graphc.runtime.targets import find_emitter, find_target
from graphc.runtime.watching import WatchedProgram


@collection_paused()
def compile_graph(
    graph: Graph,
    target: str = "xla",
    pipeline: str | None = None,
    donate: Sequence[int] = (),
    precision: str = "float32",
    memory_budget: int | str | None = None,
    bindings: Mapping[str, int] | None = None,
    check: str | None = None,
    lock: Locked | None = None,
    prepare: bool = False,
) -> Executable:
    """`graph` compiled for `target`, ready to be called with arrays.

    Args:
        graph: A graph; it stays as it is.
        target: The name of a target; `graphc.runtime.targets.targets` lists them.
        pipeline: The passes to run instead of the target's own, by name or as text.
            They must leave what the target takes: for XLA, primitives and calls.
        donate: The positions of parameters whose arrays the results may overwrite.
            Put the results that replace donated parameters in the same order: an
            array is reused for the first result of its type that is left.
        precision: The policy that float32 is computed by: passes that run first.
        memory_budget: The bytes that a run may need by prediction, or text such as
            ``"20GiB"``: passes that save memory are added until it fits.
        bindings: The sizes of the graph's dimension symbols.
        check: ``"numerics"`` compares the graph before and after each pass, and what
            was compiled with the evaluator, on samples of the inputs; ``"nan"`` makes
            runs whose results are not finite say which node made that, and donates
            nothing.
        lock: The choices of tuning that kernels get their schedules from; by default
            those of the file that ``GRAPHC_LOCK`` names.
        prepare: Whether what depends on state alone that is not donated is computed once
            and kept as long as the same arrays are given, none of which may change. Not
            with passes of one's own, a budget, or a check.

    Raises:
        LoadError: If the lock cannot be read, or chooses what nobody could have tuned.
        TargetError: For an unknown target, or one that is not available here.
        UnsupportedError: If the target does not serve something in the graph.
        GraphError: If the graph has dimension symbols, or `donate` names no parameter.
        PassError: If a pass fails, or nothing fits into the memory budget.
        CompileError: If the target's compiler refuses the graph, a check of numerics
            finds that it computes something else, or a line that the lock must have
            is missing.
    """
    check_graph(graph, "compile")
    chosen = find_target(target)
    backend = load_backend(chosen.backend)
    positions = _checked_donation(graph, () if check == NAN else donate)
    stages = Stages(graph.name, Settings.read(), lock)
    default = chosen.pipeline
    if prepare and memory_budget is None and check is None:
        default = _with_preparing(graph, default, positions)
    passes = _chosen(pipeline, default, precision)
    bound = graph.bind(**bindings) if bindings else graph
    check_bound(bound)
    plan = None
    if memory_budget is not None:
        in_parts = lru_cache(MicroBatches(graph, bindings or {}))
        with stages.timed("plan"):
            plan = plan_memory(bound, passes, memory_budget, positions, in_parts)
        passes = plan.pipeline or passes
        bound = in_parts(plan.micro_batches) if plan.micro_batches > 1 else bound
    run = watched(bound, len(donate)) if check == NAN else bound
    lowered, report = _lower(run, passes, stages, check == NUMERICS)
    program = _compiled(backend, lowered, chosen.device, positions, stages)
    if check == NAN:
        program = WatchedProgram(program, bound, lowered)
    elif check == NUMERICS:
        compared = confirm(bound, chosen.name, program, report)
        if report is not None:
            report.executed = compared
    return Executable(
        lowered,
        chosen.name,
        program,
        stages.seconds,
        report,
        positions,
        plan,
        stages.origins,
        stages.lines,
    )


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
    backend, device = find_emitter(target)
    stages = Stages(graph.name, Settings.read())
    lowered, _ = _lower(graph, _chosen(pipeline, backend.pipeline(device)), stages)
    return backend.emit(lowered)


def _chosen(pipeline: str | None, default: str, precision: str = "float32") -> str:
    chosen = default if pipeline is None else pipeline
    return ",".join(filter(None, [policy_text(precision), chosen]))


def _compiled(
    backend: Backend,
    lowered: Graph,
    device: str | None,
    donate: Sequence[int],
    stages: Stages,
) -> Program:
    """The program of a graph; what prepares its weights is one by itself."""
    found = parts(lowered)
    if found is None:
        return backend.compile(lowered, device, donate, stages)
    first = backend.compile(found.first, device, (), stages)
    rest = backend.compile(found.rest, device, donate, stages)
    return PreparedProgram(found.first, first, found.operands, rest)


def _with_preparing(graph: Graph, pipeline: str, donated: Sequence[int]) -> str:
    """The pipeline, with the pass that prepares weights if there is something to gain.

    None of it for the evaluator, which takes graphs without passes.
    """
    state = {i: p for i, p in enumerate(graph.parameters) if is_state(p)}
    written = [state[i].name for i in donated if i in state]
    kept = sum(p.type.nbytes for i, p in state.items() if i not in donated)
    names = [name for name in written if name is not None]
    if len(names) < len(written) or kept < PrepareWeights.least_kib << 10:
        return pipeline
    return preparing(pipeline, names) if pipeline else pipeline


def _lower(
    graph: Graph, pipeline: str, stages: Stages, numerics: bool = False
) -> tuple[Graph, Report | None]:
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
                check=NUMERICS if numerics else None,
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
