"""Gamma, beta and binomial numbers, drawn from random bits without branches.

Rejection needs an unknown number of tries. Here a fixed number of candidates is made
side by side, along a new first axis, and the first accepted one is taken; so many that
all are refused less often than 2^-32, the resolution of the random words, in which case
the first one is taken. Decisions are made in float64, so that executors which round
differently accept the same candidates, but for about one in 10^15.
"""

from __future__ import annotations

from typing import Any

from graphc.ir.opdef import FLOAT, Arg, DType, IllTyped, Kind, Sample
from graphc.ir.ops.along_axes import at_index, in_dtype
from graphc.ir.ops.bits import and_, or_
from graphc.ir.ops.elementwise import (
    abs_,
    add,
    clamp,
    compare,
    convert,
    divide,
    floor,
    minimum,
    multiply,
    negate,
    select,
    subtract,
)
from graphc.ir.ops.gamma import lgamma
from graphc.ir.ops.random import bits_to_normal, random_bits
from graphc.ir.ops.reduction import (
    argmax,
    cumulative_prod,
    cumulative_sum,
    reduce_sum,
)
from graphc.ir.ops.shape import concatenate, expand, iota, slice_
from graphc.ir.ops.transcendental import (
    exponential,
    log,
    log_plus_one,
    logistic,
    rsqrt,
    sqrt,
)
from graphc.ir.register import composite
from graphc.ir.typerules import require
from graphc.ir.types import F64, I32, U32, TensorType

_WORD = frozenset({U32})
_KEY = Arg("u32[4]", 0, 1e9)


def _parts(key: Any, counts: list[int], like: Any) -> list[Any]:
    """Random words [count, *shape of `like`] for each of the counts."""
    shape = like.type.shape
    words = random_bits(key, shape=(sum(counts), *shape))
    zeros = [0] * len(shape)
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    return [
        slice_(words, start=[end - count, *zeros], limit=[end, *shape])
        for count, end in zip(counts, ends, strict=True)
    ]


def _uniform(words: Any) -> Any:
    """Uniform numbers in (0, 1), without both ends, in float64."""
    return multiply(add(convert(words, dtype=F64), 0.5), 2.0**-32)


def _along(x: Any, count: int) -> Any:
    """`x` repeated along a new first axis of size `count`."""
    shape = (count, *x.type.shape)
    return expand(x, shape, range(1, len(shape)))


def _first(accepted: Any, candidates: Any) -> Any:
    """The first candidate along axis 0 that is accepted; the first of all if none is."""
    place = argmax(convert(accepted, dtype=I32), axis=0)
    hit = at_index(place, candidates.type.shape, 0)
    return reduce_sum(select(hit, candidates, 0.0), axes=[0])


def _above(a: Any, b: Any) -> Any:
    return compare(a, b, direction="GT")


# -- gamma and beta --------------------------------------------------------------------

_GAMMA_TRIES = 8
"""Of these at least 0.9517 are accepted, so that all are refused with 3e-11."""


def _log_gamma_number(key: Any, alpha: Any) -> Any:
    """The logarithm of a gamma number; `alpha` is in float64.

    After Marsaglia and Tsang, "A simple method for generating gamma variables", 2000.
    """
    small = compare(alpha, 1.0, direction="LT")
    # Below 1 a number for alpha + 1 is scaled by a power of a uniform one.
    shape = subtract(select(small, add(alpha, 1.0), alpha), 1 / 3)
    counts = [_GAMMA_TRIES, _GAMMA_TRIES, 1]
    normal, chance, scale = _parts(key, counts, alpha)
    x = bits_to_normal(normal, dtype=F64)
    d = _along(shape, _GAMMA_TRIES)
    root = add(multiply(x, rsqrt(multiply(d, 9.0))), 1.0)
    inside = _above(root, 0.0)
    root = select(inside, root, 1.0)
    log_v = multiply(log(root), 3.0)
    v = multiply(multiply(root, root), root)
    excess = multiply(d, add(subtract(1.0, v), log_v))
    bound = add(multiply(multiply(x, x), 0.5), excess)
    accepted = and_(inside, _above(bound, log(_uniform(chance))))
    found = add(log(shape), _first(accepted, log_v))
    power = divide(reduce_sum(log(_uniform(scale)), axes=[0]), alpha)
    found = select(small, add(found, power), found)
    return select(compare(alpha, 0.0, direction="GE"), found, float("nan"))


