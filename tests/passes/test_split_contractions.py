"""Long sums of products in parts, and products with vectors as reductions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from graphc.codegen.triton.module import emit_kernels
from graphc.ir import evaluate, parse
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.passes import Pipeline, run
from graphc.passes.fusion.parallelism import PROCESSORS
from graphc.passes.graph_pass import pass_text
from graphc.passes.split_contractions import FEW, SplitContractions
from graphc.testing.equivalence import random_arrays
from tests.closeness import REORDERED_ULP

EAGER = SplitContractions(least_terms=8)

CONVOLUTION = """
    graph @f(%x: {x}, %w: {w}) -> ({y}) {{
      %y = convolution(%x, %w) {{input_dilation=[1,1], kernel_dilation=[1,1],
        labels="{labels}", padding=[[1,1],[1,1]], strides=[1,1]{more}}} : {y}
      return %y
    }}"""


def test_splits_the_sum_of_a_gradient_of_weights(check_pass):
    check_pass(
        EAGER,
        before="""
            graph @f(%x: f32[32,4], %g: f32[32,6]) -> (f32[4,6]) {
              %y = dot_general(%x, %g) {contract=[[0],[0]]} : f32[4,6]
              return %y
            }""",
        after="""
            graph @f(%x: f32[32,4], %g: f32[32,6]) -> (f32[4,6]) {
              %0 = reshape(%x) {shape=[2,16,4]} : f32[2,16,4]
              %1 = reshape(%g) {shape=[2,16,6]} : f32[2,16,6]
              %2 = dot_general(%0, %1) {batch=[[0],[0]], contract=[[1],[1]]} : f32[2,4,6]
              %y = reduce_sum(%2) {axes=[0]} : f32[4,6]
              return %y
            }""",
        ulp=REORDERED_ULP,
    )


def test_parts_of_sums_are_kept_in_float32():
    graph = parse("""
        graph @f(%x: bf16[32,4], %g: bf16[32,6]) -> (bf16[4,6]) {
          %y = dot_general(%x, %g) {contract=[[0],[0]]} : bf16[4,6]
          return %y
        }""")
    parts, total, result = list(run(graph, Pipeline((EAGER,))).nodes)[2:]
    assert parts.op.name == "dot_general"
    assert str(parts.results[0].type) == "f32[2,4,6]"
    assert str(total.results[0].type) == "f32[4,6]"
    assert result.op.name == "convert"


def test_parts_of_convolutions_are_stored_in_float32():
    graph = parse(
        CONVOLUTION.format(
            x="bf16[32,6,6,16]",
            w="bf16[32,6,6,16]",
            y="bf16[3,3,16,16]",
            labels="f01b_i01o->01bf",
            more="",
        ).replace("f32", "bf16")
    )
    split = f"{pass_text(EAGER)},canonicalize{{late=true}},cse,dce,fusion"
    lowered = run(graph, split)
    parts, *_ = lowered.nodes
    assert parts.op.name == "call"
    assert parts.results[0].type.dtype.name == "f32"
    source = emit_kernels(lowered)[parts.attributes["graph"]].source
    assert "tl.dot(" in source
    assert ".to(tl.bfloat16)" not in source.split("tl.store(")[1]


def test_a_product_with_a_vector_becomes_a_reduction(check_pass):
    check_pass(
        SplitContractions(),
        before="""
            graph @f(%w: bf16[6,4], %x: bf16[4]) -> (bf16[6]) {
              %y = dot_general(%w, %x) {contract=[[1],[0]]} : bf16[6]
              return %y
            }""",
        after="""
            graph @f(%w: bf16[6,4], %x: bf16[4]) -> (bf16[6]) {
              %0 = convert(%x) {dtype="f32"} : f32[4]
              %1 = broadcast_in_dim(%0) {dims=[1], shape=[6,4]} : f32[6,4]
              %2 = convert(%w) {dtype="f32"} : f32[6,4]
              %3 = multiply(%2, %1) : f32[6,4]
              %4 = reduce_sum(%3) {axes=[1]} : f32[6]
              %y = convert(%4) {dtype="bf16"} : bf16[6]
              return %y
            }""",
        ulp=REORDERED_ULP,
    )


REWRITTEN = {
    "the longest dimension": """
        graph @f(%a: f32[2,64,4,3], %b: f32[3,64,6,4]) -> (f32[3,2,6]) {
          %y = dot_general(%a, %b) {batch=[[3],[0]], contract=[[1,2],[1,3]]} : f32[3,2,6]
          return %y
        }""",
    "a prime number of terms": """
        graph @f(%a: f32[4,509], %b: f32[509,6]) -> (f32[4,6]) {
          %y = dot_general(%a, %b) {contract=[[1],[0]]} : f32[4,6]
          return %y
        }""",
    "one column": """
        graph @f(%a: f32[2,7,4,3], %b: f32[3,7,1,4]) -> (f32[3,2,1]) {
          %y = dot_general(%a, %b) {batch=[[3],[0]], contract=[[1,2],[1,3]]} : f32[3,2,1]
          return %y
        }""",
    "one row": """
        graph @f(%a: f32[9,1], %b: f32[5,9]) -> (f32[1,5]) {
          %y = dot_general(%a, %b) {contract=[[0],[1]]} : f32[1,5]
          return %y
        }""",
    "two vectors": """
        graph @f(%a: f32[9], %b: f32[9]) -> (f32[]) {
          %y = dot_general(%a, %b) {contract=[[0],[0]]} : f32[]
          return %y
        }""",
    "integers": """
        graph @f(%a: i8[9,3], %b: i8[9]) -> (i32[3]) {
          %y = dot_general(%a, %b) {contract=[[0],[0]], dtype="i32"} : i32[3]
          return %y
        }""",
    "the gradient of a kernel": CONVOLUTION.format(
        x="f32[32,6,6,4]",
        w="f32[32,6,6,8]",
        y="f32[3,3,4,8]",
        labels="f01b_i01o->01bf",
        more="",
    ),
    "the gradient of a kernel in groups": CONVOLUTION.format(
        x="f32[32,6,6,4]",
        w="f32[32,6,6,8]",
        y="f32[3,3,2,8]",
        labels="f01b_i01o->01bf",
        more=", batch_groups=2",
    ),
    "the gradient of a depthwise kernel": CONVOLUTION.format(
        x="f32[4,34,34,3]",
        w="f32[4,32,32,6]",
        y="f32[5,5,1,6]",
        labels="f01b_i01o->01bf",
        more=", batch_groups=3",
    ),
    "a depthwise kernel with strides, its places last": """
        graph @f(%x: bf16[8,33,65,4], %w: bf16[8,16,32,4]) -> (bf16[1,4,3,3]) {
          %y = convolution(%x, %w) {input_dilation=[1,1], kernel_dilation=[2,2],
            labels="f01b_i01o->bf01", padding=[[0,0],[1,-1]], strides=[1,1],
            batch_groups=4} : bf16[1,4,3,3]
          return %y
        }""",
    "the gradient of a kernel of one feature": CONVOLUTION.format(
        x="f32[4,34,34,3]",
        w="f32[4,32,32,1]",
        y="f32[5,5,3,1]",
        labels="f01b_i01o->01bf",
        more="",
    ),
    "channels first": CONVOLUTION.format(
        x="f32[1,64,4,4]",
        w="f32[8,64,3,3]",
        y="f32[1,8,4,4]",
        labels="bf01_oi01->bf01",
        more="",
    ),
}


@pytest.mark.parametrize("text", REWRITTEN.values(), ids=REWRITTEN)
def test_what_is_rewritten_means_the_same(text: str, rng: np.random.Generator):
    graph = parse(text)
    result = run(graph, Pipeline((EAGER,)), verify=True, check=True)
    assert any(node.op.name == "reduce_sum" for node in result.nodes)
    arrays = random_arrays(graph, rng)
    (want,), (got,) = evaluate(graph, *arrays), evaluate(result, *arrays)
    (judge,) = evaluate(graph, *arrays, dtype="f64")
    assert not mismatch(got, want) or not inaccuracy(got, want, judge)


def gradient(x: str, cotangent: str, kernel: str, step: int, padding: str) -> str:
    """The gradient of the weights of a convolution with a stride of `step`."""
    rank = x.count(",") - 1
    digits = "012"[:rank]
    ones, steps = [1] * rank, [step] * rank
    return f"""
        graph @f(%x: {x}, %g: {cotangent}) -> ({kernel}) {{
          %y = convolution(%x, %g) {{input_dilation={ones}, kernel_dilation={steps},
            labels="f{digits}b_i{digits}o->{digits}bf", padding={padding},
            strides={ones}}} : {kernel}
          return %y
        }}"""


IMAGES = {
    "one image": gradient(
        *("f32[1,16,9,5]", "f32[1,16,9,6]", "f32[3,3,5,6]", 1, "[[1,1],[1,1]]")
    ),
    "two with strides": gradient(
        *("bf16[2,32,17,4]", "bf16[2,16,8,6]", "bf16[3,3,4,6]", 2, "[[0,1],[0,0]]")
    ),
    "places between windows": gradient(
        *("f32[1,32,18,4]", "f32[1,16,9,6]", "f32[1,1,4,6]", 2, "[[0,-1],[0,-1]]")
    ),
    "cropped": gradient(
        *("f32[1,20,8,4]", "f32[1,16,8,6]", "f32[3,1,4,6]", 1, "[[-1,-1],[0,0]]")
    ),
    "columns": gradient(
        *("f32[1,7,34,4]", "f32[1,7,32,6]", "f32[1,3,4,6]", 1, "[[0,0],[0,0]]")
    ),
    "a series of integers": gradient(
        *("i32[1,512,4]", "i32[1,512,6]", "i32[5,4,6]", 1, "[[2,2]]")
    ),
    "an odd number of images and rows": gradient(
        *("f32[3,45,7,4]", "f32[3,45,7,6]", "f32[1,3,4,6]", 1, "[[0,0],[1,1]]")
    ),
    "volumes": gradient(
        "f32[2,8,16,16,4]",
        *("f32[2,8,16,16,6]", "f32[3,3,3,4,6]", 1, "[[1,1],[1,1],[1,1]]"),
    ),
}


@pytest.mark.parametrize("text", IMAGES.values(), ids=IMAGES)
def test_few_images_are_summed_in_parts(text: str, rng: np.random.Generator):
    graph = parse(text)
    result = run(graph, Pipeline((EAGER,)), verify=True, check=True)
    (convolved,) = (node for node in result.nodes if node.op.name == "convolution")
    images = graph.parameters[0].type.static_shape[0]
    assert convolved.attributes["groups"] >= FEW * images
    arrays = random_arrays(graph, rng)
    (want,), (got,) = evaluate(graph, *arrays), evaluate(result, *arrays)
    (judge,) = evaluate(graph, *arrays, dtype="f64")
    assert not mismatch(got, want) or not inaccuracy(got, want, judge)


def test_a_gradient_of_one_image_has_programs_for_a_gpu():
    text = gradient(
        *("bf16[1,512,512,64]", "bf16[1,512,512,64]", "bf16[3,3,64,64]", 1),
        "[[1,1],[1,1]]",
    )
    lowered = run(parse(text), "split_contractions,canonicalize{late=true},cse,fusion")
    programs = [math.prod(each.programs) for each in emit_kernels(lowered).values()]
    assert len(programs) == 3  # the parts of the image, their gradients, the sum
    assert min(programs) > PROCESSORS // 2


LEFT = {
    "many tiles": """
        graph @f(%x: f32[4096,4096], %w: f32[4096,4096]) -> (f32[4096,4096]) {
          %y = dot_general(%x, %w) {contract=[[1],[0]]} : f32[4096,4096]
          return %y
        }""",
    "a short sum": """
        graph @f(%x: f32[4,500], %w: f32[500,6]) -> (f32[4,6]) {
          %y = dot_general(%x, %w) {contract=[[1],[0]]} : f32[4,6]
          return %y
        }""",
    "an outer product": """
        graph @f(%x: f32[4], %w: f32[1]) -> (f32[4,1]) {
          %y = dot_general(%x, %w) {contract=[[],[]]} : f32[4,1]
          return %y
        }""",
    "symbols": """
        graph @f(%x: f32[B,4], %w: f32[B,6]) -> (f32[4,6]) where B in 1..4096 {
          %y = dot_general(%x, %w) {contract=[[0],[0]]} : f32[4,6]
          return %y
        }""",
    "no elements": """
        graph @f(%x: f32[0,4], %w: f32[4,1]) -> (f32[0,1]) {
          %y = dot_general(%x, %w) {contract=[[1],[0]]} : f32[0,1]
          return %y
        }""",
    "groups": CONVOLUTION.format(
        x="f32[1,4,4,2048]",
        w="f32[3,3,1024,4]",
        y="f32[1,4,4,4]",
        labels="b01f_01io->b01f",
        more=", groups=2",
    ),
}


@pytest.mark.parametrize("text", LEFT.values(), ids=LEFT)
def test_what_has_nothing_to_gain_stays(text: str):
    graph = parse(text)
    assert str(run(graph, "split_contractions", verify=True)) == str(graph)
