"""Random programs through every check: the same ones each time, and the day's own.

A program has 20 to 200 nodes, most of them nearer 20. Text, meaning, gradient and the
comparison over finite fields are checked on every program; of the pipelines, which all
check the same things, a program of the default run gets `SHARE` in turn, and XLA, which
takes longest, some programs more. The slow tests check everything on every program.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import pytest

from graphc.fuzz import QUICK, find_failures

FEWEST, MOST = 20, 200
"""The nodes of the smallest and of the largest programs."""

GROUP = 10
"""How many programs one test takes."""

ALWAYS = ("text", "meaning", "exact", "gradient")
PIPELINES = [name for name in QUICK if name not in ALWAYS]
SHARE = 3
"""How many of the pipelines a program of the default run gets."""

TODAY = 10**6 + int(time.time()) // 86_400 * 10**4
"""The first seed of the programs that are other ones every day."""


def nodes_of(seed: int) -> int:
    """About how many nodes the program of a seed has."""
    part = seed * 0.6180339887 % 1
    return round(FEWEST * (MOST / FEWEST) ** (part**3))


def checks_of(seed: int) -> list[str]:
    """The checks that the program of a seed gets in the default run."""
    count = len(PIPELINES)
    kept = {PIPELINES[(SHARE * seed + i) % count] for i in range(SHARE)}
    return [name for name in QUICK if name in kept or name not in PIPELINES]


def everything(seed: int) -> Sequence[str]:
    """All checks but XLA."""
    return QUICK


def check(seeds: Iterable[int], checks: Callable[[int], Sequence[str]]) -> None:
    findings = [
        finding
        for seed in seeds
        for finding in find_failures([seed], nodes_of(seed), checks(seed))
    ]
    assert not findings, "\n".join(
        f"{finding}\n  python -m graphc.fuzz --seed {finding.seed} --count 1"
        f" --nodes {nodes_of(finding.seed)} makes a small program of it"
        for finding in findings
    )


def on_xla(seed: int) -> list[str]:
    return ["xla"]


def test_sizes_are_those_that_are_said():
    sizes = [nodes_of(seed) for seed in range(100)]
    assert min(sizes) == FEWEST
    assert MOST // 2 < max(sizes) <= MOST


def test_every_pipeline_has_its_turn():
    checked = {name for seed in range(len(PIPELINES)) for name in checks_of(seed)}
    assert checked == set(QUICK)


@pytest.mark.parametrize("group", range(10))
def test_programs(group: int):
    check(range(group * GROUP, (group + 1) * GROUP), checks_of)


@pytest.mark.parametrize("group", range(5))
def test_programs_of_the_day(group: int):
    check(range(TODAY + group * GROUP, TODAY + (group + 1) * GROUP), checks_of)


def test_programs_of_the_day_on_xla():
    check(range(TODAY + 1000, TODAY + 1000 + GROUP), on_xla)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(100))
def test_two_thousand_programs(group: int):
    first = TODAY + 5000 + 20 * group
    check(range(first, first + 20), everything)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(25))
def test_two_hundred_programs_on_xla(group: int):
    first = TODAY + 8000 + 8 * group
    check(range(first, first + 8), on_xla)
