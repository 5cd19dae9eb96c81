"""The IR's data structures: Module, Graph, Node, Value and Literal.

A `Module` holds graphs that call one another by name, and larger constants. A `Graph`
has parameters, nodes in execution order and results. A `Node` is one use of an op: it
reads operands (values and inline literals) and defines values. Every value knows its
uses, so rewriting needs no search.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.ir.collection import collection_paused
from graphc.ir.dims import Dim, substitute, symbols_of
from graphc.ir.errors import GraphError
from graphc.ir.location import Location
from graphc.ir.opdef import RETURN, OpDef
from graphc.ir.printer import print_graph
from graphc.ir.types import TensorType, dtype
from graphc.ir.values import Attributes, Literal, Operand, Value, is_name
from graphc.ir.verifier import verify


class Node:
    """One use of an op in a graph. Make nodes by calling ops, not this class.

    Attributes:
        op: The op that is applied.
        operands: The values and literals it reads.
        attributes: The op's attributes in JSON form; defaults are left out.
        results: The values it defines.
        location: Where in the user's program it comes from.
        graph: The graph it belongs to, or None once removed.
    """

    __slots__ = (
        "_next",
        "_previous",
        "attributes",
        "graph",
        "location",
        "op",
        "operands",
        "results",
    )

    def __init__(
        self,
        op: OpDef,
        operands: Iterable[Operand],
        attributes: Attributes,
        types: Iterable[TensorType],
        location: Location | None = None,
    ) -> None:
        self.op = op
        self.operands: tuple[Operand, ...] = tuple(operands)
        self.attributes = attributes
        self.results = tuple([Value(t, None, self, i) for i, t in enumerate(types)])
        self.location = location
        self.graph: Graph | None = None
        self._previous: Node | None = None
        self._next: Node | None = None
        for position, operand in enumerate(self.operands):
            if isinstance(operand, Value):
                operand.uses[self, position] = None

    @property
    def result(self) -> Value:
        """The single result of a node that has one."""
        (value,) = self.results
        return value

    @property
    def next(self) -> Node | None:
        """The node after this one in its graph."""
        return self._next

    @property
    def previous(self) -> Node | None:
        """The node before this one in its graph."""
        return self._previous

    def set_operand(self, position: int, new: Operand) -> None:
        """Makes operand `position` read `new`."""
        old = self.operands[position]
        if isinstance(old, Value):
            del old.uses[self, position]
        before, after = self.operands[:position], self.operands[position + 1 :]
        self.operands = (*before, new, *after)
        if isinstance(new, Value):
            new.uses[self, position] = None

    def set_operands(self, new: Mapping[int, Operand]) -> None:
        """Makes the operands at some positions read others, all at once."""
        operands = list(self.operands)
        for position, operand in new.items():
            old = operands[position]
            if isinstance(old, Value):
                del old.uses[self, position]
            if isinstance(operand, Value):
                operand.uses[self, position] = None
            operands[position] = operand
        self.operands = tuple(operands)

    def extend(self, types: Iterable[TensorType]) -> tuple[Value, ...]:
        """Adds results of these types behind those the node has, and returns them."""
        first = len(self.results)
        added = tuple(
            [Value(t, self.graph, self, first + i) for i, t in enumerate(types)]
        )
        self.results = (*self.results, *added)
        return added

    def _drop_operands(self) -> None:
        for position, operand in enumerate(self.operands):
            if isinstance(operand, Value):
                del operand.uses[self, position]
        self.operands = ()

    def __repr__(self) -> str:
        return f"<Node {self.op.name} : {', '.join(str(r.type) for r in self.results)}>"


class Graph:
    """Parameters, nodes in execution order, and results.

    ``str(graph)`` prints the graph with everything it calls; `graphc.ir.parse` reads
    that text back to an equal graph.

    Attributes:
        name: The name other graphs call it by; unique in its module.
        ranges: The declared inclusive range of each dimension symbol.
        attributes: JSON values by name.
        module: The module it belongs to.
    """

    def __init__(self, name: str, module: Module | None = None) -> None:
        self.name = name
        self._parameters: list[Value] = []
        self._listed: tuple[Value, ...] | None = ()
        self.ranges: dict[str, tuple[int, int]] = {}
        self.attributes: Attributes = {}
        self._first: Node | None = None
        self._last: Node | None = None
        self._size = 0
        self._calls = 0
        self._return = Node(RETURN, (), {}, ())
        self._return.graph = self
        self.module = module if module is not None else Module()
        self.module.add(self)

    # -- contents ------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[Value, ...]:
        """The values it takes."""
        if self._listed is None:
            self._listed = tuple(self._parameters)
        return self._listed

    @parameters.setter
    def parameters(self, values: Iterable[Value]) -> None:
        self._parameters = list(values)
        self._listed = None

    def add_parameter(
        self,
        type: TensorType,
        name: str | None = None,
        attributes: Attributes | None = None,
    ) -> Value:
        """Appends a parameter and returns it."""
        value = Value(type, self, None, len(self._parameters), name, attributes)
        self._parameters.append(value)
        self._listed = None
        return value

    def remove_parameter(self, value: Value) -> None:
        """Removes a parameter that nothing reads."""
        if value.uses:
            raise GraphError(f"parameter %{value.name} is still used")
        self.parameters = tuple(p for p in self.parameters if p is not value)
        for index, parameter in enumerate(self.parameters):
            parameter.index = index
        value.graph = None

    @property
    def results(self) -> tuple[Operand, ...]:
        """What the graph returns."""
        return self._return.operands

    @results.setter
    def results(self, operands: Iterable[Operand]) -> None:
        self._return._drop_operands()
        self._return.operands = tuple(operands)
        for position, operand in enumerate(self._return.operands):
            if isinstance(operand, Value):
                operand.uses[self._return, position] = None

    @property
    def return_node(self) -> Node:
        """The terminator, whose operands are the results; not among `nodes`."""
        return self._return

    @property
    def nodes(self) -> Iterator[Node]:
        """The nodes in order. The current node may be removed while iterating."""
        node = self._first
        while node is not None:
            following = node._next
            yield node
            node = following

    @property
    def last(self) -> Node | None:
        """The last node."""
        return self._last

    def reversed_nodes(self) -> Iterator[Node]:
        """The nodes from the last to the first; the current one may be removed."""
        node = self._last
        while node is not None:
            following = node._previous
            yield node
            node = following

    def __len__(self) -> int:
        return self._size

    def insert(self, node: Node, before: Node | None = None) -> None:
        """Puts a new node before `before`, or at the end."""
        if before is self._return:
            before = None
        node.graph = self
        for value in node.results:
            value.graph = self
        node._next = before
        node._previous = self._last if before is None else before._previous
        if node._previous is None:
            self._first = node
        else:
            node._previous._next = node
        if before is None:
            self._last = node
        else:
            before._previous = node
        self._size += 1
        self._calls += bool(node.op.graph_attributes)

    def _unlink(self, node: Node) -> None:
        if node._previous is None:
            self._first = node._next
        else:
            node._previous._next = node._next
        if node._next is None:
            self._last = node._previous
        else:
            node._next._previous = node._previous
        self._size -= 1
        self._calls -= bool(node.op.graph_attributes)

    def remove(self, node: Node) -> None:
        """Removes a node whose results nothing reads."""
        for value in node.results:
            if value.uses:
                raise GraphError(f"a result of {node.op.name} is still used")
        self._unlink(node)
        node._drop_operands()
        node.graph = None
        for value in node.results:
            value.graph = None

    def remove_unread(self) -> None:
        """Removes the nodes whose results nothing reads, effects or not."""
        for node in self.reversed_nodes():
            if not any(value.uses for value in node.results):
                self.remove(node)

    def move(self, node: Node, before: Node | None) -> None:
        """Moves `node` before `before`, or to the end."""
        self._unlink(node)
        self.insert(node, before)

    # -- whole-graph operations ----------------------------------------------------

    @property
    def symbols(self) -> set[str]:
        """The dimension symbols of the parameters."""
        return set[str]().union(*(p.type.symbols for p in self.parameters))

    @property
    def mentioned_symbols(self) -> set[str]:
        """The dimension symbols of all types and attributes, those of callees too."""
        shapes: set[tuple[Dim, ...]] = set()
        for graph in self.reachable():
            shapes.update(value.type.shape for value in graph.parameters)
            for node in graph.nodes:
                if node.op.dim_attributes:
                    shapes.add(node.op.dims(node.attributes))
                for value in node.results:
                    shapes.add(value.type.shape)
        return symbols_of({dim for shape in shapes for dim in shape})

    def callees(self) -> list[Graph]:
        """The graphs that nodes of this graph name, each once, in order of first use.

        A name that the module lacks is left out: damaged graphs are printed too.
        """
        if not self._calls:
            return []
        names = (
            name
            for node in self.nodes
            if node.op.graph_attributes
            for name in node.op.graph_names(node)
        )
        graphs = self.module.graphs
        return [graphs[name] for name in dict.fromkeys(names) if name in graphs]

    def constant_names(self) -> list[str]:
        """The names of the constants that nodes of this graph read, in their order."""
        return [
            name
            for node in self.nodes
            if node.op.constant_attributes
            for name in node.op.constant_names(node)
        ]

    def reachable(self) -> list[Graph]:
        """This graph and all graphs it calls, directly or not, in order of first use."""
        found: dict[str, Graph] = {self.name: self}
        queue: list[Graph] = [self]
        for graph in queue:
            for callee in graph.callees():
                if callee.name not in found:
                    found[callee.name] = callee
                    queue.append(callee)
        return list(found.values())

    @collection_paused()
    def copy(self, bindings: Mapping[str, Dim] | None = None) -> Graph:
        """This graph, everything it calls and its constants in a module of their own.

        Args:
            bindings: Dims to put for symbols in all types and attributes.
        """
        module = Module()
        for graph in self.reachable():
            clone_graph(graph, graph.name, module, bindings or {})
        for graph in module.graphs.values():
            for name in graph.constant_names():
                module.constants[name] = self.module.constants[name]
        return module.graphs[self.name]

    @collection_paused()
    def bind(self, **symbols: int) -> Graph:
        """A copy with dimension symbols bound to integers within their ranges.

        Raises:
            GraphError: For an unknown symbol, a size that is no integer within the
                declared range of its symbol, or one that makes a dimension negative.
        """
        for name, size in symbols.items():
            if name not in self.ranges:
                raise GraphError(
                    f"graph @{self.name} has no dimension symbol {name!r}",
                    received=f"{name}={size}",
                    hint=f"its symbols: {', '.join(self.ranges) or 'none'}",
                )
            if isinstance(size, bool) or not isinstance(size, int):
                raise GraphError(
                    f"graph @{self.name}: {name} must be an integer",
                    received=f"{name}={size!r}",
                )
            low, high = self.ranges[name]
            if not low <= size <= high:
                raise GraphError(
                    f"graph @{self.name}: {name} must be in {low}..{high}",
                    received=f"{name}={size}",
                )
        copy = self.copy(symbols)
        for graph in copy.reachable():
            _require_sizes(graph, symbols)
        return copy

    def verify(self) -> None:
        """Checks that the graph and everything it calls is well formed and typed.

        Raises:
            GraphError: Naming the graph, the node and the rule that is broken.
        """
        verify(self)

    def __str__(self) -> str:
        return print_graph(self)

    def __repr__(self) -> str:
        return f"<Graph @{self.name}: {len(self)} nodes>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        mine, theirs = self.reachable(), other.reachable()
        return (
            len(mine) == len(theirs)
            and all(_same_graph(a, b) for a, b in zip(mine, theirs, strict=True))
            and _same_constants(mine, theirs)
        )

    __hash__ = None  # type: ignore[assignment]


class Module:
    """Graphs that call one another by name, and the constants they read.

    Dimension symbols have one meaning throughout a module.

    Attributes:
        graphs: The graphs by name.
        constants: Arrays by name, which `constant` nodes read.
    """

    def __init__(self) -> None:
        self.graphs: dict[str, Graph] = {}
        self.constants: dict[str, np.ndarray[Any, Any]] = {}

    def add(self, graph: Graph) -> None:
        """Adds a graph whose name no other graph of the module has.

        Raises:
            GraphError: If the name is taken or is not an identifier.
        """
        _check_name(graph.name, "graph")
        if graph.name in self.graphs:
            raise GraphError(f"the module already has a graph @{graph.name}")
        self.graphs[graph.name] = graph
        graph.module = self

    def remove(self, graph: Graph) -> None:
        """Removes a graph."""
        del self.graphs[graph.name]

    def remove_since(self, known: Collection[str]) -> None:
        """Removes the graphs whose names are not among those `known` before."""
        for name in self.graphs.keys() - known:
            del self.graphs[name]

    def include(self, graph: Graph, bindings: Mapping[str, Dim] | None = None) -> Graph:
        """Adds a copy of a graph of another module, with what it calls and reads.

        What has a name that is taken in this module gets a number behind it.

        Args:
            graph: The graph; it and its module stay as they are.
            bindings: Dims to put for symbols in all types and attributes.

        Returns:
            The copy of `graph`.
        """
        graphs = graph.reachable()
        taken = set(self.graphs)
        renamed: dict[str, str] = {}
        for each in graphs:
            renamed[each.name] = fresh_name(each.name, taken)
            taken.add(renamed[each.name])
        for each in graphs:
            copy = clone_graph(each, renamed[each.name], self, bindings)
            for node in copy.nodes:
                constants = {
                    name: self.add_constant(each.module.constants[name], name)
                    for name in node.op.constant_names(node)
                }
                node.attributes = node.op.rename(node.attributes, renamed, constants)
        return self.graphs[renamed[graph.name]]

    def fresh_name(self, wanted: str) -> str:
        """`wanted`, or `wanted` with the first free number behind it."""
        return fresh_name(wanted, self.graphs)

    def add_constant(self, array: np.ndarray[Any, Any], name: str = "c") -> str:
        """Stores an array and returns the name it is read by.

        Raises:
            GraphError: If graphs have no such dtype or the name is not an identifier.
        """
        for existing, stored in self.constants.items():
            if stored is array:
                return existing
        _check_name(name, "constant")
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        dtype(native.dtype)
        name = fresh_name(name, self.constants)
        self.constants[name] = native
        return name


def check_graph(of: object, caller: str) -> None:
    """Raises a `GraphError` unless `of` is a graph; `caller` is what asked for one."""
    if not isinstance(of, Graph):
        of_model = callable(getattr(of, "graph", None))
        raise GraphError(
            f"{caller}: expected a graph",
            received=type(of).__name__,
            hint="model.graph('predict') is the graph of a step" if of_model else None,
        )


def _check_name(name: object, what: str) -> None:
    if not is_name(name):
        raise GraphError(
            f"a {what}'s name must be an identifier, dots allowed",
            received=repr(name)[:100],
            hint="graphc.ir.values.sanitize_name makes one of any text",
        )


def fresh_name(wanted: str, taken: Any) -> str:
    """`wanted`, or `wanted` with the first number behind it that is not `taken`."""
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def clone_graph(
    graph: Graph, name: str, module: Module, bindings: Mapping[str, Dim] | None = None
) -> Graph:
    """Adds to `module` a copy of `graph` called `name`; callees are not copied."""
    bindings = bindings or {}
    clone = Graph(name, module)
    clone.attributes = graph.attributes
    clone.ranges = {s: r for s, r in graph.ranges.items() if s not in bindings}
    values: dict[Value, Operand] = {}
    for p in graph.parameters:
        values[p] = clone.add_parameter(_bound(p.type, bindings), p.name, p.attributes)
    clone_nodes(graph.nodes, values, clone.insert, bindings)
    clone.results = [lookup(values, r) for r in graph.results]
    return clone


def _is_negative(size: Dim) -> bool:
    return isinstance(size, int) and size < 0


def _require_sizes(graph: Graph, symbols: Mapping[str, int]) -> None:
    """Checks that `symbols`, which have been put into `graph`, make no negative dim."""
    results = (value for node in graph.nodes for value in node.results)
    for value in (*graph.parameters, *results):
        if any(map(_is_negative, value.type.shape)):
            node = value.node
            sizes = ", ".join(f"{name}={size}" for name, size in symbols.items())
            where = node.op.name if node else f"%{value.name or value.index}"
            raise GraphError(
                f"graph @{graph.name}: with {sizes} a dimension of {where} is negative",
                received=str(value.type),
                location=node.location if node else None,
                hint="declare a range of the symbol in which all sizes are at least 0",
            )


def clone_nodes(
    nodes: Iterable[Node],
    values: dict[Value, Operand],
    insert: Callable[[Node], None],
    bindings: Mapping[str, Dim] | None = None,
    relocate: Callable[[Location | None], Location | None] = lambda location: location,
    keep_names: bool = True,
) -> None:
    """Copies `nodes`, reading operands through `values` and recording results there."""
    for node in nodes:
        attributes = node.attributes
        if bindings:
            attributes = node.op.substitute_dims(attributes, bindings)
        copy = Node(
            node.op,
            [lookup(values, operand) for operand in node.operands],
            attributes,
            [_bound(r.type, bindings) for r in node.results],
            relocate(node.location),
        )
        insert(copy)
        for old, new in zip(node.results, copy.results, strict=True):
            new.name = old.name if keep_names else None
            values[old] = new


def lookup(values: Mapping[Value, Operand], operand: Operand) -> Operand:
    """What `operand` stands for under `values`; literals stand for themselves."""
    return operand if isinstance(operand, Literal) else values[operand]


def _bound(type: TensorType, bindings: Mapping[str, Dim] | None) -> TensorType:
    if not bindings or all(isinstance(d, int) for d in type.shape):
        return type
    return type.with_shape(substitute(d, bindings) for d in type.shape)


def _same_graph(a: Graph, b: Graph) -> bool:
    if (a.name, a.ranges, a.attributes) != (b.name, b.ranges, b.attributes):
        return False
    if len(a.parameters) != len(b.parameters) or len(a) != len(b):
        return False
    values: dict[Value, Value] = {}

    def same_values(left: Sequence[Value], right: Sequence[Value]) -> bool:
        values.update(zip(left, right, strict=False))
        return len(left) == len(right) and all(
            (x.type, x.name, x.attributes) == (y.type, y.name, y.attributes)
            for x, y in zip(left, right, strict=True)
        )

    def same_operands(left: Sequence[Operand], right: Sequence[Operand]) -> bool:
        return len(left) == len(right) and all(
            values.get(x) is y if isinstance(x, Value) else x == y
            for x, y in zip(left, right, strict=True)
        )

    if not same_values(a.parameters, b.parameters):
        return False
    for x, y in zip(a.nodes, b.nodes, strict=True):
        if x.op is not y.op or x.attributes != y.attributes or x.location != y.location:
            return False
        if not same_operands(x.operands, y.operands):
            return False
        if not same_values(x.results, y.results):
            return False
    return same_operands(a.results, b.results)


def _same_constants(mine: list[Graph], theirs: list[Graph]) -> bool:
    for a, b in zip(mine, theirs, strict=True):
        for node in a.nodes:
            for name in node.op.constant_names(node):
                x, y = a.module.constants[name], b.module.constants.get(name)
                if y is None or x.dtype != y.dtype or x.shape != y.shape:
                    return False
                if x.tobytes() != y.tobytes():
                    return False
    return True
