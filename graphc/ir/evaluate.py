"""The reference evaluator: runs a graph with its ops' NumPy references.

It says what a graph means; every backend and every pass is compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.ir.body import as_tuple, body_graph, call_body
from graphc.ir.build import building
from graphc.ir.dims import SymbolicDim, substitute
from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import OPS, Trait
from graphc.ir.types import F32, F64, DType, TensorType, dtype
from graphc.ir.values import Attributes, Literal, Operand, Value

Array = np.ndarray[Any, Any]


def evaluate(
    graph: Graph, *arrays: Any, dtype: str | DType | None = None
) -> tuple[Array, ...]:
    """The results of `graph` for `arrays`, computed with NumPy.

    Floats narrower than float32 are computed in float32 and rounded after each node.

    Args:
        graph: The graph to run.
        *arrays: One array-like per parameter, of the parameter's shape and dtype; lists
            and NumPy's default dtypes, which nobody chose, become that dtype.
        dtype: ``"f64"`` computes all floating-point values in float64, whatever
            the graph says: the judge of accuracy.

    Returns:
        One array per result, of the dtypes the graph declares (float64 for floats
        under ``dtype="f64"``).

    Raises:
        GraphError: If the arrays do not fit the parameters.
    """
    wide = dtype is not None
    if wide and _named(dtype) is not F64:
        raise GraphError("evaluate: dtype must be 'f64' or None", received=str(dtype))
    converted = [np.asarray(a) for a in arrays]
    bindings = bind_shapes(graph, [a.shape for a in converted])
    for i, (p, array) in enumerate(zip(graph.parameters, converted, strict=True)):
        if array.dtype == p.dtype.numpy or (wide and p.dtype.is_float):
            continue
        if not is_default(array, p.dtype):
            raise GraphError(
                f"graph @{graph.name}: parameter %{p.name or p.index} is {p.type}",
                received=f"an array of dtype {array.dtype}",
            )
        converted[i] = array.astype(p.dtype.numpy)
    with np.errstate(all="ignore"):
        return Evaluator(bindings, wide).run(graph, *converted)


def is_default(array: Array, wanted: DType) -> bool:
    """Whether an array only has the dtype that NumPy gives Python numbers of a kind."""
    defaults = {"float64": ("float",), "int64": ("int", "uint", "float")}
    return wanted.kind in defaults.get(array.dtype.name, ())


def _named(of: Any) -> DType:
    return dtype(of)


def bind_shapes(graph: Graph, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """The sizes of the symbols in the parameters' types, given the actual shapes.

    Raises:
        GraphError: If the number of shapes, a rank or a size does not fit.
    """
    bindings = match_shapes(graph, shapes)
    for name, size in bindings.items():
        low, high = graph.ranges.get(name, (0, size))
        if not low <= size <= high:
            raise GraphError(
                f"graph @{graph.name}: {name} must be in {low}..{high}",
                received=f"{name}={size}",
            )
    return bindings


def match_shapes(
    graph: Graph, shapes: Sequence[tuple[int, ...]], inputs: Sequence[str] = ()
) -> dict[str, int]:
    """The sizes of the symbols in the parameters' types, in their ranges or not.

    Args:
        graph: The graph.
        shapes: The shape of an array for each parameter.
        inputs: What its first parameters are called by those who give the arrays.

    Raises:
        GraphError: If the number of shapes, a rank or a size does not fit.
    """
    if len(shapes) != len(graph.parameters):
        raise GraphError(
            f"graph @{graph.name} takes {len(graph.parameters)} arrays",
            received=str(len(shapes)),
        )
    bindings: dict[str, int] = {}
    for p, shape in zip(graph.parameters, shapes, strict=True):
        for dim, size in zip(p.shape, shape, strict=False):
            if isinstance(dim, SymbolicDim) and str(dim).isidentifier():
                bindings.setdefault(str(dim), size)
    for p, shape in zip(graph.parameters, shapes, strict=True):
        if tuple(substitute(d, bindings) for d in p.shape) != tuple(shape):
            name = f"graph @{graph.name}: parameter %{p.name or p.index}"
            if p.index < len(inputs):
                name = f"input {inputs[p.index]!r}"
            raise GraphError(
                f"{name} is {p.type}",
                received=f"an array of shape {tuple(shape)}"
                + (f" with {bindings}" if bindings else ""),
            )
    return bindings


class Evaluator:
    """Evaluates graphs under one binding of the dimension symbols.

    Attributes:
        bindings: The sizes of the symbols.
        wide: Whether floats are computed in float64.
    """

    def __init__(self, bindings: Mapping[str, int], wide: bool = False) -> None:
        self.bindings = bindings
        self.wide = wide
        self._decoded: dict[Node, tuple[Attributes, dict[str, Any]]] = {}

    def run(self, graph: Graph, *arrays: Array) -> tuple[Array, ...]:
        """The results of `graph` for `arrays`."""
        values: dict[Value, Array] = {
            p: self.store(a, p.type)
            for p, a in zip(graph.parameters, arrays, strict=True)
        }
        for node in graph.nodes:
            results = self.apply(node, [self.read(values, o) for o in node.operands])
            values.update(zip(node.results, results, strict=True))
        return tuple(self.read(values, result) for result in graph.results)

    def read(self, values: Mapping[Value, Array], operand: Operand) -> Array:
        """The array that an operand stands for."""
        if isinstance(operand, Literal):
            return self.store(operand.numpy(), operand.type)
        return values[operand]

    def store(self, array: Any, type: TensorType) -> Array:
        """`array` in the dtype that a value of `type` is kept in."""
        kept = F64 if self.wide and type.dtype.is_float else type.dtype
        return np.asarray(array).astype(kept.numpy, copy=False)

    def apply(self, node: Node, operands: Sequence[Array]) -> list[Array]:
        """The results of one node for operand arrays."""
        op = node.op
        assert node.graph is not None
        if op.reference is not None:
            attributes = self.attributes(node)
            if op.calls_graphs:
                attributes["run"] = self.run
            if Trait.READS_BITS in op.traits:
                loaded = [
                    array.astype(operand.dtype.numpy, copy=False)
                    for array, operand in zip(operands, node.operands, strict=True)
                ]
            else:
                loaded = map(self._load, operands)
            found = op.reference(*loaded, **attributes)
            results = as_tuple(found)
        else:
            results = self.run(self.body(node), *operands)
        return [
            self.store(array, result.type)
            for array, result in zip(results, node.results, strict=True)
        ]

    def _load(self, array: Array) -> Array:
        # Narrow floats are computed in float32 and rounded when stored: NumPy has no
        # arithmetic for most of them, and backends do the same.
        if array.dtype.kind == "V" or array.dtype.itemsize < 4:
            declared = dtype(array.dtype)
            if declared.is_float:
                return array.astype(F32.numpy)
        return array

    def attributes(self, node: Node) -> dict[str, Any]:
        """The attributes of a node as its op's rules see them, symbols bound."""
        assert node.graph is not None
        known = self._decoded.get(node)  # in loops the same nodes come again and again
        if known is None or known[0] is not node.attributes:
            encoded = node.op.substitute_dims(node.attributes, self.bindings)
            decoded = node.op.decode(encoded, node.graph.module)
            known = self._decoded[node] = node.attributes, decoded
        return dict(known[1])

    def body(self, node: Node) -> Graph:
        """The body of a use of a composite, symbols bound."""
        attributes = node.op.substitute_dims(node.attributes, self.bindings)
        types = [
            o.type.with_shape(substitute(d, self.bindings) for d in o.type.shape)
            for o in node.operands
        ]
        if not node.op.graph_names(node):
            return body_graph(node.op, types, attributes)
        # The body calls graphs of the node's module, so it is built beside them.
        assert node.graph is not None
        module = node.graph.module
        known = set(module.graphs)
        graph = Graph(module.fresh_name(f"{node.op.name}_body"), module)
        try:
            values = [graph.add_parameter(type) for type in types]
            with building(graph):
                graph.results = as_tuple(call_body(node.op, values, attributes, module))
            return graph.copy()
        finally:
            module.remove_since(known)


def evaluate_op(name: str, *arrays: Any, **attributes: Any) -> Any:
    """The results of one op for concrete arrays; what tests compare with."""
    graph = Graph(name)
    operands = [np.asarray(a) for a in arrays]
    values = [
        graph.add_parameter(TensorType(a.shape, dtype(a.dtype))) for a in operands
    ]
    with building(graph):
        graph.results = as_tuple(OPS[name](*values, **attributes))
    results = evaluate(graph, *operands)
    return results[0] if len(results) == 1 else results
