"""The op record: everything that an op means stands in one `OpDef`.

Operands are the positional parameters of an op's function, attributes its
keyword-only ones; their annotations say how an attribute is written in JSON and what
the op's rules get to see. An op that lacks a part of its record fails when it is
registered.
"""

from __future__ import annotations

import enum
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from graphc.ir.dims import Dim, SymbolicDim, parse_dim, substitute
from graphc.ir.errors import GraphError
from graphc.ir.index import Index
from graphc.ir.types import DTYPES, DType, TensorType, dtype
from graphc.ir.values import Attributes, Operand

if TYPE_CHECKING:
    from graphc.ir.graph import Graph, Module, Node


class Kind(enum.Enum):
    """How an op's results depend on its operands' elements; what fusion asks for."""

    ELEMENTWISE = "elementwise"
    """Each result element from the operands' elements at the same place."""
    BROADCAST = "broadcast"
    """Each result element is one operand element; operand elements may repeat."""
    INJECTIVE = "injective"
    """Each result element is one operand element, at a place known from the types."""
    REDUCTION = "reduction"
    """Result elements combine operand elements along axes."""
    CONTRACTION = "contraction"
    """Sums of products: dots and convolutions."""
    OPAQUE = "opaque"
    """None of these."""


class Trait(enum.Enum):
    """Facts about an op that passes ask for. Ops are pure unless they say EFFECT."""

    __hash__ = object.__hash__  # asked for so often that Enum's own, in Python, shows

    COMMUTATIVE = "commutative"
    """The first two operands may be swapped."""
    IDEMPOTENT = "idempotent"
    """f(f(x)) = f(x)."""
    EFFECT = "effect"
    """Does something besides its results: never removed, merged or reordered."""
    ACCUMULATES = "accumulates"
    """Sums many terms: keeps a float32 accumulator for narrower inputs."""
    RANGE_SENSITIVE = "range_sensitive"
    """Overflows or loses all accuracy in narrow floats: computed in float32."""
    MOVES_DATA = "moves_data"
    """Copies elements without arithmetic: exact in every dtype."""
    IDENTITY = "identity"
    """The results are the operands."""
    READS_BITS = "reads_bits"
    """Depends on how elements are stored: the reference gets the declared dtypes."""
    COMBINES = "combines"
    """The graph that it calls combines two elements."""
    GATHERS = "gathers"
    """Each result element follows by itself from a few elements, wherever they are."""
    ALONG_AXIS = "along_axis"
    """Works by itself on each line along its `axis`; results are as large as x."""
    JOINS = "joins"
    """Puts its operands one behind the other along its `axis`."""
    FACTORIZES = "factorizes"
    """Its results are those of a matrix as near to the operand as rounding takes it."""


class AttributeKind(enum.Enum):
    """What an attribute holds; the values are the annotations that declare them."""

    __hash__ = object.__hash__  # as for `Trait`

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STRING = "str"
    INTS = "Ints"
    INT_LISTS = "IntLists"
    DIM = "Dim"
    SHAPE = "Shape"
    DTYPE = "DType"
    GRAPH = "Graph"
    GRAPHS = "Graphs"
    CONSTANT = "ConstantName"


Ints = tuple[int, ...]
IntLists = tuple[tuple[int, ...], ...]
Shape = tuple[Dim, ...]
ConstantName = str
Graphs = tuple["Graph", ...]


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED: Any = _Required()


_UNFIT = (TypeError, ValueError, OverflowError, AttributeError, RecursionError)
"""What reading a value of the wrong kind raises."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute's declaration: its name, what it holds and its default."""

    name: str
    kind: AttributeKind
    default: Any = REQUIRED
    optional: bool = False

    def encode(self, value: Any) -> Any:
        """`value` in JSON form.

        Raises:
            GraphError: If it is not of the attribute's kind.
        """
        if value is None and self.optional:
            return None
        try:
            return _ENCODE[self.kind](value)
        except _UNFIT as error:
            raise GraphError(
                f"attribute {self.name!r} must be of kind {self.kind.value}",
                received=repr(value)[:200],
            ) from error

    def decode(self, value: Any, module: Module | None) -> Any:
        """The Python object that the JSON form stands for."""
        if value is None or self.kind in _PLAIN:
            return value
        if self.kind is AttributeKind.GRAPH:
            return _find(module.graphs if module else {}, value, "graph")
        if self.kind is AttributeKind.GRAPHS:
            graphs = module.graphs if module else {}
            return tuple([_find(graphs, name, "graph") for name in value])
        if self.kind is AttributeKind.CONSTANT:
            return _find(module.constants if module else {}, value, "constant")
        return _DECODE[self.kind](value)