_NO_GRADIENT = (
    "the derivative of a draw by the parameters of its distribution is not known in "
    "closed form"
)
_GAMMA_ERRORS = (
    IllTyped(("u32[2]", "f32[3]"), "key must be u32[4]"),
    IllTyped(("i32[4]", "f32[3]"), "must be one of u32"),
    IllTyped(("u32[4]", "i32[3]"), "must be floating point"),
)


def _draw_type(name: str, key: TensorType, *parameters: TensorType) -> TensorType:
    first = parameters[0]
    require(key.shape == (4,), f"{name}: key must be u32[4]", key, *parameters)
    require(
        all(p == first for p in parameters),
        f"{name}: parameters must have the same type",
        key,
        *parameters,
    )
    return first


@composite(
    Kind.OPAQUE,
    infer=lambda key, alpha: _draw_type("random_gamma", key, alpha),
    vjp=_NO_GRADIENT,
    dtypes=(_WORD, FLOAT),
    samples=(  # few: they take seconds to compile
        Sample((_KEY, Arg("f32[3,4]", 0.05, 9))),
        Sample((_KEY, Arg("f32[B]", 0.5, 3))),
    ),
    errors=_GAMMA_ERRORS,
    ulp=4,
    numerics="0 for alpha = 0, nan for alpha < 0; all 8 tries are refused with 3e-11",
)
def random_gamma(key: Any, alpha: Any) -> Any:
    """Numbers of the gamma distributions of shapes alpha and scale 1."""
    found = exponential(_log_gamma_number(key, in_dtype(alpha, F64)))
    return in_dtype(found, alpha.type.dtype)


@composite(
    Kind.OPAQUE,
    infer=lambda key, alpha, beta: _draw_type("random_beta", key, alpha, beta),
    vjp=_NO_GRADIENT,
    dtypes=(_WORD, FLOAT, FLOAT),
    samples=(
        Sample((_KEY, Arg("f32[]", 0.05, 9), Arg("f32[]", 0.05, 9))),
        Sample((_KEY, Arg("f32[B,2]", 0.01, 3), Arg("f32[B,2]", 0.01, 3))),
    ),
    errors=(
        IllTyped(("u32[2]", "f32[3]", "f32[3]"), "key must be u32[4]"),
        IllTyped(("u32[4]", "f32[3]", "f32[2]"), "must have the same type"),
        IllTyped(("u32[4]", "i32[3]", "i32[3]"), "must be floating point"),
    ),
    ulp=4,
    numerics="a quotient of two gamma numbers by their logarithms, so that small"
    " parameters do not give 0 / 0",
)
def random_beta(key: Any, alpha: Any, beta: Any) -> Any:
    """Numbers of the beta distributions with parameters alpha and beta."""
    dtype = alpha.type.dtype
    both = [_along(in_dtype(p, F64), 1) for p in (alpha, beta)]
    rank = alpha.type.rank
    drawn = _log_gamma_number(key, concatenate(*both, axis=0))
    first, second = (
        slice_(drawn, start=[i] + [0] * rank, limit=[i + 1, *alpha.type.shape])
        for i in range(2)
    )
    share = reduce_sum(logistic(subtract(first, second)), axes=[0])
    return in_dtype(share, dtype)


# -- binomial --------------------------------------------------------------------------

_BINOMIAL_TRIES = 18
"""Of these at least 0.7088 are accepted, so that all are refused with 2.3e-10."""
_FEW = 10.0
"""Expected numbers below this are counted up from 0."""
_STEPS = 36
"""A number expected below 10 is above this with a chance of 4.5e-11."""


def _counted_up(u: Any, n: Any, p: Any) -> Any:
    """The least number whose distribution function is at least `u`, by adding up."""
    grid = (_STEPS, *n.type.shape)
    k = iota(shape=grid, axis=0, dtype=F64)
    odds = _along(divide(p, subtract(1.0, p)), _STEPS)
    ratio = multiply(divide(subtract(_along(n, _STEPS), k), add(k, 1.0)), odds)
    sums = cumulative_sum(cumulative_prod(ratio, axis=0), axis=0)
    none = exponential(multiply(n, log_plus_one(negate(p))))
    reached = multiply(_along(none, _STEPS), add(sums, 1.0))
    below = in_dtype(_above(_along(u, _STEPS), reached), F64)
    found = add(reduce_sum(below, axes=[0]), in_dtype(_above(u, none), F64))
    return minimum(found, n)


