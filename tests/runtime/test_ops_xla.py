"""XLA against the reference, for every op: its samples, their dtypes, odd numbers.

The cases of several ops are compiled as one program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from graphc.ir import Graph, GraphError, Kind, OpDef, building, inline
from graphc.ir.ops import OPS
from graphc.ir.types import DTYPES
from graphc.runtime.compile import compile_graph
from tests.equivalence import random_arrays
from tests.op_cases import (
    Array,
    Case,
    dtype_cases,
    each_op,
    in_dtype,
    is_plain,
    own_cases,
    spread_cases,
)
from tests.op_samples import bound_graph, sample_types
from tests.runtime.agreement import assert_agreement, flushed

PROGRAM = 50
"""About how many cases are compiled as one program."""


def joined(graphs: Iterable[Graph]) -> Graph:
    """One graph that does what all of these do, side by side."""
    together = Graph("together")
    results: list[Any] = []
    with building(together):
        for graph in graphs:
            values = [together.add_parameter(p.type) for p in graph.parameters]
            results += inline(graph, values)
    together.results = results
    return together


def results_by_xla(cases: Sequence[Case]) -> list[list[Array]]:
    """What XLA says of each case, all of them compiled together."""
    run = compile_graph(joined(case.graph for case in cases), pipeline="decompose")
    results = iter(run(*(array for case in cases for array in case.arrays)))
    return [[np.asarray(next(results)) for _ in case.graph.results] for case in cases]


def check(groups: Sequence[Sequence[Case]], by_element: bool = False) -> None:
    """Compares what XLA says of the cases of each op with what the reference says."""
    alone = [case for cases in groups for case in cases if not is_plain(case)]
    plain = [case for cases in groups for case in cases if is_plain(case)]
    found = {
        id(case): [np.asarray(r) for r in compile_graph(case.graph)(*case.arrays)]
        for case in alone
    }
    if plain:
        found |= dict(zip(map(id, plain), results_by_xla(plain), strict=True))
    for cases in groups:
        assert_agreement(cases, [found[id(case)] for case in cases], by_element)


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


@pytest.mark.parametrize("ops", programs(ALL_OPS))
def test_xla_agrees_with_the_reference(ops: list[OpDef], rng: np.random.Generator):
    check([default_cases(op, rng) for op in ops])


@pytest.mark.slow
@each_op
def test_xla_agrees_with_the_reference_in_all_dtypes(
    op: OpDef, rng: np.random.Generator
):
    check([[*own_cases(op, rng), *dtype_cases(op, rng)]])


def odd_cases(op: OpDef, rng: np.random.Generator) -> Iterator[Case]:
    """The op on infinities, nans, limits and signed zeros of every dtype it takes."""
    for odd in DTYPES.values():
        sample = op.samples[0]
        variant = in_dtype(sample, sample_types(sample)[-1].dtype, odd)
        try:
            graph = bound_graph(op, variant)
        except GraphError:
            continue
        arrays = random_arrays(graph, rng, special=True)
        arrays = [flushed(array).astype(array.dtype) for array in arrays]
        yield Case(op, variant, graph, arrays)


ELEMENTWISE = [
    op for op in ALL_OPS if op.kind is Kind.ELEMENTWISE and not op.is_composite
]


@pytest.mark.parametrize("ops", programs(ELEMENTWISE))
def test_xla_agrees_with_the_reference_on_odd_numbers(
    ops: list[OpDef], rng: np.random.Generator
):
    check([list(odd_cases(op, rng)) for op in ops], by_element=True)
