"""Exact numbers for checking programs: pairs of residues instead of floats.

A `Payload` array holds in the place of each float a pair of residues, modulo the primes
`P` and `Q` with ``P = 2 Q + 1``. Sums, differences, products, quotients and dot products
are those of the two prime fields, without any rounding, so every order of summation
gives the same result, and a program that leaves out one of ten thousand terms a wholly
different one. Other functions get the meaning that keeps as many identities as possible:

* ``exp`` takes the residue modulo `Q` to a power modulo `P` of an element of order `Q`:
  exp(x + y) = exp(x) exp(y), so a softmax may be shifted. Modulo `Q` the only such
  function is 1; what passes through two exponentials is compared in less detail.
* Numbers become what their exact binary fraction is in the fields; whole numbers up to
  2**23 are told from others, and rounding functions have whole results.
* Maxima, comparisons and sorting follow an order of the pairs that negation reverses.
* Small whole powers are products. All other functions are hashes of their operands.
* Infinities and NaN are themselves.

A pair is stored as the float64 ``p * 2**25 + q`` of the centred residues, less than
2**50, which is why NumPy code that moves or orders elements runs on such arrays as it
is, and all arithmetic below is exact. The idea is that of the floating-point sanitizer
of Triton, for fields in the place of the integers modulo 2**32.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

P = 67108187
"""The larger prime, below 2**26."""
Q = 33554093
"""The smaller prime, below 2**25; ``P = 2 * Q + 1``."""
_GENERATOR = 4
"""An element of order `Q` modulo `P`."""
_DIGIT = 5
"""The bits of an exponent that are looked up at once."""
_SHIFT = 2.0**25
_LIMB = 2.0**13
_MOST_TERMS = 2**14
"""How many products of a limb and a residue add up without rounding."""
_MOST_FACTORS = 64
"""The largest whole exponent for which a power is a product."""


class NoMeaningError(TypeError):
    """A function that would read stored pairs as if they were numbers."""


class Payload(np.ndarray[Any, Any]):
    """An array of pairs of residues, of dtype float64."""

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any
    ) -> Any:
        out = options.pop("out", None)
        if not any(_is_float(each) for each in inputs):
            arrays = [np.asarray(each) for each in inputs]
            return getattr(ufunc, method)(*arrays, **options)
        if method == "at":
            return _at(ufunc, *inputs)
        if ufunc in _BY_ORDER:
            plain = [_base(each) for each in inputs]
            found = getattr(ufunc, method)(*plain, **options)
        elif method == "__call__":
            found = _call(ufunc, [packed(each) for each in inputs])
        elif method in ("reduce", "accumulate") and ufunc in _ALONG:
            options = {name: options[name] for name in _PLACING if name in options}
            found = _along(ufunc, method, *(_base(each) for each in inputs), **options)
        else:
            raise NoMeaningError(f"{ufunc.__name__}.{method} has no exact meaning")
        if out is None:
            return marked(found)
        _base(out[0])[...] = found
        return out[0]

    def __array_function__(
        self, function: Any, types: Any, arguments: Any, options: Any
    ) -> Any:
        if function in _INEXACT or function.__module__ in _INEXACT_MODULES:
            raise NoMeaningError(f"{function.__name__} has no exact meaning")
        return marked(super().__array_function__(function, types, arguments, options))


def marked(found: Any) -> Any:
    """`found`, or what it contains, with float64 arrays as payloads."""
    if isinstance(found, (tuple, list)):
        return type(found)(marked(each) for each in found)  # type: ignore[arg-type]
    if not isinstance(found, (np.ndarray, np.generic)):
        return found
    array = np.asarray(found)
    return _payload(array) if array.dtype == np.float64 else array


def _base(array: Any) -> Any:
    return array.view(np.ndarray) if isinstance(array, Payload) else array


def _is_float(value: Any) -> bool:
    return np.asarray(value).dtype.kind == "f"


def packed(value: Any) -> Array:
    """`value` as stored pairs: float arrays hold pairs already, all else is numbers."""
    array = np.asarray(value)
    if isinstance(value, (np.ndarray, np.generic)) and array.dtype.kind == "f":
        return _base(array)
    return _base(exact(array))


# -- from numbers to pairs -------------------------------------------------------------


def exact(numbers: Any) -> Payload:
    """The pairs that numbers stand for: those of their exact values.

    Args:
        numbers: Integers, bools or floats of any dtype.
    """
    array = np.asarray(numbers)
    if array.dtype.kind in "iub":
        wide = array.astype(np.uint64 if array.dtype.kind == "u" else np.int64)
        return _payload(_join(*(_centred(wide, prime) for prime in (P, Q))))
    if array.dtype.kind == "c":
        raise NoMeaningError("complex numbers have no exact meaning")
    floats = array.astype(np.float64)
    finite = np.isfinite(floats)
    fraction, exponent = np.frexp(np.where(finite, floats, 0.0))
    mantissa = np.ldexp(fraction, 53).astype(np.int64)
    powers, which = np.unique(exponent, return_inverse=True)
    parts: list[Array] = []
    for prime in (P, Q):
        scales = [pow(2, int(power) - 53, prime) for power in powers]
        scale = np.array(scales, np.int64)[which].reshape(floats.shape)
        parts.append(_centred(np.mod(mantissa, prime) * scale, prime))
    return _payload(np.where(finite, _join(*parts), floats))


def _payload(pairs: Any) -> Payload:
    return np.asarray(pairs).view(Payload)


def _centred(whole: Array, prime: int) -> Array:
    residue = np.mod(whole, whole.dtype.type(prime)).astype(np.float64)
    return np.where(residue > prime // 2, residue - prime, residue)


def _join(p: Array, q: Array) -> Array:
    return p * _SHIFT + q + 0.0  # no negative zero


def _split(pairs: Array) -> tuple[Array, Array]:
    p = np.rint(pairs * (1 / _SHIFT))
    return p, pairs - p * _SHIFT


def _modulo(whole: Array, prime: int) -> Array:
    """The centred residues of whole numbers below 2**52."""
    found = whole - prime * np.rint(whole / prime)
    return found - prime * np.rint(found / prime)


def _is_whole(pairs: Array) -> Array:
    p, q = _split(pairs)
    return (p == q) & (np.abs(p) <= 2**23)


# -- arithmetic ------------------------------------------------------------------------


def _fieldwise(
    operation: Callable[..., Array],
) -> Callable[..., Array]:
    """The rule that applies whole-number arithmetic to both residues."""

    def rule(*operands: Array) -> Array:
        split = [_split(each) for each in operands]
        found = (
            _modulo(operation(*parts), prime)
            for prime, parts in zip((P, Q), zip(*split, strict=True), strict=True)
        )
        return _join(*found)

    return rule


_add = _fieldwise(np.add)
_subtract = _fieldwise(np.subtract)
_multiply = _fieldwise(np.multiply)


def _power(base: Array, exponent: int, prime: int) -> Array:
    square = base.astype(np.int64)
    found = np.ones_like(square)
    while exponent:
        if exponent & 1:
            found = found * square % prime
        square = square * square % prime
        exponent >>= 1
    return _centred(found, prime)


def _divide(a: Array, b: Array) -> Array:
    inverses = [
        _power(part, prime - 2, prime)
        for part, prime in zip(_split(b), (P, Q), strict=True)
    ]
    # Zero has no inverse; what stands for it is some other number.
    return _multiply(
        a, np.where(b == 0, _hash("division by zero", b), _join(*inverses))
    )


def _exponential(x: Array) -> Array:
    exponent = np.mod(_split(x)[1], Q).astype(np.int64)
    found = np.ones_like(exponent)
    for digit, powers in enumerate(_digit_powers()):
        found = found * powers[exponent >> (digit * _DIGIT) & (2**_DIGIT - 1)] % P
    return _join(_centred(found, P), np.ones_like(x))


@cache
def _digit_powers() -> Array:
    """The powers of the generator by each digit at each place of an exponent."""
    places = range(0, Q.bit_length(), _DIGIT)
    digits = range(2**_DIGIT)
    return np.array(
        [[pow(_GENERATOR, digit << place, P) for digit in digits] for place in places]
    )


def _whole_powers(a: Array, b: Array) -> Array:
    """a to the power of b where that is a product, else a hash."""
    base, exponent = np.broadcast_arrays(a, b)
    found = np.asarray(_hash("power", base, exponent))  # not a NumPy scalar
    count = _split(exponent)[0]
    small = _is_whole(exponent) & (np.abs(count) <= _MOST_FACTORS)
    one = exact(1.0).view(np.ndarray)
    for each in np.unique(count[small]):
        at = small & (count == each)
        parts = zip(_split(base[at]), (P, Q), strict=True)
        power = _join(*(_power(part, abs(int(each)), prime) for part, prime in parts))
        found[at] = power if each >= 0 else _divide(one, power)
    return found


def _matmul(a: Array, b: Array) -> Array:
    """Matrix products of whole numbers in float64, which are exact limb by limb."""
    terms = a.shape[-1]
    if terms > _MOST_TERMS:
        starts = range(0, terms, _MOST_TERMS)
        cuts = [slice(start, start + _MOST_TERMS) for start in starts]
        parts = [
            _matmul(a[..., cut], b[cut] if b.ndim == 1 else b[..., cut, :])
            for cut in cuts
        ]
        return _along(np.add, "reduce", np.stack(parts), axis=0)
    split = [_split(np.where(np.isfinite(each), each, 0.0)) for each in (a, b)]
    found: list[Array] = []
    for prime, left, right in zip((P, Q), *split, strict=True):
        high = np.rint(left / _LIMB)
        low = left - high * _LIMB
        upper = _modulo(np.matmul(high, right), prime)
        found.append(_modulo(upper * _LIMB + np.matmul(low, right), prime))
    plain = np.matmul(a, b)  # shows where infinities and NaN are
    return np.where(np.isfinite(plain), _join(*found), plain)


# -- functions without identities ------------------------------------------------------


def _hash(tag: str, *operands: Array) -> Array:
    """Pairs that depend on a tag and on all operands."""
    mixed = hashed(tag, *operands)
    p = (mixed >> np.uint64(32)) % np.uint64(P)
    q = (mixed & np.uint64(2**32 - 1)) % np.uint64(Q)
    return _join(_centred(p, P), _centred(q, Q))


def hashed(tag: str, *operands: Any) -> Array:
    """64 bits for each element that depend on a tag and on all operands."""
    state: Array = np.asarray(np.uint64(zlib.crc32(tag.encode())))
    with np.errstate(over="ignore"):
        for operand in operands:
            bits = np.asarray(np.asarray(operand, np.float64) + 0.0).view(np.uint64)
            state = _mixed(state * np.uint64(3) + bits)
    return state


def _mixed(z: Array) -> Array:
    """The finalizer of splitmix64."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def opaque(tag: str, *operands: Any) -> Payload:
    """A function about which nothing is known but its operands."""
    return _payload(_hash(tag, *(packed(each) for each in operands)))


