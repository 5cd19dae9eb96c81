"""XLA against the reference, for every op: its samples, their dtypes, odd numbers.

The cases of one op are compiled as one program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from graphc.ir import (
    Arg,
    Graph,
    GraphError,
    Kind,
    OpDef,
    Sample,
    building,
    inline,
)
from graphc.ir.opdef import AttributeKind
from graphc.ir.ops import OPS
from graphc.ir.types import BF16, F16, F32, F64, I4, I8, I32, I64, U8, U32, U64, DType
from graphc.runtime.compile import compile_graph
from tests.equivalence import random_arrays
from tests.op_samples import bound_graph, sample_arrays, sample_types
from tests.runtime.agreement import Array, Case, assert_agreement, flushed

STAND_INS = {F32: (BF16, F16, F64), I32: (I8, U8, U32, I64, U64)}
"""The dtypes that samples are tried in besides their own."""


def in_dtype(sample: Sample, old: DType, new: DType) -> Sample:
    """The sample with operands of dtype `new` in the place of `old`."""
    operands: list[str | Arg | float] = []
    for operand in sample.operands:
        if isinstance(operand, Arg):
            type = operand.type.replace(f"{old.name}[", f"{new.name}[")
            operands.append(Arg(type, operand.low, operand.high))
        elif isinstance(operand, str):
            operands.append(operand.replace(f"{old.name}[", f"{new.name}["))
        else:
            operands.append(operand)
    return Sample(tuple(operands), sample.attributes)


def sample_cases(op: OpDef, rng: np.random.Generator) -> Iterator[Case]:
    """The samples of an op."""
    for sample in op.samples:
        yield Case(bound_graph(op, sample), sample_arrays(sample, rng))


def variant_cases(op: OpDef, rng: np.random.Generator) -> Iterator[Case]:
    """The samples of an op in the other dtypes that it takes."""
    for sample in op.samples:
        dtypes = {type.dtype for type in sample_types(sample)}
        for old in [d for d in STAND_INS if d in dtypes]:
            for new in STAND_INS[old]:
                variant = in_dtype(sample, old, new)
                try:
                    graph = bound_graph(op, variant)
                except GraphError:  # the op does not take this dtype
                    continue
                yield Case(graph, sample_arrays(variant, rng))


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


def names_things(op: OpDef) -> bool:
    """Whether attributes of the op name graphs or constants of its module."""
    kinds = (AttributeKind.GRAPH, AttributeKind.CONSTANT)
    return any(attribute.kind in kinds for attribute in op.attributes.values())


def results_by_xla(op: OpDef, given: Sequence[Case]) -> list[list[Array]]:
    """What XLA says of each case."""
    if names_things(op):
        return [
            [np.asarray(r) for r in compile_graph(case.graph)(*case.arrays)]
            for case in given
        ]
    run = compile_graph(joined(case.graph for case in given), pipeline="decompose")
    results = iter(run(*(array for case in given for array in case.arrays)))
    return [[np.asarray(next(results)) for _ in case.graph.results] for case in given]


each_op = pytest.mark.parametrize(
    "op", [pytest.param(op, id=name) for name, op in sorted(OPS.items())]
)


@each_op
def test_xla_agrees_with_the_reference(op: OpDef, rng: np.random.Generator):
    given = list(sample_cases(op, rng))
    assert_agreement(given, results_by_xla(op, given))


@pytest.mark.slow
@each_op
def test_xla_agrees_with_the_reference_in_other_dtypes(
    op: OpDef, rng: np.random.Generator
):
    if given := list(variant_cases(op, rng)):
        assert_agreement(given, results_by_xla(op, given))


ODD_DTYPES = (BF16, F16, F32, F64, I4, I8, U8, I32, U32, I64)


def is_odd_case(op: OpDef) -> bool:
    return op.kind is Kind.ELEMENTWISE and not op.is_composite


def odd_cases(op: OpDef, rng: np.random.Generator) -> Iterator[Case]:
    """The op on infinities, nans, limits and signed zeros of every dtype it takes."""
    for odd in ODD_DTYPES:
        sample = op.samples[0]
        variant = in_dtype(sample, sample_types(sample)[-1].dtype, odd)
        try:
            graph = bound_graph(op, variant)
        except GraphError:
            continue
        arrays = random_arrays(graph, rng, special=True)
        yield Case(graph, [flushed(a).astype(a.dtype) for a in arrays])


@pytest.mark.parametrize(
    "op",
    [pytest.param(op, id=name) for name, op in sorted(OPS.items()) if is_odd_case(op)],
)
def test_xla_agrees_with_the_reference_on_odd_numbers(
    op: OpDef, rng: np.random.Generator
):
    given = list(odd_cases(op, rng))
    assert_agreement(given, results_by_xla(op, given), by_element=True)
