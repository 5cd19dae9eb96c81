"""What is stored before it is flattened."""

from __future__ import annotations

import pytest

from graphc.ir import parse
from graphc.passes import run_with_report
from graphc.passes.flatten_stored import FlattenStored


def test_slices_are_stored_before_the_last_dimension_is_joined(check_pass):
    check_pass(
        FlattenStored(),
        before="""
            graph @f(%x: f32[2,4,3]) -> (f32[2,6]) {
              %0 = slice(%x) {limit=[2,3,3], start=[0,1,0]} : f32[2,2,3]
              %1 = maximum(%0, 0.0) : f32[2,2,3]
              %y = reshape(%1) {shape=[2,6]} : f32[2,6]
              return %y
            }""",
        after="""
            graph @f(%x: f32[2,4,3]) -> (f32[2,6]) {
              %0 = slice(%x) {limit=[2,3,3], start=[0,1,0]} : f32[2,2,3]
              %1 = maximum(%0, 0.0) : f32[2,2,3]
              %2 = optimization_barrier(%1) : f32[2,2,3]
              %y = reshape(%2) {shape=[2,6]} : f32[2,6]
              return %y
            }""",
    )


@pytest.mark.parametrize(
    ("made", "shape", "reasons"),
    [
        ("pad(%x, 0.0) {high=[0,1,0], low=[0,1,0]} : f32[2,6,3]", "2,18", None),
        ("pad(%x, 0.0) {high=[0,1,0], low=[0,1,0]} : f32[2,6,3]", "12,3", 1),
        ("tanh(%x) : f32[2,4,3]", "2,12", 0),
        ("transpose(%x) {permutation=[0,2,1]} : f32[2,3,4]", "2,12", 0),
        ("slice(%x) {limit=[2,4,1], start=[0,0,0]} : f32[2,4,1]", "2,4", 1),
    ],
)
def test_others_stay(made, shape, reasons):
    graph = parse(
        f"graph @f(%x: f32[2,4,3]) -> (f32[{shape}]) {{ %0 = {made}"
        f" %y = reshape(%0) {{shape=[{shape}]}} : f32[{shape}] return %y }}"
    )
    lowered, report = run_with_report(graph, "flatten_stored")
    stored = [node for node in lowered.nodes if node.op.name == "optimization_barrier"]
    assert bool(stored) == (reasons is None)
    assert len(report.ledger.refusals) == (reasons or 0)
