"""What there is to choose for a kernel, and what lock files call a kernel."""

from __future__ import annotations

from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE, emit_kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning.candidates import candidates
from graphc.ir.graph import Graph
from graphc.ir.printer import program_digest
from graphc.passes.fusion.outlining import KERNEL

SHOWN = 4
"""How many types the shape of a kernel lists."""


def schedules(
    graph: Graph, architecture: str = DEFAULT_ARCHITECTURE
) -> dict[str, Schedule]:
    """The schedules that the kernel of a graph may be launched with, by name.

    Args:
        graph: The kernel graph.
        architecture: The GPU.

    Returns:
        The schedules, that of the cost model first.
    """
    default = emit_kernel(graph, architecture=architecture)
    every = [default.schedule, *candidates(graph, default, architecture)]
    return {str(each): each for each in every}


def kernel_key(graph: Graph) -> str:
    """What a kernel is called in lock files, wherever it is used.

    That is its kind and a digest of what it computes, but for the names of graph and
    values, which depend on what is around it.
    """
    kind = graph.attributes.get(KERNEL, "own")
    return f"kernel:{kind}@{program_digest(graph)}"


def kernel_shape(graph: Graph) -> str:
    """The types of a kernel's first parameters; empty if it has none."""
    types = [str(parameter.type) for parameter in graph.parameters]
    return " ".join([*types[:SHOWN], *(["..."] if len(types) > SHOWN else [])])
