"""Minimum cuts are cuts, and none is cheaper."""

from __future__ import annotations

import math
from itertools import combinations

import hypothesis.strategies as st
from hypothesis import given

from graphc.passes.minimum_cut import Network

SOURCE, SINK, COUNT = 0, 1, 6
VERTEX = st.integers(0, COUNT - 1)
Edges = dict[tuple[int, int], float]


def network(edges: Edges) -> Network[int]:
    found = Network[int]()
    for (start, end), capacity in edges.items():
        found.add(start, end, capacity)
    return found


def across(edges: Edges, side: set[int]) -> float:
    """What the edges into the side of the sink can carry."""
    return sum(c for (a, b), c in edges.items() if a not in side and b in side)


@given(
    st.dictionaries(
        st.tuples(VERTEX, VERTEX), st.integers(0, 9) | st.just(math.inf), max_size=20
    )
)
def test_no_cut_is_cheaper_and_none_as_cheap_is_smaller(edges: Edges):
    edges = {key: c for key, c in edges.items() if key != (SOURCE, SINK) and c >= 0}
    edges |= {(SOURCE, 2): 5, (3, SINK): 4}
    capacity, side = network(edges).cut(SOURCE, SINK)
    others = range(2, COUNT)
    every = [
        {SINK, *chosen} for n in range(COUNT - 1) for chosen in combinations(others, n)
    ]
    least = min(across(edges, each) for each in every)
    assert capacity == least
    if least < math.inf:
        assert across(edges, side) == least
        assert all(side <= each for each in every if across(edges, each) == least)


def test_a_path_goes_back_on_what_flows():
    edges: Edges = {(0, 2): 1, (0, 3): 1, (2, 3): 1, (2, 4): 1, (3, 5): 1}
    assert network(edges | {(4, 1): 1, (5, 1): 1}).cut(SOURCE, SINK)[0] == 2


def test_what_leads_nowhere_is_not_cut():
    capacity, side = network({(0, 2): 3, (3, 1): 3}).cut(SOURCE, SINK)
    assert (capacity, side) == (0, {SINK, 3})
