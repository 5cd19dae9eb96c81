"""Fusion: which nodes become one kernel."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import Graph, parse
from graphc.passes import Report, run, run_with_report
from graphc.passes.fusion import Fusion, fusion_report
from graphc.passes.fusion.parallelism import TOO_SERIAL
from graphc.testing.equivalence import assert_same_meaning, random_arrays
from tests.closeness import REORDERED_ULP

MOVES = ("broadcast_in_dim", "reshape", "transpose", "slice")
"""What kernels only have in order to find elements: left out of summaries."""


def summary(graph: Graph) -> list[str]:
    """What a fused graph does, a line for each node: a kernel's kind and its ops."""
    lines: list[str] = []
    for node in graph.nodes:
        called = [graph.module.graphs[name] for name in node.op.graph_names(node)]
        if not called or not called[0].attributes.get("fused"):
            lines.append(node.op.name)
            continue
        (kernel,) = called
        sections = " sections" if kernel.attributes.get("horizontal") else ""
        ops = [each.op.name for each in kernel.nodes if each.op.name not in MOVES]
        lines.append(f"{kernel.attributes['kernel']}{sections}: {' '.join(ops)}")
    return lines


def fused(text: str, pipeline: str = "fusion") -> tuple[list[str], Report]:
    """The summary of a graph after fusion, which must mean the same."""
    graph = parse(text)
    result, report = run_with_report(graph, pipeline, verify=True, check=True)
    arrays = random_arrays(graph, np.random.default_rng(0))
    # Bodies may round otherwise than the references of composites.
    assert_same_meaning(
        graph, result, arrays, ulp=0 if pipeline == "fusion" else REORDERED_ULP
    )
    assert report.checked
    return summary(result), report


def reasons(report: Report) -> dict[str, str]:
    """Why nodes were not fused, by their ops and the rule."""
    return {f"{r.node.op}: {r.rule}": r.reason for r in report.ledger.refusals}


MLP = """
    graph @f(%x: f32[8,4], %w: f32[4,4], %b: f32[4]) -> (f32[8,4]) {
      %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,4]  loc("m/d" m.py:1:1)
      %1 = broadcast_in_dim(%b) {dims=[1], shape=[8,4]} : f32[8,4]  loc("m/d" m.py:2:1)
      %2 = add(%0, %1) : f32[8,4]  loc("m/d" m.py:3:1)
      %y = maximum(%2, 0.0) : f32[8,4]  loc("m/d" m.py:4:1)
      return %y
    }"""


def test_outlines_a_dot_with_its_epilogue_and_names_it_by_its_layer(check_pass):
    check_pass(
        Fusion(),
        before=MLP,
        after="""
            graph @f(%x: f32[8,4], %w: f32[4,4], %b: f32[4]) -> (f32[8,4]) {
              %y = call(%x, %w, %b) {graph="m_d_dot_general"} : f32[8,4]  LOC
              return %y
            }
            graph @m_d_dot_general(%x: f32[8,4], %w: f32[4,4], %b: f32[4]) -> (f32[8,4])
              {fused=true, kernel="contraction"} {
              %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,4]  loc("m/d" m.py:1:1)
              %1 = broadcast_in_dim(%b) {dims=[1], shape=[8,4]} : f32[8,4]  loc("m/d" m.py:2:1)
              %2 = add(%0, %1) : f32[8,4]  loc("m/d" m.py:3:1)
              %y = maximum(%2, 0.0) : f32[8,4]  loc("m/d" m.py:4:1)
              return %y
            }""".replace(
            "LOC",
            'loc("m/d" m.py:4:1 from "fused from dot_general, broadcast_in_dim, add,'
            ' maximum")',
        ),
    )


def test_a_node_with_a_name_may_be_in_several_sections():
    lines, _ = fused("""
        graph @f(%x: f32[4096,64], %y: f32[4096,64]) -> (f32[4096], f32[64]) {
          %e = add(%x, %y) : f32[4096,64]
          %r = reduce_sum(%e) {axes=[1]} : f32[4096]
          %c = reduce_max(%e) {axes=[0]} : f32[64]
          return %r, %c
        }""")
    assert lines == ["reduction sections: add reduce_sum add reduce_max"]


