"""Convolution and pooling over dimensions of unknown size, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.frontend import config, ops
from graphc.frontend.program import Slot, trace_program
from graphc.ir import TensorType, dtype, evaluate
from graphc.ir.dims import SymbolicDim
from graphc.ir.errors import GraphError
from tests.closeness import assert_close

IMAGE = np.random.default_rng(0).normal(size=(2, 7, 6, 4)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 4, 5)).astype(np.float32)


def with_unknown_sizes(function: Any, x: np.ndarray) -> np.ndarray:
    b, h, w = (SymbolicDim.symbol(s) for s in "BHW")
    type = TensorType((b, h, w, x.shape[3]), dtype("float32"))
    program = trace_program("f", function, (Slot(0),), [type])
    program.graph.verify()
    return evaluate(program.graph, x)[0]


@pytest.mark.parametrize("size", [(7, 6), (6, 7), (8, 5)])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_unknown_spatial_sizes(
    size: tuple[int, int], strides: int, padding: str
) -> None:
    x = np.resize(IMAGE, (2, *size, 4))
    for function in (
        lambda x: ops.conv(x, KERNEL, strides, padding),
        lambda x: ops.max_pool(x - 9.0, 3, strides, padding),
        lambda x: ops.average_pool(x, 3, strides, padding),
        lambda x: ops.conv(x, KERNEL[:1, :1], strides, padding),
    ):
        eager = np.asarray(function(x))
        assert_close(with_unknown_sizes(function, x), eager)


def test_a_window_below_the_stride_needs_a_known_size() -> None:
    with pytest.raises(GraphError, match="window=2, stride=3"):
        with_unknown_sizes(lambda x: ops.max_pool(x, 2, 3, "same"), IMAGE)


def test_the_global_data_format() -> None:
    config.set_image_data_format("channels_first")
    try:
        found = ops.max_pool(IMAGE.transpose(0, 3, 1, 2), 2)
    finally:
        config.set_image_data_format("channels_last")
    wanted = np.asarray(ops.max_pool(IMAGE, 2)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(np.asarray(found), wanted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.conv(IMAGE, KERNEL, padding="full"), "Received: padding='full'"),
        (lambda: ops.conv(IMAGE, KERNEL, strides=(1,)), "or 2 of them. Received: str"),
        (lambda: ops.conv(IMAGE, KERNEL, strides=0), "positive integer"),
        (lambda: ops.conv(IMAGE, KERNEL[0]), "a kernel of the same rank"),
        (lambda: ops.conv(IMAGE[..., :3], KERNEL), "a multiple of the kernel's"),
        (lambda: ops.conv_transpose(IMAGE, KERNEL), r"\[..., filters, channels\]"),
        (lambda: ops.depthwise_conv(IMAGE, KERNEL[:, :, :2]), "channels, multiplier"),
        (lambda: ops.max_pool(IMAGE[0, 0], 2), "inputs of rank 3 or more"),
        (lambda: ops.unfold(IMAGE[0], 2), r"images \[N, C, H, W\]"),
        (lambda: ops.unfold(IMAGE, (2, 2, 2)), "Received: kernel_size="),
        (lambda: ops.fold(IMAGE[0], (7, 6), 2), "Expected a tensor"),
    ],
)
def test_wrong_arguments(call: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        call()


def test_unknown_data_formats() -> None:
    with pytest.raises(ValueError, match="Received: data_format='NHWC'"):
        ops.conv(IMAGE, KERNEL, data_format="NHWC")


def test_fold_adds_what_unfold_took() -> None:
    x = IMAGE.transpose(0, 3, 1, 2)
    columns = ops.unfold(x, 2, stride=2)
    back = ops.fold(columns, (7, 6), 2, stride=2)
    wanted = x.copy()
    wanted[:, :, 6:] = 0  # no patch reaches the last row
    np.testing.assert_array_equal(np.asarray(back), wanted)
