"""Writing one StableHLO function: its SSA names, its constants and its lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from graphc.codegen.stablehlo.text import (
    function_type,
    literal_text,
    region_text,
    type_text,
    types_text,
)
from graphc.ir.dims import Dim
from graphc.ir.graph import Graph, Node
from graphc.ir.location import Location
from graphc.ir.opdef import operand_types
from graphc.ir.types import DType, TensorType
from graphc.ir.values import Literal, Operand, Value

Lowering = Callable[..., None]
"""``(writer, node, **decoded attributes)``: writes what computes a node's results."""


class FunctionWriter:
    """The text of one function as it grows, node by node.

    Attributes:
        graph: The graph that becomes the function.
        functions: The function's symbol for the name of each graph of the module.
        platform: What the module is for: ``cpu``, ``cuda``.
        lines: The lines so far.
        nodes: For each line the node it was written for, or None.
        host_calls: The nodes of the module that call the host, in order.
        done: The name of what the last of these in this function returned.
    """

    def __init__(
        self,
        graph: Graph,
        functions: Mapping[str, str],
        locate: Callable[[Location], str],
        platform: str,
        host_calls: list[Node],
    ) -> None:
        self.graph = graph
        self.functions = functions
        self.platform = platform
        self.host_calls = host_calls
        self.done: str | None = None
        self.lines: list[str] = []
        self.nodes: list[Node | None] = []
        self._locate = locate
        self._node: Node | None = None
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._names: dict[Value, str] = {}
        self._constants: dict[tuple[str, TensorType], str] = {}
        self._stretched: dict[tuple[str, TensorType], str] = {}
        self._name_values()

    def _name_values(self) -> None:
        """Gives every value its name in the graph's own text."""
        number = 0
        values = list(self.graph.parameters)
        values += [result for node in self.graph.nodes for result in node.results]
        for value in values:
            if value.name is None:
                self._names[value] = f"%{number}"
                number += 1
            else:
                self._names[value] = self.fresh(value.name)

    def fresh(self, wanted: str) -> str:
        """A new SSA name: ``%wanted``, with a number behind it if that is taken."""
        name, number = wanted, self._numbers.get(wanted, 0)
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        # Remembered, for there may be thousands of constants.
        self._numbers[wanted] = number
        self._taken.add(name)
        return f"%{name}"

    # -- lines ---------------------------------------------------------------------

    def open(self, visibility: str, name: str) -> None:
        """Writes the function's first line."""
        parameters = ", ".join(
            f"{self._names[p]}: {type_text(p.type)}" for p in self.graph.parameters
        )
        types = types_text(operand_types(self.graph.results))
        self._add(f"func.func {visibility} @{name}({parameters}) -> ({types}) {{", None)

    def begin(self, node: Node) -> None:
        """Makes `node` the one that lines are written for from here on."""
        self._node = node

    def close(self) -> None:
        """Writes the return and the function's last line."""
        self._node = None
        results = self.graph.results
        names = ", ".join([self.operand(result) for result in results])
        types = types_text(operand_types(results))
        self._add(f"  return {names} : {types}" if results else "  return", None)
        self._add("}", None)

    def _add(self, text: str, node: Node | None) -> None:
        lines = text.split("\n")
        self.lines += lines
        self.nodes += [node] * len(lines)

    def _write(self, text: str) -> None:
        node = self._node
        if node is not None and node.location is not None:
            text += f" loc({self._locate(node.location)})"
        self._add(f"  {text}", node)

    # -- values --------------------------------------------------------------------

    def assign(self, node: Node, expression: str, before: Sequence[str] = ()) -> None:
        """Writes the operation that computes the results of `node`.

        Args:
            node: The node.
            expression: The operation.
            before: Names of results of the operation that come before the node's.
        """
        names = [self._names[result] for result in node.results]
        results = ", ".join([*before, *names])
        self._write(f"{results} = {expression}")

    def assign_rounded(self, node: Node, expression: str, computed: TensorType) -> None:
        """Writes an operation of type `computed`, converted to the node's own type."""
        result = node.result.type
        if computed == result:
            self.assign(node, expression)
        else:
            wide = self.define(expression, "wide")
            types = function_type([computed], [result])
            self.assign(node, f"stablehlo.convert {wide} : {types}")

    def assign_value(self, value: Value, expression: str) -> None:
        """Writes an operation that computes one of the results of a node."""
        self._write(f"{self._names[value]} = {expression}")

    def alias(self, value: Value, name: str) -> None:
        """Lets `value` be read under a name that exists, without an operation."""
        self._names[value] = name

    def define(self, expression: str, wanted: str) -> str:
        """Writes an operation with one result that no value of the graph stands for."""
        name = self.fresh(wanted)
        self._write(f"{name} = {expression}")
        return name

    def define_all(self, expression: str, wanted: Sequence[str]) -> list[str]:
        """Writes an operation with as many results as there are `wanted` names."""
        names = [self.fresh(name) for name in wanted]
        self._write(f"{', '.join(names)} = {expression}")
        return names

    def constant(self, dense: str, type: TensorType) -> str:
        """The name of a constant, which is written where it is first asked for."""
        key = (dense, type)
        if key not in self._constants:
            expression = f"stablehlo.constant dense<{dense}> : {type_text(type)}"
            self._constants[key] = self.define(expression, "c")
        return self._constants[key]

    def operand(self, operand: Operand) -> str:
        """The name under which an operand is read; a literal becomes a constant."""
        if isinstance(operand, Literal):
            return self.constant(literal_text(operand), operand.type)
        return self._names[operand]

    def operands(self, node: Node) -> str:
        """The names under which the operands of `node` are read, comma separated."""
        return ", ".join([self.operand(operand) for operand in node.operands])

    def stretched(self, operand: Operand, shape: tuple[Dim, ...]) -> str:
        """The name of an operand of rank 0, or of `shape`, as a tensor of `shape`."""
        if isinstance(operand, Literal):
            wanted = operand.type.with_shape(shape)
            return self.constant(literal_text(operand), wanted)
        name = self._names[operand]
        if operand.type.shape == shape:
            return name
        wanted = operand.type.with_shape(shape)
        key = (name, wanted)
        if key not in self._stretched:
            types = function_type([operand.type], [wanted])
            self._stretched[key] = self.define(
                f"stablehlo.broadcast_in_dim {name}, dims = [] : {types}",
                f"{name.lstrip('%')}_all" if operand.name else "all",
            )
        return self._stretched[key]

    def converted(self, name: str, type: TensorType, dtype: DType) -> str:
        """The name of the value `name` of `type` in another dtype."""
        if type.dtype is dtype:
            return name
        types = function_type([type], [type.with_dtype(dtype)])
        return self.define(f"stablehlo.convert {name} : {types}", "wide")

    def signature(self, node: Node, results: Sequence[TensorType] = ()) -> str:
        """The function type of a node's operation, of its own result types or others."""
        return function_type(
            operand_types(node.operands), results or [r.type for r in node.results]
        )

    def combining(self, operation: str, element: TensorType) -> str:
        """A region that combines two elements by a binary operation."""
        a, b, both = self.fresh("a"), self.fresh("b"), self.fresh("both")
        line = f"{both} = {operation} {a}, {b} : {type_text(element)}"
        return region_text([(a, element), (b, element)], [line], both, element)

    def replacing(self, element: TensorType) -> str:
        """A region that takes the second of two elements."""
        a, b = self.fresh("a"), self.fresh("b")
        return region_text([(a, element), (b, element)], [], b, element)
