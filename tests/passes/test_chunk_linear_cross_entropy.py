"""Cross-entropies of linear layers as loops over chunks of examples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from graphc.ir import Graph, evaluate, parse
from graphc.passes import ChunkLinearCrossEntropy, run, run_with_report
from graphc.runtime.compile import compile_graph
from graphc.testing.equivalence import random_arrays
from tests.closeness import assert_close
from tests.passes.linear_losses import STEP

FUSED = "fuse_linear_cross_entropy{least_mib=0},autodiff,inline,(canonicalize,cse,dce)*"


def chunk(rows: int) -> ChunkLinearCrossEntropy:
    return ChunkLinearCrossEntropy(chunk_mib=1e-9, least_rows=rows)


def ops(graph: Graph) -> Counter[str]:
    return Counter(node.op.name for each in graph.reachable() for node in each.nodes)


def assert_same(graph: Graph, result: Graph, rng: np.random.Generator) -> None:
    arrays = random_arrays(graph, rng, False)
    found, wanted = (evaluate(each, *arrays) for each in (result, graph))
    for got, want in zip(found, wanted, strict=True):
        assert_close(got, want)


@pytest.mark.parametrize("rows", [25, 16, 7])
def test_losses_and_gradients_share_one_loop(rows: int, rng: np.random.Generator):
    graph = parse(STEP)
    result = run(graph, f"{FUSED},{chunk(rows)},dce", verify=True, check=True)
    found = ops(result)
    assert found["scan"] == 1
    assert found["linear_cross_entropy"] == found["linear_cross_entropy_gradient"] == 1
    assert_same(graph, result, rng)


def test_chunks_have_whole_tiles_of_rows(rng: np.random.Generator):
    graph = parse(STEP)
    pass_ = ChunkLinearCrossEntropy(chunk_mib=1e-9, least_rows=23, tile_rows=8)
    result = run(graph, f"{FUSED},{pass_},dce", verify=True, check=True)
    (scan,) = (node for node in result.nodes if node.op.name == "scan")
    chunked = {value.type.shape[:2] for value in scan.operands if value.type.rank > 2}
    assert chunked == {(4, 16)}
    assert_same(graph, result, rng)


def test_a_loop_multiplies_for_its_logits_once():
    result = run(parse(STEP), f"{FUSED},{chunk(16)},decompose,(cse,dce)*")
    (body,) = (graph for graph in result.reachable() if graph.name != "step")
    assert ops(body)["dot_general"] == 6 // 2  # logits, by x, by w


def test_losses_alone_are_a_loop_without_sums(rng: np.random.Generator):
    graph = parse("""
        graph @f(%x: f32[2,9,8], %w: f32[20,8], %y: u8[2,9]) -> (f32[2,9]) {
          %0 = linear_cross_entropy(%x, %w, %y) {axis=1} : f32[2,9]
          return %0
        }""")
    result = run(graph, str(chunk(4)), verify=True, check=True)
    (scan,) = (node for node in result.nodes if node.op.name == "scan")
    assert scan.attributes.get("carries", 0) == 0
    assert_same(graph, result, rng)


def test_a_cotangent_that_depends_on_the_losses_takes_a_second_loop(
    rng: np.random.Generator,
):
    squared = STEP.replace(
        "%4 = reduce_sum(%3)", "%7 = multiply(%3, %3) : f32[50]\n  %4 = reduce_sum(%7)"
    )
    graph = parse(squared)
    result, report = run_with_report(graph, f"{FUSED},{chunk(16)},dce", verify=True)
    assert ops(result)["scan"] == 2
    reasons = [refusal.reason for refusal in report.ledger.refusals]
    assert "the cotangent depends on the losses" in reasons
    assert_same(graph, result, rng)


def test_sums_of_narrow_floats_are_kept_wide():
    narrow = STEP.replace("f32[50,8]", "bf16[50,8]").replace("f32[8,20]", "bf16[8,20]")
    narrow = narrow.replace("f32[20]", "bf16[20]").replace("f32[50,20]", "bf16[50,20]")
    narrow = narrow.replace(": f32[50]", ": bf16[50]").replace(
        "%4 = reduce_sum(%3) {axes=[0]} : f32[]",
        '%6 = convert(%3) {dtype="f32"} : f32[50]\n'
        "  %4 = reduce_sum(%6) {axes=[0]} : f32[]",
    )
    result = run(parse(narrow), f"{FUSED},{chunk(16)}", verify=True)
    (scan,) = (node for node in result.nodes if node.op.name == "scan")
    carried = [str(value.type) for value in scan.operands[:2]]
    assert carried == ["f32[8,20]", "f32[20]"]


def test_one_chunk_is_no_loop():
    graph = run(parse(STEP), FUSED)
    result, report = run_with_report(graph, "chunk_linear_cross_entropy")
    assert result == graph
    reasons = {refusal.reason for refusal in report.ledger.refusals}
    assert reasons == {"all 50 examples make one chunk"}


def test_xla_needs_memory_for_a_chunk_of_logits_only():
    text = STEP.replace("50", "4096").replace("[20]", "[2048]")
    text = text.replace(",20]", ",2048]")
    graph = parse(text)
    logits = 4 * 4096 * 2048
    plain = compile_graph(graph, pipeline="autodiff,inline,decompose,(cse,dce)*")
    chunked = compile_graph(graph)
    assert plain.memory().temporaries > logits
    assert chunked.memory().temporaries < logits
