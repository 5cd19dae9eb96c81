"""Tests generated from the table of rules: each fires and keeps what it promises."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from graphc.ir import Graph, GraphError, building, tensor_type
from graphc.ir.body import as_tuple
from graphc.ir.types import DTYPES
from graphc.passes import Ledger, Rewriter, Rule, RuleSet
from graphc.passes.canonicalize import RULES
from graphc.passes.rule import Example, NumericsClass, rewrite_greedily
from tests.equivalence import assert_same_meaning, random_arrays

CASES = [
    pytest.param(rule, example, id=f"{rule.name}-{number}")
    for rule in RULES.rules
    for number, example in enumerate(rule.examples)
]


def programs(example: Example) -> Iterator[Graph]:
    """The example for its types, or for each dtype that ``T`` may stand for."""
    generic = any(text.startswith("T[") for text in example.types)
    for name in DTYPES if generic else ["f32"]:
        graph = Graph("example")
        graph.ranges = {"B": (1, 8)}
        types = [tensor_type(t.replace("T[", f"{name}[")) for t in example.types]
        parameters = [graph.add_parameter(type) for type in types]
        try:
            with building(graph):
                graph.results = as_tuple(example.program(*parameters))
        except GraphError:
            assert generic, "an example with given types must be well typed"
            continue
        yield graph


def apply(rule: Rule, graph: Graph) -> tuple[Graph, int]:
    """A copy that the rule was applied to, and how often it fired."""
    result, ledger = graph.copy(), Ledger()
    rewrite_greedily(result, Rewriter(ledger, "test"), RuleSet([rule]))
    result.verify()
    return result, ledger.by_rule()[f"test/{rule.name}"]


@pytest.mark.parametrize(("rule", "example"), CASES)
def test_rule_fires_and_keeps_values(
    rule: Rule, example: Example, rng: np.random.Generator
):
    fired = 0
    for graph in programs(example):
        result, count = apply(rule, graph)
        if not count:
            continue
        fired += 1
        exact = rule.numerics.kind is NumericsClass.EXACT
        for special in (False, True):
            if special and not exact:
                continue
            arrays = random_arrays(graph, rng, special)
            # A sum in another order may cancel: measure against a wide margin.
            ulp = 0 if exact else max(4, 2 * rule.numerics.ulp)
            assert_same_meaning(graph, result, arrays, ulp)
    assert fired, f"{rule.name} fires on none of its example's dtypes"


def test_rules_have_names_of_their_own():
    names = [rule.name for rule in RULES.rules]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("rule", "example"), CASES)
def test_rule_ends_and_leaves_nothing_to_do(rule: Rule, example: Example):
    for graph in programs(example):
        once, _ = apply(rule, graph)
        twice, count = apply(rule, once)
        assert (twice, count) == (once, 0)
