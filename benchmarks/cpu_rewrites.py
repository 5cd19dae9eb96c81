"""What does each rewrite for XLA on a CPU gain, by itself and in whole models?

    taskset -c 0 python -m benchmarks.cpu_rewrites [NAME ...]

A row compiles one graph twice: with the passes for any XLA target, and with one of those
for CPUs besides. Results must agree before anything is timed. Rows called refused are
what the pass does not do by itself. Times are of the processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

import graphc
from benchmarks.cpu_models import WORKLOADS, cnn, trained
from benchmarks.timing import interleaved, ratios
from graphc import layers
from graphc.ir import Graph, parse
from graphc.passes.pipelines import SIMPLIFY_LATE, XLA

BEFORE, AFTER = "before", "after"
POOLS, DOTS, ORDER = "unroll_windows", "convolution_as_dot", "layout"
SUMS, FLAT = "convolution_as_sums", "flatten_stored"
REST = f"{POOLS},{DOTS}"


@dataclass(frozen=True)
class Row:
    """A graph and the passes that are to make it faster than those before do."""

    graph: Callable[[], Graph]
    passes: str
    before: str = "dce"
    rounds: int = 9
    inner: int = 3


def pool(
    batch: int, side: int, channels: int, size: int, stride: int, pad: int
) -> Graph:
    """A maximum over windows of images."""
    x, y = _image_types(batch, side, channels, size, stride, pad)
    return parse(
        f"graph @f(%x: {x}) -> ({y}) {{ %y = reduce_window_max(%x)"
        f" {_windows(size, stride, pad)} : {y} return %y }}"
    )


def pool_gradient(
    batch: int, side: int, channels: int, size: int, stride: int, pad: int
) -> Graph:
    """The gradient of a maximum over windows of images."""
    x, y = _image_types(batch, side, channels, size, stride, pad)
    return parse(
        f"graph @f(%x: {x}, %g: {y}) -> ({x}) {{ %y = select_and_scatter_add(%x, %g)"
        f" {_windows(size, stride, pad)} : {x} return %y }}"
    )


def _image_types(
    batch: int, side: int, channels: int, size: int, stride: int, pad: int
) -> tuple[str, str]:
    count = (side + 2 * pad - size) // stride + 1
    return tuple(f"f32[{batch},{n},{n},{channels}]" for n in (side, count))  # type: ignore


def _windows(size: int, stride: int, pad: int) -> str:
    return (
        f"{{padding=[[0,0],[{pad},{pad}],[{pad},{pad}],[0,0]],"
        f" strides=[1,{stride},{stride},1], window=[1,{size},{size},1]}}"
    )


def convolution(
    batch: int, side: int, inner: int, outer: int, size: int, layers: int = 1
) -> Graph:
    """A convolution of images."""
    pad = size // 2
    x, y = (f"f32[{batch},{side},{side},{c}]" for c in (inner, outer))
    return parse(
        f"graph @f(%x: {x}, %w: f32[{size},{size},{inner},{outer}]) -> ({y}) {{"
        f" %y = convolution(%x, %w) {_plain('b01f_01io->b01f', pad)} : {y} return %y }}"
    )


def depthwise(batch: int, side: int, width: int, size: int) -> Graph:
    """A convolution of images, each feature by itself, and its gradients."""
    inputs = graphc.Input((side, side, width))
    layer = layers.DepthwiseConv2D(size, padding="same", use_bias=False)
    model = graphc.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    return model.graph("train_step", batch)


def first_layers(batch: int, features: int, width: int, size: int) -> Graph:
    """The first convolution of a network, with ReLU and pooling behind it."""
    inputs = graphc.Input((28, 28, features))
    x = layers.Conv2D(width, size, padding="same", activation="relu")(inputs)
    return graphc.Model(inputs, layers.MaxPooling2D()(x)).graph("predict", batch)


def small_cnn(kind: str) -> Graph:
    """A small CNN for digits: two convolutions with ReLU and pooling."""
    parts: list[Any] = []
    for width in (16, 32):
        parts.append(layers.Conv2D(width, 3, padding="same", activation="relu"))
        parts.append(layers.MaxPooling2D())
    rest = [layers.Flatten(), layers.Dense(10)]
    model = graphc.Sequential([graphc.Input((28, 28, 1)), *parts, *rest])
    return (model if kind == "predict" else trained(model)).graph(kind, 32)


def mobile(kind: str) -> Graph:
    """Depthwise and 1x1 convolutions in turn, with batch normalization."""

    def normed(layer: Any, x: Any) -> Any:
        return layers.ReLU(6.0)(layers.BatchNormalization()(layer(x)))

    inputs = x = graphc.Input((32, 32, 3))
    x = normed(layers.Conv2D(16, 3, 2, padding="same", use_bias=False), x)
    for features, stride in ((32, 1), (64, 2), (64, 1), (128, 2)):
        own = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)
        x = normed(own, x)
        x = normed(layers.Conv2D(features, 1, use_bias=False), x)
    model = graphc.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    return (model if kind == "predict" else trained(model)).graph(kind, 16)


def channels_first_block(batch: int, side: int, width: int) -> Graph:
    """Convolutions of 3x3 and 1x1 around a pooling, channels first, as importers see."""
    x, small = (f"f32[{batch},{width},{n},{n}]" for n in (side, side // 2))
    w, v = (f"f32[{width},{width},{n},{n}]" for n in (3, 1))
    return parse(
        f"graph @f(%x: {x}, %a: {w}, %b: {v}, %c: {v}) -> ({small}) {{"
        f" %0 = convolution(%x, %a) {_plain('bf01_oi01->bf01', 1)} : {x}"
        f" %1 = maximum(%0, 0.0) : {x}"
        " %2 = reduce_window_max(%1) {padding=[[0,0],[0,0],[0,0],[0,0]],"
        f" strides=[1,1,2,2], window=[1,1,2,2]}} : {small}"
        f" %3 = convolution(%2, %b) {_plain('bf01_oi01->bf01', 0)} : {small}"
        f" %4 = maximum(%3, 0.0) : {small}"
        f" %5 = convolution(%4, %c) {_plain('bf01_oi01->bf01', 0)} : {small}"
        f" return %5 }}"
    )


def _plain(labels: str, pad: int) -> str:
    return (
        f'{{input_dilation=[1,1], kernel_dilation=[1,1], labels="{labels}",'
        f" padding=[[{pad},{pad}],[{pad},{pad}]], strides=[1,1]}}"
    )


def model(name: str) -> Graph:
    """A training step or the inference of one of the models."""
    workload = WORKLOADS[name]
    made, x = workload.build(), workload.inputs(np.random.default_rng(0))
    kind = "predict" if workload.labels is None else "train_step"
    return (made if workload.labels is None else trained(made)).graph(kind, len(x))


def channels_first() -> Graph:
    """A training step of the CNN with channels first."""
    return trained(cnn("channels_first")).graph("train_step", 32)


EAGER = f"{DOTS}{{terms_per_row=0}}"

ROWS = {
    "max 2x2/2 of 32x32x32x32": Row(partial(pool, 32, 32, 32, 2, 2, 0), POOLS),
    "max 3x3/2 of 8x32x32x64": Row(partial(pool, 8, 32, 64, 3, 2, 1), POOLS),
    "gradient of 2x2/2": Row(partial(pool_gradient, 32, 32, 32, 2, 2, 0), POOLS),
    "gradient of 3x3/2": Row(partial(pool_gradient, 8, 32, 64, 3, 2, 1), POOLS),
    "gradient of 3x3/1": Row(partial(pool_gradient, 4, 16, 64, 3, 1, 1), POOLS),
    "cnn step": Row(partial(model, "cnn"), POOLS, inner=1),
    "3x3 512>512 on 2x2, b8": Row(partial(convolution, 8, 2, 512, 512, 3), DOTS),
    "3x3 512>512 on 7x7, b1": Row(partial(convolution, 1, 7, 512, 512, 3), DOTS),
    "1x1 256>64 on 56x56, b1": Row(partial(convolution, 1, 56, 256, 64, 1), DOTS),
    "1x1 2048>512 on 7x7, b1": Row(partial(convolution, 1, 7, 2048, 512, 1), DOTS),
    "1x1 1024>256 on 14x14, b8": Row(partial(convolution, 8, 14, 1024, 256, 1), DOTS),
    "first 3x3, 1>16, b32": Row(
        partial(first_layers, 32, 1, 16, 3), f"{SUMS},{POOLS}", POOLS
    ),
    "first 3x3, 3>16, b32": Row(
        partial(first_layers, 32, 3, 16, 3), f"{SUMS},{POOLS}", POOLS
    ),
    "first 3x3, 3>32, b32": Row(
        partial(first_layers, 32, 3, 32, 3), f"{SUMS},{POOLS}", POOLS
    ),
    "first 5x5, 1>6, b32": Row(
        partial(first_layers, 32, 1, 6, 5), f"{SUMS},{POOLS}", POOLS
    ),
    "depthwise 3x3, 64, 28x28, b8": Row(partial(depthwise, 8, 28, 64, 3), SUMS),
    "depthwise 5x5, 96, 14x14, b8": Row(partial(depthwise, 8, 14, 96, 5), SUMS),
    "small cnn": Row(partial(small_cnn, "predict"), f"{SUMS},{REST}", REST),
    "small cnn, flattened apart": Row(
        partial(small_cnn, "predict"), f"{SUMS},{REST},{FLAT}", f"{SUMS},{REST}"
    ),
    "small cnn step": Row(
        partial(small_cnn, "train_step"), f"{SUMS},{REST},{FLAT}", REST
    ),
    "mobile": Row(partial(mobile, "predict"), f"{SUMS},{REST},{FLAT}", REST),
    "mobile step": Row(
        partial(mobile, "train_step"), f"{SUMS},{REST},{FLAT}", REST, inner=1
    ),
    "resnet18 step": Row(partial(model, "resnet18"), DOTS, rounds=5, inner=1),
    "resnet50 b1": Row(partial(model, "resnet50 b1"), DOTS, inner=1),
    "refused: 3x3 128>128 on 28x28, b1": Row(
        partial(convolution, 1, 28, 128, 128, 3), EAGER
    ),
    "refused: 3x3 256>256 on 14x14, b1": Row(
        partial(convolution, 1, 14, 256, 256, 3), EAGER
    ),
    "3x3, pool, 1x1, 1x1, channels first": Row(
        partial(channels_first_block, 8, 28, 128), f"{ORDER},{REST}", before=REST
    ),
    "cnn step, channels first": Row(
        channels_first, f"{ORDER},{REST}", inner=1, before=REST
    ),
}


def measured(row: Row) -> tuple[float, float]:
    """Milliseconds before, and the ratio of the time after to that."""
    graph = row.graph()
    draw = np.random.default_rng(0)
    arrays = [_array(value.type, draw) for value in graph.parameters]
    programs = {
        name: graphc.compile(graph, passes=f"{XLA},{passes},{SIMPLIFY_LATE}")
        for name, passes in ((BEFORE, row.before), (AFTER, row.passes))
    }
    found = [jax.tree.leaves(program(*arrays))[0] for program in programs.values()]
    want, got = (np.asarray(each) for each in found)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * np.abs(want).max())
    runs = {
        name: partial(_finished, program, arrays) for name, program in programs.items()
    }
    times = interleaved(runs, row.rounds, row.inner, time.process_time)
    return float(np.median(times[BEFORE])) * 1e3, ratios(times, BEFORE)[AFTER]


def _finished(program: Any, arrays: Any) -> None:
    # Results are made together: one is waited for.
    np.asarray(jax.tree.leaves(program(*arrays))[0])


def _array(type: Any, draw: np.random.Generator) -> Any:
    """An array on the device: labels, or numbers as images and weights have them."""
    shape = type.static_shape
    if type.dtype.is_integer:
        return jax.numpy.asarray(draw.integers(0, 10, shape), type.dtype.numpy)
    return jax.numpy.asarray(abs(draw.normal(0, 0.05, shape)), type.dtype.numpy)


def main(names: list[str]) -> None:
    """Prints a line for each row, or for those whose names contain what is named."""
    print(f"{'':36} {'ms before':>10} {'after':>8}")
    for name, row in ROWS.items():
        if not names or any(part in name for part in names):
            before, ratio = measured(row)
            print(f"{name:36} {before:10.2f} {ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
