import numpy as np
import pytest

from graphc.ir.types import BF16
from tests.closeness import assert_alike, assert_close
from tests.op_results import gradients, run


def expected_attention(q, k, v, allowed=True, scale=None) -> np.ndarray:
    """Attention by its definition, one head of q at a time."""
    heads, depth = q.shape[2:]
    group = heads // k.shape[2]
    result = np.zeros((*q.shape[:3], v.shape[3]))
    allowed = np.broadcast_to(allowed, (len(q), heads, q.shape[1], k.shape[1]))
    for b, h in np.ndindex(len(q), heads):
        logits = q[b, :, h] @ k[b, :, h // group].T * (scale or depth**-0.5)
        powers = np.where(allowed[b, h], np.exp(logits), 0)
        chances = powers / powers.sum(1, keepdims=True)
        result[b, :, h] = chances @ v[b, :, h // group]
    return result


@pytest.fixture
def qkv(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(2, time, 4, 8)) for time in (5, 6, 6)]


def test_plain(qkv):
    assert_close(run("attention", *qkv), expected_attention(*qkv))
    found = run("attention", *qkv, scale=0.3)
    assert_close(found, expected_attention(*qkv, scale=0.3))


@pytest.mark.parametrize("shared", [1, 2])
def test_heads_of_k_and_v_serve_consecutive_heads_of_q(qkv, shared: int):
    q, k, v = qkv
    k, v = k[:, :, :shared], v[:, :, :shared, :3]
    assert_close(run("attention", q, k, v), expected_attention(q, k, v))


@pytest.mark.parametrize("shape", [(2, 4, 5, 6), (2, 1, 5, 6), (1, 4, 1, 6), (1,) * 4])
@pytest.mark.parametrize("shared", [2, 4])
def test_mask(qkv, rng: np.random.Generator, shape: tuple[int, ...], shared: int):
    q, k, v = qkv
    k, v = k[:, :, :shared], v[:, :, :shared]
    mask = rng.uniform(size=shape) > 0.4
    mask[..., 0] = True
    found = run("attention", q, k, v, mask)
    assert_close(found, expected_attention(q, k, v, mask))


def test_causal(qkv, rng: np.random.Generator):
    lower = np.tril(np.ones((5, 6), bool))
    found = run("attention", *qkv, causal=True)
    assert_close(found, expected_attention(*qkv, lower))
    mask = rng.uniform(size=(1, 1, 5, 6)) > 0.4
    mask[..., 0] = True
    found = run("attention", *qkv, mask, causal=True)
    assert_close(found, expected_attention(*qkv, lower & mask))


def test_a_row_without_anything_to_attend_to_takes_the_mean(qkv):
    mask = np.ones((2, 1, 5, 6), bool)
    mask[:, :, 3] = False
    found = run("attention", *qkv, mask)
    assert_close(found[:, 3], qkv[2].mean(1))
    q_slope, k_slope, v_slope = gradients("attention", [*qkv, mask])
    assert not q_slope[:, 3].any()
    assert np.isfinite(k_slope).all()
    assert np.isfinite(v_slope).all()


def test_later_times_do_not_matter_when_causal(qkv):
    q, k, v = qkv
    cotangent = np.zeros(q.shape)
    cotangent[:, 2] = 1
    q_slope, k_slope, v_slope = gradients(
        "attention", [q, k, v], [cotangent], causal=True
    )
    assert not np.delete(q_slope, 2, 1).any()
    assert not k_slope[:, 3:].any()
    assert not v_slope[:, 3:].any()
    assert v_slope[:, :3].all()


def test_bfloat16_logits_are_float32(qkv):
    narrow = [array.astype(BF16.numpy) for array in qkv]
    found = run("attention", *narrow)
    assert found.dtype == BF16.numpy
    exact = expected_attention(*(a.astype(np.float64) for a in narrow))
    assert_alike(found, exact, BF16)
