"""The Triton expression of each elementwise primitive.

Most are one line for every dtype and stand in `graphc.codegen.spellings`; here is the
rest, and how numbers among the operands are written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.codegen.spellings import SPELLINGS
from graphc.codegen.triton.dtypes import held, is_literal, plain, typed
from graphc.codegen.triton.mathematics import Expression, call, helper_source
from graphc.ir.errors import UnsupportedError
from graphc.ir.graph import Node
from graphc.ir.types import BF16, BOOL, F8E4M3FN, F8E5M2, F16, F32, F64, I4, DType

__all__ = ["FORMS", "Expression", "expression", "helper_source"]

Form = Callable[..., Expression]
"""``(node, *operands, **decoded attributes)`` to the expression of a node."""


def expression(node: Node, operands: Sequence[str]) -> Expression:
    """What computes a node of an elementwise primitive.

    Args:
        node: The node.
        operands: For each of its operands a variable that holds a tile of it, or a
            number as `graphc.codegen.triton.dtypes.literal` writes it; in the dtype
            that the operand's dtype is held in.

    Returns:
        An expression of the dtype that the node's result is held in.

    Raises:
        UnsupportedError: If the op has no Triton form.
    """
    texts = list(operands)
    if texts and all(map(is_literal, texts)):
        texts[0] = typed(texts[0], node.operands[0].type.dtype)
    name = node.op.name
    if name in FORMS:
        return FORMS[name](node, *texts, **node.op.decode(node.attributes, None))
    spelling = SPELLINGS[name].triton if name in SPELLINGS else None
    if spelling is None:
        raise UnsupportedError(f"{name} has no Triton form", location=node.location)
    if "(" in spelling:
        return Expression(spelling.format(*texts))
    return _operation(spelling, *texts)


def _operation(form: str, *operands: str) -> Expression:
    """Operators: a number gets the dtype of the tile that it is combined with."""
    if all(map(is_literal, operands)):
        return Expression(form.format(*operands))
    return Expression(form.format(*map(plain, operands)))


def _dtype(node: Node) -> DType:
    return node.operands[0].type.dtype


def _tiles(node: Node, operands: Sequence[str]) -> list[str]:
    """The operands as tensors, as functions of kernels want them."""
    dtypes = (operand.type.dtype for operand in node.operands)
    return [typed(text, of) for text, of in zip(operands, dtypes, strict=True)]


def _bitcast(text: str, dtype: str) -> str:
    return f"{text}.to({dtype}, bitcast=True)"


# -- by dtype --------------------------------------------------------------------------


def _by_width(name: str) -> Form:
    """The call of a function that has a variant for float64."""

    def form(node: Node, *operands: str) -> Expression:
        suffix = "_f64" if _dtype(node) is F64 else ""
        return call(name + suffix, *_tiles(node, operands))

    return form


def _calling(name: str) -> Form:
    """The call of a function that takes every dtype."""

    def form(node: Node, *operands: str) -> Expression:
        return call(name, *_tiles(node, operands))

    return form


def _text_by_width(narrow: str, wide: str) -> Form:
    """An expression for float32, and one for float64."""

    def form(node: Node, *operands: str) -> Expression:
        text = wide if _dtype(node) is F64 else narrow
        return Expression(text.format(*operands))

    return form


def _whole(name: str) -> Form:
    """A function of the language that is right for subnormal numbers in float64 only."""

    def form(node: Node, x: str) -> Expression:
        if _dtype(node) is F64:
            return Expression(f"tl.{name}({x})")
        return call(f"_{name}", typed(x, F32))

    return form


# -- arithmetic ------------------------------------------------------------------------


def _divide(node: Node, a: str, b: str) -> Expression:
    if _dtype(node).is_float:
        return _operation("{0} / {1}", a, b)
    return _integer_division(node, "{0} // {1}", "_divide", a, b)


def _remainder(node: Node, a: str, b: str) -> Expression:
    if _dtype(node).is_float:
        return _by_width("_remainder")(node, a, b)
    return _integer_division(node, "{0} % {1}", "_remainder", a, b)


def _integer_division(
    node: Node, operation: str, name: str, a: str, b: str
) -> Expression:
    if is_literal(b) and int(plain(b)) > 0:
        return _operation(operation, a, b)
    signed = "signed" if _dtype(node).kind == "int" else "unsigned"
    return call(f"{name}_{signed}", *_tiles(node, (a, b)))


def _extremum(name: str, logical: str) -> Form:
    def form(node: Node, a: str, b: str) -> Expression:
        dtype = _dtype(node)
        if dtype is BOOL:
            return _operation(f"{{0}} {logical} {{1}}", a, b)
        nan = ", tl.PropagateNan.ALL" if dtype.is_float else ""
        return Expression(f"tl.{name}({a}, {b}{nan})")

    return form


def _clamp(node: Node, low: str, x: str, high: str) -> Expression:
    if _dtype(node).is_float:
        x = typed(x, _dtype(node))
        return Expression(f"tl.clamp({x}, {low}, {high}, tl.PropagateNan.ALL)")
    return Expression(f"tl.minimum(tl.maximum({x}, {low}), {high})")


def _sign(node: Node, x: str) -> Expression:
    one = "1.0" if _dtype(node).is_float else "1"
    return Expression(f"tl.where({x} > 0, {one}, tl.where({x} < 0, -{one}, {x}))")


def _negate(node: Node, x: str) -> Expression:
    # For the minus sign Triton 3.6 subtracts from 0, which loses that of -0.0.
    return _operation("{0} * -1.0" if _dtype(node).is_float else "-{0}", x)


def _power(node: Node, a: str, b: str) -> Expression:
    whole = {"2.0": f"{a} * {a}", "3.0": f"{a} * {a} * {a}"}
    if plain(b) in whole:
        return Expression(whole[plain(b)])
    return _by_width("_power")(node, a, b)


# -- comparison ------------------------------------------------------------------------

_COMPARISONS = {"EQ": "==", "NE": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}


def _compare(node: Node, a: str, b: str, *, direction: str) -> Expression:
    if _dtype(node).is_float:  # of plain numbers Triton 3.6 would make float32
        return Expression(f"{a} {_COMPARISONS[direction]} {b}")
    return _operation(f"{{0}} {_COMPARISONS[direction]} {{1}}", a, b)


_UNBOUNDED = {
    F16: "65520.0",
    BF16: "3.3961775292304957e+38",
    F32: 'float("inf")',
    F64: 'float("inf")',
}
"""From which size on numbers are rounded to infinity when they are stored."""


def _is_finite(node: Node, x: str) -> Expression:
    return Expression(f"tl.abs({x}) < {_UNBOUNDED[_dtype(node)]}")


# -- bits ------------------------------------------------------------------------------


def _unsigned(dtype: DType) -> str:
    return f"tl.uint{dtype.bits}"


def _signed(dtype: DType) -> str:
    return f"tl.int{dtype.bits}"


def _amount(dtype: DType, text: str) -> int | None:
    """By how many bits a number shifts, if that is less than there are."""
    inside = is_literal(text) and 0 <= int(plain(text)) < dtype.bits
    return int(plain(text)) if inside else None


def _shift_left(node: Node, a: str, b: str) -> Expression:
    dtype = _dtype(node)
    if _amount(dtype, b) is not None:
        return _operation("{0} << {1}", a, b)
    return call("_shift_left", *_tiles(node, (a, b)), str(dtype.bits))


def _shift_right(kind: str, name: str, computed: Callable[[DType], str]) -> Form:
    """A shift to the right in the dtype in which it moves in what it should."""

    def form(node: Node, a: str, b: str) -> Expression:
        dtype = _dtype(node)
        native = dtype.kind == kind
        if native and _amount(dtype, b) is not None:
            return _operation("{0} >> {1}", a, b)
        a, b = _tiles(node, (a, b))
        if native:
            return call(name, a, b, str(dtype.bits))
        cast = computed(dtype)
        amount = _amount(dtype, b)
        if amount is not None:
            shifted = Expression(f"({_bitcast(a, cast)} >> {amount})")
        else:
            operands = (_bitcast(a, cast), _bitcast(b, cast))
            shifted = call(name, *operands, str(dtype.bits))
        return Expression(_bitcast(shifted.text, held(dtype)), shifted.helpers)

    return form


def _count(name: str, fewer: bool) -> Form:
    """A count of bits in the 32 or 64 bits to which a number is extended."""

    def form(node: Node, x: str) -> Expression:
        dtype = _dtype(node)
        bits = _bitcast(typed(x, dtype), _unsigned(dtype))
        if dtype.bits < 32:
            bits = f"{bits}.to(tl.uint32)"
        counted = call(name if dtype.bits <= 32 else f"{name}_64", bits)
        text = counted.text
        if fewer and dtype.bits < 32:
            text = f"({text} - {32 - dtype.bits})"
        return Expression(f"{text}.to({held(dtype)})", counted.helpers)

    return form


def _bitcast_convert(node: Node, x: str, *, dtype: DType) -> Expression:
    bits = _stored_bits(typed(x, _dtype(node)), _dtype(node))
    if dtype is _dtype(node):
        return Expression(x)
    if dtype in (F8E4M3FN, F8E5M2):
        return call(f"_decode_{dtype.name}", _bitcast(bits, "tl.uint8"))
    if dtype in (F16, BF16):
        stored = "tl.float16" if dtype is F16 else "tl.bfloat16"
        return Expression(f"{_bitcast(bits, stored)}.to(tl.float32)")
    return Expression(_bitcast(bits, held(dtype)))


def _stored_bits(x: str, dtype: DType) -> str:
    if dtype is F16:
        return f"{x}.to(tl.float16)"
    return f"{x}.to(tl.bfloat16)" if dtype is BF16 else x


def _philox(node: Node, *words: str) -> Expression:
    # Numbers stay plain where they meet a tile, which has the dtype.
    typed_words = _tiles(node, words)
    typed_words[1], typed_words[3] = plain(words[1]), plain(words[3])
    return call("_philox", *typed_words)


# -- conversion ------------------------------------------------------------------------


def _convert(node: Node, x: str, *, dtype: DType) -> Expression:
    source = _dtype(node)
    if dtype is source:
        return Expression(x)
    if dtype is BOOL:
        return Expression(f"{typed(x, source)} != 0")
    if dtype.is_float:
        return _rounded(typed(x, source), source, dtype)
    if source.is_float:
        return _truncated(typed(x, source), dtype)
    if dtype is I4:
        return Expression(f"({typed(x, source)}.to(tl.int8) << 4) >> 4")
    return Expression(f"{typed(x, source)}.to({held(dtype)})")


def _truncated(x: str, dtype: DType) -> Expression:
    """A float as an integer."""
    low = -(2 ** (dtype.bits - 1)) if dtype.kind == "int" else 0
    high = low + 2**dtype.bits - 1
    return call("_to_integer", x, held(dtype), str(low), str(high))


def _rounded(x: str, source: DType, dtype: DType) -> Expression:
    """A number as a float that is rounded to `dtype` and held wide."""
    if dtype is F64:
        return Expression(f"{x}.to(tl.float64)")
    if dtype is F16 and source is F64:  # not by way of float32, which would round twice
        return Expression(f"{x}.to(tl.float16).to(tl.float32)")
    wide = x if held(source) == "tl.float32" else f"{x}.to(tl.float32)"
    if dtype is F32 or _holds(dtype, source):
        return Expression(wide)
    if dtype in (F8E4M3FN, F8E5M2):
        encoded = call(f"_encode_{dtype.name}", wide)
        return Expression(
            f"_decode_{dtype.name}({encoded.text})",
            call(f"_decode_{dtype.name}").helpers + encoded.helpers,
        )
    stored = "tl.float16" if dtype is F16 else "tl.bfloat16"
    return Expression(f"{wide}.to({stored}).to(tl.float32)")


def _holds(wide: DType, narrow: DType) -> bool:
    """Whether a float of 16 bits holds every number of a dtype."""
    return wide.bits == 16 and narrow.bits <= 8


FORMS: dict[str, Form] = {
    "atan2": _calling("_atan2"),
    "bitcast_convert": _bitcast_convert,
    "cbrt": _calling("_cbrt"),
    "ceil": _whole("ceil"),
    "clamp": _clamp,
    "compare": _compare,
    "convert": _convert,
    "count_leading_zeros": _count("_leading_zeros", fewer=True),
    "divide": _divide,
    "exponential_minus_one": _by_width("_expm1"),
    "floor": _whole("floor"),
    "is_finite": _is_finite,
    "log_plus_one": _calling("_log1p"),
    "maximum": _extremum("maximum", "|"),
    "minimum": _extremum("minimum", "&"),
    "negate": _negate,
    "philox": _philox,
    "popcnt": _count("_population_count", fewer=False),
    "power": _power,
    "remainder": _remainder,
    "round_nearest_afz": _calling("_round_nearest_afz"),
    "round_nearest_even": _calling("_round_nearest_even"),
    "rsqrt": _text_by_width("1.0 / tl.sqrt_rn({0})", "1.0 / tl.sqrt({0})"),
    "shift_left": _shift_left,
    "shift_right_arithmetic": _shift_right("int", "_shift_right_arithmetic", _signed),
    "shift_right_logical": _shift_right("uint", "_shift_right", _unsigned),
    "sign": _sign,
    "sqrt": _text_by_width("tl.sqrt_rn({0})", "tl.sqrt({0})"),
    "stop_gradient": lambda node, x: Expression(x),
    "tanh": _by_width("_tanh"),
}
"""The primitives whose expression depends on a dtype or an attribute, or calls one of
the functions in `graphc.codegen.triton.mathematics`."""
