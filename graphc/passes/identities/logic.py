"""Identities of comparison, selection, logic, conversion and `stop_gradient`."""

from __future__ import annotations

from ml_dtypes import finfo

from graphc.ir.graph import Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.ops import (
    and_,
    bitcast_convert,
    compare,
    convert,
    not_,
    or_,
    select,
    slice_,
    stop_gradient,
    transpose,
    xor,
)
from graphc.ir.types import BOOL, DType
from graphc.ir.values import Literal
from graphc.passes.identities.matching import (
    again,
    attribute,
    element,
    is_number,
    number,
    only_use,
    producer,
)
from graphc.passes.rule import Replacement, RuleSet, example

RULES = RuleSet()

OPPOSITES = {"EQ": "NE", "NE": "EQ", "LT": "GE", "GE": "LT", "GT": "LE", "LE": "GT"}
SWAPPED = {"EQ": "EQ", "NE": "NE", "LT": "GT", "GT": "LT", "LE": "GE", "GE": "LE"}


# -- comparison ------------------------------------------------------------------------


@RULES.rule(
    "compare",
    literal=True,
    examples=example(lambda x: compare(1, x, direction="LT"), "T[8]"),
)
def compare_with_literal(node: Node) -> Replacement:
    """`c < x` is `x > c`."""
    x, y = node.operands
    if isinstance(x, Literal) and not isinstance(y, Literal):
        return compare(y, x, direction=SWAPPED[attribute(node, "direction")])
    return None


@RULES.rule(
    "compare", examples=example(lambda x: compare(x, x, direction="LE"), "T[8]")
)
def compare_itself(node: Node) -> Replacement:
    """`x <= x` is true and `x < x` is false, except for floats, which may be nan."""
    x, y = node.operands
    if x is not y or x.type.dtype.is_float:
        return None
    return Literal(attribute(node, "direction") in ("EQ", "LE", "GE"), BOOL)


@RULES.rule(
    "not",
    reads=("compare",),
    examples=[
        *example(lambda x, y: not_(compare(x, y, direction="EQ")), "T[8]", "T[8]"),
        *example(lambda x, y: not_(compare(x, y, direction="LT")), "i32[8]", "i32[8]"),
    ],
)
def not_compare(node: Node) -> Replacement:
    """`not x == y` is `x != y`; `not x < y` is `x >= y`, except for floats."""
    inner = producer(node.operands[0], compare)
    if inner is None:
        return None
    direction = attribute(inner, "direction")
    if inner.operands[0].type.dtype.is_float and direction not in ("EQ", "NE"):
        return None
    return compare(*inner.operands, direction=OPPOSITES[direction])


# -- selection -------------------------------------------------------------------------


@RULES.rule(
    "select",
    literal=True,
    examples=[
        *example(lambda x, y: select(True, x, y), "T[8]", "T[8]"),
        *example(lambda x, y: select(False, x, y), "T[8]", "T[8]"),
    ],
)
def select_known(node: Node) -> Replacement:
    """`select(true, a, b) = a` and `select(false, a, b) = b`."""
    predicate, a, b = node.operands
    known = number(predicate)
    return None if known is None else a if known else b


@RULES.rule(
    "select",
    examples=[
        *example(lambda p, x: select(p, x, x), "bool[8]", "T[8]"),
        *example(lambda p, x: select(p, x, x), "bool[8]", "T[]"),
        *example(lambda p: select(p, 1.5, 1.5), "bool[8]"),
    ],
)
def select_same(node: Node) -> Replacement:
    """`select(p, a, a) = a`."""
    _, a, b = node.operands
    return a if a is b or (isinstance(a, Literal) and a == b) else None


@RULES.rule(
    "select",
    literal=True,
    examples=[
        *example(lambda p: select(p, True, False), "bool[8]"),
        *example(lambda p: select(p, False, True), "bool[8]"),
    ],
)
def select_of_truth(node: Node) -> Replacement:
    """`select(p, true, false) = p` and `select(p, false, true) = not p`."""
    predicate, a, b = node.operands
    if element(node) is not BOOL or {number(a), number(b)} != {True, False}:
        return None
    return predicate if number(a) else not_(predicate)