def whole(x: Any, tag: str) -> Payload:
    """A whole number for each element of x: whole ones stay, others are hashed."""
    pairs = packed(x)
    number = (hashed(tag, pairs) % np.uint64(2**24 - 1)).astype(np.float64) - 2**23
    kept = _is_whole(pairs) | ~np.isfinite(pairs)
    return _payload(np.where(kept, pairs, _join(number, number)))


def whole_numbers(x: Any) -> Array:
    """The numbers that whole elements of x stand for; infinities and NaN stay."""
    pairs = packed(x)
    return np.where(np.isfinite(pairs), _split(pairs)[0], pairs)


def _rounded(tag: str) -> Callable[[Array], Array]:
    return lambda x: whole(x, tag).view(np.ndarray)


# -- the meaning of NumPy's functions --------------------------------------------------

_ONE = exact(1.0).view(np.ndarray)

_RULES: dict[np.ufunc, Callable[..., Array]] = {
    np.add: _add,
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.divide: _divide,
    np.matmul: _matmul,
    np.square: lambda x: _multiply(x, x),
    np.reciprocal: lambda x: _divide(_ONE, x),
    np.exp: _exponential,
    np.expm1: lambda x: _subtract(_exponential(x), _ONE),
    np.power: _whole_powers,
    np.sign: lambda x: np.sign(x) * _ONE,
    np.floor: _rounded("floor"),
    np.ceil: _rounded("ceil"),
    np.rint: _rounded("rint"),
    np.trunc: _rounded("trunc"),
}
"""What ufuncs do with stored pairs; those missing are hashes."""