def test_a_fused_graph_is_not_fused_again():
    once = run(parse(MLP), "fusion")
    assert run(once, "fusion") == once
    assert run(once, "inline") == once


def test_every_prefix_of_the_rewrites_keeps_the_meaning(rng: np.random.Generator):
    graph = parse(SOFTMAX_OF_A_DOT)
    arrays = random_arrays(graph, rng)
    count = run_with_report(graph, "fusion")[1].ledger.count
    assert count >= 2
    for limit in range(count):
        result = run(graph, "fusion", verify=True, bisect=limit)
        assert_same_meaning(graph, result, arrays)


# -- one element for each --------------------------------------------------------------


def test_kernels_have_several_results():
    lines, _ = fused("""
        graph @f(%x: f32[8]) -> (f32[8], f32[8]) {
          %0 = negate(%x) : f32[8]
          %1 = abs(%0) : f32[8]
          %2 = sqrt(%1) : f32[8]
          %3 = tanh(%1) : f32[8]
          return %2, %3
        }""")
    assert lines == ["pointwise: negate abs sqrt tanh"]


def test_what_moves_elements_is_copied_into_all_that_read_it():
    lines, _ = fused("""
        graph @f(%x: f32[8,4], %s: f32[4], %w: f32[4,8]) -> (f32[4,8], f32[8,8]) {
          %0 = transpose(%x) {permutation=[1,0]} : f32[4,8]
          %1 = broadcast_in_dim(%s) {dims=[0], shape=[4,8]} : f32[4,8]
          %2 = multiply(%0, %1) : f32[4,8]
          %3 = tanh(%2) : f32[4,8]
          %4 = dot_general(%0, %w) {contract=[[0],[0]]} : f32[8,8]
          return %3, %4
        }""")
    assert lines == ["pointwise: multiply tanh", "contraction: dot_general"]


def test_a_reshaped_result_is_the_same_memory():
    lines, _ = fused("""
        graph @f(%x: f32[8,4]) -> (f32[32], f32[4,8]) {
          %0 = negate(%x) : f32[8,4]
          %1 = reshape(%0) {shape=[32]} : f32[32]
          %2 = transpose(%0) {permutation=[1,0]} : f32[4,8]
          return %1, %2
        }""")
    assert lines == ["pointwise: negate", "reshape"]


def test_what_moves_elements_and_is_returned_brings_its_readers_together():
    lines, _ = fused("""
        graph @f(%x: f32[8,4]) -> (f32[4,8], f32[4,8], f32[4,8]) {
          %0 = transpose(%x) {permutation=[1,0]} : f32[4,8]
          %1 = negate(%0) : f32[4,8]
          %2 = tanh(%0) : f32[4,8]
          return %0, %1, %2
        }""")
    assert lines == ["pointwise: negate tanh"]


def test_a_node_that_a_path_leads_around_stays_outside():
    lines, report = fused("""
        graph @f(%x: f32[4,4]) -> (f32[4,4]) {
          %0 = exponential(%x) : f32[4,4]
          %1 = dot_general(%0, %x) {contract=[[1],[0]]} : f32[4,4]
          %2 = sort(%1) {axis=0} : f32[4,4]
          %3 = add(%0, %2) : f32[4,4]
          return %3
        }""")
    assert lines[0] == "pointwise: exponential"
    assert lines[-1] == "pointwise: add"
    assert reasons(report)["exponential: fuse into add"] == (
        "a path leads around the group"
    )


def test_a_small_tensor_is_computed_again_if_that_is_cheap():
    text = """
        graph @f(%x: f32[8,4], %s: f32[4]) -> (f32[8,4]) {
          %0 = OP(%s) : f32[4]
          %1 = broadcast_in_dim(%0) {dims=[1], shape=[8,4]} : f32[8,4]
          %2 = multiply(%x, %1) : f32[8,4]
          return %2
        }"""
    assert fused(text.replace("OP", "rsqrt"))[0] == ["pointwise: rsqrt multiply"]
    lines, report = fused(text.replace("OP(%s)", "power(%s, %s)").replace("f32", "f64"))
    assert lines == ["pointwise: power", "pointwise: multiply"]
    assert reasons(report)["power: fuse into multiply"] == (
        "its elements are read more or less often than once"
    )


