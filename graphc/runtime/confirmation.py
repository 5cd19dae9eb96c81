"""Whether what was compiled computes what its graph means: it is run on samples."""

from __future__ import annotations

from graphc.ir.errors import CompileError, UnsupportedError
from graphc.ir.graph import Graph
from graphc.passes import Report
from graphc.passes.samples import Samples
from graphc.runtime.backend import Program


def confirm(graph: Graph, target: str, program: Program, report: Report | None) -> str:
    """Runs a program on samples of its inputs and compares with the evaluator.

    Args:
        graph: The graph that was compiled, before passes, without dimension symbols.
        target: The name of the target.
        program: The compiled program.
        report: What the passes did, which says how far results may be off.

    Returns:
        How it was compared, or why not.

    Raises:
        CompileError: If a result is off by more than rounding explains.
    """
    try:
        samples = Samples(graph)
    except UnsupportedError as error:
        return f"{target}: not compared: {error.message}"
    inexact = report.ledger.inexact if report is not None else []
    classes = list(dict.fromkeys(each.numerics for each in inexact))
    problem = samples.disagreement(graph, program.run, classes)
    if problem is not None:
        raise CompileError(
            f"@{graph.name} on {target} is not what the graph means: {problem}",
            hint="graphc vote runs each node alone on every target and names the one"
            " that differs",
        )
    return f"{target}: results within rounding of the evaluator's on samples"
