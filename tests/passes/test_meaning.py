"""Checks of what graphs mean: wrong passes are caught and named, right ones pass."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from graphc.ir import OPS, Graph, OpDef, PassError, building, parse
from graphc.ir.ops import (
    add,
    convert,
    reduce_sum,
    subtract,
    tanh,
    value_and_gradient,
)
from graphc.ir.types import F64
from graphc.passes import (
    GraphPass,
    Ledger,
    PassManager,
    Pipeline,
    Rewriter,
    run_with_report,
)
from graphc.passes.canonicalize import RULES
from graphc.passes.meaning import Meaning
from graphc.passes.pattern import traced
from graphc.passes.rule import Rule
from graphc.testing.op_samples import sample_graph
from graphc.testing.rule_cases import apply_rule

DIFFERENCE = """
graph @f(%x: f32[3,4], %y: f32[3,4]) -> (f32[3,4]) {
  %a = tanh(%x) : f32[3,4]
  %b = subtract(%a, %y) : f32[3,4]
  %c = tanh(%b) : f32[3,4]
  %d = subtract(%c, %x) : f32[3,4]
  return %d
}
"""


@dataclass(frozen=True)
class SwapOperands(GraphPass):
    """A wrong pass: replaces x - y by y - x, and harmlessly tanh by itself."""

    name: ClassVar[str] = "swap_operands"

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        for node in list(graph.nodes):
            if node.op is tanh:
                rewriter.rewrite(node, lambda n=node: ("same", [tanh(*n.operands)]))
            if node.op is subtract and node.operands[1] in graph.parameters[1:]:
                swapped = node.operands[::-1]
                rewriter.rewrite(node, lambda o=swapped: ("swap", [subtract(*o)]))
        return True


@dataclass(frozen=True)
class HalveTwice(SwapOperands):
    """A pass that claims to change rounding only."""

    rounding: ClassVar[frozenset[str]] = frozenset({"swap"})


@pytest.mark.parametrize("wrong", [SwapOperands(), HalveTwice()])
def test_a_wrong_pass_is_caught_and_its_rewrite_named(wrong: GraphPass):
    manager = PassManager(Pipeline((wrong,)), check=True)
    with pytest.raises(PassError) as caught:
        manager.run(parse(DIFFERENCE))
    error = caught.value
    assert "swap_operands changes what @f means: result 0" in error.message
    assert "[0, 0]" in error.message or "elements differ" in error.message
    assert "#2 swap_operands/swap in @f: subtract(" in str(error.received)


def test_nothing_is_compared_unless_asked_for():
    graph = parse(DIFFERENCE)
    graph.attributes = {"seed": 0}  # so that the tests compare nothing of their own
    report = PassManager(Pipeline((SwapOperands(),)), check=False).run(graph)
    assert (report.checked, report.unchecked) == (0, None)


def test_decimals_that_are_folded_are_compared_with_a_tolerance():
    text = """
graph @f(%x: f32[3]) -> (f32[3]) {
  %a = add(0.1, 0.2) : f32[]
  %b = multiply(%x, %a) : f32[3]
  return %b
}
"""
    graph = parse(text)
    result, report = run_with_report(graph, "constant_folding,dce", check=True)
    assert report.checked == 1
    assert Meaning(graph).difference(result) is not None
    assert Meaning(graph).rounding_difference(graph, result) is None


def test_large_graphs_are_not_compared():
    text = """
graph @f(%x: f32[4096,4096]) -> (f32[4096,4096]) {
  %y = add(%x, -0.0) : f32[4096,4096]
  return %y
}
"""
    _, report = run_with_report(parse(text), "canonicalize", check=True)
    assert report.checked == 0
    assert report.unchecked == "the graph is too large for an exact evaluation"


def test_the_first_element_that_differs_is_named():
    graph, other = parse(DIFFERENCE), parse(DIFFERENCE)
    node = next(iter(other.nodes))
    x = node.operands[0]
    Rewriter(Ledger(), "test").rewrite(node, lambda: ("wrong", [add(x, x)]))
    assert Meaning(graph).difference(other) == (
        "result 0 is another at [0, 0] and in 12 of 12 elements"
    )


@pytest.mark.parametrize("rule", [pytest.param(r, id=r.name) for r in RULES.rules])
def test_algebraic_rules_hold_over_finite_fields(rule: Rule):
    if not rule.algebraic:
        pytest.skip("holds up to rounding")
    for example in rule.examples:
        for graph in traced(example):
            if any(p.dtype.bits < 32 for p in graph.parameters):
                continue  # over finite fields floats are all the same
            result, fired = apply_rule(rule, graph)
            assert not fired or Meaning(graph).difference(result) is None


def gradient_of(op: OpDef, graph: Graph) -> Graph:
    """A graph that asks for the gradient of the sum of a graph's float results."""
    floats = [r for r in graph.results if r.type.dtype.is_float]
    wrt = [p.index for p in graph.parameters if p.dtype.is_float]
    if isinstance(op.vjp, str) or not floats or not wrt:
        return graph
    with building(graph):
        sums = [reduce_sum(r, axes=list(range(r.type.rank))) for r in floats]
        total = convert(sums[0], dtype=F64)
        for each in sums[1:]:
            total = add(total, convert(each, dtype=F64))
        graph.results = [total]
    outer = Graph("main", graph.module)
    outer.ranges = dict(graph.ranges)
    operands = [outer.add_parameter(p.type) for p in graph.parameters]
    with building(outer):
        outer.results = value_and_gradient(*operands, graph=graph.name, wrt=wrt)
    return outer


@pytest.mark.parametrize("op", [pytest.param(op, id=n) for n, op in OPS.items()])
def test_passes_keep_the_meaning_of_every_op_and_its_gradient(op: OpDef):
    graph = gradient_of(op, sample_graph(op, op.samples[0]))
    _, report = run_with_report(graph, "default,fusion", verify=True, check=True)
    assert report.unchecked is None or op.name == "bitcast_reshape"