def test_what_others_can_compute_from_memory_is_not_stored():
    lines, _ = fused("""
        graph @f(%x: f32[64,64], %g: f32[64,64]) -> (f32[64,64], f32[64,64]) {
          %0 = compare(%x, 0.0) {direction="GT"} : bool[64,64]
          %1 = select(%0, %x, 0.0) : f32[64,64]
          %2 = dot_general(%1, %g) {contract=[[1],[0]]} : f32[64,64]
          %3 = sort(%2) {axis=0} : f32[64,64]
          %4 = select(%0, %3, 0.0) : f32[64,64]
          return %1, %4
        }""")
    assert lines[0] == "pointwise: compare select"
    assert lines[-1] == "pointwise: compare select"


def test_what_is_put_together_is_stored_in_parts():
    lines, _ = fused("""
        graph @f(%x: f32[600,32], %c: f32[16], %s: f32[16]) -> (f32[600,32]) {
          %0 = slice(%x) {limit=[600,16], start=[0,0]} : f32[600,16]
          %1 = slice(%x) {limit=[600,32], start=[0,16]} : f32[600,16]
          %2 = broadcast_in_dim(%c) {dims=[1], shape=[600,16]} : f32[600,16]
          %3 = broadcast_in_dim(%s) {dims=[1], shape=[600,16]} : f32[600,16]
          %4 = multiply(%0, %2) : f32[600,16]
          %5 = multiply(%1, %3) : f32[600,16]
          %6 = subtract(%4, %5) : f32[600,16]
          %7 = exponential(%6) : f32[600,16]
          %8 = add(%4, %5) : f32[600,16]
          %9 = exponential(%8) : f32[600,16]
          %y = concatenate(%7, %9) {axis=1} : f32[600,32]
          return %y
        }""")
    ops = "multiply multiply subtract exponential add exponential concatenate"
    assert lines == [f"pointwise: {ops}"]


def test_random_words_are_stored_in_parts_for_others_to_read():
    lines, report = fused("""
        graph @f(%c: u32[3,256], %k: u32[], %x: u32[3072]) -> (u32[3072]) {
          %k1 = broadcast_in_dim(%k) {dims=[], shape=[3,256]} : u32[3,256]
          %0, %1, %2, %3 = philox(%c, 0:u32, 0:u32, 0:u32, %k1, 1:u32)
              : u32[3,256], u32[3,256], u32[3,256], u32[3,256]
          %4 = concatenate(%0, %1, %2, %3) {axis=1} : u32[3,1024]
          %5 = reshape(%4) {shape=[3072]} : u32[3072]
          %y = xor(%5, %x) : u32[3072]
          return %y
        }""")
    assert lines == ["pointwise: philox concatenate", "pointwise: xor"]
    assert "one node" in reasons(report)["concatenate: fuse into xor"]


def test_the_size_of_groups_is_limited():
    nodes = "\n".join(f"%v{i} = negate(%v{i - 1}) : f32[4]" for i in range(1, 11))
    graph = parse(f"graph @f(%v0: f32[4]) -> (f32[4]) {{ {nodes} return %v10 }}")
    result, report = run_with_report(graph, "fusion{max_nodes=4}", verify=True)
    assert [len(g) for g in result.reachable()] == [3, 2, 4, 4]
    assert {r.reason for r in report.ledger.refusals} == {
        "the group has 4 nodes",
        "it is needed in memory",
    }


# -- reductions ------------------------------------------------------------------------

SOFTMAX_OF_A_DOT = """
    graph @f(%x: f32[6,4], %w: f32[4,5]) -> (f32[6,5]) {
      %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[6,5]
      %1 = reduce_max(%0) {axes=[1]} : f32[6]
      %2 = broadcast_in_dim(%1) {dims=[0], shape=[6,5]} : f32[6,5]
      %3 = subtract(%0, %2) : f32[6,5]
      %4 = exponential(%3) : f32[6,5]
      %5 = reduce_sum(%4) {axes=[1]} : f32[6]
      %6 = broadcast_in_dim(%5) {dims=[0], shape=[6,5]} : f32[6,5]
      %7 = divide(%4, %6) : f32[6,5]
      return %7
    }"""


