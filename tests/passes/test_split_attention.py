"""Attention and its gradient in the pieces that kernels compute."""

from __future__ import annotations

import numpy as np

from graphc.ir import evaluate, parse
from graphc.passes import SplitAttention, run
from tests.closeness import assert_close

TYPES = "f32[1,4,1,2]", "f32[1,4,1,2]", "f32[1,4,1,2]"
GRADIENT = f"""
    graph @f(%g: f32[1,4,1,2], %q: f32[1,4,1,2]) -> ({", ".join(TYPES)}) {{
      %y = attention(%q, %q, %q) {{causal=true}} : f32[1,4,1,2]
      %a, %b, %c = attention_gradient(%g, %y, %q, %q, %q) {{causal=true}} : {", ".join(TYPES)}
      return %a, %b, %c
    }}"""


def ops(text: str) -> list[str]:
    """The ops of a graph after the pass."""
    return [node.op.name for node in run(parse(text), SplitAttention.name).nodes]


def test_the_attention_keeps_what_its_gradient_reads():
    found = run(parse(GRADIENT), SplitAttention.name, verify=True)
    wanted = f"""
    graph @f(%g: f32[1,4,1,2], %q: f32[1,4,1,2]) -> ({", ".join(TYPES)}) {{
      %y, %0 = attention_with_logsumexp(%q, %q, %q) {{causal=true}} : f32[1,4,1,2], f32[1,1,4]
      %1 = multiply(%g, %y) : f32[1,4,1,2]
      %2 = reduce_sum(%1) {{axes=[3]}} : f32[1,4,1]
      %3 = transpose(%2) {{permutation=[0,2,1]}} : f32[1,1,4]
      %a = attention_query_gradient(%g, %q, %q, %q, %0, %3) {{causal=true}} : f32[1,4,1,2]
      %b, %c = attention_key_value_gradient(%g, %q, %q, %q, %0, %3) {{causal=true}} : \
        f32[1,4,1,2], f32[1,4,1,2]
      return %a, %b, %c
    }}"""
    assert found == parse(wanted.replace("\\\n        ", ""))


def test_another_attention_is_computed_for_its_logarithms():
    other = GRADIENT.replace("(%q, %q, %q) {causal=true}", "(%q, %q, %q)")
    assert ops(other)[:2] == ["attention", "attention_with_logsumexp"]


def test_an_attention_without_a_gradient_stays(check_pass):
    check_pass(
        SplitAttention(),
        before="""
            graph @f(%q: f32[1,4,2,3], %k: f32[1,5,1,3]) -> (f32[1,4,2,3]) {
              %y = attention(%q, %k, %k) : f32[1,4,2,3]
              return %y
            }""",
    )


def test_two_gradients_of_one_attention_share_its_logarithms():
    another = GRADIENT[GRADIENT.index("      %a, %b") : GRADIENT.index("      return")]
    for old, new in zip("abc", "def", strict=True):
        another = another.replace(f"%{old}", f"%{new}")
    twice = GRADIENT.replace("      return %a", f"{another}      return %f")
    assert ops(twice).count("attention_with_logsumexp") == 1
    assert ops(twice).count("attention_query_gradient") == 2


def test_fully_masked_rows_keep_their_meaning(rng: np.random.Generator):
    types = "f32[1,4,2,3]", "f32[1,5,1,3]", "f32[1,5,1,3]"
    graph = parse(f"""
        graph @f(%g: {types[0]}, %q: {types[0]}, %k: {types[1]}, %m: bool[1,2,4,5]) ->
            ({", ".join(types)}) {{
          %y = attention(%q, %k, %k, %m) {{causal=true}} : f32[1,4,2,3]
          %a, %b, %c = attention_gradient(%g, %y, %q, %k, %k, %m) {{causal=true}} :
            {", ".join(types)}
          return %a, %b, %c
        }}""")
    mask = rng.random((1, 2, 4, 5)) < 0.7
    mask[0, 1, 1:3] = False
    shapes = [value.type.static_shape for value in graph.parameters[:3]]
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    found = evaluate(run(graph, SplitAttention.name), *arrays, mask)
    for got, want in zip(found, evaluate(graph, *arrays, mask), strict=True):
        assert_close(got, want)
