"""Tests generated from the table of rules: each fires and keeps what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.passes import Rule
from graphc.passes.canonicalize import RULES
from graphc.passes.rule import Example
from graphc.testing.rule_cases import check_end, check_example

CASES = [
    pytest.param(rule, example, id=f"{rule.name}-{number}")
    for rule in RULES.rules
    for number, example in enumerate(rule.examples)
]


@pytest.mark.parametrize(("rule", "example"), CASES)
def test_rule_fires_and_keeps_values(
    rule: Rule, example: Example, rng: np.random.Generator
):
    check_example(rule, example, rng)


def test_rules_have_names_of_their_own():
    names = [rule.name for rule in RULES.rules]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("rule", "example"), CASES)
def test_rule_ends_and_leaves_nothing_to_do(rule: Rule, example: Example):
    check_end(rule, example)
