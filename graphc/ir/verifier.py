"""The rules of well-formed, well-typed graphs, checked in linear time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from graphc.ir.dims import Dim, SymbolicDim, symbols_of
from graphc.ir.errors import GraphError
from graphc.ir.location import Location
from graphc.ir.opdef import OPS, operand_types
from graphc.ir.printer import value_names
from graphc.ir.types import DType, TensorType, checked_type, dtype
from graphc.ir.values import Attributes, Literal, Operand, Value, is_name

if TYPE_CHECKING:
    from graphc.ir.graph import Graph, Node

MAX_DEPTH = 32
"""How deep the JSON of an attribute may nest."""

_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def verify(graph: Graph) -> None:
    """Checks that `graph` and everything it calls is well formed and well typed.

    Raises:
        GraphError: Naming the graph, the node and the rule that is broken.
    """
    Verifier(graph).run([graph])


class Verifier:
    """One run of the checks over graphs of a module and all graphs that they call.

    Attributes:
        graph: The graph that is being checked.
        node: The node that is being checked, if one is.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.node: Node | None = None
        self._callees: dict[str, list[Graph]] = {}
        self._names: set[str] = set()
        self._defined: set[Value] = set()
        self._declared: set[Dim] = set()

    def run(self, graphs: Iterable[Graph]) -> None:
        """Checks `graphs` and what they call; raises at the first broken rule."""
        roots = list(graphs)
        reached = list(roots)
        # Form comes first, in all graphs: type rules may look into callees.
        for graph in reached:
            if graph.name not in self._callees:
                self._callees[graph.name] = self._check_form(graph)
                reached += self._callees[graph.name]
        for graph in self._callees_first(roots):
            self._check_types(graph)

    def fail(
        self, rule: str, received: object = None, cause: GraphError | None = None
    ) -> NoReturn:
        """Raises the error that the current graph and node break `rule`."""
        place = f"graph @{self.graph.name}: "
        location = None
        if self.node is not None:
            place += f"{self._label(self.node)}: "
            if isinstance(self.node.location, Location):
                location = self.node.location
        text = None if received is None else str(received)[:400]
        hint = cause.hint if cause is not None else None
        raise GraphError(
            place + rule, received=text, location=location, hint=hint
        ) from cause

    def _label(self, node: Node) -> str:
        if node is self.graph.return_node:
            return "return"
        # Count on no link of a damaged graph: name only as many nodes as there are.
        names = value_names(self.graph, islice(self.graph.nodes, len(self.graph) + 1))
        results = ", ".join(names.get(result, "%?") for result in node.results[:8])
        return f"{results} = {node.op.name}"

    # -- form: links, names, attributes, uses --------------------------------------

    def _check_form(self, graph: Graph) -> list[Graph]:
        """Checks all rules but the types'; returns the graphs it calls."""
        self.graph, self.node = graph, None
        self._names, self._defined, self._declared = set(), set(), set()
        if not is_name(graph.name):
            self.fail("a graph's name must be an identifier, dots allowed")
        if graph.module.graphs.get(graph.name) is not graph:
            self.fail("the graph is not in its module under its name")
        self._check_ranges(graph.ranges)
        self._check_attributes(graph.attributes)
        for index, parameter in enumerate(graph.parameters):
            self._check_value(parameter, None, index)
            self._check_type(parameter.type)
            self._check_attributes(parameter.attributes)
        callees = self._check_nodes(graph)
        self.node = graph.return_node
        if graph.return_node.graph is not graph:
            self.fail("the terminator belongs to another graph")
        if not graph.results:
            self.fail("the graph has no results")
        self._check_operands(graph.return_node)
        self._check_uses(graph)
        return callees

    def _check_ranges(self, ranges: Mapping[str, tuple[int, int]]) -> None:
        for symbol, limits in ranges.items():
            if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
                self.fail("a dimension symbol must be an identifier", repr(symbol))
            if not _is_range(limits):
                self.fail(f"the range of {symbol} must be 0 <= low <= high", limits)

    def _check_nodes(self, graph: Graph) -> list[Graph]:
        callees: dict[str, Graph] = {}
        previous = None
        count = 0
        for node in graph.nodes:
            self.node = node
            count += 1
            if node.previous is not previous or node.graph is not graph:
                self.fail("the node is not linked into the graph")
            previous = node
            if OPS.get(node.op.name) is not node.op:
                self.fail("the op is not in the op table")
            if node.location is not None and not isinstance(node.location, Location):
                self.fail("the location is none", repr(node.location))
            self._check_node_attributes(node)
            self._check_operands(node)
            for index, result in enumerate(node.results):
                self._check_value(result, node, index)
            for name in node.op.graph_names(node):
                callees[name] = self._find_callee(graph, name)
            for name in node.op.constant_names(node):
                self._check_constant(graph, name)
        self.node = None
        if count != len(graph) or previous is not graph.last:
            self.fail("the graph's nodes are not linked properly")
        return list(callees.values())

    def _find_callee(self, graph: Graph, name: str) -> Graph:
        callee = graph.module.graphs.get(name)
        if callee is None:
            self.fail(f"the module has no graph @{name}")
        if callee.name != name or callee.module is not graph.module:
            self.fail(f"the module's graph @{name} has another name or module")
        return callee

    def _check_constant(self, graph: Graph, name: str) -> None:
        array = graph.module.constants.get(name)
        if array is None:
            self.fail(f"the module has no constant @{name}")
        if not is_name(name):
            self.fail("a constant's name must be an identifier, dots allowed", name)
        if not isinstance(array, np.ndarray):
            self.fail(f"constant @{name} is not an array", type(array).__name__)
        try:
            dtype(array.dtype)
        except GraphError as error:
            self.fail(f"constant @{name} has no dtype of the IR", array.dtype, error)

    def _check_node_attributes(self, node: Node) -> None:
        self._check_attributes(node.attributes)
        if not _identical(self._encode(node), node.attributes):
            self.fail("the attributes are not in canonical form", node.attributes)
        self._check_symbols(node.op.dims(node.attributes))

    def _encode(self, node: Node) -> Attributes:
        try:
            return node.op.encode(node.attributes)
        except GraphError as error:
            self.fail(_rule(error, node), error.received, error)

    def _check_attributes(self, attributes: Attributes) -> None:
        if not isinstance(attributes, dict):
            self.fail("attributes are no dict", repr(attributes))
        for key, value in attributes.items():
            if not is_name(key):
                self.fail("an attribute's name must be an identifier", repr(key))
            if problem := json_problem(value):
                self.fail(f"attribute {key} is not JSON: {problem}")

    def _check_value(self, value: Value, node: Node | None, index: int) -> None:
        name = value.name
        if name is not None:
            if not is_name(name):
                self.fail("a value's name must be an identifier", repr(name))
            if name in self._names:
                self.fail(f"the name %{name} is defined twice")
            self._names.add(name)
        if value.graph is not self.graph or value.node is not node:
            self.fail("a value belongs to another node or graph", name)
        if value.index != index or value in self._defined:
            self.fail("a value is not at its position", name)
        self._defined.add(value)

    def _check_operands(self, node: Node) -> None:
        if not isinstance(node.operands, tuple):
            self.fail("the operands are no tuple", type(node.operands).__name__)
        for position, operand in enumerate(node.operands):
            if isinstance(operand, Literal):
                if not _is_whole(operand):
                    self.fail(f"operand {position} is no literal of its dtype")
                continue
            if operand not in self._defined:
                self._fail_undefined(position, operand)
            if (node, position) not in operand.uses:
                self.fail(f"operand {position} does not know of its use by the node")

    def _fail_undefined(self, position: int, operand: Operand) -> NoReturn:
        if not isinstance(operand, Value):
            self.fail(f"operand {position} is no value or literal", repr(operand))
        if operand.graph is not self.graph:
            self.fail(f"operand {position} is a value of another graph or removed node")
        self.fail(f"operand {position} is used before its definition")

    def _check_uses(self, graph: Graph) -> None:
        nodes = {*graph.nodes, graph.return_node}
        self.node = None
        for value in self._defined:
            for user, position in value.uses:
                read = user.operands[position : position + 1]
                if user not in nodes or read != (value,):
                    label = value_names(graph, graph.nodes)[value]
                    self.fail("a value lists a use that is none", label)

    # -- types -----------------------------------------------------------------------

    def _callees_first(self, roots: Iterable[Graph]) -> list[Graph]:
        """The checked graphs, each after the graphs it calls."""
        order: dict[str, Graph] = {}
        for root in roots:
            # Depth first without recursion: call chains may be thousands long.
            path = {root.name: (root, iter(self._callees[root.name]))}
            while path and root.name not in order:
                graph, remaining = next(reversed(path.values()))
                callee = next(remaining, None)
                if callee is None:
                    order[graph.name] = graph
                    del path[graph.name]
                elif callee.name in path:
                    self._fail_cycle(callee, list(path))
                elif callee.name not in order:
                    path[callee.name] = (callee, iter(self._callees[callee.name]))
        return list(order.values())

    def _fail_cycle(self, callee: Graph, path: list[str]) -> NoReturn:
        cycle = [*path[path.index(callee.name) :], callee.name]
        self.graph, self.node = callee, None
        self.fail(
            "graphs must not call themselves", " -> ".join(f"@{name}" for name in cycle)
        )

    def _check_types(self, graph: Graph) -> None:
        self.graph = graph
        self._declared = set()
        for node in graph.nodes:
            self.node = node
            inferred = self._infer(node)
            declared = tuple([result.type for result in node.results])
            for type in declared:
                if not _is_type(type):
                    self.fail("a type is no tensor type")
            if declared != inferred:
                self.fail(
                    "the declared result types differ from the inferred ones",
                    f"declared {_types_text(declared)}, inferred {_types_text(inferred)}",
                )
            for type in declared:
                self._check_symbols(type.shape)

    def _infer(self, node: Node) -> tuple[TensorType, ...]:
        try:
            return node.op.result_types(
                operand_types(node.operands), node.attributes, self.graph.module
            )
        except GraphError as error:
            self.fail(_rule(error, node), error.received, error)
        except Exception as error:
            # A type rule met something it did not expect. Whoever reads a damaged
            # text is still owed the place.
            cause = GraphError(f"{type(error).__name__}: {error}")
            cause.__cause__ = error
            self.fail("the op's type rule fails", cause.message, cause)

    def _check_type(self, type: TensorType) -> None:
        if not _is_type(type):
            self.fail("a type is no tensor type")
        try:
            checked_type(type.dtype, type.shape)
        except GraphError as error:
            self.fail(error.message, error.received, error)
        self._check_symbols(type.shape)

    def _check_symbols(self, dims: Iterable[Dim]) -> None:
        for dim in dims:
            if type(dim) is int or dim in self._declared:
                continue
            if not isinstance(dim, SymbolicDim):
                self.fail("a dimension is neither an int nor an expression", repr(dim))
            missing = sorted(symbols_of((dim,)) - self.graph.ranges.keys())
            if missing:
                self.fail(f"the dimension symbol {missing[0]} has no range", dim)
            self._declared.add(dim)


