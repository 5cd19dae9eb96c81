"""Expansion of gradients."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import GraphError, evaluate, parse
from graphc.ir.differentiate import differentiate
from graphc.passes import run
from graphc.passes.autodiff import Autodiff

SQUARES = """
    graph @step(%x: f32[3]) -> (f32[], f32[3]) {
      %loss, %dx = value_and_gradient(%x) {graph="loss", wrt=[0]} : f32[], f32[3]
      return %loss, %dx
    }
    graph @loss(%x: f32[3]) -> (f32[]) {
      %0 = multiply(%x, %x) : f32[3]  loc("square" m.py:7:9)
      %1 = reduce_sum(%0) {axes=[0]} : f32[]  loc("s" m:8:9)
      return %1
    }"""


def test_expands_forward_and_backward(check_pass):
    check_pass(
        Autodiff(),
        before=SQUARES,
        after="""
            graph @step(%x: f32[3]) -> (f32[], f32[3]) {
              %0 = multiply(%x, %x) : f32[3]  loc("square" m.py:7:9)
              %loss = reduce_sum(%0) {axes=[0]} : f32[]  loc("s" m:8:9)
              %1 = broadcast_in_dim(1.0) {dims=[], shape=[3]} : f32[3]  loc("s" m:8:9 from "ORIGIN")
              %2 = multiply(%1, %x) : f32[3]  loc("square" m.py:7:9 from "gradient of multiply")
              %3 = multiply(%1, %x) : f32[3]  loc("square" m.py:7:9 from "gradient of multiply")
              %dx = add(%2, %3) : f32[3]  loc("square" m.py:7:9 from "gradient of multiply")
              return %loss, %dx
            }""".replace("ORIGIN", "gradient of reduce_sum"),
    )


def test_expands_gradients_of_gradients():
    graph = parse("""
        graph @f(%x: f32[]) -> (f32[], f32[]) {
          %0, %1 = value_and_gradient(%x) {graph="slope", wrt=[0]} : f32[], f32[]
          return %0, %1
        }
        graph @slope(%x: f32[]) -> (f32[]) {
          %0, %1 = value_and_gradient(%x) {graph="cube", wrt=[0]} : f32[], f32[]
          return %1
        }
        graph @cube(%x: f32[]) -> (f32[]) {
          %0 = multiply(%x, %x) : f32[]
          %1 = multiply(%0, %x) : f32[]
          return %1
        }""")
    result = run(graph, "autodiff")
    assert list(result.module.graphs) == ["f"]
    slope, curvature = evaluate(result, np.float32(2))
    assert (slope, curvature) == (12, 12)
    assert run(result, "autodiff") == result


def test_is_exempt_from_the_limit_on_rewrites():
    result = run(parse(SQUARES), "autodiff,(canonicalize,cse)*,dce", bisect=0)
    assert list(result.module.graphs) == ["step"]
    assert len(result) == 6


@pytest.mark.parametrize(
    "use", ["reshape(%a) {shape=[3,1]}", "broadcast_in_dim(%a) {dims=[0], shape=[3,1]}"]
)
def test_what_is_only_stored_has_no_cotangents_to_add(use: str):
    graph = parse(f"""
        graph @f(%x: f32[3]) -> (f32[]) {{
          %a = convert(%x) {{dtype="f8e5m2"}} : f8e5m2[3]
          %b = {use} : f8e5m2[3,1]
          %c = convert(%b) {{dtype="f32"}} : f32[3,1]
          %d = convert(%a) {{dtype="f32"}} : f32[3]
          %e = reduce_sum(%c) {{axes=[0,1]}} : f32[]
          %g = reduce_sum(%d) {{axes=[0]}} : f32[]
          %h = add(%e, %g) : f32[]
          return %h
        }}""")
    with pytest.raises(GraphError, match="has no gradient in f8e5m2") as caught:
        differentiate(graph, [0])
    assert caught.value.hint is not None
    assert "convert to f32" in caught.value.hint
