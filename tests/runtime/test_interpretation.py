"""Over 1,000 programs: StableHLO's interpreter agrees with the reference evaluator."""

import datetime
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.interpretation import (
    Program,
    all_ops,
    interpret,
    op_programs,
    random_programs,
)

PARTS = 24
RANDOM = 96
DAILY = 24

ABORTS = {"convolution", "divide", "dot_general", "remainder", "top_k"}
"""Ops some of whose samples the interpreter aborts on: convolutions whose result is
not in one layout, sums of no products, integer division by zero, comparisons by total
order."""


def assert_agreement(programs: list[Program], folder: Path) -> int:
    """Asserts that results agree; returns how many programs were compared."""
    compared = 0
    for program, found in interpret(programs, folder):
        kind = program.name.split("-")[0]
        if found is None:
            assert kind in ABORTS | {"random"}, f"aborted on {program.name}"
            continue
        problem = program.problem(found)
        assert problem is None, problem
        compared += 1
    return compared


def test_programs_of_the_day(tmp_path: Path, rng: np.random.Generator):
    today = datetime.datetime.now(datetime.UTC).date().toordinal()
    ops = [op for op in all_ops() if op.name not in ABORTS]
    some = [p for op in ops[today % 16 :: 16] for p in op_programs(op, rng)]
    assert assert_agreement(some[:: max(1, len(some) // DAILY)], tmp_path) > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_samples_in_every_dtype(part: int, tmp_path: Path, rng: np.random.Generator):
    ops = all_ops()[part::PARTS]
    programs = [p for op in ops for p in op_programs(op, rng)]
    assert assert_agreement(programs, tmp_path) > 1000 / PARTS / 2


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_random_programs(part: int, tmp_path: Path):
    seeds = range(part, RANDOM, 4)
    assert assert_agreement(list(random_programs(seeds)), tmp_path) > RANDOM / 4 / 3
