"""Graphs over padded sizes: what a graph with dimension symbols computes, at any size.

A program is compiled for one size and runs smaller inputs, which are padded. The graph
gets the sizes that count as parameters. Each value is followed: which of its axes are
padded, where along them its elements are, and what the padding holds (`axes.py`). Where
results would depend on padding, it is filled: before sums with 0, before maxima with
the lowest number, and so on, as trials of the node tell (`trials.py`). What depends on
sizes in another way has a rule: slices that count from the end, what is joined, turned
round or given another shape, sizes that are asked for (`shapes.py`), and what calls
graphs (`loops.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.ir.errors import GraphError, UnsupportedError
from graphc.ir.graph import Graph
from graphc.passes.ledger import Ledger
from graphc.passes.padding.axes import factors_of, prefixes
from graphc.passes.padding.loops import LOOP_RULES
from graphc.passes.padding.shapes import SHAPE_RULES
from graphc.passes.padding.step import Padding, SharedTrials
from graphc.passes.rewrite import Rewriter

NAME = "pad_dimensions"


def pad_dimensions(
    graph: Graph, sizes: Mapping[str, int], trials: SharedTrials | None = None
) -> Graph:
    """A graph for padded inputs, with the sizes that count as further parameters.

    Args:
        graph: A graph of primitives, loops and conditionals; it stays as it is.
        sizes: The sizes that the dimension symbols of the graph are padded to.
        trials: Where what trials show is kept; share it between several sizes.

    Returns:
        A graph without symbols. Behind the parameters of `graph` it has an i32 for each
        symbol, in alphabetical order, such as ``%B_size``. The first elements of its
        results, as many as the results of `graph` have for those sizes, are those of
        `graph`; the others may be anything.

    Raises:
        GraphError: If a symbol has no size, or the smallest of its declared range does
            not fit the graph.
        UnsupportedError: If the results of a node depend on padding in a way that
            nothing is known for; names the node, its layer and the reason.
    """
    if missing := sorted(graph.mentioned_symbols - sizes.keys()):
        raise GraphError(
            f"graph @{graph.name} has dimension symbols without a size to pad to",
            received=", ".join(missing),
        )
    _check_smallest(graph, sizes)
    source, result = graph.copy(), graph.copy(sizes)
    rewriter = Rewriter(Ledger(), NAME, required=True)
    shared = {} if trials is None else trials
    padding = Padding(sizes, rewriter, {**SHAPE_RULES, **LOOP_RULES}, shared)
    given = [prefixes(p.type, padding.symbols) for p in source.parameters]
    found = padding.graph(source, result, given)
    for number, (operand, state) in enumerate(zip(source.results, found, strict=True)):
        for axis in state:
            if factors_of(operand.type, state, axis) != (operand.type.shape[axis],):
                raise UnsupportedError(
                    f"the elements of result {number} of @{graph.name} do not lie"
                    f" together along axis {axis} if {' or '.join(sorted(sizes))} is padded",
                    received=str(operand.type),
                )
    return result.copy()


def _check_smallest(graph: Graph, sizes: Mapping[str, int]) -> None:
    """Raises a `GraphError` unless the graph is well-typed for its smallest sizes."""
    least = {name: graph.ranges.get(name, (1, 0))[0] for name in sizes}
    for name, size in sizes.items():
        low, high = graph.ranges.get(name, (size, size))
        if not low <= size <= high:
            raise GraphError(
                f"graph @{graph.name}: {name} must be in {low}..{high}",
                received=f"{name}={size}",
            )
    graph.copy(least).verify()


__all__ = ["SharedTrials", "pad_dimensions"]
