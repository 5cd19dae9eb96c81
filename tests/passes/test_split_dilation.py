"""Convolutions over dilated inputs in phases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops
from graphc.ir import Graph, evaluate, parse
from graphc.ir.ops import convolution
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.passes import Pipeline, run
from graphc.passes.graph_pass import pass_text
from graphc.passes.pipelines import TRITON
from graphc.passes.split_dilation import SplitDilation
from graphc.testing.equivalence import random_arrays

EAGER = SplitDilation(least_products=1)


def text(x: str, w: str, y: str, labels: str = "b0f_0io->b0f", **how: object) -> str:
    """A convolution; `how` gives the attributes that are not those of one as it is."""
    rank = labels.index("_") - 2
    attributes = {
        "input_dilation": [2] * rank,
        "kernel_dilation": [1] * rank,
        "padding": [[0, 0]] * rank,
        "strides": [1] * rank,
        **how,
    }
    listed = ", ".join(f"{name}={value}" for name, value in attributes.items())
    return f"""
    graph @f(%x: {x}, %w: {w}) -> ({y}) {{
      %y = convolution(%x, %w) {{labels="{labels}", {listed}}} : {y}
      return %y
    }}"""


def test_each_remainder_has_places_of_its_own():
    graph = parse(text("f32[1,4,2]", "f32[3,2,5]", "f32[1,7,5]", padding=[[1, 1]]))
    wanted = parse("""
        graph @f(%x: f32[1,4,2], %w: f32[3,2,5]) -> (f32[1,7,5]) {
          %0 = slice(%w) {limit=[3,2,5], start=[1,0,0], strides=[2,1,1]} : f32[1,2,5]
          %1 = convolution(%x, %0) {input_dilation=[1], kernel_dilation=[1],
            labels="b0f_0io->b0f", padding=[[0,0]], strides=[1]} : f32[1,4,5]
          %2 = slice(%w) {limit=[3,2,5], start=[0,0,0], strides=[2,1,1]} : f32[2,2,5]
          %3 = convolution(%x, %2) {input_dilation=[1], kernel_dilation=[1],
            labels="b0f_0io->b0f", padding=[[0,1]], strides=[1]} : f32[1,4,5]
          %4 = reshape(%1) {shape=[1,4,1,5]} : f32[1,4,1,5]
          %5 = reshape(%3) {shape=[1,4,1,5]} : f32[1,4,1,5]
          %6 = concatenate(%4, %5) {axis=2} : f32[1,4,2,5]
          %7 = reshape(%6) {shape=[1,8,5]} : f32[1,8,5]
          %y = slice(%7) {limit=[1,7,5], start=[0,0,0]} : f32[1,7,5]
          return %y
        }""")
    found = run(graph, Pipeline((EAGER,)), verify=True, check=True)
    assert str(found) == str(wanted)


IMAGE = "b01f_01io->b01f"

CASES = {
    "a kernel of one place": text(
        "f32[2,3,4,2]", "f32[1,1,2,3]", "f32[2,5,7,3]", IMAGE
    ),
    "one place, more results": text(
        "f32[2,3,4,2]", "f32[1,1,2,3]", "f32[2,6,9,3]", IMAGE, padding=[[0, 1], [1, 1]]
    ),
    "three by three": text(
        "f32[2,4,4,2]", "f32[3,3,2,3]", "f32[2,8,8,3]", IMAGE, padding=[[1, 2], [1, 2]]
    ),
    "two dilations, one of them 1": text(
        "f32[2,4,4,2]",
        "f32[3,2,2,3]",
        "f32[2,9,3,3]",
        IMAGE,
        padding=[[1, 0], [0, 0]],
        input_dilation=[3, 1],
    ),
    "groups, channels first": text(
        "f32[2,4,4,4]",
        "f32[6,2,3,3]",
        "f32[2,6,6,6]",
        "bf01_oi01->bf01",
        padding=[[0, 1], [1, 0]],
        groups=2,
    ),
    "groups of the batch": text(
        "f32[4,5,2]", "f32[3,2,6]", "f32[2,8,6]", padding=[[1, 0]], batch_groups=2
    ),
    "a dilated kernel": text(
        "f32[2,5,2]",
        "f32[4,2,3]",
        "f32[2,9,3]",
        padding=[[3, 6]],
        kernel_dilation=[3],
        input_dilation=[2],
    ),
    "dilations with a common factor": text(
        "f32[2,5,2]",
        "f32[3,2,3]",
        "f32[2,15,3]",
        padding=[[1, 1]],
        kernel_dilation=[2],
        input_dilation=[4],
    ),
    "fewer places than remainders": text(
        "f32[2,3,2]", "f32[2,2,3]", "f32[2,9,3]", input_dilation=[4], padding=[[1, 0]]
    ),
    "cropped": text("f32[2,6,2]", "f32[3,2,3]", "f32[2,4,3]", padding=[[-3, -2]]),
    "a stride elsewhere": text(
        "f32[2,4,5,2]",
        "f32[3,3,2,3]",
        "f32[2,5,2,3]",
        IMAGE,
        strides=[1, 2],
        input_dilation=[2, 1],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_parts_together_are_the_convolution(case: str, rng: np.random.Generator):
    graph = parse(case)
    found = run(graph, Pipeline((EAGER,)), verify=True, check=True)
    convolutions = [node for node in found.nodes if node.op is convolution]
    assert convolutions
    for node in convolutions:
        assert set(node.attributes["input_dilation"]) == {1}
    assert products(found) * 3 < products(graph) * 2
    arrays = random_arrays(graph, rng)
    (want,), (got,) = evaluate(graph, *arrays), evaluate(found, *arrays)
    assert mismatch(got, want) is None


def products(graph: Graph) -> int:
    """How many products the convolutions of a graph take, those with zeros too."""
    count = 0
    for node in graph.nodes:
        if node.op is convolution:
            of_kernel = parse_labels(node.attributes["labels"])[1]
            kernel = node.operands[1].type
            terms = int(kernel.size) // kernel.static_shape[of_kernel.outer]
            count += int(node.result.type.size) * terms
    return count


LEFT = {
    "nothing between": text(
        "f32[1,4,2]", "f32[3,2,5]", "f32[1,2,5]", input_dilation=[1]
    ),
    "strides": text("f32[1,4,2]", "f32[3,2,5]", "f32[1,3,5]", strides=[2]),
    "symbols": text("f32[B,4,2]", "f32[3,2,5]", "f32[B,5,5]").replace(
        ") {\n", ") where B in 1..4096 {\n", 1
    ),
    "no elements": text("f32[0,4,2]", "f32[3,2,5]", "f32[0,5,5]"),
}


@pytest.mark.parametrize("case", LEFT.values(), ids=LEFT)
def test_others_stay(case: str):
    graph = parse(case)
    assert str(run(graph, Pipeline((EAGER,)), verify=True)) == str(graph)


def test_small_ones_stay():
    graph = parse(text("f32[1,4,2]", "f32[3,2,5]", "f32[1,5,5]"))
    assert str(run(graph, "split_dilation")) == str(graph)


def gradient(stride: int, size: int) -> Graph:
    """The gradient of a convolution for its input."""

    def loss(x: Any, w: Any) -> Any:
        return ops.sum(ops.square(ops.conv(x, w, strides=stride, padding="same")))

    return graphc.trace(
        graphc.grad(loss),
        graphc.TensorSpec((2, size, size, 8)),
        graphc.TensorSpec((3, 3, 8, 8)),
    )


@pytest.mark.triton
@pytest.mark.parametrize(
    ("stride", "size"), [(2, 5), pytest.param(3, 7, marks=pytest.mark.slow)]
)
def test_kernels_of_gradients(stride: int, size: int, rng: np.random.Generator):
    graph = gradient(stride, size)
    eager = TRITON.replace("split_dilation", pass_text(EAGER))
    program = graphc.compile(graph, target="triton:interpreter", passes=eager)
    arrays = random_arrays(graph, rng)
    found, (wanted,) = program(*arrays), evaluate(graph, *arrays)
    (exact,) = evaluate(graph, *arrays, dtype="f64")
    got = np.asarray(found)
    assert not (mismatch(got, wanted) and inaccuracy(got, wanted, exact))
    whole = TRITON.replace("split_dilation,", "")
    assert arithmetic(run(graph, eager)) * 4 < arithmetic(run(graph, whole)) * 3


def arithmetic(graph: Graph) -> int:
    """The products of all kernels of a graph."""
    return sum(products(kernel) for kernel in graph.reachable())
