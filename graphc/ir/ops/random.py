"""Random numbers: the counter-based generator Philox4x32-10 and what draws from it.

A key is a u32[4]: the two key words of Philox, then the upper half of its counter. The
bits for a key are laid out in rows of 1024 elements: lane i of row r is the block with
counter r * 256 + i, and a row holds the first words of its 256 blocks, then the second
ones, and so on. Every executor draws the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import ml_dtypes
import numpy as np

from graphc.ir.differentiate import zeros
from graphc.ir.errors import GraphError
from graphc.ir.opdef import FLOAT, Arg, DType, IllTyped, Ints, Kind, Sample, Shape
from graphc.ir.ops.along_axes import in_dtype, wide_dtype
from graphc.ir.ops.bits import (
    bitcast_convert,
    or_,
    shift_right_arithmetic,
    shift_right_logical,
    xor,
)
from graphc.ir.ops.elementwise import add, compare, convert, multiply, select, subtract
from graphc.ir.ops.indexing import take
from graphc.ir.ops.reduction import reduce_sum
from graphc.ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    expand,
    iota,
    reshape,
    slice_,
)
from graphc.ir.ops.special import erf_inv, in_chunks
from graphc.ir.register import composite
from graphc.ir.typerules import require, same_type, shaped
from graphc.ir.types import F32, I32, U32, U64, TensorType, product
from graphc.ir.values import Literal

LANES = 256
"""The number of blocks in a row of bits."""
ROW = 4 * LANES
"""The number of elements in a row of bits."""

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_INCREMENTS = (0x9E3779B9, 0xBB67AE85)
_WORD = frozenset({U32})
_MASK = 0xFFFFFFFF
_NO_FLOATS = "integers have no gradient"
_KEY = Arg("u32[4]", 0, 1e9)

# -- bits ------------------------------------------------------------------------------


def _philox_chunk(*words: Any) -> tuple[Any, ...]:
    # 64-bit arithmetic throughout, cut to 32 bits where that matters.
    c0, c1, c2, c3, k0, k1 = (word.astype(np.uint64) for word in words)
    half, mask = np.uint64(32), np.uint64(_MASK)
    factor_0, factor_1 = map(np.uint64, _MULTIPLIERS)
    step_0, step_1 = map(np.uint64, _INCREMENTS)
    for _ in range(_ROUNDS):
        product_0, product_1 = c0 * factor_0, c2 * factor_1
        c0, c1 = (product_1 >> half) ^ c1 ^ k0, product_1 & mask
        c2, c3 = (product_0 >> half) ^ c3 ^ k1, product_0 & mask
        k0, k1 = (k0 + step_0) & mask, (k1 + step_1) & mask
    return tuple(word.astype(np.uint32) for word in (c0, c1, c2, c3))


def _philox_type(*words: TensorType) -> tuple[TensorType, ...]:
    return (same_type("philox", *words),) * 4


_WORDS = tuple(Arg("u32[5]", 0, 4e9) for _ in range(6))


@composite(
    Kind.ELEMENTWISE,
    infer=_philox_type,
    reference=lambda *words: tuple(in_chunks(_philox_chunk, *words)),
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=(
        Sample(_WORDS),
        Sample((_WORDS[0], 0, Arg("u32[]", 0, 99), 7, Arg("u32[]", 0, 4e9), 1)),
        Sample(tuple(Arg("u32[]", 0, 4e9) for _ in range(6))),
    ),
    errors=(
        IllTyped(("i32[3]",) * 6, "must be one of u32"),
        IllTyped(("u32[3]", "u32[4]", *("u32[]",) * 4), "must have the same shape"),
        IllTyped(("u32[3]",) * 5, "takes 6 operands"),
    ),
    numerics="exact",
)
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Four random words for each counter c0..c3 under the key k0, k1: Philox4x32-10.

    After Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    for turn in range(_ROUNDS):
        high_0, low_0 = _long_product(c0, _MULTIPLIERS[0])
        high_1, low_1 = _long_product(c2, _MULTIPLIERS[1])
        key_0 = add(k0, turn * _INCREMENTS[0] & _MASK) if turn else k0
        key_1 = add(k1, turn * _INCREMENTS[1] & _MASK) if turn else k1
        c0, c1 = xor(xor(high_1, c1), key_0), low_1
        c2, c3 = xor(xor(high_0, c3), key_1), low_0
    return c0, c1, c2, c3


def _long_product(word: Any, factor: int) -> tuple[Any, Any]:
    """The upper and the lower half of a product of 32-bit words."""
    whole = multiply(convert(word, dtype=U64), factor)
    upper = convert(shift_right_logical(whole, 32), dtype=U32)
    return upper, convert(whole, dtype=U32)


def _key_words(key: Any) -> list[Any]:
    return [reshape(slice_(key, start=[i], limit=[i + 1]), shape=()) for i in range(4)]


def _in_rows(counter: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """The bits for counters [rows, lanes], one behind the other."""
    words = philox(counter, 0, c2, c3, k0, k1)
    rows = counter.type.shape[0]
    return reshape(concatenate(*words, axis=1), shape=(rows * ROW,))


def _bits_type(name: str, key: TensorType, shape: Shape) -> TensorType:
    require(key.shape == (4,), f"{name}: key must be u32[4]", key)
    result = shaped(TensorType((), U32), shape)
    count = result.size
    require(
        not isinstance(count, int) or count <= 4 * 2**32,
        f"{name}: a key has bits for {4 * 2**32} elements",
        result,
    )
    return result


_KEY_ERRORS = (
    IllTyped(("u32[2]",), "key must be u32[4]", {"shape": [3]}),
    IllTyped(("i32[4]",), "must be one of u32", {"shape": [3]}),
    IllTyped(("u32[4]",), "negative", {"shape": [-1]}),
    IllTyped(("u32[4]",), "a key has bits for", {"shape": [2**35]}),
)


@composite(
    Kind.OPAQUE,
    infer=lambda key, shape: _bits_type("random_bits", key, shape),
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=(
        Sample((_KEY,), {"shape": [5]}),
        Sample((_KEY,), {"shape": []}),
        Sample((_KEY,), {"shape": [2, 1024]}),
        Sample((_KEY,), {"shape": [3, 0]}),
        Sample((_KEY,), {"shape": [3, 513]}),
    ),
    errors=_KEY_ERRORS,
    numerics="exact; the bits of fewer elements are the first of those of more",
)
def random_bits(key: Any, *, shape: Shape) -> Any:
    """Uniform 32-bit words."""
    k0, k1, c2, c3 = _key_words(key)
    count = product(shape)
    rows = (count + (ROW - 1)) // ROW
    counter = reshape(
        iota(shape=(rows * LANES,), axis=0, dtype=U32), shape=(rows, LANES)
    )
    bits = _in_rows(counter, c2, c3, k0, k1)
    if bits.type.size != count:
        bits = slice_(bits, start=[0], limit=[count])
    return reshape(bits, shape=shape)


def _row_counts(sizes: Sequence[int]) -> list[int]:
    return [-(-size // ROW) for size in sizes]


def segment_starts(sizes: Sequence[int]) -> list[int]:
    """Where each segment starts in the result of `random_bits_batched`."""
    return [ROW * row for row in accumulate(_row_counts(sizes), initial=0)][:-1]


def _batched_type(keys: TensorType, *, sizes: Ints) -> TensorType:
    wanted = (len(sizes), 4)
    require(
        len(sizes) > 0 and keys.shape == wanted,
        f"random_bits_batched: keys must be a row of 4 for each of {len(sizes)} sizes",
        keys,
    )
    if any(not 0 <= size <= 4 * 2**32 for size in sizes):
        raise GraphError(
            f"random_bits_batched: sizes must lie in 0..{4 * 2**32}",
            received=str(list(sizes)),
        )
    return TensorType((ROW * sum(_row_counts(sizes)),), U32)


@composite(
    Kind.OPAQUE,
    infer=_batched_type,
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=(
        Sample((Arg("u32[3,4]", 0, 1e9),), {"sizes": [5, 2048, 1025]}),
        Sample((Arg("u32[4,4]", 0, 1e9),), {"sizes": [0, 3, 0, 7]}),
        Sample((Arg("u32[1,4]", 0, 1e9),), {"sizes": [0]}),
    ),
    errors=(
        IllTyped(("u32[2,4]",), "a row of 4 for each of 3", {"sizes": [1, 2, 3]}),
        IllTyped(("u32[0,4]",), "a row of 4 for each of 0", {"sizes": []}),
        IllTyped(("u32[1,4]",), "must lie in 0..", {"sizes": [-1]}),
        IllTyped(("i32[1,4]",), "must be one of u32", {"sizes": [1]}),
    ),
    numerics="exact",
)
def random_bits_batched(keys: Any, *, sizes: Ints) -> Any:
    """The random bits of several keys, drawn at once.

    From ``segment_starts(sizes)[s]`` on stands what `random_bits` gives for the key
    ``keys[s]`` and ``sizes[s]`` elements; each segment is filled up to a whole row.
    """
    counts = _row_counts(sizes)
    rows = sum(counts)
    grid = (rows, LANES)
    starts = list(accumulate(counts, initial=0))[:-1]
    table = [broadcast_in_dim(Literal(s, U32), shape=[1], dims=[]) for s in starts]
    first_rows = table[0] if len(table) == 1 else concatenate(*table, axis=0)
    # The segment of a row is the last one that starts at it or above; an empty
    # segment starts where its successor does.
    row = iota(shape=(rows, len(starts)), axis=0, dtype=U32)
    begun = compare(row, expand(first_rows, row.type.shape, [1]), direction="GE")
    segment = subtract(reduce_sum(convert(begun, dtype=I32), axes=[1]), 1)
    within = subtract(
        iota(shape=(rows,), axis=0, dtype=U32), take(first_rows, segment, axis=0)
    )
    counter = add(
        expand(multiply(within, LANES), grid, [0]), iota(shape=grid, axis=1, dtype=U32)
    )
    own_keys = take(keys, segment, axis=0)
    k0, k1, c2, c3 = (
        expand(
            reshape(slice_(own_keys, start=[0, i], limit=[rows, i + 1]), shape=(rows,)),
            grid,
            [0],
        )
        for i in range(4)
    )
    return _in_rows(counter, c2, c3, k0, k1)


def _fold_in_type(key: TensorType, data: TensorType) -> TensorType:
    require(key.shape == (4,), "fold_in: key must be u32[4]", key, data)
    require(data.shape == (), "fold_in: data must be of rank 0", key, data)
    return key


@composite(
    Kind.OPAQUE,
    infer=_fold_in_type,
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=(Sample((_KEY, Arg("u32[]", 0, 99))), Sample((_KEY, 7))),
    errors=(
        IllTyped(("u32[3]", "u32[]"), "key must be u32[4]"),
        IllTyped(("u32[4]", "u32[2]"), "data must be of rank 0"),
        IllTyped(("u32[4]", "i32[]"), "must be one of u32"),
    ),
    numerics="exact",
)
def fold_in(key: Any, data: Any) -> Any:
    """A new key made from a key and a number, such as the number of a step."""
    k0, k1, c2, c3 = _key_words(key)
    # The 1 sets these blocks apart from those of random bits.
    words = philox(data, 1, c2, c3, k0, k1)
    return concatenate(*(reshape(word, shape=[1]) for word in words), axis=0)


# -- bits to numbers -------------------------------------------------------------------


def _digits(dtype: DType) -> int:
    """How many random bits fill the significand of `dtype`."""
    return min(32, ml_dtypes.finfo(dtype.numpy).nmant + 1)


def _float_type(name: str, type: TensorType, dtype: DType) -> TensorType:
    require(dtype in FLOAT, f"{name}: dtype must be floating point, not {dtype}")
    return type.with_dtype(dtype)


_WORD_SAMPLES = tuple(
    Sample((Arg("u32[40]", 0, 4.2e9),), attributes)
    for attributes in ({}, {"dtype": "bf16"}, {"dtype": "f16"}, {"dtype": "f64"})
)
_WORD_ERRORS = (
    IllTyped(("i32[3]",), "must be one of u32"),
    IllTyped(("u32[3]",), "dtype must be floating point", {"dtype": "i32"}),
)


@composite(
    Kind.ELEMENTWISE,
    infer=lambda bits, dtype: _float_type("bits_to_uniform", bits, dtype),
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=_WORD_SAMPLES,
    errors=_WORD_ERRORS,
    numerics="exact: multiples of 2^-24 for float32, 2^-32 for float64, 2^-11 and 2^-8"
    " for float16 and bfloat16",
)
def bits_to_uniform(bits: Any, *, dtype: DType = F32) -> Any:
    """Uniform numbers in [0, 1) from uniform words."""
    digits = _digits(dtype)
    upper = shift_right_logical(bits, 32 - digits) if digits < 32 else bits
    # Signed integers convert faster, and up to 31 digits fit.
    if digits < 32:
        upper = convert(upper, dtype=I32)
    return multiply(convert(upper, dtype=dtype), 0.5**digits)


def _symmetric(bits: Any, dtype: DType) -> Any:
    """Uniform numbers in (-1, 1), never 0: odd multiples of a power of 2, exactly."""
    digits = _digits(dtype)
    signed = bitcast_convert(bits, dtype=I32)
    if digits < 32:
        signed = shift_right_arithmetic(signed, 32 - digits)
    return multiply(convert(or_(signed, 1), dtype=dtype), 2.0 ** (1 - digits))


@composite(
    Kind.ELEMENTWISE,
    infer=lambda bits, dtype: _float_type("bits_to_normal", bits, dtype),
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=_WORD_SAMPLES,
    errors=_WORD_ERRORS,
    ulp=8,
    numerics="within 5.3 standard deviations, 6.4 for float64; never 0",
)
def bits_to_normal(bits: Any, *, dtype: DType = F32) -> Any:
    """Numbers of the standard normal distribution from uniform words."""
    drawn = erf_inv(_symmetric(bits, wide_dtype(dtype)))
    return in_dtype(multiply(drawn, math.sqrt(2)), dtype)


@composite(
    Kind.ELEMENTWISE,
    infer=lambda bits, dtype: _float_type("bits_to_truncated_normal", bits, dtype),
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=_WORD_SAMPLES,
    errors=_WORD_ERRORS,
    ulp=8,
    numerics="within 2 standard deviations of the normal that is cut off",
)
def bits_to_truncated_normal(bits: Any, *, dtype: DType = F32) -> Any:
    """Numbers of the standard normal distribution between -2 and 2, from words."""
    inside = multiply(_symmetric(bits, wide_dtype(dtype)), math.erf(math.sqrt(2)))
    return in_dtype(multiply(erf_inv(inside), math.sqrt(2)), dtype)


_DRAWS = tuple(
    Sample((_KEY,), attributes)
    for attributes in (
        {"shape": [3, 5]},
        {"shape": []},
        {"shape": [4], "dtype": "bf16"},
        {"shape": [4], "dtype": "f64"},
    )
)
_DRAW_ERRORS = (
    *_KEY_ERRORS,
    IllTyped(("u32[4]",), "must be floating point", {"shape": [3], "dtype": "i32"}),
)


@composite(
    Kind.OPAQUE,
    infer=lambda key, shape, dtype: _float_type(
        "random_uniform", _bits_type("random_uniform", key, shape), dtype
    ),
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=_DRAWS,
    errors=_DRAW_ERRORS,
    numerics="exact",
)
def random_uniform(key: Any, *, shape: Shape, dtype: DType = F32) -> Any:
    """Uniform numbers in [0, 1)."""
    return bits_to_uniform(random_bits(key, shape=shape), dtype=dtype)


@composite(
    Kind.OPAQUE,
    infer=lambda key, shape, dtype: _float_type(
        "random_normal", _bits_type("random_normal", key, shape), dtype
    ),
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=_DRAWS,
    errors=_DRAW_ERRORS,
    ulp=8,
)
def random_normal(key: Any, *, shape: Shape, dtype: DType = F32) -> Any:
    """Numbers of the standard normal distribution."""
    return bits_to_normal(random_bits(key, shape=shape), dtype=dtype)


@composite(
    Kind.OPAQUE,
    infer=lambda key, shape, dtype: _float_type(
        "random_truncated_normal",
        _bits_type("random_truncated_normal", key, shape),
        dtype,
    ),
    vjp=_NO_FLOATS,
    dtypes=_WORD,
    samples=_DRAWS,
    errors=_DRAW_ERRORS,
    ulp=8,
)
def random_truncated_normal(key: Any, *, shape: Shape, dtype: DType = F32) -> Any:
    """Numbers of the standard normal distribution, only those between -2 and 2."""
    return bits_to_truncated_normal(random_bits(key, shape=shape), dtype=dtype)


# -- dropout ---------------------------------------------------------------------------


def _noise_shape(x: Any, noise_shape: Shape | None) -> Shape:
    return x.shape if noise_shape is None else noise_shape


def _dropout_type(
    x: TensorType, key: TensorType, *, rate: float, noise_shape: Shape | None
) -> TensorType:
    require(0 <= rate <= 1, f"dropout: rate must lie in 0..1, not {rate}")
    shape = _noise_shape(x, noise_shape)
    _bits_type("dropout", key, shape)
    fits = len(shape) == x.rank and all(
        size in (1, whole) for size, whole in zip(shape, x.shape, strict=True)
    )
    require(fits, f"dropout: noise_shape {list(shape)} must stretch to x", x)
    return x


def _dropout_vjp(
    g: Any, y: Any, x: Any, key: Any, rate: float, noise_shape: Shape | None
) -> Any:
    return dropout(g, key, rate=rate, noise_shape=noise_shape), None


@composite(
    Kind.OPAQUE,
    infer=_dropout_type,
    vjp=_dropout_vjp,
    dtypes=(FLOAT, _WORD),
    samples=(
        Sample(("f32[3,4]", _KEY), {"rate": 0.4}),
        Sample(("f32[]", _KEY), {"rate": 0.4}),
        Sample(("f32[5]", _KEY), {"rate": 1.0}),
        Sample(("f32[5]", _KEY), {"rate": 0.0}),
        Sample(("f32[2,3,4]", _KEY), {"rate": 0.5, "noise_shape": [2, 1, 4]}),
        Sample(("f32[B,5]", _KEY), {"rate": 0.4}),
        Sample(("f32[B,3,2]", _KEY), {"rate": 0.4, "noise_shape": ["B", 1, 2]}),
    ),
    errors=(
        IllTyped(("f32[3]", "u32[4]"), "rate must lie in 0..1", {"rate": 1.5}),
        IllTyped(("f32[3]", "u32[2]"), "key must be u32[4]", {"rate": 0.5}),
        IllTyped(("i32[3]", "u32[4]"), "x must be floating point", {"rate": 0.5}),
        IllTyped(
            ("f32[3]", "u32[4]"), "must stretch to x", {"rate": 0.5, "noise_shape": [2]}
        ),
    ),
    ulp=1,
    numerics="an element is kept with probability 1 - rate up to 2^-32",
)
def dropout(x: Any, key: Any, *, rate: float, noise_shape: Shape | None = None) -> Any:
    """Puts random elements, a part `rate` of them, to 0; the others are x / (1 - rate).

    Elements along a dimension where `noise_shape` is 1 are dropped together.
    """
    limit = round(rate * 2**32)
    if limit > _MASK:
        return zeros(x.type)
    bits = random_bits(key, shape=_noise_shape(x.type, noise_shape))
    bits = expand(bits, x.type.shape, range(x.type.rank))
    kept = compare(bits, limit, direction="GE")
    return select(kept, multiply(x, 1 / (1 - rate)), 0.0)
