"""Special functions: the error function, its complement and its inverse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.ir.opdef import FLOAT, Kind
from graphc.ir.ops.along_axes import in_dtype, unchanged, widen
from graphc.ir.ops.elementwise import (
    UNARY_FLOAT_ERRORS,
    abs_,
    add,
    clamp,
    compare,
    divide,
    minimum,
    multiply,
    negate,
    round_nearest_even,
    select,
    sign,
    subtract,
    unary,
)
from graphc.ir.ops.transcendental import exponential, log, sqrt
from graphc.ir.register import composite
from graphc.ir.types import F64


def polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """The polynomial with these coefficients, highest power first, at the value `x`."""
    first, second, *others = coefficients
    result = add(x if first == 1 else multiply(x, first), second)
    for coefficient in others:
        result = add(multiply(result, x), coefficient)
    return result


def in_chunks(function: Callable[..., tuple[Any, ...]], *arrays: Any) -> list[Any]:
    """What an elementwise NumPy function returns for arrays that broadcast together.

    The function gets one part after the other, each small enough for a CPU's cache.
    """
    together = np.broadcast_arrays(*arrays)
    flat = [array.reshape(-1) for array in together]
    starts = range(0, max(1, flat[0].size), _CHUNK)
    parts = [function(*(a[s : s + _CHUNK] for a in flat)) for s in starts]
    return [
        np.concatenate(p).reshape(together[0].shape) for p in zip(*parts, strict=True)
    ]


_CHUNK = 2**14


# -- error function --------------------------------------------------------------------

# float32: x P(x^2) / Q(x^2), from Eigen; beyond the limit the result is 1 in float32.
_ERF_LIMIT = 3.832506856900711
_ERF_P = (
    *(0.00022905065861350646, 0.0034082910107109506, 0.050955695062380861),
    *(0.18520832239976145, 1.128379143519084),
)
_ERF_Q = (
    *(-1.1791602954361697e-7, 0.000023547966471313185, 0.0010179625278914885),
    *(0.014070470171167667, 0.11098505178285362, 0.49746925110067538, 1.0),
)
# float64, from Cephes: x T(x^2) / U(x^2) below 1, 1 - exp(-x^2) P(x) / Q(x) above.
_ERF_T = (
    *(9.60497373987051638749, 90.0260197203842689217, 2232.00534594684319226),
    *(7003.32514112805075473, 55592.3013010394962768),
)
_ERF_U = (
    *(1.0, 33.5617141647503099647, 521.357949780152679795, 4594.32382970980127987),
    *(22629.0000613890934246, 49267.3942608635921086),
)
_ERFC_P = (
    *(2.46196981473530512524e-10, 0.564189564831068821977, 7.46321056442269912687),
    *(48.6371970985681366614, 196.520832956077098242, 526.445194995477358631),
    *(934.528527171957607540, 1027.55188689515710272, 557.535335369399327526),
)
_ERFC_Q = (
    *(1.0, 13.2281951154744992508, 86.7072140885989742329, 354.937778887819891062),
    *(975.708501743205489753, 1823.90916687909736289, 2246.33760818710981792),
    *(1656.66309194161350182, 557.535340817727675546),
)


def _erf_f32(x: Any) -> Any:
    limited = clamp(-_ERF_LIMIT, x, _ERF_LIMIT)
    square = multiply(limited, limited)
    ratio = divide(polynomial(square, _ERF_P), polynomial(square, _ERF_Q))
    return clamp(-1.0, multiply(limited, ratio), 1.0)


def _erf_f64(x: Any) -> Any:
    square = multiply(x, x)
    near = multiply(x, divide(polynomial(square, _ERF_T), polynomial(square, _ERF_U)))
    size = abs_(x)
    limited = minimum(size, 8.0)
    tail = exponential(negate(multiply(limited, limited)))
    ratio = divide(polynomial(limited, _ERFC_P), polynomial(limited, _ERFC_Q))
    far = multiply(sign(x), subtract(1.0, multiply(tail, ratio)))
    return select(compare(size, 1.0, direction="LT"), near, far)


def _erf_vjp(g: Any, y: Any, x: Any) -> Any:
    wide = widen(x)
    slope = exponential(negate(multiply(wide, wide)))
    scaled = multiply(widen(g), multiply(slope, 2 / math.sqrt(math.pi)))
    return (in_dtype(scaled, x.type.dtype),)


_math_erf = np.frompyfunc(math.erf, 1, 1)


def _erf_reference(x: Any) -> Any:
    return np.asarray(_math_erf(x.astype(np.float64))).astype(x.dtype)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=_erf_reference,
    vjp=_erf_vjp,
    dtypes=FLOAT,
    samples=(*unary(), *unary(-6.0, 6.0, "f64")),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
    numerics="6 ulp in float32, 4 in float64; narrower floats compute in float32",
)
def erf(x: Any) -> Any:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    found = _erf_f64(x) if x.type.dtype is F64 else _erf_f32(widen(x))
    return in_dtype(found, x.type.dtype)


# -- complementary error function ------------------------------------------------------

_ERFC_R = (
    *(0.564189583547755073984, 1.27536670759978104416, 5.01905042251180477414),
    *(6.16021097993053585195, 7.4097426995044893916, 2.9788666537210024067),
)
_ERFC_S = (
    *(1.0, 2.2605286322011727659, 9.39603524938001434673, 12.0489539808096656605),
    *(17.0814450747565897222, 9.60896809063285878198, 3.3690764510008151605),
)
_ERFC_LIMIT = 28.0
"""From here on the result is 0 in every dtype."""


def _erfc_tail(size: Any) -> Any:
    """The complementary error function of `size`, which is 1 or more."""
    limited = minimum(size, _ERFC_LIMIT)
    # exp(-size^2), from a part whose square is exact and the rest: the rounding of
    # the square would cost all digits but a few.
    coarse = multiply(round_nearest_even(multiply(limited, 16.0)), 1 / 16)
    rest = multiply(subtract(coarse, limited), add(coarse, limited))
    inner = divide(polynomial(limited, _ERFC_P), polynomial(limited, _ERFC_Q))
    outer = divide(polynomial(limited, _ERFC_R), polynomial(limited, _ERFC_S))
    factor = select(compare(limited, 8.0, direction="LT"), inner, outer)
    # The exponentials do not meet: XLA would make one of their product.
    scaled = multiply(factor, exponential(rest))
    return multiply(scaled, exponential(negate(multiply(coarse, coarse))))


_math_erfc = np.frompyfunc(math.erfc, 1, 1)


def _erfc_reference(x: Any) -> Any:
    return np.asarray(_math_erfc(x.astype(np.float64))).astype(x.dtype)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=_erfc_reference,
    vjp=lambda g, y, x: _erf_vjp(negate(g), y, x),
    dtypes=FLOAT,
    samples=(*unary(), *unary(-6.0, 6.0, "f64")),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
    numerics="8 ulp down to the smallest normal number, where 1 - erf(x) has lost all",
)
def erfc(x: Any) -> Any:
    """The complementary error function, 1 - erf(x), accurate for large x."""
    wide = widen(x)
    near = subtract(1.0, erf(wide))
    tail = _erfc_tail(abs_(wide))
    below = compare(wide, 0.0, direction="LT")
    far = select(below, subtract(2.0, tail), tail)
    is_near = compare(abs_(wide), 1.0, direction="LT")
    return in_dtype(select(is_near, near, far), x.type.dtype)


# -- inverse error function ------------------------------------------------------------

# M. Giles, "Approximating the erfinv function", 2010: x times a polynomial in
# w = -log(1 - x^2), or in sqrt(w) further out.
_INVERSE_NEAR_F32 = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_INVERSE_FAR_F32 = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)
_INVERSE_NEAR = (
    *(-3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18),
    *(1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17),
    *(
        6.6376381343583238325e-15,
        -4.0545662729752068639e-14,
        -8.1519341976054721522e-14,
    ),
    *(
        2.6335093153082322977e-12,
        -1.2975133253453532498e-11,
        -5.4154120542946279317e-11,
    ),
    *(1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08),
    *(
        4.2347877827932403518e-07,
        -1.3654692000834678645e-06,
        -1.3882523362786468719e-05,
    ),
    *(0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533),
    *(0.24015818242558961693, 1.6536545626831027356),
)
_INVERSE_MIDDLE = (
    *(2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07),
    *(1.8239629214389227755e-08, 1.5027403968909827627e-06, -4.013867526981545969e-06),
    *(2.9234449089955446044e-06, 1.2475304481671778723e-05, -4.7318229009055733981e-05),
    *(6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796),
    *(0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066),
    *(-0.0037512085075692412107, 0.005370914553590063617, 1.0052589676941592334),
    3.0838856104922207635,
)
_INVERSE_FAR = (
    *(
        -2.7109920616438573243e-11,
        -2.5556418169965252055e-10,
        1.5076572693500548083e-09,
    ),
    *(
        -3.7894654401267369937e-09,
        7.6157012080783393804e-09,
        -1.4960026627149240478e-08,
    ),
    *(2.9147953450901080826e-08, -6.7711997758452339498e-08, 2.2900482228026654717e-07),
    *(
        -9.9298272942317002539e-07,
        4.5260625972231537039e-06,
        -1.9681778105531670567e-05,
    ),
    *(
        7.5995277030017761139e-05,
        -0.00021503011930044477347,
        -0.00013871931833623122026,
    ),
    *(1.0103004648645343977, 4.8499064014085844221),
)


def _factor_f32(w: Any) -> Any:
    near = polynomial(subtract(w, 2.5), _INVERSE_NEAR_F32)
    far = polynomial(subtract(sqrt(w), 3.0), _INVERSE_FAR_F32)
    return select(compare(w, 5.0, direction="LT"), near, far)


def _factor_f64(w: Any) -> Any:
    root = sqrt(w)
    near = polynomial(subtract(w, 3.125), _INVERSE_NEAR)
    middle = polynomial(subtract(root, 3.25), _INVERSE_MIDDLE)
    far = polynomial(subtract(root, 5.0), _INVERSE_FAR)
    outer = select(compare(w, 16.0, direction="LT"), middle, far)
    return select(compare(w, 6.25, direction="LT"), near, outer)


def _erf_inv_chunk(x: Any) -> tuple[Any]:
    wide = x.astype(np.float64)
    w = -np.log((1 - wide) * (1 + wide))
    factor = np.polyval(_INVERSE_NEAR, w - 3.125)
    outer = w >= 6.25  # few elements
    root = np.sqrt(w[outer])
    middle = np.polyval(_INVERSE_MIDDLE, root - 3.25)
    far = np.polyval(_INVERSE_FAR, root - 5)
    factor[outer] = np.where(root < 4, middle, np.where(np.isinf(root), np.inf, far))
    return ((wide * factor).astype(x.dtype),)


def _erf_inv_vjp(g: Any, y: Any, x: Any) -> Any:
    wide = widen(y)
    slope = multiply(exponential(multiply(wide, wide)), math.sqrt(math.pi) / 2)
    return (in_dtype(multiply(widen(g), slope), x.type.dtype),)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=lambda x: in_chunks(_erf_inv_chunk, x)[0],
    vjp=_erf_inv_vjp,
    dtypes=FLOAT,
    samples=(*unary(-0.99, 0.99), *unary(-0.999, 0.999, "f64")),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
    numerics="4 ulp in float32, 3 in float64; infinite at -1 and 1, nan beyond them",
)
def erf_inv(x: Any) -> Any:
    """The inverse of the error function."""
    wide = widen(x)
    # The product is exact enough near 0 and, unlike 1 - x^2, near -1 and 1.
    w = negate(log(multiply(subtract(1.0, wide), add(wide, 1.0))))
    factor = (_factor_f64 if wide.type.dtype is F64 else _factor_f32)(w)
    factor = select(compare(w, math.inf, direction="EQ"), math.inf, factor)
    return in_dtype(multiply(wide, factor), x.type.dtype)
