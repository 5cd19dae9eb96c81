"""The precision pass: texts, reasons, boundaries, and how far results may move."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from graphc.fuzz import inputs, random_program
from graphc.ir import Graph, Literal, PassError, evaluate, parse
from graphc.ir.tolerance import TOLERANCES, Tolerance, mismatch, rmse
from graphc.ir.types import BF16, F8E4M3FN, F8E5M2, F16, F32, DType, dtype
from graphc.passes import Precision, Report, run, run_with_report
from graphc.passes.meaning import MARGIN
from graphc.passes.precision import POLICIES, policy_text
from graphc.passes.precision_roles import changes_float
from graphc.runtime.compile import compile_graph

MIXED = Precision(least_reuse=1)
NARROW = [BF16, F16]

PERCEPTRON = """
    graph @f(%x: f32[4,8], %w: f32[8,8], %b: f32[8], %v: f32[8,3]) -> (f32[4]) {
      %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[4,8]
      %1 = broadcast_in_dim(%b) {dims=[1], shape=[4,8]} : f32[4,8]
      %2 = add(%0, %1) : f32[4,8]
      %3 = maximum(%2, 0.0) : f32[4,8]
      %4 = dot_general(%3, %v) {contract=[[1],[0]]} : f32[4,3]
      %5 = exponential(%4) : f32[4,3]
      %6 = reduce_sum(%5) {axes=[1]} : f32[4]
      return %6
    }"""

STEP = """
    graph @step(%x: f32[4,8], %w: f32[8,8], %v: f32[8,3]) -> (f32[], f32[8,8], f32[8,3]) {
      %loss, %dw, %dv = value_and_gradient(%w, %v, %x) {graph="loss", wrt=[0,1]}
        : f32[], f32[8,8], f32[8,3]
      %0 = multiply(%dw, 0.1) : f32[8,8]
      %1 = subtract(%w, %0) : f32[8,8]
      %2 = multiply(%dv, 0.1) : f32[8,3]
      %3 = subtract(%v, %2) : f32[8,3]
      return %loss, %1, %3
    }
    graph @loss(%w: f32[8,8], %v: f32[8,3], %x: f32[4,8]) -> (f32[]) {
      %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[4,8]
      %1 = tanh(%0) : f32[4,8]
      %2 = dot_general(%1, %v) {contract=[[1],[0]]} : f32[4,3]
      %3 = multiply(%2, %2) : f32[4,3]
      %4 = reduce_sum(%3) {axes=[0,1]} : f32[]
      return %4
    }"""


def check_text(before: str, after: str, of: Precision = MIXED) -> Report:
    found, report = run_with_report(parse(before), str(of), verify=True)
    assert str(found) == str(parse(after))
    return report


def reasons(report: Report) -> list[str]:
    return [f"{r.node.op}: {r.reason}" for r in report.ledger.refusals]


def test_products_and_what_lies_between_them_are_narrow():
    report = check_text(
        PERCEPTRON,
        """
        graph @f(%x: f32[4,8], %w: f32[8,8], %b: f32[8], %v: f32[8,3]) -> (f32[4]) {
          %0 = convert(%x) {dtype="bf16"} : bf16[4,8]
          %1 = convert(%w) {dtype="bf16"} : bf16[8,8]
          %2 = dot_general(%0, %1) {contract=[[1],[0]], dtype="f32"} : f32[4,8]
          %3 = convert(%b) {dtype="bf16"} : bf16[8]
          %4 = broadcast_in_dim(%3) {dims=[1], shape=[4,8]} : bf16[4,8]
          %5 = convert(%2) {dtype="bf16"} : bf16[4,8]
          %6 = add(%5, %4) : bf16[4,8]
          %7 = maximum(%6, 0.0:bf16) : bf16[4,8]
          %8 = convert(%v) {dtype="bf16"} : bf16[8,3]
          %9 = dot_general(%7, %8) {contract=[[1],[0]], dtype="f32"} : f32[4,3]
          %10 = exponential(%9) : f32[4,3]
          %11 = reduce_sum(%10) {axes=[1]} : f32[4]
          return %11
        }""",
    )
    assert reasons(report) == [
        "exponential: it needs a larger range or accuracy than bf16 has",
        "reduce_sum: it sums many terms",
    ]


def test_what_a_product_depends_on_is_narrow_unless_mixed():
    before = """
        graph @f(%x: f32[4,8], %w: f32[8,8]) -> (f32[4,8]) {
          %0 = tanh(%x) : f32[4,8]
          %1 = dot_general(%0, %w) {contract=[[1],[0]]} : f32[4,8]
          %2 = tanh(%1) : f32[4,8]
          return %2
        }"""
    mixed = run_with_report(parse(before), str(MIXED))[1]
    assert reasons(mixed) == [
        "tanh: no product in bf16 comes before it",
        "tanh: no product in bf16 reads what it computes",
    ]
    report = check_text(
        before,
        """
        graph @f(%x: f32[4,8], %w: f32[8,8]) -> (f32[4,8]) {
          %0 = convert(%x) {dtype="bf16"} : bf16[4,8]
          %1 = tanh(%0) : bf16[4,8]
          %2 = convert(%w) {dtype="bf16"} : bf16[8,8]
          %3 = dot_general(%1, %2) {contract=[[1],[0]], dtype="f32"} : f32[4,8]
          %4 = tanh(%3) : f32[4,8]
          return %4
        }""",
        Precision(mixed=False, least_reuse=1),
    )
    assert reasons(report) == ["tanh: no product depends on it"]


def test_elements_are_moved_after_they_are_converted_if_that_moves_less():
    check_text(
        """
        graph @f(%x: f32[4,8], %w: f32[2,4,8]) -> (f32[4,8]) {
          %0 = reshape(%w) {shape=[8,8]} : f32[8,8]
          %1 = dot_general(%x, %0) {contract=[[1],[0]]} : f32[4,8]
          return %1
        }""",
        """
        graph @f(%x: f32[4,8], %w: f32[2,4,8]) -> (f32[4,8]) {
          %0 = convert(%w) {dtype="bf16"} : bf16[2,4,8]
          %1 = reshape(%0) {shape=[8,8]} : bf16[8,8]
          %2 = convert(%x) {dtype="bf16"} : bf16[4,8]
          %3 = dot_general(%2, %1) {contract=[[1],[0]], dtype="f32"} : f32[4,8]
          return %3
        }""",
    )


def test_sums_in_a_narrow_graph_pass_float32_on():
    report = check_text(
        """
        graph @f(%x: bf16[4,8], %w: bf16[8,8]) -> (bf16[4]) {
          %0 = dot_general(%x, %w) {contract=[[1],[0]]} : bf16[4,8]
          %1 = exponential(%0) : bf16[4,8]
          %2 = reduce_sum(%1) {axes=[1]} : bf16[4]
          %3 = log(%2) : bf16[4]
          return %3
        }""",
        """
        graph @f(%x: bf16[4,8], %w: bf16[8,8]) -> (bf16[4]) {
          %0 = dot_general(%x, %w) {contract=[[1],[0]], dtype="f32"} : f32[4,8]
          %1 = exponential(%0) : f32[4,8]
          %2 = reduce_sum(%1) {axes=[1]} : f32[4]
          %3 = log(%2) : f32[4]
          %4 = convert(%3) {dtype="bf16"} : bf16[4]
          return %4
        }""",
    )
    assert not report.ledger.refusals


def test_reasons_tell_ops_that_cannot_from_those_that_need_not():
    graph = parse(
        """
        graph @f(%x: f32[4,4], %w: f32[4,4], %i: i32[4]) -> (f32[4,4], i32[4], f32[4,4]) {
          %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[4,4]
          %1 = multiply(%0, 1.0e9) : f32[4,4]
          %2 = cholesky(%1) : f32[4,4]
          %3 = argmax(%0) {axis=1} : i32[4]
          %4 = elu(%1) : f32[4,4]
          %5 = add(%1, %4) : f32[4,4]
          %6 = dot_general(%5, %w) {contract=[[1],[0]]} : f32[4,4]
          return %6, %3, %2
        }"""
    )
    report = run_with_report(graph, "precision{compute=f16,least_reuse=1,keep=[add]}")[
        1
    ]
    assert reasons(report) == [
        "multiply: f16 cannot hold 1e+09",
        "cholesky: cholesky takes no f16",
        "argmax: its result is no float",
        "elu: exponential_minus_one in its body: it needs a larger range or accuracy"
        " than f16 has",
        "add: the pass is asked to keep it",
    ]
    few = run_with_report(graph, "precision")[1]
    assert (
        "dot_general: it uses each operand element 4 times, fewer than 32"
        in reasons(few)
    )


@pytest.mark.parametrize("pipeline", ["{},train", "train,{}"])
def test_updates_of_state_stay_in_float32(pipeline: str):
    result = run(parse(STEP), pipeline.format(MIXED), verify=True)
    assert [r.dtype for r in result.results] == [F32] * 3
    for updated in result.results[1:]:
        assert updated.node.op.name == "subtract"
        assert {each.type.dtype for each in updated.node.operands} == {F32}
    dots = [n for n in result.nodes if n.op.name == "dot_general"]
    assert len(dots) == 5
    assert {o.type.dtype for dot in dots for o in dot.operands} == {BF16}


def test_combiners_of_reductions_are_left_alone():
    graph = parse(
        """
        graph @f(%x: f32[4,8], %w: f32[8,8]) -> (f32[4]) {
          %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[4,8]
          %1 = reduce(%0, 0.0) {axes=[1], graph="g"} : f32[4]
          return %1
        }
        graph @g(%a: f32[], %b: f32[]) -> (f32[]) {
          %0 = add(%a, %b) : f32[]
          return %0
        }"""
    )
    result, report = run_with_report(graph, str(MIXED), verify=True)
    assert result.module.graphs["g"] == graph.module.graphs["g"]
    assert reasons(report) == [
        "reduce: the graphs that it calls take and return float32"
    ]


def assert_fates(before: Graph, after: Graph, report: Report, narrow: DType) -> None:
    """Boundaries keep their types; each node left in float32 has one reason."""
    for reached in after.reachable():
        was = before.module.graphs[reached.name]
        assert [p.type for p in reached.parameters] == [p.type for p in was.parameters]
        assert [r.type for r in reached.results] == [r.type for r in was.results]
    told = Counter(r.node.op for r in report.ledger.refusals)
    told += Counter(
        r.node.op
        for r in report.ledger.rewrites
        if r.rule.startswith("widen") and r.node is not None
    )
    combining = {
        name
        for reached in after.reachable()
        for node in reached.nodes
        if node.op.name in ("reduce", "reduce_window", "select_and_scatter_add")
        for name in node.op.graph_names(node)
    }
    kept = Counter(
        node.op.name
        for reached in after.reachable()
        if reached.name not in combining
        for node in reached.nodes
        if not changes_float(node) and is_kept(node, narrow)
    )
    assert told == kept


def is_kept(node, narrow: DType) -> bool:
    floats = [each.type.dtype for each in (*node.operands, *node.results)]
    if F32 not in floats:
        return False
    # A product of narrow operands that sums in float32 is what was asked for.
    return narrow not in [o.type.dtype for o in node.operands]


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_random_programs_keep_their_boundaries_and_meaning(policy: str):
    chosen = POLICIES[policy]
    of = Precision(chosen.compute, chosen.mixed, least_reuse=1)
    narrow = dtype(of.compute)
    for seed in range(12):
        graph = with_held_literals(random_program(seed, nodes=30), narrow)
        result, report = run_with_report(graph, str(of), verify=True)
        assert_fates(graph, result, report, narrow)
        arrays = inputs(graph)
        wanted = evaluate(graph, *arrays, dtype="f64")
        found = evaluate(result, *arrays, dtype="f64")
        for got, want in zip(found, wanted, strict=True):
            scale = np.abs(want[np.isfinite(want)]).max(initial=0) if want.size else 0
            relative = TOLERANCES[narrow].relative
            allowed = Tolerance(relative, MARGIN * relative * float(scale))
            within = allowed if want.dtype.kind == "f" else None
            assert mismatch(got, want, within) is None, (seed, str(result))


def with_held_literals(graph: Graph, narrow: DType) -> Graph:
    """The graph with float32 numbers that the narrow dtype holds.

    Float64 does not round values, but numbers of the program are what they are.
    """
    for reached in graph.reachable():
        for node in reached.nodes:
            for position, operand in enumerate(node.operands):
                if isinstance(operand, Literal) and operand.dtype is F32:
                    held = Literal(operand.value, narrow).value
                    node.set_operand(position, Literal(held, F32))
    return graph


@pytest.mark.parametrize("compute", NARROW, ids=str)
@pytest.mark.parametrize("mixed", [True, False])
def test_errors_are_those_of_the_narrow_dtype(
    compute: DType, mixed: bool, rng: np.random.Generator
):
    graph = parse(STEP)
    arrays = [
        rng.normal(size=p.type.static_shape).astype("f4") for p in graph.parameters
    ]
    of = Precision(compute.name, mixed, least_reuse=1)
    result = run(graph, f"{of},default", verify=True)
    exact = evaluate(graph, *arrays, dtype="f64")
    for got, want in zip(evaluate(result, *arrays), exact, strict=True):
        error = rmse(got, want) / rmse(want, np.zeros_like(want))
        assert 0 < error < TOLERANCES[compute].relative


def test_statements_name_the_dtype():
    report = run_with_report(parse(STEP), str(MIXED), check="numerics")[1]
    assert report.unchecked is None
    assert {str(numerics) for s in report.numerics for numerics, _ in s.classes} == {
        "precision(bf16)"
    }


def test_a_check_finds_what_overflows_in_float16():
    with pytest.raises(PassError, match="result 1 on large numbers"):
        run(parse(STEP), "precision{compute=f16,least_reuse=1}", check="numerics")


@pytest.mark.parametrize("compute", [F8E4M3FN, F8E5M2], ids=str)
def test_operands_of_products_are_scaled_to_8_bits(
    compute: DType, rng: np.random.Generator
):
    graph = parse(
        """
        graph @f(%x: f32[4,8], %w: f32[8,8], %v: f32[8,3]) -> (f32[4,3]) {
          %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[4,8]
          %1 = tanh(%0) : f32[4,8]
          %2 = dot_general(%1, %v) {contract=[[1],[0]]} : f32[4,3]
          return %2
        }"""
    )
    of = f"precision{{compute={compute},least_reuse=1}}"
    result, report = run_with_report(graph, f"{of},default", verify=True)
    assert report.by_rule()[f"precision/compute_in_{compute}"] == 2
    scales = 1e-6, 1e4, 1.0  # which the dtype could not hold without a scale
    arrays = [
        (rng.normal(size=p.type.static_shape) * scale).astype("f4")
        for p, scale in zip(graph.parameters, scales, strict=True)
    ]
    (found,), (exact,) = (
        evaluate(result, *arrays),
        evaluate(graph, *arrays, dtype="f64"),
    )
    error = rmse(found, exact) / rmse(exact, np.zeros_like(exact))
    assert 0 < error < TOLERANCES[compute].relative
    (compiled,) = compile_graph(result, "xla", "")(*arrays)
    assert mismatch(np.asarray(compiled).astype(BF16.numpy), found) is None
    zeros = [np.zeros_like(array) for array in arrays]
    assert not evaluate(result, *zeros)[0].any()


def test_8_bits_come_after_differentiation():
    with pytest.raises(PassError, match="8-bit floats come after differentiation"):
        run(parse(STEP), "precision{compute=f8e4m3fn}")


def test_running_twice_changes_nothing_more():
    once = run(parse(PERCEPTRON), str(MIXED))
    twice, report = run_with_report(once, str(MIXED))
    assert str(twice) == str(once)
    assert not report.ledger.rewrites


def test_policies_are_passes():
    assert policy_text("float32") == ""
    assert policy_text("mixed_bfloat16") == "precision"
    assert policy_text("float16") == "precision{compute=f16,mixed=false}"
    for policy, of in POLICIES.items():
        assert run(parse(PERCEPTRON), policy_text(policy), verify=True) == run(
            parse(PERCEPTRON), str(of)
        )
    with pytest.raises(PassError, match="unknown precision"):
        policy_text("mixed_bf16")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("precision{compute=f64}", "cannot compute in 'f64'"),
        ("precision{compute=bfloat}", "cannot compute in 'bfloat'"),
        ("precision{keep=[dot]}", "there is no op 'dot' to keep"),
    ],
)
def test_options_that_make_no_sense_are_errors(text: str, message: str):
    with pytest.raises(PassError, match=message):
        run(parse(PERCEPTRON), text)
