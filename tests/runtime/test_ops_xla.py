"""XLA against the reference, for every op: its samples, their dtypes, odd numbers.

The cases of several ops are compiled as one program.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from graphc.ir import GraphError, Kind, OpDef
from graphc.ir.types import DTYPES
from graphc.testing.agreement import assert_agreement, flushed
from graphc.testing.checks import results_on
from graphc.testing.equivalence import random_arrays
from graphc.testing.op_cases import (
    Case,
    dtype_cases,
    in_dtype,
    own_cases,
)
from graphc.testing.op_samples import bound_graph, sample_types
from tests.op_cases import each_op
from tests.op_programs import ALL_OPS, default_cases, programs


def check(groups: Sequence[Sequence[Case]], by_element: bool = False) -> None:
    """Compares what XLA says of the cases of each op with what the reference says."""
    every = [case for cases in groups for case in cases]
    found = iter(results_on("xla", every, "decompose"))
    for cases in groups:
        assert_agreement(cases, [next(found) for _ in cases], by_element)


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
