"""Random programs on Triton's interpreter: what the reference says of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from graphc.fuzz.checks import Subject
from graphc.fuzz.generator import random_program
from graphc.ir import UnsupportedError
from graphc.ir.opdef import OPS
from graphc.runtime.compile import compile_graph
from tests.triton_target import TARGET

pytest.importorskip("triton")
pytestmark = pytest.mark.triton

DECLINED = {op.no_kernel for op in OPS.values() if op.no_kernel}


def outcome(seed: int, nodes: int) -> str:
    """``same``, why Triton declines the program, or what is wrong."""
    subject = Subject(random_program(seed, nodes))
    try:
        run = compile_graph(subject.bound, TARGET)
    except UnsupportedError as error:
        reasons = [reason for reason in DECLINED if reason in str(error)]
        return "declined" if reasons else f"seed {seed}: {error}"
    problem = subject.compare([np.asarray(r) for r in run(*subject.arrays)])
    return "same" if problem is None else f"seed {seed}: {problem}"


def check(seeds: range, nodes: int, least: int) -> None:
    """Asserts that no program is wrong and at least `least` of them ran."""
    found = Counter(outcome(seed, nodes) for seed in seeds)
    wrong = [text for text in found if text not in ("same", "declined")]
    assert not wrong, "\n\n".join(wrong)
    assert found["same"] >= least


def test_programs():
    check(range(14), nodes=20, least=5)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(10))
def test_many_programs(group: int):
    check(range(1000 + 20 * group, 1020 + 20 * group), nodes=40, least=4)
