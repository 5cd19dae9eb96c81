"""Rules, rule sets and the driver."""

from __future__ import annotations

import pytest

from graphc.ir import OPS, Kind, PassError, Trait, dtype, parse
from graphc.ir.ops import abs_, negate
from graphc.passes import Ledger, Rewriter, RuleSet
from graphc.passes.rule import (
    EXACT,
    REASSOCIATES,
    Example,
    approx,
    precision,
    rewrite_greedily,
)

EXAMPLE = Example(("f32[2]",), lambda x: negate(x))


def test_roots_are_names_kinds_or_traits():
    rules = RuleSet()

    @rules.rule("negate", Trait.COMMUTATIVE, examples=[EXAMPLE])
    def never(node):
        """Nothing."""
        return

    assert rules.at(OPS["negate"]) == rules.at(OPS["add"]) == (never,)
    assert rules.at(OPS["subtract"]) == ()
    assert rules.where(lambda rule: rule.name == "other").rules == []


def test_rules_are_asked_about_nodes_that_read_what_they_look_for():
    rules = RuleSet()

    @rules.rule("add", reads_any=("negate",), examples=[EXAMPLE])
    def negated(node):
        """Nothing."""
        return

    @rules.rule("add", reads_any=(Kind.BROADCAST,), literal=True, examples=[EXAMPLE])
    def stretched(node):
        """Nothing."""
        return

    graph = parse("""
    graph @f(%x: f32[2], %s: f32[]) -> (f32[2], f32[2], f32[2]) {
      %0 = negate(%x) : f32[2]
      %1 = add(%x, %0) : f32[2]
      %2 = broadcast_in_dim(%s) {shape=[2], dims=[]} : f32[2]
      %3 = add(%2, 1.0) : f32[2]
      %4 = add(%2, %x) : f32[2]
      return %1, %3, %4
    }
    """)
    asked = [rules.for_node(node) for node in graph.nodes if node.op.name == "add"]
    assert asked == [(negated,), (stretched,), ()]


def test_a_rule_needs_its_whole_record():
    with pytest.raises(TypeError, match="rule bare lacks a part of its record"):

        @RuleSet().rule("negate", examples=[EXAMPLE])
        def bare(node):
            return


def test_numerics_classes_print():
    classes = (EXACT, REASSOCIATES, approx(2), precision(dtype("bf16")))
    assert list(map(str, classes)) == [
        "exact",
        "reassociates",
        "approx(2 ulp)",
        "precision(bf16)",
    ]


def test_the_driver_comes_back_to_neighbours_and_removes_what_died():
    rules = RuleSet()

    @rules.rule("negate", examples=[EXAMPLE])
    def even(node):
        """-(-x) = x."""
        inner = node.operands[0].node
        return inner.operands if inner is not None and inner.op is node.op else None

    nodes = "\n".join(f"%v{i} = negate(%v{i - 1}) : f32[2]" for i in range(1, 102))
    graph = parse(f"graph @f(%v0: f32[2]) -> (f32[2]) {{ {nodes} return %v101 }}")
    ledger = Ledger()
    assert rewrite_greedily(graph, Rewriter(ledger, "test"), rules)
    assert len(graph) == 1
    # Linear: a few visits for each node.
    assert ledger.visits < 4 * 101
    assert not rewrite_greedily(graph, Rewriter(ledger, "test"), rules)


def test_rules_that_undo_one_another_are_found_out():
    rules = RuleSet()

    @rules.rule("negate", examples=[EXAMPLE])
    def there(node):
        """To and fro."""
        return abs_(*node.operands)

    @rules.rule("abs", examples=[EXAMPLE])
    def back(node):
        """To and fro."""
        return negate(*node.operands)

    graph = parse("""
        graph @f(%x: f32[2]) -> (f32[2]) {
          %0 = negate(%x) : f32[2]
          return %0
        }""")
    with pytest.raises(PassError, match="the rules do not come to an end"):
        rewrite_greedily(graph, Rewriter(Ledger(), "test"), rules)
