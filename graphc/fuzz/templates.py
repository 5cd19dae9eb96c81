"""Uses of an op that look like a sample of its record, in other types.

A sample says which operands an op takes, in which ranges, and with what attributes.
Sizes, shapes, dtypes and attributes are varied; the op's type rule says whether what
comes out is well typed. So the generator knows nothing about single ops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graphc.fuzz.growth import Growth
from graphc.ir.dims import Dim, SymbolicDim, parse_dim, substitute, symbols_of
from graphc.ir.errors import GraphError
from graphc.ir.opdef import Arg, AttributeKind, Kind, OpDef, Sample
from graphc.ir.types import DTYPES, DType, TensorType, tensor_type
from graphc.ir.values import Literal, Value


@dataclass(frozen=True)
class Slot:
    """An operand to find: its type and range.

    Attributes:
        type: Its type.
        low: What its elements are at least.
        high: What its elements are at most; integers are below.
        bounded: Whether the op asks for this range.
    """

    type: TensorType
    low: float
    high: float
    bounded: bool


@dataclass(frozen=True)
class Template:
    """A use of an op: operands, as slots or numbers, and attributes."""

    op: OpDef
    operands: tuple[Slot | float, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def slots(self) -> list[Slot]:
        """The operands that are not numbers."""
        return [operand for operand in self.operands if isinstance(operand, Slot)]

    def with_types(self, change: Callable[[TensorType], TensorType]) -> Template:
        """The template with other types in the slots."""
        operands = tuple(
            replace(o, type=change(o.type)) if isinstance(o, Slot) else o
            for o in self.operands
        )
        return replace(self, operands=operands)

    def is_well_typed(self) -> bool:
        """Whether the op's type rule accepts it."""
        first = next((s.type.dtype for s in self.slots), DTYPES["f32"])
        try:
            types = [
                o.type if isinstance(o, Slot) else Literal(o, first).type
                for o in self.operands
            ]
            self.op.result_types(types, self.op.encode(self.attributes), None)
        except GraphError:
            return False
        return True


def template_of(op: OpDef, sample: Sample) -> Template:
    """What a sample of `op` says."""
    return Template(op, tuple(map(_slot, sample.operands)), sample.attributes)


def _slot(operand: str | Arg | float) -> Slot | float:
    if not isinstance(operand, (str, Arg)):
        return operand
    arg = operand if isinstance(operand, Arg) else Arg(operand)
    plain = Arg(arg.type)
    bounded = (arg.low, arg.high) != (plain.low, plain.high)
    return Slot(tensor_type(arg.type), arg.low, arg.high, bounded)


def varied(growth: Growth, template: Template) -> Template | None:
    """A well-typed variation of `template` in the symbols that `growth` has."""
    choices = growth.choices
    steps = [_with_dtypes, _with_shapes, _with_sizes, _with_attributes]
    for _ in range(3):
        wanted = template
        for step in steps:
            if choices.chance(80):
                wanted = step(growth, wanted)
        wanted = _in_scope(growth, wanted)
        if wanted.is_well_typed():
            return wanted
    plain = _in_scope(growth, template)
    return plain if plain.is_well_typed() else None


# -- types -----------------------------------------------------------------------------


def _with_dtypes(growth: Growth, template: Template) -> Template:
    """Another dtype wherever the first operand's dtype stands."""
    if not template.slots:
        return template
    old = template.slots[0].type.dtype
    accepted = _accepted(template, old)
    near = [v.dtype for v in growth.values if v.dtype in accepted]
    if near and growth.choices.chance(70):
        new = growth.choices.recent(near)
    else:
        new = growth.dtype(accepted)
    return template.with_types(lambda t: t.with_dtype(new) if t.dtype is old else t)


def _accepted(template: Template, old: DType) -> list[DType]:
    """The dtypes that all operands of dtype `old` may have."""
    dtypes = template.op.dtypes
    found = list(DTYPES.values())
    for position, operand in enumerate(template.operands):
        if isinstance(operand, Slot) and operand.type.dtype is old:
            accepted = dtypes[min(position, len(dtypes) - 1)]
            found = [dtype for dtype in found if dtype in accepted]
    return found


def _with_shapes(growth: Growth, template: Template) -> Template:
    """Another shape for all operands, where they have the same; some stretch."""
    shapes = {slot.type.shape for slot in template.slots if slot.type.shape}
    if len(shapes) != 1:
        return template
    choices = growth.choices
    if growth.arrays and choices.chance(80):
        shape = choices.recent(growth.values).shape
    else:
        shape = tuple(growth.dim() for _ in range(choices.integer(0, 4)))
    stretched = choices.integer(0, len(template.operands) - 1)
    may_stretch = template.op.kind is Kind.ELEMENTWISE and len(template.operands) > 1

    def other(position: int, operand: Slot | float) -> Slot | float:
        if not isinstance(operand, Slot) or not operand.type.shape:
            return operand
        scalar = may_stretch and position == stretched and choices.chance(20)
        wanted = () if scalar else shape
        return replace(operand, type=operand.type.with_shape(wanted))

    operands = tuple(other(i, o) for i, o in enumerate(template.operands))
    return replace(template, operands=operands)


