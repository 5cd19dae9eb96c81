"""What is predicted to be in memory, and when."""

from __future__ import annotations

from graphc.ir import Graph, parse
from graphc.passes import run
from graphc.passes.liveness import Liveness, backward_start
from graphc.passes.memory_bill import format_bytes, memory_bill, new_result_bytes
from graphc.runtime.compile import compile_graph
from tests.passes.training_steps import step

KIB = 1024


def peak(text: str) -> int:
    graph = parse(text)
    graph.verify()
    return Liveness(graph).peak


def test_pointwise_chains_are_computed_where_they_are_read():
    assert (
        peak("""
        graph @f(%x: f32[256]) -> (f32[]) {
          %0 = exponential(%x) : f32[256]
          %1 = negate(%0) : f32[256]
          %2 = reduce_sum(%1) {axes=[0]} : f32[]
          return %2
        }""")
        == 0
    )


def test_what_is_read_twice_or_by_a_product_is_stored():
    text = """
        graph @f(%x: f32[16,16]) -> (f32[]) {{
          %0 = exponential(%x) : f32[16,16]
          %1 = {op} : f32[16,16]
          %2 = reduce_sum(%1) {{axes=[0,1]}} : f32[]
          return %2
        }}"""
    product = "dot_general(%0, %x) {contract=[[1],[0]]}"
    assert peak(text.format(op=product)) == 2 * KIB  # %0 and the product
    assert peak(text.format(op="multiply(%0, %0)")) == 0  # one reader, twice
    twice = """
        graph @f(%x: f32[256]) -> (f32[], f32[]) {
          %0 = exponential(%x) : f32[256]
          %1 = reduce_sum(%0) {axes=[0]} : f32[]
          %2 = reduce_max(%0) {axes=[0]} : f32[]
          return %1, %2
        }"""
    assert peak(twice) == KIB


def test_aliases_take_no_memory_and_keep_what_they_are_of():
    graph = parse("""
        graph @f(%x: f32[16,16]) -> (f32[16]) {
          %0 = dot_general(%x, %x) {contract=[[1],[0]]} : f32[16,16]
          %1 = reshape(%0) {shape=[256]} : f32[256]
          %2 = dot_general(%x, %x) {contract=[[0],[0]]} : f32[16,16]
          %3 = optimization_barrier(%1) : f32[256]
          %4 = reshape(%3) {shape=[16,16]} : f32[16,16]
          %5 = dot_general(%4, %2) {contract=[[1],[0]]} : f32[16,16]
          %6 = reduce_sum(%5) {axes=[0]} : f32[16]
          return %6
        }""")
    liveness = Liveness(graph)
    assert {v.type.nbytes for v in liveness.stored} == {KIB}
    assert len(liveness.stored) == 3
    assert liveness.peak == 3 * KIB  # both products while the third is made
    assert liveness.peak_time == 5


def test_a_loop_needs_what_its_body_needs():
    graph = parse("""
        graph @f(%x: f32[16,16], %n: f32[4,16,16]) -> (f32[16,16]) {
          %0 = scan(%x, %n) {body="step", carries=1, length=4, sequences=1} : f32[16,16]
          return %0
        }

        graph @step(%c: f32[16,16], %e: f32[16,16]) -> (f32[16,16]) {
          %0 = dot_general(%c, %e) {contract=[[1],[0]]} : f32[16,16]
          %1 = dot_general(%0, %e) {contract=[[1],[0]]} : f32[16,16]
          return %1
        }""")
    assert Liveness(graph).peak == KIB
    assert memory_bill(graph).kinds == {"inside loops": KIB}


def test_donated_parameters_hold_results_of_their_type():
    graph = parse("""
        graph @f(%x: f32[256], %y: f32[256]) -> (f32[256], f32[256], f32[2]) {
          %0 = add(%x, %y) : f32[256]
          %1 = multiply(%x, %y) : f32[256]
          %2 = slice(%0) {limit=[2], start=[0]} : f32[2]
          return %0, %1, %2
        }""")
    assert new_result_bytes(graph, ()) == 2 * KIB + 8
    assert new_result_bytes(graph, (1,)) == KIB + 8


def test_a_bill_adds_up_and_names_layers():
    bill = memory_bill(run(step(blocks=2), "xla"))
    assert bill.peak == bill.parameters + bill.results + bill.temporaries
    assert sum(bill.kinds.values()) == bill.temporaries
    assert sum(bill.saved.values()) == bill.kinds["saved"]
    assert [held.bytes for held in bill.largest] == sorted(
        (held.bytes for held in bill.largest), reverse=True
    )
    assert f"{format_bytes(bill.peak):>10}  predicted peak" in str(bill)


def test_the_prediction_is_near_what_xla_allocates():
    graph: Graph = step(blocks=2, width=32, examples=256)
    executable = compile_graph(graph, "xla:cpu")
    measured = executable.memory()
    assert measured is not None
    assert 0.6 < executable.memory_plan().peak / measured.peak < 1.4


def test_the_backward_part_starts_at_the_first_gradient():
    liveness = Liveness(run(step(blocks=2), "xla"))
    start = backward_start(liveness)
    assert 0 < start < len(liveness.nodes)
    assert all(
        node.location is None or "gradient of" not in (node.location.origin or "")
        for node in liveness.nodes[:start]
    )
