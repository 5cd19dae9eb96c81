"""A program that grows node by node and knows what its inputs make of each node.

Every node is evaluated when it is added. So the generator sees the elements of a value,
keeps values finite and small, and puts them into the range that an op asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import ml_dtypes
import numpy as np

from graphc.fuzz.choices import Choices
from graphc.fuzz.inputs import HIGH, LOW, Array, parameter_array
from graphc.ir.body import as_tuple
from graphc.ir.build import building
from graphc.ir.dims import Dim, SymbolicDim, substitute
from graphc.ir.errors import GraphError
from graphc.ir.evaluate import Evaluator
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import OpDef, Trait
from graphc.ir.types import DTYPES, DType, TensorType
from graphc.ir.values import Literal, Operand, Value

MOST_ELEMENTS = 2048
"""The elements of the largest value."""

LARGEST = 1e4
"""The largest magnitude of a float, where the dtype squares it without overflow."""

WILD = 2
"""How many nodes out of a hundred may overflow or be nan."""

APART = 1e-3
"""How far singular values of a matrix are apart, of the largest, for its factors."""


@dataclass(frozen=True)
class Scope:
    """What the graphs of one program share.

    Attributes:
        choices: Where decisions come from.
        sizes: The sizes of the dimension symbols.
        seed: What the inputs follow from.
        parameters: How many parameters the entry graph may have.
        grow: Adds so many nodes to a graph; what fills called graphs.
    """

    choices: Choices
    sizes: Mapping[str, int]
    seed: int
    parameters: int
    grow: Callable[[Growth, int], None]


class Growth:
    """One graph being grown.

    Attributes:
        graph: The graph.
        scope: What it shares with the other graphs of the program.
        arrays: What each value is for the inputs.
        depth: How many graphs that are being grown call this one.
    """

    def __init__(self, graph: Graph, scope: Scope, depth: int = 0) -> None:
        self.graph = graph
        self.scope = scope
        self.choices = scope.choices
        self.depth = depth
        self.arrays: dict[Value, Array] = {}
        self._evaluator = Evaluator(scope.sizes)

    @property
    def values(self) -> list[Value]:
        """The values there are, in order."""
        return list(self.arrays)

    @property
    def symbols(self) -> list[str]:
        """The dimension symbols that types in this graph may name."""
        return sorted(self.graph.ranges)

    def size(self, dims: Sequence[Dim]) -> int:
        """The number of elements of a shape."""
        return prod(cast(int, substitute(d, self.scope.sizes)) for d in dims)

    # -- adding values -----------------------------------------------------------------

    def parameter(self, type: TensorType, low: float, high: float) -> Value:
        """A new parameter of the entry graph."""
        if type.dtype.is_integer and (low, high) == (LOW, HIGH):
            low, high = (-9 if type.dtype.kind == "int" else 0), 10
        attributes: dict[str, Any] = {"low": low, "high": high}
        if type.dtype.is_float and self.choices.chance(25) and high - low >= 1:
            attributes["step"] = 0.5
        if type.dtype.kind == "bool":
            attributes = {}
        name = f"x{len(self.graph.parameters)}"
        value = self.graph.add_parameter(type, name, attributes)
        self.arrays[value] = parameter_array(value, self.scope.sizes, self.scope.seed)
        return value

    def bound_parameter(self, array: Array, type: TensorType) -> Value:
        """A parameter of a called graph, of which `array` is an example."""
        value = self.graph.add_parameter(type)
        self.arrays[value] = array
        return value

    def apply(self, op: OpDef, *operands: Any, **attributes: Any) -> Value | None:
        """The first result of a new node; None if the use is ill-typed or not tame."""
        last = self.graph.last
        try:
            with building(self.graph):
                found = as_tuple(op(*operands, **attributes))
        except GraphError:
            return None
        node = self.graph.last
        assert node is not None
        assert node is not last
        if self._fits(node):
            read = [self._read(operand) for operand in node.operands]
            with np.errstate(all="ignore"):
                results = self._evaluator.apply(node, read)
            tame = all(map(is_tame, results)) or self.choices.chance(WILD)
            if tame and _is_determined(node, read):
                self.arrays.update(zip(found, results, strict=True))
                return found[0]
        self.graph.remove(node)
        return None

    def _fits(self, node: Node) -> bool:
        """Whether a node is well typed and not too large for the sizes of symbols."""
        sizes = self.scope.sizes

        def bound(type: TensorType) -> TensorType:
            return type.with_shape(substitute(d, sizes) for d in type.shape)

        if any(self.size(value.shape) > MOST_ELEMENTS for value in node.results):
            return False
        least = {symbol: low for symbol, (low, _) in self.graph.ranges.items()}
        dims = [substitute(d, least) for value in node.results for d in value.shape]
        if any(isinstance(d, int) and d < 0 for d in dims):
            return False  # for the smallest sizes of the symbols
        if not self.symbols or node.op.calls_graphs:
            return True
        operands = [bound(operand.type) for operand in node.operands]
        attributes = node.op.substitute_dims(node.attributes, sizes)
        try:
            types = node.op.result_types(operands, attributes, self.graph.module)
        except GraphError:
            return False
        return list(types) == [bound(value.type) for value in node.results]

    def _read(self, operand: Operand) -> Array:
        if isinstance(operand, Literal):
            return self._evaluator.store(operand.numpy(), operand.type)
        return self.arrays[operand]

    # -- decisions ---------------------------------------------------------------------

    def dim(self) -> Dim:
        """Any dimension."""
        choices = self.choices
        if self.symbols and choices.chance(20):
            symbol = SymbolicDim.symbol(choices.pick(self.symbols))
            return symbol * 2 if choices.chance(10) else symbol
        if choices.chance(2):
            return 0
        return choices.pick([1, 2, 3, 4, 5, 7, 8, 11, 13])

    def dtype(self, among: Sequence[DType] | None = None) -> DType:
        """Any dtype, float32 more often than others."""
        if among is None:
            among = list(DTYPES.values())
        f32 = DTYPES["f32"]
        if f32 in among and self.choices.chance(50):
            return f32
        return self.choices.pick(among)

    def literal(self, dtype: DType, low: float, high: float) -> Literal:
        """A number of a dtype, often one that identities look for."""
        if dtype.kind == "bool":
            return Literal(self.choices.chance(50), dtype)
        known = [1.0, 0.0, 2.0, -1.0, 0.5, 3.0, -0.0]
        number = float(self.choices.pick(known))
        if not low <= number < high:
            number = low + (high - low) * self.choices.integer(0, 7) / 8
        return literal_of(number, dtype)


def literal_of(number: float, dtype: DType) -> Literal:
    """The literal of a dtype nearest to a number."""
    if dtype.is_float:
        return Literal(number, dtype)
    limits = ml_dtypes.iinfo(dtype.numpy)
    return Literal(min(max(int(number), int(limits.min)), int(limits.max)), dtype)


def extent(array: Array) -> tuple[float, float] | None:
    """The smallest and the largest element; None if there is none, or a nan."""
    wide = np.asarray(array, np.float64)
    if not wide.size or np.isnan(wide).any():
        return None
    return float(wide.min()), float(wide.max())


def _is_determined(node: Node, read: Sequence[Any]) -> bool:
    """Whether the operands leave a node no choice between results.

    The vectors that belong to equal singular values, or to zero, are any of a subspace,
    and each executor takes its own.
    """
    if Trait.FACTORIZES not in node.op.traits or not np.size(read[0]):
        return True
    if not np.all(np.isfinite(read[0])):
        return True  # all that follows is nan
    found = np.linalg.svd(read[0], compute_uv=False)
    gaps = found - np.concatenate([found[..., 1:], 0 * found[..., :1]], -1)
    return bool(np.all(gaps > APART * found[..., :1]))


def is_tame(array: Array) -> bool:
    """Whether all elements are finite, and floats can be squared."""
    if array.dtype.kind in "biu" or array.dtype.name == "int4":
        return True
    limit = min(LARGEST, float(ml_dtypes.finfo(array.dtype).max) ** 0.5)
    wide = np.abs(np.asarray(array, np.float64))
    return bool(np.all(wide <= limit))
