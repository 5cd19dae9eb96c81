"""Random bits as the arithmetic that XLA makes of them.

StableHLO names the algorithms; how a shape is numbered and what the new state is stands
in XLA's `xla/hlo/builder/lib/prng.cc` and `rng_bit_generator_expander.cc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from jax.extend.mlir.dialects import stablehlo

from graphc.importers.stablehlo.function import Importer, Operation
from graphc.importers.stablehlo.types import read_type
from graphc.ir import ops
from graphc.ir.types import U32, U64
from graphc.ir.values import Operand

_ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
_PARITY = 0x1BD11BDA
"""Constants of Threefry 2x32: Salmon and others, Parallel random numbers, 2011."""


def rng_bit_generator(op: Operation, state: Operand) -> Any:
    """The new state, and bits of which each element depends on the state alone."""
    attribute = op.raw_attribute("rng_algorithm")
    algorithm = stablehlo.RngAlgorithmAttr(attribute).value
    words = state.type.static_shape
    if state.type.dtype is not U64 or words not in ((2,), (3,)):
        raise op.refuse("the state must be two or three u64", str(state.type))
    result = read_type(op.raw.results[1].type)
    shape, bits = result.static_shape, result.dtype.bits
    if algorithm == "THREE_FRY":
        counter, found = _threefry_bits(state, shape, bits)
    else:  # DEFAULT is PHILOX on XLA's CPU and GPU
        counter, found = _philox_bits(state, shape, bits)
    if bits < U32.bits:
        found = ops.convert(found, dtype=f"u{bits}")
    if found.type.dtype is not result.dtype:
        found = ops.bitcast_convert(found, dtype=result.dtype)
    return ops.concatenate(_part(state, 0), *counter, axis=0), found


# -- words -----------------------------------------------------------------------------


def _part(state: Operand, place: int) -> Any:
    return ops.slice_(state, start=[place], limit=[place + 1])


def _word(state: Operand, place: int) -> Any:
    return ops.reshape(_part(state, place), shape=[])


def _halves(wide: Any) -> tuple[Any, Any]:
    """The low and the high half of a u64."""
    high = ops.shift_right_logical(wide, 32)
    return ops.convert(wide, dtype=U32), ops.convert(high, dtype=U32)


def _joined(low: Any, high: Any) -> Any:
    wide = ops.shift_left(ops.convert(high, dtype=U64), 32)
    return ops.or_(ops.convert(low, dtype=U64), wide)


def _places(shape: Sequence[int]) -> Any:
    """The row-major number of each element."""
    numbers = ops.iota(shape=[prod(shape)], axis=0, dtype=U64)
    return ops.reshape(numbers, shape=shape)


# -- Threefry --------------------------------------------------------------------------


def _threefry(words: tuple[Any, Any], key: tuple[Any, Any]) -> tuple[Any, Any]:
    """Twenty rounds of Threefry 2x32."""
    keys = [*key, ops.xor(ops.xor(*key), _PARITY)]
    a, b = (ops.add(word, each) for word, each in zip(words, key, strict=True))
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            a = ops.add(a, b)
            left = ops.shift_left(b, distance)
            right = ops.shift_right_logical(b, 32 - distance)
            b = ops.xor(a, ops.or_(left, right))
        a = ops.add(a, keys[(group + 1) % 3])
        b = ops.add(ops.add(b, keys[(group + 2) % 3]), group + 1)
    return a, b


def _threefry_bits(
    state: Operand, shape: tuple[int, ...], bits: int
) -> tuple[list[Any], Any]:
    key = _halves(_word(state, 0))
    if bits == U64.bits:
        counted = shape
    else:  # two elements side by side come of one number
        axis = _split_axis(shape)
        sizes = shape or (1,)
        counted = (*sizes[:axis], (sizes[axis] + 1) // 2, *sizes[axis + 1 :])
    number = ops.add(_word(state, 1), _places(counted))
    a, b = _threefry(_halves(number), key)
    counter = [ops.add(_part(state, 1), prod(counted))]
    if bits == U64.bits:
        return counter, _joined(a, b)
    if not shape:
        return counter, ops.reshape(a, shape=[])
    axis = _split_axis(shape)
    column = [*counted[: axis + 1], 1, *counted[axis + 1 :]]
    both = ops.concatenate(
        ops.reshape(a, shape=column), ops.reshape(b, shape=column), axis=axis + 1
    )
    even = [*shape[:axis], 2 * counted[axis], *shape[axis + 1 :]]
    found = ops.reshape(both, shape=even)
    return counter, ops.slice_(found, start=[0] * len(shape), limit=shape)


def _split_axis(shape: Sequence[int]) -> int:
    """The first axis of an even size, else the first of the largest."""
    even = [axis for axis, size in enumerate(shape) if size % 2 == 0]
    return even[0] if even else max(range(len(shape)), key=shape.__getitem__, default=0)


# -- Philox ----------------------------------------------------------------------------


def _philox_bits(
    state: Operand, shape: tuple[int, ...], bits: int
) -> tuple[list[Any], Any]:
    size = prod(shape)
    each = 2 if bits == U64.bits else 4  # elements of one call
    calls = -(-size // each)
    low, high = (1, 2) if state.type.shape == (3,) else (1, 0)
    number = _increased(_word(state, low), _word(state, high), _places([calls]))
    counter = [*_halves(number[0]), *_halves(number[1])]
    words: Sequence[Any] = ops.philox(*counter, *_halves(_word(state, 0)))
    if each == 2:
        words = _joined(*words[:2]), _joined(*words[2:])
    columns = [ops.reshape(word, shape=[calls, 1]) for word in words]
    flat = ops.reshape(ops.concatenate(*columns, axis=1), shape=[calls * each])
    found = ops.reshape(ops.slice_(flat, start=[0], limit=[size]), shape=shape)
    after = _increased(_part(state, low), _part(state, high), calls)
    return list(after if low < high else after[:1]), found


def _increased(low: Any, high: Any, added: Any) -> tuple[Any, Any]:
    """A number of two words plus one of a single word."""
    total = ops.add(low, added)
    carry = ops.compare(total, low, direction="LT")
    return total, ops.add(high, ops.convert(carry, dtype=U64))


IMPORTERS: dict[str, Importer] = {
    "stablehlo.rng_bit_generator": rng_bit_generator,
}
"""The importers of this file's operations."""
