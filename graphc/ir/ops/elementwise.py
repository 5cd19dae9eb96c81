"""Elementwise primitives: arithmetic, rounding, comparison, selection, conversion."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.errors import GraphError
from graphc.ir.opdef import (
    ANY,
    BOOLEAN,
    COMPUTED,
    FLOAT,
    NUMBER,
    SIGNED,
    Arg,
    DType,
    IllTyped,
    Kind,
    Sample,
    Trait,
)
from graphc.ir.payload import Payload, exact, whole, whole_numbers
from graphc.ir.register import primitive
from graphc.ir.typerules import same_shape, same_type
from graphc.ir.types import TensorType

BINARY_ERRORS = (
    IllTyped(("f32[3]", "f32[4]"), "must have the same shape"),
    IllTyped(("f32[3]", "f64[3]"), "must have the same dtype"),
    IllTyped(("f32[3]",), "takes 2 operands"),
)
UNARY_FLOAT_ERRORS = (
    IllTyped(("i32[3]",), "must be floating point"),
    IllTyped(("f32[3]", "f32[3]"), "takes 1 operands"),
)


def unary(
    low: float = -2.0, high: float = 2.0, dtype: str = "f32"
) -> tuple[Sample, ...]:
    """Samples of a unary elementwise op: a matrix, a scalar and an empty tensor."""
    shapes = ("[3,4]", "[]", "[0,2]")
    return tuple(Sample((Arg(dtype + shape, low, high),)) for shape in shapes)


def binary(
    low: float = -2.0, high: float = 2.0, dtype: str = "f32"
) -> tuple[Sample, ...]:
    """Samples of a binary elementwise op: equal shapes, and rank 0 on either side."""
    shapes = (("[3,4]", "[3,4]"), ("[3,4]", "[]"), ("[]", "[5]"), ("[0]", "[0]"))
    return tuple(
        Sample((Arg(dtype + a, low, high), Arg(dtype + b, low, high)))
        for a, b in shapes
    )


# -- arithmetic ------------------------------------------------------------------------


@primitive(
    Kind.ELEMENTWISE,
    np.add,
    vjp=lambda g, y, a, b: (g, g),
    dtypes=NUMBER,
    traits=[Trait.COMMUTATIVE],
    samples=binary(),
    errors=BINARY_ERRORS,
)
def add(a: TensorType, b: TensorType) -> TensorType:
    """a + b; integers wrap around."""
    return same_type("add", a, b)


@primitive(
    Kind.ELEMENTWISE,
    np.subtract,
    vjp=lambda g, y, a, b: (g, negate(g)),
    dtypes=NUMBER,
    samples=binary(),
    errors=BINARY_ERRORS,
)
def subtract(a: TensorType, b: TensorType) -> TensorType:
    """a - b; integers wrap around."""
    return same_type("subtract", a, b)


def _multiply_vjp(g: Any, y: Any, a: Any, b: Any) -> tuple[Any, ...]:
    return multiply(g, b), multiply(g, a)


@primitive(
    Kind.ELEMENTWISE,
    np.multiply,
    vjp=_multiply_vjp,
    dtypes=NUMBER,
    traits=[Trait.COMMUTATIVE],
    samples=binary(),
    errors=BINARY_ERRORS,
)
def multiply(a: TensorType, b: TensorType) -> TensorType:
    """a * b; integers wrap around."""
    return same_type("multiply", a, b)


def _divide_reference(a: Any, b: Any) -> Any:
    if a.dtype.kind not in "iu":
        return np.divide(a, b)
    # Toward zero, as StableHLO; division by zero gives -1 (all bits set).
    safe = np.where(b == 0, 1, b)
    quotient = np.asarray(np.floor_divide(a, safe))
    toward_zero = (np.remainder(a, safe) != 0) & ((a < 0) ^ (safe < 0))
    quotient = quotient + toward_zero.astype(a.dtype)
    return np.where(b == 0, np.invert(np.zeros_like(quotient)), quotient)


def _divide_vjp(g: Any, y: Any, a: Any, b: Any) -> tuple[Any, ...]:
    return divide(g, b), negate(divide(multiply(g, y), b))


@primitive(
    Kind.ELEMENTWISE,
    _divide_reference,
    vjp=_divide_vjp,
    dtypes=NUMBER,
    samples=binary(0.5, 2.0),
    errors=BINARY_ERRORS,
    ulp=1,
)
def divide(a: TensorType, b: TensorType) -> TensorType:
    """a / b; integers round toward zero."""
    return same_type("divide", a, b)


def _remainder_reference(a: Any, b: Any) -> Any:
    if a.dtype.kind not in "iu":
        return np.fmod(a, b)
    return np.where(b == 0, a, np.fmod(a, np.where(b == 0, 1, b)))


@primitive(
    Kind.ELEMENTWISE,
    _remainder_reference,
    vjp=lambda g, y, a, b: (g, negate(multiply(g, _truncate(divide(a, b))))),
    dtypes=NUMBER,
    traits=[Trait.RANGE_SENSITIVE],
    samples=binary(0.6, 0.9),
    errors=BINARY_ERRORS,
    numerics="the sign of the result is the sign of a, as C's fmod",
)
def remainder(a: TensorType, b: TensorType) -> TensorType:
    """The remainder of a / b rounded toward zero; its sign is the sign of a."""
    return same_type("remainder", a, b)


def _truncate(x: Any) -> Any:
    return select(compare(x, 0.0, direction="LT"), ceil(x), floor(x))


def _pick_vjp(direction: str) -> Any:
    def vjp(g: Any, y: Any, a: Any, b: Any) -> Any:
        # Ties give half to each side, so that max(x, x) has derivative 1.
        half = multiply(g, 0.5)
        tied = compare(a, b, direction="EQ")
        first = compare(a, b, direction=direction)
        return (
            select(tied, half, select(first, g, 0.0)),
            select(tied, half, select(first, 0.0, g)),
        )

    return vjp


@primitive(
    Kind.ELEMENTWISE,
    np.maximum,
    vjp=_pick_vjp("GT"),
    dtypes=COMPUTED,
    traits=[Trait.COMMUTATIVE],
    samples=binary(),
    errors=BINARY_ERRORS,
    numerics="nan if an operand is nan; of 0.0 and -0.0 either may be returned",
)
def maximum(a: TensorType, b: TensorType) -> TensorType:
    """The larger of a and b."""
    return same_type("maximum", a, b)


@primitive(
    Kind.ELEMENTWISE,
    np.minimum,
    vjp=_pick_vjp("LT"),
    dtypes=COMPUTED,
    traits=[Trait.COMMUTATIVE],
    samples=binary(),
    errors=BINARY_ERRORS,
    numerics="nan if an operand is nan; of 0.0 and -0.0 either may be returned",
)
def minimum(a: TensorType, b: TensorType) -> TensorType:
    """The smaller of a and b."""
    return same_type("minimum", a, b)


def _negate_vjp(g: Any, y: Any, x: Any) -> tuple[Any, ...]:
    return (negate(g),)


@primitive(
    Kind.ELEMENTWISE,
    np.negative,
    vjp=_negate_vjp,
    dtypes=NUMBER,
    samples=unary(),
    errors=(IllTyped(("bool[3]",), "must be a number"),),
)
def negate(x: TensorType) -> TensorType:
    """-x; integers wrap around."""
    return x


def _abs_vjp(g: Any, y: Any, x: Any) -> tuple[Any, ...]:
    return (select(compare(x, 0.0, direction="GE"), g, negate(g)),)


@primitive(
    Kind.ELEMENTWISE,
    np.abs,
    vjp=_abs_vjp,
    dtypes=SIGNED,
    traits=[Trait.IDEMPOTENT],
    samples=unary(),
    errors=(IllTyped(("bool[3]",), "must be a signed number"),),
    numerics="the derivative at 0 is 1",
)
def abs_(x: TensorType) -> TensorType:
    """The absolute value."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    lambda x: np.where(x == 0, x, np.sign(x)),
    vjp=lambda g, y, x: (None,),
    dtypes=SIGNED,
    traits=[Trait.IDEMPOTENT],
    samples=unary(),
    errors=(IllTyped(("bool[3]",), "must be a signed number"),),
    numerics="a zero keeps its sign",
)
def sign(x: TensorType) -> TensorType:
    """-1, 0 or 1 as x is negative, zero or positive; nan for nan."""
    return x


