"""Cases of many ops as one program, for backends that take long to compile one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from graphc.ir import Kind, OpDef
from graphc.ir.ops import OPS
from graphc.testing.op_cases import Case, own_cases, spread_cases

PROGRAM = 50
"""About how many cases are compiled as one program."""


def first_case(op: OpDef, rng: np.random.Generator) -> Case:
    """The first sample of an op with no empty operand."""
    cases = list(own_cases(op, rng))
    return next((c for c in cases if all(a.size for a in c.arrays)), cases[0])


def default_cases(op: OpDef, rng: np.random.Generator) -> list[Case]:
    """What does not take minutes to compile of an op's samples and dtypes.

    For XLA a composite is primitives, so one sample of it does; elementwise primitives
    meet each of their dtypes with odd numbers.
    """
    if op.is_composite:
        return [first_case(op, rng)]
    if op.kind is Kind.ELEMENTWISE:
        return list(own_cases(op, rng))
    return spread_cases(op, rng)


def programs(ops: Iterable[OpDef]) -> list[Any]:
    """The ops as parameters in groups that have some `PROGRAM` default cases each."""
    groups: list[list[OpDef]] = []
    room = 0
    for op in ops:
        if room <= 0:
            groups.append([])
            room = PROGRAM
        groups[-1].append(op)
        room -= 1 if op.is_composite else len(op.samples) + len(op.dtypes[0])
    return [pytest.param(g, id=f"{g[0].name}..{g[-1].name}") for g in groups]


ALL_OPS = [op for _, op in sorted(OPS.items())]
