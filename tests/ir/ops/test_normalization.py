import numpy as np
import pytest

from graphc.ir.types import BF16, F16
from tests.closeness import assert_close
from tests.op_results import gradients, run


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(3, 2, (4, 5, 6))


def test_layer_norm(x: np.ndarray, rng: np.random.Generator):
    scale, offset = rng.normal(size=(2, 5, 6))
    found = run("layer_norm", x, scale, offset, axes=[1, 2], epsilon=1e-3)
    mean = x.mean((1, 2), keepdims=True)
    variance = x.var((1, 2), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-3) * scale + offset
    assert_close(found, expected)


def test_rms_norm(x: np.ndarray, rng: np.random.Generator):
    scale = rng.normal(size=6)
    found = run("rms_norm", x, scale, axes=[2], epsilon=1e-6)
    square = (x * x).mean(2, keepdims=True)
    assert_close(found, x / np.sqrt(square + 1e-6) * scale)


def test_the_scale_may_lie_along_an_inner_axis(x: np.ndarray):
    scale = np.arange(1.0, 6.0)
    plain = run("layer_norm", x, np.ones(5), np.zeros(5), axes=[1], epsilon=1e-3)
    scaled = run("layer_norm", x, scale, np.float64(0.5), axes=[1], epsilon=1e-3)
    assert_close(scaled, plain * scale[:, None] + 0.5)


def test_one_scale_for_all_gets_the_sum_of_the_gradients(x: np.ndarray):
    shared = gradients("rms_norm", [x, np.float64(1.0)], axes=[2], epsilon=1e-3)
    each = gradients("rms_norm", [x, np.ones(6)], axes=[2], epsilon=1e-3)
    assert_close(shared[1], each[1].sum())
    assert_close(shared[0], each[0])


@pytest.mark.parametrize("dtype", [BF16, F16])
def test_narrow_operands_are_summed_in_float32(dtype):
    x = np.full((1, 4096), 300, dtype.numpy)
    x[0, ::2] = 296
    parameters = np.ones(4096, np.float32), np.zeros(4096, np.float32)
    found = run("layer_norm", x, *parameters, axes=[1], epsilon=1e-6)
    assert found.dtype == dtype.numpy
    assert_close(np.abs(found.astype(np.float32)), 1)


@pytest.mark.parametrize("feature_axis", [0, 1, 2])
def test_batch_norm_training(x: np.ndarray, feature_axis: int):
    size = x.shape[feature_axis]
    scale, offset = np.linspace(0.5, 2, size), np.linspace(-1, 1, size)
    y, mean, variance = run(
        "batch_norm_training", x, scale, offset, feature_axis=feature_axis, epsilon=1e-3
    )
    axes = tuple(axis for axis in range(3) if axis != feature_axis)
    assert_close(mean, x.mean(axes))
    assert_close(variance, x.var(axes))
    features_last = np.moveaxis(x, feature_axis, 2)
    expected = (features_last - mean) / np.sqrt(variance + 1e-3) * scale + offset
    assert_close(np.moveaxis(y, feature_axis, 2), expected)


def test_statistics_of_narrow_operands_are_float32(x: np.ndarray):
    ones, zeros = np.ones(6, BF16.numpy), np.zeros(6, np.float32)
    y, mean, variance = run(
        "batch_norm_training",
        *(x.astype(BF16.numpy), ones, zeros),
        feature_axis=2,
        epsilon=1e-3,
    )
    assert [a.dtype for a in (y, mean, variance)] == [BF16.numpy, *["float32"] * 2]
    rounded = x.astype(BF16.numpy).astype(np.float64)
    assert_close(mean, rounded.mean((0, 1)))
    assert_close(variance, rounded.var((0, 1)))


def test_gradient_flows_through_the_statistics(x: np.ndarray):
    """By the mean alone it is 1/n each, by the variance 2 (x - mean) / n."""
    nothing, ones = np.zeros_like(x), np.ones(6)
    arrays = [x, ones, np.zeros(6)]
    attributes = {"feature_axis": 2, "epsilon": 1e-3}
    number = x.size / 6
    by_mean, *rest = gradients(
        "batch_norm_training", arrays, [nothing, ones, 0 * ones], **attributes
    )
    assert_close(by_mean, 1 / number)
    assert not any(r.any() for r in rest)
    by_variance, *_ = gradients(
        "batch_norm_training", arrays, [nothing, 0 * ones, ones], **attributes
    )
    centered = x - x.mean((0, 1))
    assert_close(by_variance, 2 * centered / number)


def test_a_common_shift_or_scale_of_the_batch_has_no_gradient(x: np.ndarray, rng):
    weights = rng.normal(size=x.shape)
    arrays = [x, np.full(6, 1.5), np.zeros(6)]
    cotangents = [weights, np.zeros(6), np.zeros(6)]
    slope = gradients(
        "batch_norm_training", arrays, cotangents, feature_axis=2, epsilon=1e-12
    )[0]
    assert_close(slope.sum((0, 1)), 0)
    assert_close((slope * x).sum((0, 1)), 0)


def test_inference_with_the_batch_statistics_equals_training(x: np.ndarray, rng):
    scale, offset = rng.normal(size=(2, 6))
    attributes = {"feature_axis": 2, "epsilon": 1e-3}
    y, mean, variance = run("batch_norm_training", x, scale, offset, **attributes)
    found = run("batch_norm_inference", x, scale, offset, mean, variance, **attributes)
    assert_close(found, y)