# -- rounding --------------------------------------------------------------------------


@primitive(
    Kind.ELEMENTWISE,
    np.floor,
    vjp=lambda g, y, x: (None,),
    dtypes=FLOAT,
    traits=[Trait.IDEMPOTENT],
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
)
def floor(x: TensorType) -> TensorType:
    """The largest whole number that is not above x."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.ceil,
    vjp=lambda g, y, x: (None,),
    dtypes=FLOAT,
    traits=[Trait.IDEMPOTENT],
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
)
def ceil(x: TensorType) -> TensorType:
    """The smallest whole number that is not below x."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.round,
    vjp=lambda g, y, x: (None,),
    dtypes=FLOAT,
    traits=[Trait.IDEMPOTENT],
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
)
def round_nearest_even(x: TensorType) -> TensorType:
    """The nearest whole number; halves go to the even one."""
    return x


def _away_from_zero(x: Any) -> Any:
    # Not floor(x + 0.5): the sum rounds up what lies just below a half.
    whole = np.trunc(x)
    return whole + np.copysign(np.abs(x - whole) >= 0.5, x).astype(x.dtype)


@primitive(
    Kind.ELEMENTWISE,
    _away_from_zero,
    vjp=lambda g, y, x: (None,),
    dtypes=FLOAT,
    traits=[Trait.IDEMPOTENT],
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
)
def round_nearest_afz(x: TensorType) -> TensorType:
    """The nearest whole number; halves go away from zero."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.isfinite,
    vjp="its result is not a float",
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
)
def is_finite(x: TensorType) -> TensorType:
    """Whether x is neither infinite nor nan."""
    return TensorType(x.shape, next(iter(BOOLEAN)))


# -- comparison and selection ----------------------------------------------------------

_COMPARISONS = {
    "EQ": np.equal,
    "NE": np.not_equal,
    "LT": np.less,
    "LE": np.less_equal,
    "GT": np.greater,
    "GE": np.greater_equal,
}


@primitive(
    Kind.ELEMENTWISE,
    lambda a, b, direction: _COMPARISONS[direction](a, b),
    vjp="its result is not a float",
    dtypes=COMPUTED,
    samples=tuple(
        Sample(("f32[3,4]", "f32[3,4]"), {"direction": d}) for d in _COMPARISONS
    ),
    errors=(
        IllTyped(("f32[3]", "f32[4]"), "the same shape", {"direction": "EQ"}),
        IllTyped(("f32[3]", "f32[3]"), "direction must be one of", {"direction": "X"}),
        IllTyped(("f32[3]", "f32[3]"), "attribute 'direction' is missing"),
    ),
)
def compare(a: TensorType, b: TensorType, *, direction: str) -> TensorType:
    """Whether a and b are in the order `direction` says: EQ, NE, LT, LE, GT or GE."""
    if direction not in _COMPARISONS:
        raise GraphError(
            f"compare: direction must be one of {', '.join(_COMPARISONS)}",
            received=repr(direction)[:80],
        )
    return same_type("compare", a, b).with_dtype(next(iter(BOOLEAN)))


def _select_vjp(g: Any, y: Any, predicate: Any, a: Any, b: Any) -> Any:
    return None, select(predicate, g, 0.0), select(predicate, 0.0, g)


@primitive(
    Kind.ELEMENTWISE,
    lambda predicate, a, b: np.where(predicate, a, b),
    vjp=_select_vjp,
    dtypes=(BOOLEAN, ANY),
    samples=(
        Sample(("bool[3,4]", "f32[3,4]", "f32[3,4]")),
        Sample(("bool[]", "f32[3,4]", "f32[3,4]")),
        Sample(("bool[3,4]", "f32[]", "f32[3,4]")),
        Sample(("bool[5]", "i32[]", "i32[]")),
    ),
    errors=(
        IllTyped(("f32[3]", "f32[3]", "f32[3]"), "predicate must be bool"),
        IllTyped(("bool[3]", "f32[3]", "f32[4]"), "must have the same shape"),
        IllTyped(("bool[3]", "f32[3]", "i32[3]"), "must have the same dtype"),
    ),
)
def select(predicate: TensorType, a: TensorType, b: TensorType) -> TensorType:
    """a where the predicate holds, else b."""
    chosen = same_type("select", a, b)
    return chosen.with_shape(same_shape("select", predicate, chosen))


def _clamp_vjp(g: Any, y: Any, low: Any, x: Any, high: Any) -> Any:
    below = compare(x, low, direction="LT")
    above = compare(x, high, direction="GT")
    return (
        select(below, g, 0.0),
        select(below, 0.0, select(above, 0.0, g)),
        select(above, g, 0.0),
    )


@primitive(
    Kind.ELEMENTWISE,
    lambda low, x, high: np.minimum(np.maximum(x, low), high),
    vjp=_clamp_vjp,
    dtypes=NUMBER,
    samples=(
        Sample((-0.5, "f32[3,4]", 0.75)),
        Sample((Arg("f32[4]", -2, -1), "f32[4]", Arg("f32[4]", 1, 2))),
    ),
    errors=(
        IllTyped(("f32[2]", "f32[3]", "f32[3]"), "must have the same shape"),
        IllTyped(("f32[]", "i32[3]", "f32[]"), "must have the same dtype"),
    ),
    numerics="nan if an operand is nan; high where low is above it",
)
def clamp(low: TensorType, x: TensorType, high: TensorType) -> TensorType:
    """x limited to low..high."""
    return same_type("clamp", low, x, high)


# -- conversion ------------------------------------------------------------------------


def _convert_reference(x: Any, dtype: DType) -> Any:
    if dtype.is_integer and x.dtype.kind == "f":
        # Saturates, and nan gives 0, as XLA does.
        info = np.iinfo(dtype.numpy) if dtype.bits >= 8 else None
        low, high = (info.min, info.max) if info else (-8, 7)
        finite = np.nan_to_num(x.astype(np.float64), nan=0.0)
        whole = np.trunc(finite)
        clipped = np.clip(whole, float(low), float(high))
        inside = (whole > float(low)) & (whole < float(high))
        exact = np.where(inside, clipped, 0).astype(dtype.numpy)
        limit = np.where(
            whole >= float(high), dtype.numpy.type(high), dtype.numpy.type(low)
        )
        return np.where(inside, exact, limit)
    if dtype.kind == "bool":
        return x != 0
    if dtype.is_float and x.dtype == np.float64:
        # Rounded where the result is stored: not at all when all floats are float64.
        return x
    return x.astype(dtype.numpy)


def _convert_exact(x: Any, dtype: DType) -> Any:
    # Between floats nothing is rounded; floats that are not whole become some integer.
    if not isinstance(x, Payload):
        return exact(x) if dtype.is_float else _convert_reference(x, dtype)
    if dtype.is_float:
        return x
    if dtype.kind == "bool":
        return np.not_equal(x, 0)
    return _convert_reference(whole_numbers(whole(x, "convert")), dtype)


def _convert_vjp(g: Any, y: Any, x: Any, dtype: Any) -> tuple[Any, ...]:
    return (convert(g, dtype=x.type.dtype) if x.type.dtype.is_float else None,)


@primitive(
    Kind.ELEMENTWISE,
    _convert_reference,
    exact=_convert_exact,
    vjp=_convert_vjp,
    samples=(
        Sample(("f32[3,4]",), {"dtype": "bf16"}),
        Sample(("f32[3,4]",), {"dtype": "i32"}),
        Sample((Arg("i32[5]", -99, 99),), {"dtype": "f32"}),
        Sample(("bool[5]",), {"dtype": "f32"}),
        Sample(("f32[5]",), {"dtype": "bool"}),
    ),
    errors=(
        IllTyped(("f32[3]",), "kind DType", {"dtype": "f33"}),
        IllTyped(("f32[3]",), "attribute 'dtype' is missing"),
    ),
    numerics="float to integer truncates and saturates, nan gives 0; to bool is != 0",
)
def convert(x: TensorType, *, dtype: DType) -> TensorType:
    """x in another dtype."""
    return x.with_dtype(dtype)