@RULES.rule(
    "select",
    reads=("not",),
    examples=example(lambda p, x, y: select(not_(p), x, y), "bool[8]", "T[8]", "T[8]"),
)
def select_by_not(node: Node) -> Replacement:
    """`select(not p, a, b) = select(p, b, a)`."""
    predicate, a, b = node.operands
    inner = producer(predicate, not_)
    return select(*inner.operands, b, a) if inner is not None else None


@RULES.rule(
    "select",
    examples=[
        *example(
            lambda p, x, y, z: select(p, select(p, x, y), z), "bool[8]", *["T[8]"] * 3
        ),
        *example(
            lambda p, x, y, z: select(p, x, select(p, y, z)), "bool[8]", *["T[8]"] * 3
        ),
    ],
)
def select_nested(node: Node) -> Replacement:
    """`select(p, select(p, a, b), c) = select(p, a, c)`, and so for the other side."""
    predicate, a, b = node.operands
    inner, other = producer(a, select), producer(b, select)
    if inner is not None and inner.operands[0] is predicate:
        return select(predicate, inner.operands[1], b)
    if other is not None and other.operands[0] is predicate:
        return select(predicate, a, other.operands[2])
    return None


# -- logic and bits --------------------------------------------------------------------


@RULES.rule(
    "and",
    "or",
    "xor",
    literal=True,
    examples=[
        *example(lambda x: and_(x, True), "bool[8]"),
        *example(lambda x: or_(x, 0), "T[8]"),
        *example(lambda x: xor(x, 0), "T[8]"),
        *example(lambda x: and_(x, -1), "i32[8]"),
        *example(lambda x: and_(x, 255), "u8[8]"),
    ],
)
def neutral_bits(node: Node) -> Replacement:
    """`x and 1...1 = x`, `x or 0 = x`, `x xor 0 = x`."""
    x, y = node.operands
    neutral = _all_ones(element(node)) if node.op is and_ else 0
    return x if is_number(y, neutral) else None


@RULES.rule(
    "and",
    "or",
    literal=True,
    examples=[
        *example(lambda x: and_(x, 0), "T[8]"),
        *example(lambda x: or_(x, True), "bool[8]"),
        *example(lambda x: or_(x, -1), "i32[8]"),
    ],
)
def absorbing_bits(node: Node) -> Replacement:
    """`x and 0 = 0`, `x or 1...1 = 1...1`."""
    _, y = node.operands
    absorbing = 0 if node.op is and_ else _all_ones(element(node))
    return y if is_number(y, absorbing) else None


@RULES.rule(
    "xor",
    examples=[
        *example(lambda x: xor(x, x), "T[8]"),
    ],
)
def xor_itself(node: Node) -> Replacement:
    """`x xor x = 0`."""
    x, y = node.operands
    return Literal(0, element(node)) if x is y else None


def _all_ones(dtype: DType) -> int:
    if dtype is BOOL:
        return 1
    return -1 if dtype.kind == "int" else 2**dtype.bits - 1


# -- conversion ------------------------------------------------------------------------


@RULES.rule(
    "convert",
    "bitcast_convert",
    examples=[
        *example(lambda x: convert(x, dtype="f32"), "T[8]"),
        *example(lambda x: bitcast_convert(x, dtype="f32"), "T[8]"),
    ],
)
def convert_to_same(node: Node) -> Replacement:
    """A conversion to the dtype that x has is x."""
    (x,) = node.operands
    return x if x.type.dtype is element(node) else None