_BY_ORDER = {
    *(np.maximum, np.minimum, np.negative, np.positive, np.absolute),
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.isfinite, np.isnan, np.isinf, np.logical_not),
}
"""Ufuncs that may take the stored numbers for what they stand for."""

_ALONG = {np.add, np.multiply}
"""Ufuncs that accumulate along axes."""

_PLACING = ("axis", "keepdims")
"""The options of accumulating ufuncs that change the result."""

_INEXACT = {np.dot, np.vdot, np.inner, np.einsum, np.tensordot, np.convolve}
"""Functions that would multiply the stored numbers."""

_INEXACT_MODULES = ("numpy.linalg", "numpy.fft")
"""Modules all of whose functions would."""


def _call(ufunc: np.ufunc, operands: Sequence[Array]) -> Array:
    if ufunc is np.matmul:
        return _matmul(*operands)
    if ufunc.signature is not None:
        raise NoMeaningError(f"{ufunc.__name__} has no exact meaning")
    rule = _RULES.get(ufunc) or partial(_hash, ufunc.__name__)
    if all(np.all(np.isfinite(each)) for each in operands):
        return rule(*operands)
    # Where an operand is not finite, the result hardly depends on the others.
    finite = np.isfinite(sum(operands))
    found = rule(*(np.where(np.isfinite(each), each, 0.0) for each in operands))
    with np.errstate(all="ignore"):
        return np.where(finite, found, exact(ufunc(*operands)))


