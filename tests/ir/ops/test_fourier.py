"""Transforms undo each other and keep sums of squares."""

import numpy as np
import pytest

from tests.closeness import assert_close
from tests.op_results import run


@pytest.mark.parametrize("lengths", [[1], [6], [7], [3, 4], [2, 3, 5]], ids=str)
def test_inverses(lengths: list[int], rng: np.random.Generator):
    re, im = rng.normal(size=(2, 2, *lengths))
    forward = run("fft", re, im, kind="FFT", lengths=lengths)
    back = run("fft", *forward, kind="IFFT", lengths=lengths)
    assert_close(back, [re, im])
    energy = sum(np.sum(x**2) for x in forward) / np.prod(lengths)
    assert_close(energy, np.sum(re**2) + np.sum(im**2))
    half = run("fft", re, kind="RFFT", lengths=lengths)
    assert half[0].shape[-1] == lengths[-1] // 2 + 1
    back = run("fft", *half, kind="IRFFT", lengths=lengths)
    assert_close(back, re)


def test_a_single_precision_transform_is_one():
    re, im = run("fft", np.ones(4, np.float32), kind="RFFT", lengths=[4])
    assert re.dtype == im.dtype == np.float32
    np.testing.assert_array_equal(re, [4, 0, 0])