@RULES.rule(
    "convert",
    reads=("convert",),
    examples=[
        *example(lambda x: convert(convert(x, dtype="f32"), dtype="bf16"), "T[8]"),
        *example(lambda x: convert(convert(x, dtype="i64"), dtype="i16"), "T[8]"),
        *example(lambda x: convert(convert(x, dtype="f64"), dtype="i8"), "T[8]"),
        *example(lambda x: convert(convert(x, dtype="f32"), dtype="bool"), "T[8]"),
    ],
)
def convert_twice(node: Node) -> Replacement:
    """Two conversions are one if the first keeps every value."""
    inner = producer(node.operands[0], convert)
    if inner is None:
        return None
    (x,) = inner.operands
    target = element(node)
    return (
        convert(x, dtype=target)
        if _skips(x.type.dtype, element(inner), target)
        else None
    )


def _skips(source: DType, middle: DType, target: DType) -> bool:
    """Whether a conversion by way of `middle` is the one without it."""
    if source.is_integer and middle.is_float and target.is_integer:
        # Floats saturate where integers wrap around.
        return holds(middle, source) and holds(target, source)
    return holds(middle, source)


@RULES.rule(
    "convert",
    examples=[
        *example(
            lambda x: convert(
                transpose(convert(x, dtype="f32"), permutation=[1, 0]), dtype="bf16"
            ),
            "bf16[2,4]",
        ),
        *example(
            lambda x: convert(
                slice_(convert(x, dtype="f32"), start=[1], limit=[3]), dtype="f16"
            ),
            "bf16[4]",
        ),
    ],
)
def convert_around_move(node: Node) -> Replacement:
    """`convert(move(convert(x))) = move(convert(x))` if the first keeps every value."""
    (operand,) = node.operands
    moved = None if isinstance(operand, Literal) else operand.node
    if (
        moved is None
        or Trait.MOVES_DATA not in moved.op.traits
        or not only_use(operand)
    ):
        return None
    if (
        moved.op.kind not in (Kind.INJECTIVE, Kind.BROADCAST)
        or len(moved.operands) != 1
    ):
        return None
    inner = producer(moved.operands[0], convert)
    if inner is None:
        return None
    (x,) = inner.operands
    target = element(node)
    if not _skips(x.type.dtype, element(inner), target):
        return None
    return again(moved, [x if x.type.dtype is target else convert(x, dtype=target)])


@RULES.rule(
    "bitcast_convert",
    algebraic=False,  # the bits of a float are no matter of arithmetic
    reads=("bitcast_convert",),
    examples=example(
        lambda x: bitcast_convert(bitcast_convert(x, dtype="i32"), dtype="u32"),
        "T[8]",
    ),
)
def bitcast_twice(node: Node) -> Replacement:
    """The last of two bitcasts counts."""
    inner = producer(node.operands[0], bitcast_convert)
    if inner is None:
        return None
    return bitcast_convert(*inner.operands, dtype=element(node))


@RULES.rule(
    "stop_gradient",
    late=True,
    examples=example(lambda x: stop_gradient(x), "T[4]"),
)
def end_of_differentiation(node: Node) -> Replacement:
    """`stop_gradient(x) = x` once nothing will be differentiated any more."""
    return node.operands


def holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is a value of `wide`."""
    if wide is narrow or narrow is BOOL:
        return True
    if wide is BOOL or (wide.is_integer and narrow.is_float):
        return False
    low, high = _integer_bits(narrow)
    if wide.is_integer:
        wide_low, wide_high = _integer_bits(wide)
        return low <= wide_low and high <= wide_high
    limits = finfo(wide.numpy)
    if narrow.is_integer:
        # Integers of at most this many bits are exact, and no float is that small.
        return max(low, high) <= limits.nmant + 1 and limits.maxexp > max(low, high)
    inner = finfo(narrow.numpy)
    return (
        limits.nmant >= inner.nmant
        and limits.maxexp >= inner.maxexp
        and limits.minexp - limits.nmant <= inner.minexp - inner.nmant
        and wide.name != "f8e4m3fn"  # has no infinity
    )


def _integer_bits(dtype: DType) -> tuple[int, int]:
    """The bits of the magnitude of the lowest and the highest value."""
    if dtype.kind == "uint":
        return 0, dtype.bits
    return dtype.bits - 1, dtype.bits - 1
