"""What `docs/triton.md` says about kernels, in Triton's interpreter."""

import ml_dtypes
import numpy as np
import pytest

from graphc.runtime.triton_device import Device
from tests.triton_kernels import compute

pytestmark = pytest.mark.triton

NAN = np.nan
HELPERS = """
@triton.jit
def maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def greater(a, i, b, j):
    first = (a > b) | ((a == b) & (i < j))
    return tl.where(first, a, b), tl.where(first, i, j)


@triton.jit
def compose(a, b, c, d):
    total = b * c
    return a * c, total + d
"""

FLOATS = np.array([1.0, NAN, 2.0, 3.0], np.float32)
INTS = np.array([-7, 7, 2**31 - 1, -(2**31)], np.int32)
BYTES = np.array([127, 0, 255, 3], np.uint8)
BF16 = np.array([1.0078125, NAN, -3.3e38, 3.0]).astype(ml_dtypes.bfloat16)

ELEMENTWISE = [
    ("tl.maximum(a, 2.5)", FLOATS, [2.5, 2.5, 2.5, 3]),
    ("tl.minimum(2.5, a)", FLOATS, [1, 2.5, 2, 2.5]),
    ("maximum(a, 2.5)", FLOATS, [2.5, NAN, 2.5, 3]),
    ("tl.clamp(a, 1.5, 2.5)", FLOATS, [1.5, 1.5, 2, 2.5]),
    (
        "tl.clamp(a, 1.5, 2.5, propagate_nan=tl.PropagateNan.ALL)",
        FLOATS,
        [1.5, NAN, 2, 2.5],
    ),
    ("a == a", FLOATS, [True, False, True, True]),
    ("a != a", FLOATS, [False, True, False, False]),
    ("(a - 2) % 2.0", FLOATS, [-1, NAN, 0, 1]),
    ("(a - a) / 0.0", FLOATS, [NAN, NAN, NAN, NAN]),
    ("a / 0.0", FLOATS, [np.inf, NAN, np.inf, np.inf]),
    ("tl.abs(-a)", FLOATS, [1, NAN, 2, 3]),
    ("tl.where(a > 1, a, -a)", FLOATS, [-1, NAN, 2, 3]),
    ("(a > 1) ^ (a > 2)", FLOATS, [False, False, True, False]),
    ("~(a > 1)", FLOATS, [True, True, False, False]),
    ("a.to(tl.int32, bitcast=True) >> 23", FLOATS, [127, 255, 128, 128]),
    ("tl.fma(a, a, a)", FLOATS, [2, NAN, 6, 12]),
    ("tl.full([4], 0.1, tl.float64)", FLOATS, [0.1] * 4),
    ("a.to(tl.float64) * 0.1", FLOATS, FLOATS.astype(np.float64) * 0.1),
    ("a // 2", INTS, [-3, 3, 2**30 - 1, -(2**30)]),
    ("a % 4", INTS, [-3, 3, 3, 0]),
    ("a + a", INTS, [-14, 14, -2, 0]),
    ("a * 65537", INTS, INTS * np.int32(65537)),
    ("a >> 1", INTS, [-4, 3, 2**30 - 1, -(2**30)]),
    ("a.to(tl.uint32) >> 31", INTS, [1, 0, 0, 1]),
    ("a.to(tl.int64) * a", INTS, INTS.astype(np.int64) ** 2),
    ("tl.umulhi(a.to(tl.uint32), 1 << 31)", INTS, [2**31 - 4, 3, 2**30 - 1, 2**30]),
    ("a + a", BYTES, [254, 0, 254, 6]),
    ("a - 1", BYTES, [126, 255, 254, 2]),
    ("a.to(tl.int1)", BYTES, [True, False, True, True]),
    ("a * a", BF16, [1.015625, NAN, np.inf, 9]),
    ("a < 2", BF16, [True, False, True, False]),
    ("a.to(tl.float32) * a", BF16, [1.01568603515625, NAN, np.inf, 9]),
    ("tl.full([4], 1.01, tl.bfloat16)", BF16, [1.0078125] * 4),
]


@pytest.mark.parametrize(
    ("expression", "operand", "expected"),
    ELEMENTWISE,
    ids=[f"{e[0]} {e[1].dtype}" for e in ELEMENTWISE],
)
def test_elementwise(
    expression: str,
    operand: np.ndarray,
    expected: object,
    kernel_device: Device,
):
    wanted = np.asarray(expected)
    kind = "f64" if wanted.dtype.kind == "f" else "i64"
    (found,) = compute(
        kernel_device,
        f"x = tl.arange(0, 4)\na = tl.load(p0 + x)\ntl.store(p1 + x, {expression})",
        operand,
        results=[f"{kind}[4]"],
        helpers=HELPERS,
    )
    np.testing.assert_array_equal(found, wanted)