def _log_weight(k: Any, n: Any, log_odds: Any) -> Any:
    """The logarithm of the chance of `k`, up to what does not depend on it."""
    ways = add(lgamma(add(k, 1.0)), lgamma(add(subtract(n, k), 1.0)))
    return subtract(multiply(k, log_odds), ways)


def _by_rejection(words: Any, chances: Any, n: Any, p: Any) -> Any:
    """Hörmann, "The generation of binomial random variates", 1993: BTRS."""
    spread = sqrt(multiply(multiply(n, p), subtract(1.0, p)))
    b = add(multiply(spread, 2.53), 1.15)
    a = add(add(multiply(b, 0.0248), multiply(p, 0.01)), -0.0873)
    centre = add(multiply(n, p), 0.5)
    height = multiply(add(divide(5.1, b), 2.83), spread)
    sure = subtract(0.92, divide(4.2, b))
    log_odds = log(divide(p, subtract(1.0, p)))
    best = _log_weight(floor(multiply(add(n, 1.0), p)), n, log_odds)
    wide = (a, b, centre, height, sure, log_odds, best, n)
    a, b, centre, height, sure, log_odds, best, n = (
        _along(x, _BINOMIAL_TRIES) for x in wide
    )
    u = subtract(_uniform(words), 0.5)
    edge = subtract(0.5, abs_(u))
    slope = add(divide(multiply(a, 2.0), edge), b)
    k = floor(add(multiply(slope, u), centre))
    inside = and_(compare(k, 0.0, direction="GE"), compare(k, n, direction="LE"))
    k = clamp(0.0, k, n)
    chance = _uniform(chances)
    quick = and_(
        compare(edge, 0.07, direction="GE"), compare(chance, sure, direction="LE")
    )
    area = add(divide(a, multiply(edge, edge)), b)
    level = log(divide(multiply(chance, height), area))
    fair = _above(subtract(_log_weight(k, n, log_odds), best), level)
    return _first(and_(inside, or_(quick, fair)), k)


@composite(
    Kind.OPAQUE,
    infer=lambda key, count, probability: _draw_type(
        "random_binomial", key, count, probability
    ),
    vjp=_NO_GRADIENT,
    dtypes=(_WORD, FLOAT, FLOAT),
    samples=(
        Sample((_KEY, Arg("f32[3,4]", 1, 60), Arg("f32[3,4]", 0.05, 0.95))),
        Sample((_KEY, Arg("f32[B]", 3, 3000), Arg("f32[B]", 0.2, 0.6))),
    ),
    errors=(
        IllTyped(("u32[2]", "f32[3]", "f32[3]"), "key must be u32[4]"),
        IllTyped(("u32[4]", "f32[3]", "f32[2]"), "must have the same type"),
        IllTyped(("u32[4]", "i32[3]", "i32[3]"), "must be floating point"),
    ),
    numerics="exact but for a chance of 2^-32; counts are rounded down; nan unless the"
    " count is at least 0 and the probability in 0..1",
)
def random_binomial(key: Any, count: Any, probability: Any) -> Any:
    """How often something of some probability happens in `count` trials.

    Where fewer than 10 are expected they are counted up, else drawn by rejection.
    """
    dtype: DType = count.type.dtype
    n, share = floor(in_dtype(count, F64)), in_dtype(probability, F64)
    more = _above(share, 0.5)
    p = select(more, subtract(1.0, share), share)
    counts = [_BINOMIAL_TRIES, _BINOMIAL_TRIES, 1]
    words, chances, level = _parts(key, counts, n)
    few = _counted_up(reduce_sum(_uniform(level), axes=[0]), n, p)
    many = _by_rejection(words, chances, n, p)
    found = select(compare(multiply(n, p), _FEW, direction="LT"), few, many)
    found = select(more, subtract(n, found), found)
    valid = and_(
        compare(n, 0.0, direction="GE"),
        and_(compare(share, 0.0, direction="GE"), compare(share, 1.0, direction="LE")),
    )
    return in_dtype(select(valid, found, float("nan")), dtype)
