"""What a page shows: a graph before and after passes, and what these did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.passes import Report, run, run_with_report
from graphc.passes.cost_model import GPUS
from graphc.passes.fusion.fusion import Fusion
from graphc.passes.inline import kernel_graphs
from graphc.passes.memory_bill import is_state, memory_bill
from graphc.runtime.compile import check_bound
from graphc.runtime.kernel_costs import KernelCost
from graphc.viewer.changes import Changes, ledger
from graphc.viewer.kernels import kernel_costs, kernel_data
from graphc.viewer.programs import FIELDS, Programs


@dataclass(frozen=True)
class Document:
    """What a page shows.

    Attributes:
        title: What is shown.
        graph: The graph after the passes.
        report: What the passes did.
        data: All of it as JSON values.
    """

    title: str
    graph: Graph
    report: Report
    data: dict[str, Any]


def view(
    graph: Graph,
    pipeline: str = "triton",
    title: str | None = None,
    gpu: str = "H200",
    architecture: str = DEFAULT_ARCHITECTURE,
    stop_after: str | None = None,
) -> Document:
    """Runs passes over a graph and collects what there is to see.

    Args:
        graph: A graph without dimension symbols; it stays as it is.
        pipeline: The passes, by name or as text.
        title: What to call it; the graph's name by default.
        gpu: The GPU whose roofline says how long nodes and kernels take.
        architecture: The GPU whose measured schedules kernels have.
        stop_after: The pass after whose first run to stop.

    Raises:
        GraphError: If the graph has symbols.
        PassError: If the pipeline's text is none, or a pass fails.

    Example:
        >>> import graphc
        >>> graph = graphc.ir.parse('''
        ...     graph @f(%x: f32[8]) -> (f32[8]) {
        ...       %y = tanh(%x) : f32[8]
        ...       return %y
        ...     }''')
        >>> [kernel["graph"] for kernel in view(graph).data["kernels"]]
        ['tanh']
    """
    check_bound(graph)
    rates, changes = GPUS[gpu], Changes()
    after, report = run_with_report(
        graph, pipeline, stop_after=stop_after, watch=changes
    )
    kernels, problem = _kernels(after, architecture)
    programs = Programs(rates)
    title = title or f"@{graph.name}"
    data: dict[str, Any] = {
        "title": title,
        "pipeline": report.pipeline,
        "gpu": rates.name,
        "fields": list(FIELDS),
        "before": programs.program(graph, {}),
        "after": programs.program(after, kernels),
        "stages": changes.stages(report),
        "ledger": ledger(report, programs),
        "kernels": kernel_data(after, kernels, rates),
        "problem": problem,
        "numerics": [str(statement) for statement in report.numerics],
        "checks": report.check_summary() if report.checks else "",
        "memory": _memory(graph, after, report),
        "tables": programs.tables(),
    }
    return Document(title, after, report, data)


def _kernels(
    graph: Graph, architecture: str
) -> tuple[dict[str, KernelCost], str | None]:
    """The kernels of a graph, or why there are none though passes made some."""
    if not kernel_graphs(graph):
        return {}, None
    try:
        return kernel_costs(graph, architecture), None
    except GraphcError as error:
        return {}, error.message


def _memory(graph: Graph, after: Graph, report: Report) -> str:
    """The bill of the memory that a run needs: of the nodes, before they are kernels."""
    names = [each.name.partition("{")[0] for each in report.runs]
    place = names.index(Fusion.name) if Fusion.name in names else 0
    if place:
        after = run(graph, report.pipeline, stop_after=place)
    donated = [p.index for p in after.parameters if is_state(p)]
    return str(memory_bill(after, donated))