BLOCKS = [
    ("tl.max(a, 0)", FLOATS, 3),
    ("tl.min(a, 0)", FLOATS, 1),
    ("tl.sum(a, 0)", FLOATS, NAN),
    ("tl.reduce(a, 0, maximum)", FLOATS, NAN),
    ("tl.reduce(tl.reshape(a, [2, 2]), 0, maximum)[None, :]", INTS, [[2**31 - 1, 7]]),
    (
        "tl.reduce(tl.reshape(a, [2, 2]), 1, maximum, keep_dims=True)",
        INTS,
        [[7], [2**31 - 1]],
    ),
    ("tl.reduce(tl.reshape(a, [2, 2]), None, maximum)", INTS, 2**31 - 1),
    ("tl.reduce((a, x), 0, greater)[1]", INTS, 2),
    ("tl.argmax(a, 0)", INTS, 2),
    ("tl.argmin(a, 0)", INTS, 3),
    ("tl.sum(a > 0, 0)", INTS, 2),
    ("tl.sum(a, 0)", INTS, -1),
    ("tl.max(a, 0)", BF16, 3),
    ("tl.cumsum(a, 0)", FLOATS, [1, NAN, NAN, NAN]),
    ("tl.cumsum(a, 0, reverse=True)", BYTES, [385, 258, 258, 3]),
    ("tl.associative_scan((x + 1, x + 1), 0, compose)[0]", INTS, [1, 2, 6, 24]),
    ("tl.associative_scan((x + 1, x + 1), 0, compose)[1]", INTS, [1, 4, 15, 64]),
    (
        "tl.associative_scan((x + 1, x), 0, compose, reverse=True)[0]",
        INTS,
        [24, 24, 12, 4],
    ),
    ("tl.sort(a)", INTS, [-(2**31), -7, 7, 2**31 - 1]),
    ("tl.trans(tl.reshape(x, [2, 2]))", INTS, [[0, 2], [1, 3]]),
    (
        "tl.permute(tl.reshape(tl.arange(0, 8), [2, 2, 2]), [2, 0, 1])",
        INTS,
        [[[0, 2], [4, 6]], [[1, 3], [5, 7]]],
    ),
    ("tl.join(x, x + 4)", INTS, [[0, 4], [1, 5], [2, 6], [3, 7]]),
    ("tl.split(tl.reshape(x, [2, 2]))[1]", INTS, [1, 3]),
    ("tl.broadcast_to(x[:, None], [4, 2])", INTS, [[0, 0], [1, 1], [2, 2], [3, 3]]),
    ("tl.gather(a, 3 - x, 0)", INTS, [-(2**31), 2**31 - 1, 7, -7]),
]


@pytest.mark.parametrize(
    ("expression", "operand", "expected"),
    BLOCKS,
    ids=[f"{e[0]} {e[1].dtype}" for e in BLOCKS],
)
def test_block(
    expression: str,
    operand: np.ndarray,
    expected: object,
    kernel_device: Device,
):
    wanted = np.asarray(expected)
    size, kind = wanted.size, "f32" if wanted.dtype.kind == "f" else "i32"
    at = (
        f"tl.reshape(tl.arange(0, {size}), {list(wanted.shape)})"
        if wanted.ndim
        else "0"
    )
    (found,) = compute(
        kernel_device,
        f"""
        x = tl.arange(0, 4)
        a = tl.load(p0 + x)
        tl.store(p1 + {at}, {expression})
        """,
        operand,
        results=[f"{kind}[{size}]"],
        helpers=HELPERS,
    )
    np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)


def test_control_flow(kernel_device: Device):
    body = """
    count = tl.load(p0)
    total = tl.zeros([1], tl.int32)
    for i in range(1, count):
        total += i
    for i in tl.range(0, count, 2, num_stages=1):
        total += i * 100
    for _ in tl.static_range(2):
        total += 1000
    i = 0
    while i < count:
        i += 2
    if i > count:
        total += i * 10000
    else:
        total -= 1
    tl.store(p1 + tl.program_id(0) + tl.arange(0, 1), total + tl.num_programs(0))
    """
    (found,) = compute(
        kernel_device,
        body,
        np.array([5], np.int32),
        results=["i32[3]"],
        programs=3,
    )
    np.testing.assert_array_equal(found, [60000 + 2000 + 600 + 10 + 3] * 3)


