"""Attention and its gradient in the pieces that kernels compute."""

from __future__ import annotations

import numpy as np
import pytest

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


MASKS = {
    "no mask": None,
    "all keys of one head": (1, 3, 1, 1),
    "each query": (1, 1, 4, 30),
    "each example": (2, 1, 1, 30),
    "queries of examples": (2, 1, 4, 1),
}


@pytest.mark.parametrize("op", ["attention", "attention_with_logsumexp"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_few_queries_attend_to_parts_of_the_keys(
    op: str, mask: tuple[int, ...] | None, rng: np.random.Generator
):
    types = ["f32[2,4,3,2]", "f32[2,30,1,2]", "f32[2,30,1,5]"]
    types += [] if mask is None else [f"bool[{','.join(map(str, mask))}]"]
    names = ["%q", "%k", "%v", "%m"][: len(types)]
    results = ["f32[2,4,3,5]", "f32[2,3,4]"][: 1 if op == "attention" else 2]
    parameters = map(": ".join, zip(names, types, strict=True))
    made = ["%y", "%t"][: len(results)]
    graph = parse(f"""
        graph @f({", ".join(parameters)}) -> ({", ".join(results)}) {{
          {", ".join(made)} = {op}({", ".join(names)}) : {", ".join(results)}
          return {", ".join(made)}
        }}""")
    found = run(graph, "split_attention{least_keys=5}", verify=True, check=True)
    (parts,) = (n for n in found.nodes if n.op.name == "attention_with_logsumexp")
    assert parts.operands[1].type.static_shape == (12, 5, 1, 2)
    arrays = [rng.normal(size=p.type.static_shape) for p in graph.parameters]
    arrays = [a.astype("f4") for a in arrays[:3]] + [a > 0.7 for a in arrays[3:]]
    if mask is not None:
        arrays[3][..., -1:, :20] = False  # no key of some parts
    for got, want in zip(
        evaluate(found, *arrays), evaluate(graph, *arrays), strict=True
    ):
        assert_close(np.nan_to_num(got), np.nan_to_num(want))  # -inf without a key


@pytest.mark.parametrize(
    "types",
    [
        ("f32[64,512,8,64]", "f32[64,512,8,64]", ""),  # programs enough
        ("f32[1,4,2,64]", "f32[1,1024,2,64]", ""),  # few keys
        ("f32[1,4,2,64]", "f32[1,4096,2,64]", " {causal=true}"),
        ("f32[B,4,2,64]", "f32[B,4096,2,64]", ""),
    ],
    ids=["programs", "keys", "causal", "symbols"],
)
def test_what_need_not_be_split_stays(types: tuple[str, str, str]):
    q, k, attributes = types
    graph = parse(f"""
        graph @f(%q: {q}, %k: {k}) -> ({q}) where B in 1..8 {{
          %y = attention(%q, %k, %k){attributes} : {q}
          return %y
        }}""")
    assert run(graph, "split_attention") == graph


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