def test_reductions_of_the_same_rows_are_one_kernel_but_not_the_dot_before():
    lines, report = fused(SOFTMAX_OF_A_DOT)
    assert lines == [
        "contraction: dot_general",
        "reduction: reduce_max subtract exponential reduce_sum divide",
    ]
    found = {r.reason for r in report.ledger.refusals if r.node.op == "dot_general"}
    assert found == {"a reduction does not follow a dot in its kernel"}


def test_rows_are_the_same_in_another_shape():
    lines, _ = fused("""
        graph @f(%x: f32[2,3,5]) -> (f32[6,5]) {
          %0 = reduce_sum(%x) {axes=[2]} : f32[2,3]
          %1 = reshape(%x) {shape=[6,5]} : f32[6,5]
          %2 = reduce_max(%1) {axes=[1]} : f32[6]
          %3 = reshape(%0) {shape=[6]} : f32[6]
          %4 = add(%2, %3) : f32[6]
          %5 = broadcast_in_dim(%4) {dims=[0], shape=[6,5]} : f32[6,5]
          %6 = multiply(%1, %5) : f32[6,5]
          return %6
        }""")
    assert lines == ["reduction: reduce_sum reduce_max add multiply"]


def test_rows_and_columns_are_different_kernels():
    lines, report = fused("""
        graph @f(%x: f32[6,5]) -> (f32[6], f32[5]) {
          %0 = exponential(%x) : f32[6,5]
          %1 = reduce_sum(%0) {axes=[1]} : f32[6]
          %2 = reduce_sum(%0) {axes=[0]} : f32[5]
          return %1, %2
        }""")
    assert len(lines) == 1  # two sections, which read the same
    lines, report = fused(
        """
        graph @f(%x: f32[6,5]) -> (f32[6,5]) {
          %0 = reduce_sum(%x) {axes=[0]} : f32[5]
          %1 = broadcast_in_dim(%0) {dims=[1], shape=[6,5]} : f32[6,5]
          %2 = divide(%x, %1) : f32[6,5]
          %3 = reduce_max(%2) {axes=[1]} : f32[6]
          %4 = broadcast_in_dim(%3) {dims=[0], shape=[6,5]} : f32[6,5]
          %5 = subtract(%2, %4) : f32[6,5]
          return %5
        }"""
    )
    assert [line.split()[1] for line in lines] == ["reduce_sum", "divide"]
    assert "the loops are others" in reasons(report).values()


def test_siblings_that_read_the_same_rows_are_one_kernel():
    lines, _ = fused("""
        graph @f(%x: f32[6,5]) -> (f32[6], f32[6,5]) {
          %0 = reduce_sum(%x) {axes=[1]} : f32[6]
          %1 = exponential(%x) : f32[6,5]
          return %0, %1
        }""")
    assert lines == ["reduction: reduce_sum exponential"]