def test_rounding_to_bfloat16_is_to_nearest_even(
    kernel_device: Device, rng: np.random.Generator
):
    bits = rng.integers(0, 2**32, 1024, np.uint32)
    # Two ties, an overflow and a denormal.
    bits[:4] = 0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x00018000
    values = bits.view(np.float32)
    narrow, wide = compute(
        kernel_device,
        """
        x = tl.arange(0, 1024)
        a = tl.load(p0 + x)
        tl.store(p1 + x, a)
        tl.store(p2 + x, a.to(tl.bfloat16).to(tl.float32))
        """,
        values,
        results=["bf16[1024]", "f32[1024]"],
    )
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(narrow.astype(np.float32), expected)
    np.testing.assert_array_equal(wide, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8"])
def test_dot_accumulates_wide(dtype: str, kernel_device: Device):
    # 4096 + 1 is neither a float16 nor a bfloat16, and 64 * 64 * 16 no int8.
    operand = np.full((16, 16), 1).astype(dtype)
    operand[:, 0] = operand[0, :] = 64
    total = "i32" if dtype == "int8" else "f32"
    (found,) = compute(
        kernel_device,
        """
        x = tl.arange(0, 16)[:, None] * 16 + tl.arange(0, 16)[None, :]
        a = tl.load(p0 + x)
        tl.store(p1 + x, tl.dot(a, a, input_precision="ieee"))
        """,
        operand,
        results=[f"{total}[16,16]"],
    )
    wide = operand.astype(np.float64)
    np.testing.assert_array_equal(found, wide @ wide)


@pytest.mark.parametrize("dtype", ["f32", "f64", "f16", "bf16", "i32", "i64"])
def test_atomic_additions_from_all_programs(dtype: str, kernel_device: Device):
    (found,) = compute(
        kernel_device,
        """
        x = tl.arange(0, 4)
        tl.atomic_add(p0 + x // 2, x.to(p0.dtype.element_ty), sem="relaxed")
        """,
        results=[f"{dtype}[2]"],
        zeroed=(0,),
        programs=3,
    )
    np.testing.assert_array_equal(found.astype(np.float64), [3, 15])


def test_other_atomic_operations(kernel_device: Device):
    largest, swapped, found = compute(
        kernel_device,
        """
        program = tl.program_id(0)
        tl.atomic_max(p0, 5 - program)
        tl.store(p2 + program, tl.atomic_cas(p1, program, program + 1))
        """,
        results=["i32[1]", "i32[1]", "i32[3]"],
        zeroed=(0, 1),
        programs=3,
    )
    np.testing.assert_array_equal(largest, [5])
    np.testing.assert_array_equal(swapped, [3])
    np.testing.assert_array_equal(found, [0, 1, 2])


def test_masked_lanes_are_neither_read_nor_written(
    kernel_device: Device,
):
    given, undefined = compute(
        kernel_device,
        """
        x = tl.arange(0, 8)
        tl.store(p1 + x, tl.load(p0 + x, x < 2, other=5.0), x < 4)
        tl.store(p2 + x, tl.load(p0 + x, x < 2))
        """,
        np.array([1, 2], np.float32),
        results=["f32[4]", "f32[8]"],
    )
    np.testing.assert_array_equal(given, [1, 2, 5, 5])
    np.testing.assert_array_equal(undefined, [1, 2] + [NAN] * 6)


def test_tensor_descriptor_pads_with_zeros(kernel_device: Device):
    (found,) = compute(
        kernel_device,
        """
        block = tl.make_tensor_descriptor(p0, [3, 4], [4, 1], [2, 4]).load([2, 0])
        x = tl.arange(0, 2)[:, None] * 4 + tl.arange(0, 4)[None, :]
        tl.store(p1 + x, block)
        """,
        np.arange(12, dtype=np.float32),
        results=["f32[8]"],
    )
    np.testing.assert_array_equal(found, [8, 9, 10, 11, 0, 0, 0, 0])


def test_float_constants_with_a_name_are_rounded_to_float32(
    kernel_device: Device,
):
    (found,) = compute(
        kernel_device,
        "tenth = 0.1\ntl.store(p1, tl.load(p0) * tenth)",
        np.array([1.0]),
        results=["f64[1]"],
    )
    assert found == np.float64(np.float32(0.1))