def json_problem(value: object, depth: int = 0) -> str | None:
    """What keeps `value` from being JSON that reads back the same, if anything."""
    if depth > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH}"
    if value is None or isinstance(value, (bool, str)):
        return None
    if isinstance(value, int):
        return None if abs(value) < 2**64 else "an integer of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is not finite"
    if isinstance(value, list):
        items: Iterable[object] = cast("list[object]", value)
    elif isinstance(value, dict):
        mapping = cast("dict[object, object]", value)
        if any(not isinstance(key, str) for key in mapping):
            return "a key is no string"
        items = mapping.values()
    else:
        return f"a value of type {type(value).__name__}"
    return next(filter(None, (json_problem(item, depth + 1) for item in items)), None)


def _is_range(limits: object) -> bool:
    if not isinstance(limits, tuple):
        return False
    numbers = cast("tuple[object, ...]", limits)
    return (
        len(numbers) == 2
        and all(type(n) is int for n in numbers)
        and 0 <= cast("int", numbers[0]) <= cast("int", numbers[1]) < 2**62
    )


def _is_type(of: object) -> bool:
    return (
        isinstance(of, TensorType)
        and isinstance(of.shape, tuple)
        and isinstance(of.dtype, DType)
    )


def _is_whole(literal: Literal) -> bool:
    """Whether a literal is what making one of its value and dtype gives."""
    try:
        made = Literal(literal.value, literal.dtype)
    except (GraphError, OverflowError, TypeError, ValueError):
        return False
    return made == literal and made.type == literal.type


def _identical(one: object, other: object) -> bool:
    """Whether two JSON values are equal and of the same types: 1 is not 1.0."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, list):
        pairs = zip(cast("list[object]", one), cast("list[object]", other), strict=True)
        return all(_identical(a, b) for a, b in pairs)
    if isinstance(one, dict):
        mine, theirs = cast("Attributes", one), cast("Attributes", other)
        return all(_identical(mine[key], theirs[key]) for key in mine)
    return True


def _rule(error: GraphError, node: Node) -> str:
    return error.message.removeprefix(f"{node.op.name}: ")


def _types_text(types: tuple[Any, ...]) -> str:
    return ", ".join(map(str, types)) or "none"