COMPOSITES = {
    "softmax": "%y = softmax(%x) {axis=1} : f32[6,5]",
    "log_softmax": "%y = log_softmax(%x) {axis=1} : f32[6,5]",
    "layer_norm": "%y = layer_norm(%x, %s, %s) {axes=[1], epsilon=0.001} : f32[6,5]",
    "rms_norm": "%y = rms_norm(%x, %s) {axes=[1], epsilon=0.001} : f32[6,5]",
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_a_composite_and_its_gradient_are_one_kernel_each(name: str):
    text = f"""
        graph @f(%x: f32[6,5], %g: f32[6,5], %s: f32[5]) -> (f32[], f32[6,5]) {{
          %0, %1 = value_and_gradient(%x, %g, %s) {{graph="loss", wrt=[0]}} : f32[], f32[6,5]
          return %0, %1
        }}
        graph @loss(%x: f32[6,5], %g: f32[6,5], %s: f32[5]) -> (f32[]) {{
          {COMPOSITES[name]}
          %0 = multiply(%y, %g) : f32[6,5]
          %1 = reduce_sum(%0) {{axes=[0,1]}} : f32[]
          return %1
        }}"""
    lines, _ = fused(text, "triton")
    # The kernel of the rows, and the sum of all.
    assert [line.split(":")[0] for line in lines] == ["reduction"] * 2


def test_cross_entropy_and_its_gradient_are_one_kernel():
    lines, _ = fused(
        """
        graph @f(%x: f32[6,5], %y: i32[6]) -> (f32[], f32[6,5]) {
          %0, %1 = value_and_gradient(%x, %y) {graph="loss", wrt=[0]} : f32[], f32[6,5]
          return %0, %1
        }
        graph @loss(%x: f32[6,5], %y: i32[6]) -> (f32[]) {
          %0 = cross_entropy(%x, %y) : f32[6]
          %1 = reduce_sum(%0) {axes=[0]} : f32[]
          return %1
        }""",
        "triton",
    )
    assert [line.split(":")[0] for line in lines] == ["reduction"] * 2


def test_batch_norm_is_one_kernel():
    lines, _ = fused(
        """
        graph @f(%x: f32[2,3,4,5], %s: f32[5]) -> (f32[2,3,4,5], f32[5], f32[5]) {
          %y, %m, %v = batch_norm_training(%x, %s, %s)
            {epsilon=0.001, feature_axis=3} : f32[2,3,4,5], f32[5], f32[5]
          return %y, %m, %v
        }""",
        "triton",
    )
    assert [line.split(":")[0] for line in lines] == ["reduction"]


def test_cumulative_ops_are_rows():
    lines, _ = fused("""
        graph @f(%x: f32[6,5]) -> (f32[6,5]) {
          %0 = cumulative_sum(%x) {axis=1} : f32[6,5]
          %1 = reduce_sum(%x) {axes=[1]} : f32[6]
          %2 = broadcast_in_dim(%1) {dims=[0], shape=[6,5]} : f32[6,5]
          %3 = divide(%0, %2) : f32[6,5]
          return %3
        }""")
    assert lines == ["reduction: cumulative_sum reduce_sum divide"]


# -- dots and other anchors ------------------------------------------------------------


def test_the_value_before_an_activation_is_a_further_result_of_the_dot():
    lines, _ = fused("""
        graph @f(%x: f32[8,4], %w: f32[4,4], %b: f32[4]) -> (f32[8,4], f32[8,4]) {
          %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,4]
          %1 = broadcast_in_dim(%b) {dims=[1], shape=[8,4]} : f32[8,4]
          %2 = add(%0, %1) : f32[8,4]
          %3 = tanh(%2) : f32[8,4]
          return %2, %3
        }""")
    assert lines == ["contraction: dot_general add tanh"]


def test_an_operand_of_a_dot_is_not_computed_for_every_tile():
    lines, report = fused("""
        graph @f(%x: f32[8,4], %w: f32[4,4]) -> (f32[8,4]) {
          %0 = tanh(%x) : f32[8,4]
          %1 = dot_general(%0, %w) {contract=[[1],[0]]} : f32[8,4]
          return %1
        }""")
    assert lines == ["pointwise: tanh", "contraction: dot_general"]
    reason = reasons(report)["tanh: fuse into dot_general"]
    assert reason == "its elements are read again for every tile"


def test_a_stored_sum_is_made_where_its_operand_is():
    # The residual sum is needed in memory, so the dot adds it, not the norm.
    lines, _ = fused("""
        graph @f(%x: f32[8,4], %w: f32[4,4], %r: f32[8,4]) -> (f32[8,4], f32[8,4]) {
          %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,4]
          %1 = add(%0, %r) : f32[8,4]
          %2 = reduce_max(%1) {axes=[1]} : f32[8]
          %3 = broadcast_in_dim(%2) {dims=[0], shape=[8,4]} : f32[8,4]
          %4 = subtract(%1, %3) : f32[8,4]
          return %1, %4
        }""")
    assert lines == ["contraction: dot_general add", "reduction: reduce_max subtract"]


def test_a_scatter_makes_what_it_adds_to():
    lines, _ = fused("""
        graph @f(%i: i32[4], %u: f32[4,3]) -> (f32[5,3]) {
          %0 = broadcast_in_dim(0.0) {dims=[], shape=[5,3]} : f32[5,3]
          %1 = scatter(%0, %i, %u) {index_axis=1, index_map=[0], inserted_dims=[0],
            update_window_dims=[1]} : f32[5,3]
          return %1
        }""")
    assert lines == ["scatter: scatter"]


def test_windows_read_cheap_operands_again():
    lines, _ = fused("""
        graph @f(%x: f32[8]) -> (f32[4]) {
          %0 = maximum(%x, 0.0) : f32[8]
          %1 = reduce_window_max(%0) {padding=[[0,0]], strides=[2], window=[2]} : f32[4]
          %2 = negate(%1) : f32[4]
          return %2
        }""")
    assert lines == ["pointwise: maximum reduce_window_max negate"]


def test_composites_that_are_kept_are_kernels_of_their_own():
    lines, _ = fused("""
        graph @f(%x: f32[2,3,2,4]) -> (f32[2,3,2,4]) {
          %0 = negate(%x) : f32[2,3,2,4]
          %1 = attention(%0, %0, %0) : f32[2,3,2,4]
          %2 = tanh(%1) : f32[2,3,2,4]
          return %2
        }""")
    assert lines == ["pointwise: negate", "attention: attention", "pointwise: tanh"]


# -- sections --------------------------------------------------------------------------

UPDATES = """
    graph @f(%a: f32[8,4], %b: f32[5], %rate: f32[], %step: i32[])
        -> (f32[8,4], f32[5], i32[]) {
      %0 = multiply(%a, %rate) : f32[8,4]
      %1 = subtract(%a, %0) : f32[8,4]
      %2 = multiply(%b, %rate) : f32[5]
      %3 = subtract(%b, %2) : f32[5]
      %4 = add(%step, 1:i32) : i32[]
      return %1, %3, %4
    }"""


def test_independent_updates_are_sections_of_one_kernel():
    lines, _ = fused(UPDATES)
    assert lines == ["pointwise sections: multiply subtract multiply subtract add"]


def test_sections_can_be_turned_off():
    result = run(parse(UPDATES), "fusion{horizontal=[]}", verify=True)
    assert len(summary(result)) == 3


def test_sections_do_not_share_nodes():
    # Each section computes the sum of the rates for itself.
    lines, _ = fused("""
        graph @f(%a: f32[8], %b: f32[5], %r: f32[], %s: f32[]) -> (f32[8], f32[5]) {
          %0 = add(%r, %s) : f32[]
          %1 = multiply(%a, %0) : f32[8]
          %2 = multiply(%b, %0) : f32[5]
          return %1, %2
        }""")
    assert lines == ["pointwise sections: add multiply add multiply"]


def test_few_programs_do_not_compute_what_a_gpu_can():
    """A sum of what others need, too: its one program reads what costs much."""
    lines, report = fused("""
        graph @f(%x: f32[8192]) -> (f32[8192], f32[]) {
          %0 = sine(%x) : f32[8192]
          %1 = tan(%0) : f32[8192]
          %2 = tan(%1) : f32[8192]
          %3 = tan(%2) : f32[8192]
          %4 = reduce_sum(%3) {axes=[0]} : f32[]
          %5 = multiply(%3, 2.0) : f32[8192]
          return %5, %4
        }""")
    assert lines == [
        "pointwise: sine tan tan tan multiply",
        "reduction: reduce_sum",
    ]
    assert TOO_SERIAL in {r.reason for r in report.ledger.refusals}


def test_a_scalar_of_many_values_is_computed_once():
    graph = parse("""
        graph @f(%x: f32[64], %y: f32[65], %a: f32[], %b: f32[], %c: f32[], %d: f32[], %e: f32[])
            -> (f32[64], f32[65]) {
          %0 = add(%a, %b) : f32[]
          %1 = add(%0, %c) : f32[]
          %2 = add(%1, %d) : f32[]
          %3 = add(%2, %e) : f32[]
          %4 = multiply(%x, %3) : f32[64]
          %5 = multiply(%y, %3) : f32[65]
          return %4, %5
        }""")
    result = run(graph, "fusion", verify=True)
    assert summary(result)[0] == "pointwise: add add add"


# -- what is in no kernel --------------------------------------------------------------


def test_ops_without_a_kernel_stay_with_a_reason():
    lines, report = fused("""
        graph @f(%x: f32[3,3]) -> (f32[3,3]) {
          %0 = multiply(%x, %x) : f32[3,3]
          %1, %2 = qr(%0) : f32[3,3], f32[3,3]
          %3 = negate(%2) : f32[3,3]
          return %3
        }""")
    assert lines == ["pointwise: multiply", "qr", "pointwise: negate"]
    assert "qr: make a kernel" in reasons(report)


def test_the_bodies_of_loops_are_fused_and_combiners_are_not():
    graph = parse("""
        graph @f(%x: f32[4,3]) -> (f32[3]) {
          %0 = reduce(%x, 0.0) {axes=[0], graph="larger"} : f32[3]
          %1 = call(%0) {graph="g"} : f32[3]
          return %1
        }
        graph @larger(%a: f32[], %b: f32[]) -> (f32[]) {
          %0 = maximum(%a, %b) : f32[]
          return %0
        }
        graph @g(%x: f32[3]) -> (f32[3]) {
          %0 = negate(%x) : f32[3]
          %1 = tanh(%0) : f32[3]
          return %1
        }""")
    result = run(graph, "fusion", verify=True)
    graphs = result.module.graphs
    assert summary(result) == ["reduction: reduce", "call"]
    assert summary(graphs["g"]) == ["pointwise: negate tanh"]
    assert summary(graphs["larger"]) == ["maximum"]


def test_graphs_with_symbols_stay_as_they_are():
    graph = parse("""
        graph @f(%x: f32[B,4]) -> (f32[B,4]) where B in 1..8 {
          %0 = negate(%x) : f32[B,4]
          return %0
        }""")
    result, report = run_with_report(graph, "fusion", verify=True)
    assert result == graph
    (refusal,) = report.ledger.refusals
    assert refusal.reason == "its dimension symbols are not bound"


def test_empty_tensors_are_kernels_of_their_own():
    lines, _ = fused("""
        graph @f(%x: f32[0,3], %y: f32[2,3]) -> (f32[3], f32[2,3]) {
          %0 = negate(%x) : f32[0,3]
          %1 = reduce_sum(%0) {axes=[0]} : f32[3]
          %2 = concatenate(%0, %y) {axis=0} : f32[2,3]
          return %1, %2
        }""")
    assert lines == [
        "negate: negate",
        "reduce_sum: reduce_sum",
        "concatenate: concatenate",
    ]


def test_equal_blocks_call_the_same_kernels():
    blocks = "\n".join(
        f"""%d{n} = dot_general(%y{n}, %w) {{contract=[[1],[0]]}} : f32[6,6]
          %m{n} = reduce_max(%d{n}) {{axes=[1]}} : f32[6]
          %b{n} = broadcast_in_dim(%m{n}) {{dims=[0], shape=[6,6]}} : f32[6,6]
          %y{n + 1} = subtract(%d{n}, %b{n}) : f32[6,6]"""
        for n in range(5)
    )
    graph = parse(f"""
        graph @f(%y0: f32[6,6], %w: f32[6,6]) -> (f32[6,6]) {{
          {blocks}
          return %y5
        }}""")
    report = fusion_report(run(graph, "fusion,deduplicate", verify=True))
    assert report.kernels == {"contraction": 5, "reduction": 5}
    assert report.distinct == 2


# -- figures ---------------------------------------------------------------------------


def test_the_report_counts_kernels_and_bytes():
    result = run(parse(SOFTMAX_OF_A_DOT), "fusion")
    report = fusion_report(result)
    assert report.kernels == {"contraction": 1, "reduction": 1}
    # x and w are read, the logits written and read, the weights written.
    assert report.bytes == 4 * (6 * 4 + 4 * 5 + 3 * 6 * 5)
    assert report.bytes_unfused > 2 * report.bytes
    assert str(report).startswith("2 kernels (2 distinct: 1 contraction, 1 reduction)")
