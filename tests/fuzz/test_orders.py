"""Passes in random orders: programs keep their exact meaning after each pass."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from graphc.fuzz import find_failures

NODES = 8
"""About how many nodes a program of the default run has."""

GROUP = 20
"""How many programs one test takes."""

FIRST = 3 * 10**6
"""The first seed: programs that no other test has."""


def check(seeds: Iterable[int], nodes: int) -> None:
    findings = find_failures(seeds, nodes, ["orders"])
    assert not findings, "\n".join(map(str, findings))


@pytest.mark.parametrize("group", range(5))
def test_a_hundred_programs(group: int):
    first = FIRST + group * GROUP
    check(range(first, first + GROUP), NODES)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(100))
def test_two_thousand_programs(group: int):
    first = FIRST + 1000 + group * GROUP
    check(range(first, first + GROUP), 6 * NODES)
