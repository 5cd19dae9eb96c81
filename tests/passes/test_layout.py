"""Convolutions in the order that the target has kernels for."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.ir import OPS, PassError, evaluate, parse
from graphc.passes import run, run_with_report
from graphc.passes.layout import Layout
from graphc.testing.equivalence import assert_close, random_arrays
from tests.closeness import REORDERED_ULP

LABELS = (
    '{input_dilation=[1,1], kernel_dilation=[1,1], labels="%s",'
    " padding=[[1,1],[1,1]], strides=[1,1]}"
)
FIRST = LABELS % "bf01_oi01->bf01"
LAST = LABELS % "b01f_01io->b01f"


def test_transposes_meet_and_cancel(check_pass):
    before = f"""
        graph @f(%x: f32[2,3,5,5], %a: f32[4,3,3,3], %b: f32[4,4,3,3]) -> (f32[2,4]) {{
          %0 = convolution(%x, %a) {FIRST} : f32[2,4,5,5]
          %1 = maximum(%0, 0.0) : f32[2,4,5,5]
          %2 = convolution(%1, %b) {FIRST} : f32[2,4,5,5]
          %3 = reduce_sum(%2) {{axes=[2,3]}} : f32[2,4]
          return %3
        }}"""
    after = f"""
        graph @f(%x: f32[2,3,5,5], %a: f32[4,3,3,3], %b: f32[4,4,3,3]) -> (f32[2,4]) {{
          %0 = transpose(%x) {{permutation=[0,2,3,1]}} : f32[2,5,5,3]
          %1 = transpose(%a) {{permutation=[2,3,1,0]}} : f32[3,3,3,4]
          %2 = convolution(%0, %1) {LAST} : f32[2,5,5,4]
          %3 = maximum(%2, 0.0) : f32[2,5,5,4]
          %4 = transpose(%b) {{permutation=[2,3,1,0]}} : f32[3,3,4,4]
          %5 = convolution(%3, %4) {LAST} : f32[2,5,5,4]
          %6 = reduce_sum(%5) {{axes=[1,2]}} : f32[2,4]
          return %6
        }}"""
    lowered = run(parse(before), "layout,(cse,dce)*", verify=True, check=True)
    assert str(lowered) == str(parse(after))


BODIES = {
    "pad": "pad(%0, 0.5) {high=[0,0,1,2], low=[0,1,0,0]} : f32[2,5,6,7]",
    "slice": "slice(%0) {limit=[2,4,5,4], start=[0,1,0,2]} : f32[2,3,5,2]",
    "reverse": "reverse(%0) {axes=[1,2]} : f32[2,4,5,5]",
    "concatenate": "concatenate(%0, %0) {axis=1} : f32[2,8,5,5]",
    "pool": (
        "reduce_window_max(%0) {padding=[[0,0],[0,0],[1,0],[0,0]],"
        " strides=[1,1,2,1], window=[1,1,3,2]} : f32[2,4,2,4]"
    ),
    "one axis": "reduce_max(%0) {axes=[2]} : f32[2,4,5]",
    "channels": "reduce_sum(%0) {axes=[1]} : f32[2,5,5]",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_moves_past_what_has_places(body):
    result = body.rpartition(" : ")[2]
    graph = parse(f"""
        graph @f(%x: f32[2,3,5,5], %w: f32[4,3,3,3]) -> ({result}) {{
          %0 = convolution(%x, %w) {FIRST} : f32[2,4,5,5]
          %1 = {body}
          return %1
        }}""")
    lowered = run(graph, "layout,(cse,dce)*", verify=True, check=True)
    order = [node.op.name for node in lowered.nodes]
    behind = order[order.index("convolution") + 1 :]
    assert behind[0] == body.partition("(")[0]
    arrays = random_arrays(graph, np.random.default_rng(0))
    (got,) = evaluate(lowered, *arrays)
    (want,) = evaluate(graph, *arrays)
    assert_close(got, want, REORDERED_ULP)


@pytest.mark.slow
def test_a_training_step_keeps_transposes_at_its_inputs_alone():
    graph = _channels_first_step()
    text = "xla,layout,(canonicalize{late=true},constant_folding,cse,dce)*"
    lowered = run(graph, text, check=True)
    sources = [
        node.operands[0] for node in lowered.nodes if node.op is OPS["transpose"]
    ]
    assert len(sources) == 1
    assert sources[0] in lowered.parameters
    labels = {
        node.attributes["labels"].split("_")[0]
        for node in lowered.nodes
        if node.op is OPS["convolution"]
    }
    # The gradient of the first kernel reads the images as they came.
    assert labels == {"b01f", "f01b", "fb01"}


def _channels_first_step():
    first = {"data_format": "channels_first"}
    inputs = x = layers.Input((3, 8, 8))
    for width in (4, 6):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, **first)(x)
        x = layers.ReLU()(layers.BatchNormalization(1)(x))
        x = layers.MaxPooling2D(**first)(x)
    x = layers.GlobalAveragePooling2D(**first)(x)
    model = graphc.Model(inputs, layers.Dense(5)(x))
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(graphc.optimizers.SGD(0.1), loss)
    return model.graph("train_step", batch_size=2)


def test_says_why_not():
    graph = parse(f"""
        graph @f(%x: f32[B,3,5,5], %w: f32[3,3,3,3]) -> (f32[B,3,5,5]) where B in 1..8 {{
          %0 = convolution(%x, %w) {LABELS % "bf01_01io->bf01"} : f32[B,3,5,5]
          return %0
        }}""")
    reasons = []
    for each in (graph, graph.bind(B=2)):
        lowered, report = run_with_report(each, "layout")
        assert lowered == each
        reasons += [refusal.reason for refusal in report.ledger.refusals]
    assert reasons == [
        "sizes are not known",
        "1200 bytes would be transposed, 1200 are now",
    ]


def test_unknown_targets_are_refused():
    with pytest.raises(PassError, match="the orders of target 'xla:gpu'") as caught:
        Layout(target="xla:gpu")
    assert caught.value.hint == "did you mean 'xla:cpu'?"