def _find(table: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise GraphError(f"the module has no {what} @{name}")
    return table[name]


def _decode_dim(value: int | str) -> Dim:
    return parse_dim(value) if isinstance(value, str) else value


_DECODE: dict[AttributeKind, Callable[[Any], Any]] = {
    AttributeKind.INTS: tuple,
    AttributeKind.INT_LISTS: lambda value: tuple(map(tuple, value)),
    AttributeKind.DIM: _decode_dim,
    AttributeKind.SHAPE: lambda value: tuple(map(_decode_dim, value)),
    AttributeKind.DTYPE: lambda value: DTYPES[value],
}
_DIM_KINDS = (AttributeKind.DIM, AttributeKind.SHAPE)
_PLAIN = {
    AttributeKind.INT,
    AttributeKind.FLOAT,
    AttributeKind.BOOL,
    AttributeKind.STRING,
}
"""What is in JSON as the op's rules see it."""


def _encode_int(value: Any) -> int:
    if type(value) is int and -(2**63) < value < 2**63:
        return value
    if isinstance(value, bool) or int(value) != value or abs(int(value)) >= 2**63:
        raise TypeError("not an integer")
    return int(value)


def _encode_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def _encode_float(value: Any) -> float:
    if isinstance(value, (bool, str)):
        raise TypeError("not a number")
    number = float(value)
    if not math.isfinite(number):  # JSON has neither infinities nor NaN
        raise ValueError("not finite")
    return number


def _encode_string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _encode_dim(value: Any) -> int | str:
    if type(value) is int:
        return _encode_int(value)
    if isinstance(value, (str, SymbolicDim)):
        parsed = parse_dim(value) if isinstance(value, str) else value
        return parsed if isinstance(parsed, int) else str(parsed)
    return _encode_int(value)


def _items(value: Any) -> Iterable[Any]:
    if type(value) in (list, tuple):
        return value
    if isinstance(value, (str, bytes, Mapping, Set)):
        raise TypeError("not a list")
    return value


def _encode_name(value: Any) -> str:
    return _encode_string(value if isinstance(value, str) else value.name)


_ENCODE: dict[AttributeKind, Callable[[Any], Any]] = {
    AttributeKind.INT: _encode_int,
    AttributeKind.FLOAT: _encode_float,
    AttributeKind.BOOL: _encode_bool,
    AttributeKind.STRING: _encode_string,
    AttributeKind.INTS: lambda value: [_encode_int(v) for v in _items(value)],
    AttributeKind.INT_LISTS: lambda value: [
        [_encode_int(v) for v in _items(inner)] for inner in _items(value)
    ],
    AttributeKind.DIM: _encode_dim,
    AttributeKind.SHAPE: lambda value: [_encode_dim(v) for v in _items(value)],
    AttributeKind.DTYPE: lambda value: dtype(value).name,
    AttributeKind.GRAPH: _encode_name,
    AttributeKind.GRAPHS: lambda value: [_encode_name(v) for v in _items(value)],
    AttributeKind.CONSTANT: _encode_string,
}


@dataclass(frozen=True, slots=True)
class Arg:
    """An operand of a sample: a tensor type with the range its elements come from.

    `diagonal` is added to the diagonals of its matrices, which makes them regular.
    """

    type: str
    low: float = -2.0
    high: float = 2.0
    diagonal: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One well-typed use of an op, from which its tests are generated.

    Operands are types (``"f32[3,4]"``), `Arg`s, or numbers, which become literals.
    Unless it is `smooth`, the op's gradient is not what differences tell.
    """

    operands: tuple[str | Arg | float, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    smooth: bool = True


@dataclass(frozen=True, slots=True)
class IllTyped:
    """One ill-typed use of an op and a part of the message that it must give."""

    operands: tuple[str | float, ...]
    message: str
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Builder(Protocol):
    """What calling an op asks to make the node; see `graphc.ir.build`."""

    def apply(
        self, op: OpDef, operands: Sequence[Any], attributes: Mapping[str, Any]
    ) -> Any:
        """Appends a node and returns its result, or a tuple of its results."""
        ...


class _Current(threading.local):
    """The builders of this thread, innermost last."""

    def __init__(self) -> None:
        self.builders: list[Builder] = []


CURRENT = _Current()


@dataclass(frozen=True, slots=True, eq=False)
class OpDef:
    """Everything that is true of an op. Calling it adds a node to the current graph.

    Attributes:
        name: Its name in the text; StableHLO's where StableHLO has the op.
        doc: What it computes.
        operands: The names of its operands.
        minimum: How many operands it needs at least; the others are optional.
        variadic: Whether the last operand name stands for any number of operands.
        attributes: Its attributes by name.
        kind: How results depend on elements.
        traits: Further facts.
        dtypes: For each operand (the last repeats) the dtypes it may have.
        infer: The type rule: operand types and decoded attributes to result types.
        reference: The NumPy meaning: operand arrays to result arrays.
        vjp: ``(cotangent, result, *operands, **attributes)`` to operand cotangents
            (None for none), written with ops; or the reason why there is none; or
            None for a composite whose body is differentiated.
        body: For a composite, its definition by other ops.
        samples: Well-typed uses, for generated tests.
        errors: Ill-typed uses with the message they give.
        ulp: Allowed error of an executor in units in the last place of the largest
            result magnitude, per accumulated term; 0 means bit equality.
        numerics: What a reader should know about accuracy and special values.
        pullback: For an op that calls graphs, its gradient instead of a `vjp`:
            ``(node, cotangents, wanted)`` to operand cotangents. It sees which results
            have a cotangent (None for none) and which operands need one, and may
            extend the node by results that the gradient reads.
        trips: For an op that calls graphs, ``(**attributes)`` to how often it runs each
            of them; once if there is no such rule.
        position_of: For the position of an extreme element, the reduction whose result
            that element is.
        no_kernel: Why backends that generate kernels decline the op, in a few words;
            empty where nothing keeps them from it.
        read_index: For an op whose result elements are elements of its operand,
            ``(index of a result element, operand type, **attributes)`` to the index
            of the operand's element (see `graphc.ir.index`).
        write_index: The inverse, for an op that reads every operand element once:
            ``(index of an operand element, operand type, **attributes)`` to the index
            of the result's element.
        exact: The meaning over finite fields (see `graphc.ir.payload`), if it is not
            that of the reference: from operands, floats as `Payload`, to results.
        required: The attributes without a default.
        graph_attributes: The attributes that name graphs.
        constant_attributes: The attributes that name constants.
        dim_attributes: The attributes that hold dims.
        flops: For sums of products, ``(operand types, result types, **attributes)`` to
            the number of floating-point operations; other ops are counted by kind.
    """

    name: str
    doc: str
    operands: tuple[str, ...]
    minimum: int
    variadic: bool
    attributes: dict[str, Attribute]
    kind: Kind
    traits: frozenset[Trait]
    dtypes: tuple[frozenset[DType], ...]
    infer: Callable[..., TensorType | tuple[TensorType, ...]]
    reference: Callable[..., Any] | None
    vjp: Callable[..., Any] | str | None
    body: Callable[..., Any] | None
    samples: tuple[Sample, ...]
    errors: tuple[IllTyped, ...]
    ulp: float
    numerics: str
    no_kernel: str = ""
    flops: Callable[..., Dim] | None = None
    read_index: Callable[..., tuple[Index, ...]] | None = None
    write_index: Callable[..., tuple[Index, ...]] | None = None
    exact: Callable[..., Any] | None = None
    pullback: Callable[..., Sequence[Operand | None]] | None = None
    trips: Callable[..., Dim] | None = None
    position_of: OpDef | None = None
    required: tuple[str, ...] = field(init=False)
    graph_attributes: tuple[str, ...] = field(init=False)
    constant_attributes: tuple[str, ...] = field(init=False)
    dim_attributes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        graphs = (AttributeKind.GRAPH, AttributeKind.GRAPHS)
        for field_name, kinds in (
            ("graph_attributes", graphs),
            ("constant_attributes", (AttributeKind.CONSTANT,)),
            ("dim_attributes", _DIM_KINDS),
        ):
            named = [n for n, a in self.attributes.items() if a.kind in kinds]
            object.__setattr__(self, field_name, tuple(named))
        required = [n for n, a in self.attributes.items() if a.default is REQUIRED]
        object.__setattr__(self, "required", tuple(required))

    def __call__(self, *operands: Any, **attributes: Any) -> Any:
        """Adds a node to the current graph; returns its result or tuple of results."""
        if not CURRENT.builders:
            raise GraphError(
                f"{self.name}: no graph is being built",
                hint="use `with graphc.ir.building(graph):`",
            )
        return CURRENT.builders[-1].apply(self, operands, attributes)

    def __repr__(self) -> str:
        return f"<OpDef {self.name}>"

    @property
    def is_composite(self) -> bool:
        """Whether the op is defined by other ops."""
        return self.body is not None

    def encode(self, attributes: Mapping[str, Any]) -> Attributes:
        """`attributes` in JSON form, sorted, without those that equal their default.

        Raises:
            GraphError: For an unknown, missing or ill-formed attribute.
        """
        encoded: Attributes = {}
        for name in sorted(attributes):
            if name not in self.attributes:
                raise GraphError(
                    f"{self.name}: unknown attribute {name[:80]!r}",
                    hint=f"{self.name} has {', '.join(self.attributes) or 'none'}",
                )
            declared = self.attributes[name]
            value = declared.encode(attributes[name])
            if declared.default is REQUIRED or value != declared.default:
                encoded[name] = value
        for name in self.required:
            if name not in encoded:
                raise GraphError(f"{self.name}: attribute {name!r} is missing")
        return encoded

    def decode(self, attributes: Attributes, module: Module | None) -> dict[str, Any]:
        """The attributes as the op's rules see them, defaults filled in."""
        return {
            name: declared.decode(attributes.get(name, declared.default), module)
            for name, declared in self.attributes.items()
        }

    def result_types(
        self,
        operands: Sequence[TensorType],
        attributes: Attributes,
        module: Module | None,
    ) -> tuple[TensorType, ...]:
        """The types of the results, by the dtype table and the type rule.

        Raises:
            GraphError: If the use is ill-typed.
        """
        self._check_operands(operands)
        types = self.infer(*operands, **self.decode(attributes, module))
        return types if isinstance(types, tuple) else (types,)

    def _check_operands(self, operands: Sequence[TensorType]) -> None:
        count = len(operands)
        if count < self.minimum or (count > len(self.operands) and not self.variadic):
            wanted = str(self.minimum)
            if self.variadic:
                wanted += " or more"
            elif self.minimum != len(self.operands):
                wanted += f" to {len(self.operands)}"
            raise GraphError(
                f"{self.name}: takes {wanted} operands ({', '.join(self.operands)})",
                received=f"{count}: {', '.join(map(str, operands))}"[:400],
            )
        last = len(self.dtypes) - 1
        for position, type in enumerate(operands):
            accepted = self.dtypes[min(position, last)]
            if type.dtype not in accepted:
                name = self.operands[min(position, len(self.operands) - 1)]
                raise GraphError(
                    f"{self.name}: {name} must be {describe_dtypes(accepted)}",
                    received=", ".join(map(str, operands))[:400],
                )

    @property
    def calls_graphs(self) -> bool:
        """Whether the op has attributes that name graphs."""
        return bool(self.graph_attributes)

    def trip_count(self, node: Node) -> Dim:
        """How often a node of this op runs each graph that it calls."""
        if self.trips is None:
            return 1
        module = node.graph.module if node.graph else None
        return self.trips(**self.decode(node.attributes, module))

    def graph_names(self, node: Node) -> list[str]:
        """The names of the graphs that a node of this op calls."""
        found: list[str] = []
        for name in self.graph_attributes:
            named = node.attributes.get(name)
            if isinstance(named, str):
                found.append(named)
            else:
                found += named or ()
        return found

    def constant_names(self, node: Node) -> list[str]:
        """The names of the constants that a node of this op reads."""
        found = [node.attributes.get(name) for name in self.constant_attributes]
        return [name for name in found if name is not None]

    def dims(self, attributes: Attributes) -> tuple[Dim, ...]:
        """The dims that attributes hold."""
        found: list[Dim] = []
        for name in self.dim_attributes:
            if attributes.get(name) is not None:
                dims = self.attributes[name].decode(attributes[name], None)
                found += dims if isinstance(dims, tuple) else (dims,)
        return tuple(found)

    def rename(
        self,
        attributes: Attributes,
        graphs: Mapping[str, str],
        constants: Mapping[str, str],
    ) -> Attributes:
        """The attributes with new names for the graphs and constants they name."""
        renamed = {AttributeKind.GRAPH: graphs, AttributeKind.CONSTANT: constants}
        result = attributes
        for name, declared in self.attributes.items():
            if name not in attributes:
                continue
            names = renamed.get(declared.kind)
            if names is not None:
                result = result | {name: names[attributes[name]]}
            elif declared.kind is AttributeKind.GRAPHS:
                listed = [graphs[called] for called in attributes[name]]
                result = result | {name: listed}
        return result

    def substitute_dims(
        self, attributes: Attributes, bindings: Mapping[str, Dim]
    ) -> Attributes:
        """The attributes with dims put for the symbols in them."""
        result = attributes
        if not bindings:
            return result
        for name, declared in self.attributes.items():
            value = attributes.get(name)
            if value is None:
                continue
            if declared.kind is AttributeKind.DIM and isinstance(value, str):
                result = result | {name: _substituted(value, bindings)}
            elif declared.kind is AttributeKind.SHAPE:
                result = result | {name: [_substituted(v, bindings) for v in value]}
        return result


def _substituted(value: int | str, bindings: Mapping[str, Dim]) -> int | str:
    if isinstance(value, int):
        return value
    bound = substitute(parse_dim(value), bindings)
    return bound if isinstance(bound, int) else str(bound)


# -- dtype families an op may accept ---------------------------------------------------

_NARROW = {"i4", "f8e4m3fn", "f8e5m2"}
"""Storage dtypes: they are moved and converted, never computed with."""

ANY = frozenset(DTYPES.values())
"""Every dtype."""
FLOAT = frozenset(d for d in ANY if d.is_float and d.name not in _NARROW)
"""Floating point that ops compute with."""
INTEGER = frozenset(d for d in ANY if d.is_integer and d.name not in _NARROW)
"""Integers that ops compute with."""
SIGNED = FLOAT | frozenset(d for d in INTEGER if d.kind == "int")
"""Numbers that may be negative."""
NUMBER = FLOAT | INTEGER
"""All numbers that ops compute with."""
BOOLEAN = frozenset({DTYPES["bool"]})
"""bool only."""
BITS = INTEGER | BOOLEAN
"""Integers and bool."""
COMPUTED = NUMBER | BOOLEAN
"""Numbers and bool: everything but the storage dtypes."""
INDEX = frozenset({DTYPES["i32"], DTYPES["i64"], DTYPES["u32"], DTYPES["u8"]})
"""Integers that address elements."""

_FAMILY_NAMES = {
    ANY: "any dtype",
    FLOAT: "floating point",
    INTEGER: "an integer",
    SIGNED: "a signed number",
    NUMBER: "a number",
    BOOLEAN: "bool",
    BITS: "an integer or bool",
    COMPUTED: "a number or bool",
}


def describe_dtypes(accepted: frozenset[DType]) -> str:
    """How an error names a set of dtypes."""
    known = _FAMILY_NAMES.get(accepted)
    return known or "one of " + ", ".join(
        d.name for d in DTYPES.values() if d in accepted
    )


# -- the op table ------------------------------------------------------------------------

OPS: dict[str, OpDef] = {}
"""Every op by name. Complete once `graphc.ir.ops` is imported."""

RETURN = OpDef(
    name="return",
    doc="Ends a graph; its operands are the graph's results.",
    operands=("results",),
    minimum=0,
    variadic=True,
    attributes={},
    kind=Kind.OPAQUE,
    traits=frozenset({Trait.EFFECT}),
    dtypes=(ANY,),
    infer=lambda *types: (),
    reference=None,
    vjp="a graph's terminator is not differentiated",
    body=None,
    samples=(),
    errors=(),
    ulp=0,
    numerics="",
)
"""The terminator of every graph. Not in the table: it is not called."""


def operand_types(operands: Iterable[Operand]) -> list[TensorType]:
    """The types of values and literals."""
    return [operand.type for operand in operands]