def _along(
    ufunc: np.ufunc,
    method: str,
    x: Array,
    axis: int | Sequence[int] | None = 0,
    keepdims: bool = False,
) -> Array:
    """Sums or products over axes, or up to each element along one."""
    if method == "accumulate":
        assert isinstance(axis, int)
        lined = np.moveaxis(x, axis, 0)
        found = lined.copy()
        for place in range(1, len(lined)):
            found[place] = _call(ufunc, [found[place - 1], lined[place]])
        return np.moveaxis(found, 0, axis)
    if axis is None:
        axis = tuple(range(x.ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if ufunc is np.add:
        plain = np.sum(x, axes, keepdims=keepdims)
        split = _split(np.where(np.isfinite(x), x, 0.0))
        sums = (
            _modulo(np.sum(part, axes, keepdims=keepdims), prime)
            for part, prime in zip(split, (P, Q), strict=True)
        )
        return np.where(np.isfinite(plain), _join(*sums), plain)
    lined = np.moveaxis(x, axes, range(len(axes)))
    taken, kept = lined.shape[: len(axes)], lined.shape[len(axes) :]
    lined = lined.reshape((prod(taken), *kept))
    found = np.broadcast_to(_ONE, lined.shape[1:])
    for part in lined:
        found = _call(ufunc, [found, part])
    return np.expand_dims(found, axes) if keepdims else found


def _at(ufunc: np.ufunc, target: Any, places: Any, values: Any) -> None:
    """The scatter of `ufunc`: one value after the other."""
    base, added = _base(target), packed(values)
    if ufunc in _BY_ORDER:
        ufunc.at(base, places, added)
        return
    grid = np.broadcast_arrays(*places) if isinstance(places, tuple) else [places]
    for place in np.ndindex(grid[0].shape):
        at = tuple(axis[place] for axis in grid)
        base[at] = _call(ufunc, [base[at], added[place]])
