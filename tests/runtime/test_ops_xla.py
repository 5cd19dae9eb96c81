"""XLA against the reference, for every op: its samples, their dtypes, odd numbers.

The cases of several ops are compiled as one program.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from graphc.ir import GraphError, Kind, OpDef
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
)
from tests.op_programs import ALL_OPS, default_cases, joined, programs
from tests.op_samples import bound_graph, sample_types
from tests.runtime.agreement import assert_agreement, flushed


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
