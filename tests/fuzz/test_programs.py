"""Random programs through every check: the same ones each time, and the day's own."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from graphc.fuzz import QUICK, find_failures

NODES = 10
GROUP = 10
"""How many programs one test takes."""

TODAY = 10**6 + int(time.time()) // 86_400 * 10**4
"""The first seed of the programs that are other ones every day."""


def check(seeds: Iterable[int], names: Iterable[str], nodes: int = NODES) -> None:
    findings = find_failures(seeds, nodes, tuple(names))
    assert not findings, "\n".join(
        f"{finding}\n  python -m graphc.fuzz --seed {finding.seed} --count 1"
        f" --nodes {nodes} makes a small program of it"
        for finding in findings
    )


@pytest.mark.parametrize("group", range(10))
def test_programs(group: int):
    check(range(group * GROUP, (group + 1) * GROUP), QUICK)


@pytest.mark.parametrize("group", range(5))
def test_programs_of_the_day(group: int):
    check(range(TODAY + group * GROUP, TODAY + (group + 1) * GROUP), QUICK)


def test_programs_on_xla():
    check(range(1000, 1000 + GROUP), ["xla"], nodes=8)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(100))
def test_two_thousand_programs(group: int):
    first = TODAY + 5000 + 20 * group
    check(range(first, first + 20), QUICK, nodes=40)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(25))
def test_two_hundred_programs_on_xla(group: int):
    first = TODAY + 8000 + 8 * group
    check(range(first, first + 8), ["xla"], nodes=25)
