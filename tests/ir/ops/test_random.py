import math

import numpy as np
import pytest

from graphc.ir import Graph, building, evaluate, tensor_type
from graphc.ir.body import body_graph
from graphc.ir.ops import OPS, dropout
from graphc.ir.ops.random import ROW, segment_starts
from graphc.ir.types import BF16, F16, F32, F64, U32, DType, TensorType
from tests.closeness import assert_close, assert_distributed, assert_mean
from tests.op_results import gradients, run

KEY = np.array([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], np.uint32)
ONES = 0xFFFFFFFF
KNOWN_ANSWERS = [  # counter, key and result, from the Random123 distribution
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> list[np.ndarray]:
    return [np.array(int(word, 16), np.uint32) for word in text.split()]


# -- bits ------------------------------------------------------------------------------


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_known_answers(counter: str, key: str, expected: str):
    operands = [*words(counter), *words(key)]
    body = body_graph(OPS["philox"], [TensorType((), U32)] * 6, {})
    for found in (run("philox", *operands), evaluate(body, *operands)):
        assert " ".join(f"{int(word):08x}" for word in found) == expected


def test_bits_are_laid_out_in_rows():
    bits = run("random_bits", KEY, shape=[2 * ROW]).reshape(2, 4, 256)
    block = np.arange(512, dtype=np.uint32)
    zero = np.zeros_like(block)
    k0, k1, c2, c3 = (np.full_like(block, word) for word in KEY)
    expected = run("philox", block, zero, c2, c3, k0, k1)
    for word in range(4):
        np.testing.assert_array_equal(bits[:, word].ravel(), expected[word])


def test_the_first_bits_do_not_depend_on_how_many_are_drawn():
    many = run("random_bits", KEY, shape=[5, 700])
    for shape in ([7], [3, 5], [2, ROW], [], [0, 3]):
        few = run("random_bits", KEY, shape=shape)
        assert few.shape == tuple(shape)
        np.testing.assert_array_equal(few.ravel(), many.ravel()[: few.size])


def test_every_word_of_the_key_matters():
    drawn = {run("random_bits", KEY, shape=[4]).tobytes()}
    for word in range(4):
        other = KEY.copy()
        other[word] ^= 1
        drawn.add(run("random_bits", other, shape=[4]).tobytes())
    assert len(drawn) == 5


def test_bits_are_balanced_and_unrelated():
    bits = run("random_bits", KEY, shape=[1 << 14])
    ones = np.unpackbits(bits.view(np.uint8)).reshape(-1, 32)
    assert_mean(ones, 0.5)
    for step in (1, 256, ROW):
        agree = (bits[step:] ^ bits[:-step]).view(np.uint8)
        assert_mean(np.unpackbits(agree), 0.5)
    assert len(np.unique(bits)) > bits.size - 3


@pytest.mark.parametrize(
    "sizes",
    [[5], [1, ROW, ROW + 1, 3], [0, 0, 7, 0, 2 * ROW, 0], [3000, 1, 2], [0, 0]],
)
def test_batched_bits_are_those_drawn_alone(sizes: list[int], rng: np.random.Generator):
    keys = rng.integers(0, 2**32, (len(sizes), 4), dtype=np.uint32)
    bits = run("random_bits_batched", keys, sizes=sizes)
    assert bits.size % ROW == 0
    for key, size, start in zip(keys, sizes, segment_starts(sizes), strict=True):
        alone = run("random_bits", key, shape=[size])
        np.testing.assert_array_equal(bits[start : start + size], alone)


def test_batched_bits_take_one_generator_however_many_keys():
    types = [TensorType((300, 4), U32)]
    body = body_graph(OPS["random_bits_batched"], types, {"sizes": [2000] * 300})
    names = [node.op.name for node in body.nodes]
    assert names.count("philox") == 1
    assert len(names) - names.count("broadcast_in_dim") < 40


def test_fold_in():
    derived = {run("fold_in", KEY, np.uint32(n)).tobytes() for n in range(100)}
    assert len(derived) == 100
    block = np.frombuffer(derived.pop(), np.uint32)
    assert block.shape == (4,)
    # A folded key is none of the blocks that random bits are made of.
    bits = run("random_bits", KEY, shape=[ROW]).reshape(4, 256).T
    assert not derived & {bits[n].tobytes() for n in range(100)}


# -- distributions ---------------------------------------------------------------------


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


def test_uniform():
    x = run("random_uniform", KEY, shape=[100, 200])
    assert x.dtype == np.float32
    assert_distributed(np.sort(x.ravel()), np.sort(x.ravel()))
    bits = run("random_bits", KEY, shape=[100, 200])
    np.testing.assert_array_equal(x, (bits >> 8) / np.float32(2**24))


@pytest.mark.parametrize("dtype", [BF16, F16, F32, F64])
def test_uniform_is_below_1_and_may_be_0(dtype: DType):
    edges = np.array([0, ONES], np.uint32)
    low, high = run("bits_to_uniform", edges, dtype=dtype).astype(np.float64)
    assert low == 0
    digits = {BF16: 8, F16: 11, F32: 24, F64: 32}[dtype]
    assert high == 1 - 0.5**digits


def test_normal():
    x = run("random_normal", KEY, shape=[20000]).astype(np.float64)
    assert_mean(x, 0)
    assert_mean(x * x, 1)
    ordered = np.sort(x)
    assert_distributed(ordered, normal_cdf(ordered))


def test_truncated_normal():
    x = run("random_truncated_normal", KEY, shape=[20000]).astype(np.float64)
    assert np.abs(x).max() < 2
    inside = math.erf(math.sqrt(2))
    ordered = np.sort(x)
    distribution = (normal_cdf(ordered) - (1 - inside) / 2) / inside
    assert_distributed(ordered, distribution)


@pytest.mark.parametrize("name", ["bits_to_normal", "bits_to_truncated_normal"])
@pytest.mark.parametrize("dtype", [BF16, F16, F32, F64])
def test_normals_are_finite_and_symmetric(name: str, dtype: DType):
    bits = np.array([0, 1 << 31, 0x7FFFFFFF, ONES, 12345], np.uint32)
    x = run(name, bits, dtype=dtype).astype(np.float64)
    assert x.dtype == np.float64
    assert np.isfinite(x).all()
    assert (x != 0).all()
    # The complement of the bits is the other side of the distribution.
    np.testing.assert_array_equal(run(name, ~bits, dtype=dtype).astype(np.float64), -x)
    limit = 2 if "truncated" in name else 6.5
    assert np.abs(x).max() <= limit


def test_float64_normals_have_the_finer_steps():
    bits = np.arange(64, dtype=np.uint32) << 2
    assert len(np.unique(run("bits_to_normal", bits))) == 1
    assert len(np.unique(run("bits_to_normal", bits, dtype="f64"))) == 64


# -- dropout ---------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate: float):
    x = np.ones((200, 300), np.float32)
    y = run("dropout", x, KEY, rate=rate)
    kept = y[y != 0]
    assert_close(kept, 1 / (1 - rate))
    assert_mean(y.ravel() != 0, 1 - rate)


def test_dropout_at_the_ends_of_the_rate():
    x = np.arange(1, 7, dtype=np.float32)
    np.testing.assert_array_equal(run("dropout", x, KEY, rate=0.0), x)
    np.testing.assert_array_equal(run("dropout", x, KEY, rate=1.0), 0 * x)
    assert run("dropout", np.float32(3), KEY, rate=1.0) == 0


def test_dropped_infinities_are_0():
    y = run("dropout", np.full(100, np.inf, np.float32), KEY, rate=0.5)
    assert set(y.tolist()) == {0.0, np.inf}


def test_the_gradient_is_dropped_alike():
    x = np.ones((20, 30))
    y = run("dropout", x, KEY, rate=0.3)
    (slope,) = gradients("dropout", [x, KEY], rate=0.3)
    np.testing.assert_array_equal(slope, y)


def test_noise_shape_drops_whole_features():
    x = np.ones((4, 5, 6))
    y = run("dropout", x, KEY, rate=0.5, noise_shape=[4, 1, 6])
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 5, axis=1))
    assert 0 < np.count_nonzero(y[:, 0]) < 24


def test_what_a_batch_drops_does_not_depend_on_its_size():
    graph = Graph("f")
    graph.ranges = {"B": (1, 64)}
    x = graph.add_parameter(tensor_type("f32[B,100]"))
    key = graph.add_parameter(tensor_type("u32[4]"))
    with building(graph):
        graph.results = [dropout(x, key, rate=0.5)]
    graph.verify()
    (large,) = evaluate(graph, np.ones((32, 100), np.float32), KEY)
    (small,) = evaluate(graph, np.ones((3, 100), np.float32), KEY)
    np.testing.assert_array_equal(small, large[:3])
