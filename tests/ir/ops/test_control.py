"""Ops that call graphs by name."""

from __future__ import annotations

import numpy as np

from graphc.ir import evaluate, parse
from graphc.ir.differentiate import differentiate


def test_a_cond_through_which_nothing_flows_has_no_cotangent():
    graph = parse("""
    graph @f(%p: bool[], %x: f32[3]) -> (f32[]) {
      %y = cond(%p, %x) {branches=["zero", "cut"]} : f32[3]
      %z = add(%x, %y) : f32[3]
      %s = reduce_sum(%z) {axes=[0]} : f32[]
      return %s
    }
    graph @zero(%x: f32[3]) -> (f32[3]) {
      %y = broadcast_in_dim(0.0) {dims=[], shape=[3]} : f32[3]
      return %y
    }
    graph @cut(%x: f32[3]) -> (f32[3]) {
      %y = stop_gradient(%x) : f32[3]
      return %y
    }
    """)
    x = np.array([1, 2, 3], np.float32)
    before = set(graph.module.graphs)
    gradient = differentiate(graph, [1])
    for flag, total in ((False, 6), (True, 12)):
        found = evaluate(gradient, np.array(flag), x)
        np.testing.assert_array_equal(found[0], total)
        np.testing.assert_array_equal(found[1], np.ones(3))
    assert set(graph.module.graphs) == before | {gradient.name}
