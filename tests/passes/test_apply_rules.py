"""Registered sets of rules as a pass."""

from __future__ import annotations

import pytest

from graphc.ir import PassError, parse
from graphc.passes import RuleSet, parse_pipeline, register_rules, run

TEXT = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = multiply(%x, 1.0) : f32[4]
      %1 = negate(%0) : f32[4]
      %2 = negate(%1) : f32[4]
      return %2
    }"""


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ("", []),
        ("{only=[times_one]}", ["negate", "negate"]),
        ("{set=canonicalize,only=[times_zero]}", ["multiply", "negate", "negate"]),
    ],
)
def test_the_named_rules_of_a_set_are_applied(options: str, left: list[str]):
    result = run(parse(TEXT), f"apply_rules{options}")
    assert [node.op.name for node in result.nodes] == left


def test_unknown_sets_and_rules_are_errors():
    with pytest.raises(PassError, match="no set of rules is registered as 'mine'"):
        parse_pipeline("apply_rules{set=mine}")
    with pytest.raises(PassError, match="has no rule 'time_one'") as caught:
        parse_pipeline("apply_rules{only=[time_one]}")
    assert caught.value.hint == "did you mean 'times_one'?"


def test_a_name_is_taken_once():
    with pytest.raises(TypeError, match="already is a set of rules 'canonicalize'"):
        register_rules("canonicalize", RuleSet())
