from __future__ import annotations

from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings

from graphc.fuzz import SeededChoices, inputs, random_program
from graphc.fuzz.inputs import sizes
from graphc.ir import DType, Graph, Kind, Trait, evaluate, parse
from graphc.ir.ops import OPS
from graphc.ir.types import DTYPES, F8E4M3FN, F8E5M2
from tests.fuzz.hypothesis_choices import programs

SEEDS = range(100)


@pytest.fixture(scope="module")
def grown() -> list[Graph]:
    return [random_program(seed, nodes=40) for seed in SEEDS]


def test_equal_seeds_give_equal_programs():
    assert str(random_program(3)) == str(random_program(3))
    assert random_program(3) != random_program(4)


def test_programs_are_as_large_as_asked_for(grown: list[Graph]):
    assert all(40 <= len(graph) < 60 for graph in grown)


def test_factors_of_matrices_are_determined(grown: list[Graph]):
    """Of a singular matrix, each executor returns vectors of its own choice."""
    found = 0
    for graph in (random_program(600132, nodes=40), *grown):
        seen = parse(str(graph))
        seen.results = [
            node.operands[0]
            for node in seen.nodes
            if Trait.FACTORIZES in node.op.traits
        ]
        for matrix in evaluate(seen, *inputs(seen)) if seen.results else ():
            if matrix.size and np.isfinite(matrix).all():
                ranks = np.linalg.matrix_rank(matrix)
                assert np.all(ranks == min(matrix.shape[-2:])), str(graph)
                found += 1
    assert found


@pytest.mark.slow
def test_every_op_is_grown():
    left = {op.name for op in OPS.values() if Trait.EFFECT not in op.traits}
    for seed in range(400):
        graph = random_program(seed, nodes=40)
        for reached in graph.reachable():
            left -= {node.op.name for node in reached.nodes}
        if not left:
            break
    assert not left


def test_programs_have_much_of_everything(grown: list[Graph]):
    reached = [g for graph in grown for g in graph.reachable()]
    nodes = [node for graph in reached for node in graph.nodes]
    types = [result.type for node in nodes for result in node.results]
    dtypes = Counter[DType](type.dtype for type in types)
    kinds = Counter[Kind](node.op.kind for node in nodes)
    rare = {F8E4M3FN, F8E5M2}  # few ops make them
    assert set(DTYPES.values()) - dtypes.keys() < rare
    assert kinds.keys() == set(Kind)
    assert {0, 1, 2, 3, 4} <= {type.rank for type in types}
    assert {0, 1, 2, 3, 5, 7, 11, 13} <= {d for t in types for d in t.shape}
    assert any(type.symbols for type in types)
    assert any(len(graph.results) > 1 for graph in grown)
    assert any(not v.uses for node in nodes for v in node.results)
    assert len(reached) > len(grown)


def test_values_are_finite_but_for_some(grown: list[Graph]):
    results = [a for graph in grown for a in evaluate(graph, *inputs(graph))]
    finite = [np.isfinite(a.astype(np.float64)).all() for a in results]
    assert np.mean(finite) > 0.9
    varied = [np.unique(a.astype(np.float64)).size > 1 for a in results if a.size > 1]
    assert np.mean(varied) > 0.5


def test_inputs_follow_from_the_text(grown: list[Graph]):
    for graph in grown:
        for a, b in zip(inputs(graph), inputs(parse(str(graph))), strict=True):
            np.testing.assert_array_equal(a, b)


def test_inputs_are_within_their_ranges():
    graph = parse("""
        graph @f(%x: f32[B] {low=1.0, high=2.0}, %i: i32[99] {low=-1, high=3},
                 %s: f32[99] {low=0.0, high=2.0, step=0.5}, %u: u8[9], %p: bool[99])
            -> (f32[B]) where B in 50..60 {seed=7} {
          return %x
        }""")
    x, i, s, u, p = inputs(graph)
    assert x.shape == (50,)
    assert 1 <= x.min() <= x.max() <= 2
    assert sorted(set(i.tolist())) == [-1, 0, 1, 2]
    assert sorted(set(s.tolist())) == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert u.max() < 2
    assert sorted(set(p.tolist())) == [False, True]


def test_inputs_of_a_parameter_do_not_depend_on_others():
    one = parse("graph @f(%x: f32[3]) -> (f32[3]) {seed=1} { return %x }")
    two = parse("graph @f(%y: f32[3], %x: f32[3]) -> (f32[3]) {seed=1} { return %x }")
    np.testing.assert_array_equal(inputs(one)[0], inputs(two)[1])


def test_sizes_are_within_their_ranges():
    graph = parse(
        "graph @f(%x: f32[A,B,T]) -> (f32[A,B,T]) where A in 1..2, B in 5..9, T in 1..9"
        " { return %x }"
    )
    assert sizes(graph) == {"A": 2, "B": 5, "T": 3}


def test_choices_are_within_their_ranges():
    choices = SeededChoices(0)
    assert {choices.integer(2, 4) for _ in range(99)} == {2, 3, 4}
    assert {choices.pick("ab") for _ in range(99)} == {"a", "b"}
    assert {choices.recent("ab") for _ in range(99)} == {"a", "b"}
    assert sorted(choices.shuffled(range(9))) == list(range(9))
    assert not any(choices.chance(0) for _ in range(99))
    assert all(choices.chance(100) for _ in range(99))


# -- driven by hypothesis --------------------------------------------------------------


@settings(max_examples=25, suppress_health_check=list(hypothesis.HealthCheck))
@given(programs())
def test_drawn_programs_verify_and_parse(graph: Graph):
    graph.verify()
    assert parse(str(graph)) == graph
    assert len(evaluate(graph, *inputs(graph))) == len(graph.results)
