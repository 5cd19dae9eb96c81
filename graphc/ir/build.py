"""Building graphs: the current graph, the insertion point and node creation."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any

import numpy as np

from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph, Node, clone_nodes, lookup
from graphc.ir.location import Location
from graphc.ir.opdef import CURRENT, OpDef
from graphc.ir.types import BOOL, F32, I32, dtype
from graphc.ir.values import Literal, Operand, Value


class GraphBuilder:
    """Appends the nodes of ops that are called to a graph.

    Attributes:
        graph: The graph being built.
        before: The node new nodes are put before; None for the end.
        location: The location of new nodes, if they all have one.
        capture: Whether to capture the line of the user's code that calls the op.
        place: The file and line of new nodes, where no line is a user's.
        path: The layer path for captured locations and those at `place`.
        barrier: A function whose callers do not count as the user's code.
        fallback: The location where the user's code is not found before `barrier`.
    """

    def __init__(self, graph: Graph, before: Node | None = None) -> None:
        self.graph = graph
        self.before = before
        self.location: Location | None = None
        self.path: str | None = None
        self.capture = False
        self.place: Location | None = None
        self.barrier: CodeType | None = None
        self.fallback: Location | None = None

    def here(self) -> Location | None:
        """The location of the user's code that is calling, if it is captured."""
        if self.place is not None:
            return self.place.with_path(self.path)
        if not self.capture:
            return None
        found = Location.capture(self.path, self.barrier if self.fallback else None)
        if found is None and self.fallback is not None:
            return self.fallback.with_path(self.path)
        return found

    def insert(self, node: Node) -> None:
        """Puts a finished node at the insertion point."""
        self.graph.insert(node, self.before)

    def apply(
        self, op: OpDef, operands: Sequence[Any], attributes: Mapping[str, Any]
    ) -> Any:
        """Makes a node after checking it; returns its result or tuple of results.

        Python numbers become literals of the dtype of the first value or literal among
        the operands that may have the same dtypes.

        Raises:
            GraphError: If the use of the op is ill-typed.
        """
        location = self.location or self.here()
        try:
            read = literal_operands(op, operands)
            encoded = op.encode(attributes)
            types = op.result_types([o.type for o in read], encoded, self.graph.module)
        except GraphError as error:
            error.location = error.location or location or Location.capture(self.path)
            raise
        node = Node(op, read, encoded, types, location)
        self.insert(node)
        return node.results[0] if len(node.results) == 1 else node.results


def literal_operands(op: OpDef, operands: Sequence[Any]) -> list[Operand]:
    """`operands` with Python numbers and NumPy scalars turned into literals."""
    return [
        operand if isinstance(operand, (Value, Literal)) else _literal(op, operands, i)
        for i, operand in enumerate(operands)
    ]


def _literal(op: OpDef, operands: Sequence[Any], position: int) -> Literal:
    number = operands[position]
    if not isinstance(number, (bool, int, float, np.generic)):
        raise GraphError(
            f"{op.name}: operands must be values, literals or numbers",
            received=type(number).__name__,
        )
    last = len(op.dtypes) - 1
    accepted = op.dtypes[min(position, last)]
    for other, operand in enumerate(operands):
        typed = isinstance(operand, (Value, Literal))
        if typed and op.dtypes[min(other, last)] == accepted:
            return Literal(number, operand.dtype)
    if isinstance(number, np.generic):
        return Literal(number, dtype(number.dtype))
    if isinstance(number, bool):
        return Literal(number, BOOL)
    return Literal(number, I32 if isinstance(number, int) else F32)


def current_builder() -> GraphBuilder:
    """The innermost builder of this thread."""
    if not CURRENT.builders or not isinstance(CURRENT.builders[-1], GraphBuilder):
        raise GraphError("no graph is being built")
    return CURRENT.builders[-1]


@contextmanager
def building(
    graph: Graph, before: Node | None = None, location: Location | None = None
) -> Generator[GraphBuilder, None, None]:
    """While open, ops that are called add nodes to `graph`.

    Example:
        >>> from graphc.ir import Graph, building, tensor_type
        >>> from graphc.ir.ops import negate
        >>> graph = Graph("f")
        >>> x = graph.add_parameter(tensor_type("f32[3]"), "x")
        >>> with building(graph):
        ...     graph.results = [negate(x)]
        >>> print(graph)
        graph @f(%x: f32[3]) -> (f32[3]) {
          %0 = negate(%x) : f32[3]
          return %0
        }
        <BLANKLINE>
    """
    builder = GraphBuilder(graph, before)
    builder.location = location
    with entered(builder):
        yield builder


class entered:  # noqa: N801 - it is read as a verb: `with entered(builder):`
    """While open, `builder` is the current builder of this thread."""

    __slots__ = ("builder",)

    def __init__(self, builder: GraphBuilder) -> None:
        self.builder = builder

    def __enter__(self) -> None:
        CURRENT.builders.append(self.builder)

    def __exit__(self, *error: object) -> None:
        CURRENT.builders.pop()


def inline(graph: Graph, operands: Sequence[Operand]) -> tuple[Operand, ...]:
    """Copies the nodes of `graph` to the insertion point, reading `operands`.

    Returns what stands for the results. Graphs that `graph` calls and constants that
    it reads must be in the module that is being built.
    """
    builder = current_builder()
    values = dict(zip(graph.parameters, operands, strict=True))
    place = builder.location
    clone_nodes(
        graph.nodes,
        values,
        builder.insert,
        relocate=lambda location: place if location is None else location,
        keep_names=False,
    )
    return tuple(lookup(values, result) for result in graph.results)
