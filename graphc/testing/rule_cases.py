"""Uses of rules: their examples, and what they make of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphc.ir import Graph
from graphc.passes import Ledger, Rewriter, Rule, RuleSet
from graphc.passes.pattern import traced
from graphc.passes.rule import Example, NumericsClass, rewrite_greedily
from graphc.testing.equivalence import assert_same_meaning, random_arrays

ROUNDING_ULP = 4.0
"""The least that sums in another order may differ by: they may cancel."""


def apply_rule(rule: Rule, graph: Graph) -> tuple[Graph, int]:
    """A copy that the rule was applied to until it no longer fires, and how often it did."""
    result, ledger = graph.copy(), Ledger()
    rewrite_greedily(result, Rewriter(ledger, "test"), RuleSet([rule]))
    result.verify()
    return result, ledger.by_rule()[f"test/{rule.name}"]


def check_example(rule: Rule, example: Example, rng: np.random.Generator) -> None:
    """Checks that a rule fires on an example and keeps what its numerics class says.

    Raises:
        AssertionError: If it does not.
    """
    fired = 0
    for graph, result in rewritten(rule, example):
        fired += 1
        exact = rule.numerics.kind is NumericsClass.EXACT
        for special in (False, True):
            if special and not exact:
                continue
            arrays = random_arrays(graph, rng, special)
            ulp = 0 if exact else max(ROUNDING_ULP, 2 * rule.numerics.ulp)
            assert_same_meaning(graph, result, arrays, ulp)
    assert fired, f"{rule.name} fires on none of its example's dtypes"


def check_end(rule: Rule, example: Example) -> None:
    """Checks that a rule comes to an end and finds nothing to do in what it left.

    Raises:
        AssertionError: If it goes on.
    """
    for _, once in rewritten(rule, example):
        twice, count = apply_rule(rule, once)
        assert (twice, count) == (once, 0), f"{rule.name} changes what it has made"


def rewritten(rule: Rule, example: Example) -> Iterator[tuple[Graph, Graph]]:
    """The graphs of an example on which a rule fires, before and after it."""
    for graph in traced(example):
        result, count = apply_rule(rule, graph)
        if count:
            yield graph, result