def _with_sizes(growth: Growth, template: Template) -> Template:
    """Other sizes, the same wherever the same size or symbol stands."""
    slots, choices = template.slots, growth.choices
    sizes: dict[Dim, Dim] = {}
    if slots:
        slot = choices.pick(slots)
        ranked = [v for v in growth.values if v.type.rank == slot.type.rank]
        if ranked and choices.chance(80):
            sizes = _matched(slot.type, choices.recent(ranked)) or {}
    for slot in slots:
        for size in slot.type.shape:
            if size != 1 and size not in sizes:
                sizes[size] = growth.dim() if choices.chance(50) else size
    return _resized(template, sizes)


def _matched(type: TensorType, value: Value) -> dict[Dim, Dim] | None:
    """The sizes that make `type` the shape of `value`; None if there are none."""
    found: dict[Dim, Dim] = {}
    for old, new in zip(type.shape, value.shape, strict=True):
        if found.setdefault(old, new) != new:
            return None
    return found


def _resized(template: Template, sizes: Mapping[Dim, Dim]) -> Template:
    """The template with sizes and symbols replaced in types and shape attributes."""
    symbols = {str(old): new for old, new in sizes.items() if not isinstance(old, int)}

    def other(old: Dim | str) -> Dim:
        dim = parse_dim(old) if isinstance(old, str) else old
        return sizes.get(dim, substitute(dim, symbols))

    def attribute(name: str, value: Any) -> Any:
        kind = template.op.attributes[name].kind
        if value is None:
            return None
        if kind is AttributeKind.SHAPE:
            return [other(v) for v in value]
        return other(value) if kind is AttributeKind.DIM else value

    attributes = {n: attribute(n, v) for n, v in template.attributes.items()}
    typed = template.with_types(lambda t: t.with_shape(map(other, t.shape)))
    return replace(typed, attributes=attributes)


def _in_scope(growth: Growth, template: Template) -> Template:
    """The template with the program's own symbols, or sizes, for those of samples."""
    found = set[str]().union(*(slot.type.symbols for slot in template.slots))
    for name, value in template.attributes.items():
        if template.op.attributes[name].kind in _DIM_KINDS and value is not None:
            dims = value if isinstance(value, (list, tuple)) else [value]
            found |= symbols_of(parse_dim(d) if isinstance(d, str) else d for d in dims)
    sizes: dict[Dim, Dim] = {}
    for name in sorted(found - set(growth.symbols)):
        if growth.symbols and growth.choices.chance(60):
            new: Dim = SymbolicDim.symbol(growth.choices.pick(growth.symbols))
        else:
            new = growth.choices.integer(2, 6)
        sizes[SymbolicDim.symbol(name)] = new
    return _resized(template, sizes) if sizes else template


_DIM_KINDS = (AttributeKind.SHAPE, AttributeKind.DIM)


# -- attributes ------------------------------------------------------------------------


def _with_attributes(growth: Growth, template: Template) -> Template:
    """Other attributes."""
    rank = template.slots[0].type.rank if template.slots else 0
    attributes: dict[str, Any] = {}
    for name, value in template.attributes.items():
        attributes[name] = value
        if growth.choices.chance(60):
            attributes[name] = _other(growth, template.op, name, value, rank)
    return replace(template, attributes=attributes)


def _other(growth: Growth, op: OpDef, name: str, value: Any, rank: int) -> Any:
    """Another value for an attribute, by its name, its kind, or from the samples."""
    choices, kind = growth.choices, op.attributes[name].kind
    if name in _DRAW and rank:
        return _DRAW[name](growth, rank)
    if kind is AttributeKind.BOOL:
        return choices.chance(50)
    if kind is AttributeKind.DTYPE:
        return growth.dtype()
    if name in _STEPS and value is not None:
        return [choices.integer(1, 3) for _ in value]
    if name in _MARGINS and value is not None:
        return _margins(growth, value)
    if kind in (AttributeKind.STRING, AttributeKind.FLOAT):
        seen = [s.attributes[name] for s in op.samples if name in s.attributes]
        return choices.pick(seen)
    return value


def _margins(growth: Growth, value: Sequence[Any]) -> list[Any]:
    """Margins of the same form: a few elements more, or one less."""
    return [
        _margins(growth, inner)
        if isinstance(inner, (list, tuple))
        else growth.choices.pick([0, 1, 2, -1])
        for inner in value
    ]


_DRAW: dict[str, Callable[[Growth, int], Any]] = {
    "axis": lambda growth, rank: growth.choices.integer(0, rank - 1),
    "feature_axis": lambda growth, rank: growth.choices.integer(0, rank - 1),
    "axes": lambda growth, rank: growth.choices.subset(range(rank)),
    "permutation": lambda growth, rank: growth.choices.shuffled(range(rank)),
}
"""Attributes that name axes of the first operand."""

_STEPS = {
    *("window", "strides", "dilation", "input_dilation", "kernel_dilation"),
    "interior",
}
"""Attributes that are small positive numbers."""

_MARGINS = {"padding", "low", "high"}
"""Attributes that widen or narrow a tensor."""
