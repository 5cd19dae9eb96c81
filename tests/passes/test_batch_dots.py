"""Batching of dots that go through the same arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops
from graphc.ir import Graph, parse
from graphc.passes import Report, run_with_report
from graphc.testing.equivalence import assert_same_meaning, random_arrays
from tests.closeness import REORDERED_ULP

EXPERTS = graphc.TensorSpec((5, 3, 4)), graphc.TensorSpec((5, 4, 2))


def batched(graph: Graph, options: str = "") -> tuple[Graph, Report]:
    pipeline = f"canonicalize,cse,dce,batch_dots{options},dce"
    result, report = run_with_report(graph, pipeline, verify=True, check=True)
    assert report.unchecked is None
    return result, report


def dots(graph: Graph) -> list[str]:
    return [str(n.result.type) for n in graph.nodes if n.op.name == "dot_general"]


def test_dots_of_slices_are_slices_of_one_dot():
    graph = parse("""
        graph @f(%x: f32[2,3,4], %w: f32[2,4,5]) -> (f32[3,5], f32[3,5]) {
          %0 = slice(%x) {limit=[1,3,4], start=[0,0,0]} : f32[1,3,4]
          %1 = reshape(%0) {shape=[3,4]} : f32[3,4]
          %2 = slice(%w) {limit=[1,4,5], start=[0,0,0]} : f32[1,4,5]
          %3 = reshape(%2) {shape=[4,5]} : f32[4,5]
          %4 = dot_general(%1, %3) {contract=[[1],[0]]} : f32[3,5]
          %5 = slice(%x) {limit=[2,3,4], start=[1,0,0]} : f32[1,3,4]
          %6 = reshape(%5) {shape=[3,4]} : f32[3,4]
          %7 = slice(%w) {limit=[2,4,5], start=[1,0,0]} : f32[1,4,5]
          %8 = reshape(%7) {shape=[4,5]} : f32[4,5]
          %9 = dot_general(%6, %8) {contract=[[1],[0]]} : f32[3,5]
          return %4, %9
        }""")
    result, _ = batched(graph, "{min_count=2}")
    assert result == parse("""
        graph @f(%x: f32[2,3,4], %w: f32[2,4,5]) -> (f32[3,5], f32[3,5]) {
          %0 = dot_general(%x, %w) {batch=[[0],[0]], contract=[[2],[1]]} : f32[2,3,5]
          %1 = slice(%0) {limit=[1,3,5], start=[0,0,0]} : f32[1,3,5]
          %2 = reshape(%1) {shape=[3,5]} : f32[3,5]
          %3 = slice(%0) {limit=[2,3,5], start=[1,0,0]} : f32[1,3,5]
          %4 = reshape(%3) {shape=[3,5]} : f32[3,5]
          return %2, %4
        }""")


def heads(x: Any, w: Any) -> Any:
    return sum(x[:, i] @ w[i] for i in range(w.shape[0]))


def with_batch(x: Any, w: Any) -> Any:
    each = [ops.einsum("bij,bjk->bik", x[:, :, i], w[:, i]) for i in range(4)]
    return ops.stack(each[::-1])


def shifted(x: Any, w: Any) -> Any:
    return ops.stack([ops.tanh(x[i] @ w[i + 1]) for i in range(4)])


@pytest.mark.parametrize(
    ("function", "shapes", "dot"),
    [
        (lambda x, w: ops.stack([x[i] @ w[i] for i in range(5)]),
         [(5, 3, 4), (5, 4, 2)], "f32[5,3,2]"),
        (heads, [(3, 4, 6), (4, 6, 2)], "f32[4,3,2]"),
        (with_batch, [(2, 3, 4, 6), (2, 4, 6, 5)], "f32[4,2,3,5]"),
        (shifted, [(5, 3, 4), (5, 4, 2)], "f32[4,3,2]"),
    ],
    ids=["experts", "heads", "batches", "shifted"],
)  # fmt: skip
def test_loops_over_two_arrays_are_one_dot(
    function: Callable[..., Any], shapes: Any, dot: str, rng: np.random.Generator
):
    graph = graphc.trace(function, *map(graphc.TensorSpec, shapes))
    result, _ = batched(graph)
    assert dots(result) == [dot]
    assert_same_meaning(graph, result, random_arrays(graph, rng), ulp=REORDERED_ULP)


def recurrent(x: Any, w: Any) -> Any:
    y = x[0]
    for i in range(4):
        y = y @ w[i]
    return y


def strided(x: Any, w: Any) -> Any:
    return ops.stack([x[i] @ w[2 * i] for i in range(4)])


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (recurrent, [(5, 3, 4), (5, 4, 4)]),
        (strided, [(5, 3, 4), (7, 4, 2)]),
        (lambda x, w: ops.stack([x[i] @ w for i in range(4)]), [(5, 3, 4), (4, 2)]),
    ],
    ids=["recurrent", "strided", "shared"],
)
def test_others_stay(function: Callable[..., Any], shapes: Any):
    graph = graphc.trace(function, *map(graphc.TensorSpec, shapes))
    result, report = batched(graph)
    assert len(dots(result)) == 4
    assert not any(each.pass_name == "batch_dots" and each.rule == "batch"
                   for each in report.ledger.rewrites)  # fmt: skip


def test_a_few_are_refused():
    graph = graphc.trace(lambda x, w: x[0] @ w[0] + x[1] @ w[1], *EXPERTS)
    result, report = batched(graph)
    assert len(dots(result)) == 2
    (refusal,) = (r for r in report.ledger.refusals if r.pass_name == "batch_dots")
    assert refusal.reason == "2 dots are fewer than 4"
