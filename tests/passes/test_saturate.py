"""Equality saturation: derived identities, extraction, and whole graphs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from graphc.ir import Graph, PassError, building, parse
from graphc.ir.build import current_builder
from graphc.ir.types import TensorType
from graphc.ir.values import Literal, Value
from graphc.passes import PASSES, Rule, parse_pipeline, plugins, run_with_report
from graphc.passes.canonicalize import RULES
from graphc.passes.extraction import Form, cheapest_trees, extract, graph_cost, needed
from graphc.passes.identities import algebra
from graphc.passes.rewrite import full
from graphc.passes.rule import NumericsClass
from graphc.passes.terms import Identity, Side, identities
from graphc.testing.equivalence import assert_same_meaning, random_arrays

pytest.importorskip("egglog")

VARIABLES = 8
"""At least as many parameters as an identity has variables."""


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    """The pass, which other tests do not expect among those that are always there."""
    assert plugins.find_pass("saturate")
    yield
    del PASSES["saturate"], sys.modules["graphc.passes.saturate"]


# -- identities ------------------------------------------------------------------------


def built(side: Side, graph: Graph) -> Value | Literal:
    """A side of an identity over the parameters of `graph`."""
    if isinstance(side, int):
        return graph.parameters[side]
    if isinstance(side, Literal):
        return side
    operands = [built(each, graph) for each in side.operands]
    return current_builder().apply(side.op, operands, json.loads(side.attributes))


def graph_of(identity: Identity, side: Side) -> Graph:
    """One side of an identity as a graph."""
    graph = Graph("side")
    type = TensorType((8,), identity.dtype)
    for _ in range(VARIABLES):
        graph.add_parameter(type)
    with building(graph):
        graph.results = [full(built(side, graph), type)]
    return graph


@pytest.mark.parametrize(
    "rule", [pytest.param(r, id=r.name) for r in (*RULES.rules, *algebra.RULES.rules)]
)
def test_identities_hold(rule: Rule, rng: np.random.Generator):
    for identity in identities(rule):
        sides = [graph_of(identity, side) for side in (identity.left, identity.right)]
        exact = rule.numerics.kind is NumericsClass.EXACT
        arrays = random_arrays(sides[0], rng, special=exact)
        ulp = 0 if exact else max(16, 2 * rule.numerics.ulp)
        assert_same_meaning(*sides, arrays, ulp)


def test_the_greedy_rules_take_part():
    derived = {rule.name for rule in RULES.rules if identities(rule)}
    assert {"times_one", "double_negation", "square", "select_known"} <= derived
    assert all(identities(rule) for rule in algebra.RULES.rules)


# -- extraction ------------------------------------------------------------------------

COSTS = {"leaf": 0.0, "cheap": 1.0, "dear": 5.0, "pair": 1.0}


def cost(form: Form) -> float:
    return COSTS[form.head]


def form(head: str, *children: str) -> Form:
    return Form(head, None, children)


def test_shared_values_are_paid_for_once():
    # As trees, two cheap operations cost less than a dear one that both sides share.
    classes = {
        "x": [form("leaf")],
        "s": [form("dear", "x")],
        "a": [form("cheap", "s"), form("dear", "x")],
        "b": [form("cheap", "s")],
        "r": [form("pair", "a", "b")],
    }
    initial = {name: forms[-1] for name, forms in classes.items()}
    assert cheapest_trees(classes, cost)["a"] == form("dear", "x")
    found = extract(classes, ["r"], initial, cost)
    assert found["a"] == form("cheap", "s")
    assert graph_cost(found, ["r"], cost) == 8.0


def test_a_choice_never_goes_in_a_circle():
    classes = {
        "x": [form("leaf")],
        "a": [form("dear", "x"), form("cheap", "b")],
        "b": [form("dear", "x"), form("cheap", "a")],
        "r": [form("pair", "a", "b")],
    }
    circle = {name: forms[-1] for name, forms in classes.items()}
    assert needed(circle, ["r"]) is None
    assert graph_cost(circle, ["r"], cost) == math.inf
    initial = {name: forms[0] for name, forms in classes.items()}
    found = extract(classes, ["r"], initial, cost)
    assert graph_cost(found, ["r"], cost) == 7.0


# -- whole graphs ----------------------------------------------------------------------

FACTOR = """
    graph @f(%x: f32[4,4], %y: f32[4,4], %z: f32[4,4], %s: f32[]) -> (f32[4,4], f32[4]) {
      %0 = multiply(%x, %y) : f32[4,4]
      %1 = multiply(%z, %x) : f32[4,4]
      %2 = add(%0, %1) : f32[4,4]
      %3 = multiply(%2, %s) : f32[4,4]
      %4 = reduce_sum(%3) {axes=[0]} : f32[4]
      return %3, %4
    }"""


def saturated(text: str, options: str = "") -> Graph:
    """The graph after the pass and `dce`, which must mean the same exactly."""
    result, report = run_with_report(
        parse(text), f"saturate{options},dce", verify=True, check=True
    )
    assert report.unchecked is None
    return result


def test_rules_are_applied_in_both_directions():
    names = [node.op.name for node in saturated(FACTOR).nodes]
    assert names == ["add", "multiply", "multiply", "reduce_sum"]


def test_only_the_admitted_classes_take_part():
    assert len(saturated(FACTOR, "{allow=[]}")) == 5


def test_what_gets_worse_on_the_way_is_found():
    text = """
        graph @f(%x: f32[64], %y: f32[64]) -> (f32[64]) {
          %0 = add(%x, %y) : f32[64]
          %1 = negate(%y) : f32[64]
          %2 = multiply(%x, %1) : f32[64]
          %3 = multiply(%x, %0) : f32[64]
          %4 = add(%2, %3) : f32[64]
          return %4
        }"""
    assert len(saturated(text, "{rounds=6}")) < 5


def test_values_of_effects_and_several_results_stay():
    text = """
        graph @f(%x: f32[4]) -> (f32[2], i32[2], f32[4]) {
          %0 = multiply(%x, 1.0) : f32[4]
          %1, %2 = top_k(%0) {k=2} : f32[2], i32[2]
          %3 = add(%0, %x) : f32[4]
          return %1, %2, %3
        }"""
    names = [node.op.name for node in saturated(text).nodes]
    assert names == ["top_k", "add"]


def test_ops_are_the_same_only_on_operands_of_the_same_types():
    text = """
        graph @f(%x: i32[4]) -> (f32[4], f32[4]) {
          %0 = convert(%x) {dtype="f32"} : f32[4]
          %1 = convert(%0) {dtype="f32"} : f32[4]
          %2 = add(%0, %1) : f32[4]
          return %1, %2
        }"""
    names = [node.op.name for node in saturated(text).nodes]
    assert names[0] == "convert"
    assert len(names) == 2


def test_a_graph_that_cannot_be_cheaper_is_left_with_a_reason():
    text = """
        graph @f(%x: f32[4]) -> (f32[4]) {
          %0 = tanh(%x) : f32[4]
          return %0
        }"""
    result, report = run_with_report(parse(text), "saturate")
    assert result == parse(text)
    (refusal,) = report.ledger.refusals
    assert refusal.reason == "no form that was found costs less"


def test_rewrites_can_be_limited():
    result, report = run_with_report(parse(FACTOR), "saturate", bisect=0, verify=True)
    assert result == parse(FACTOR)
    assert report.ledger.count == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{sets=[mine]}", "no set of rules 'mine'"),
        ("{allow=[sloppy]}", "unknown 'sloppy'"),
        ("{device=Z80}", "unknown 'Z80'"),
    ],
)
def test_options_are_checked(options: str, said: str):
    with pytest.raises(PassError, match=said):
        parse_pipeline(f"saturate{options}")


def test_without_its_package_the_pass_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(plugins.EXTRAS, "saturated", ("no_such_package", "egraph"))
    with pytest.raises(PassError, match="needs another package") as caught:
        parse_pipeline("saturated")
    assert caught.value.hint == "pip install 'graphc[egraph]'"
