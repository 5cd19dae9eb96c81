"""XLA against the reference, for every op: its samples, their dtypes, odd numbers.

The cases of one op are compiled as one program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pytest
from ml_dtypes import finfo

from graphc.ir import (
    Arg,
    Graph,
    GraphError,
    Kind,
    OpDef,
    Sample,
    building,
    dtype,
    evaluate,
    inline,
)
from graphc.ir.opdef import AttributeKind
from graphc.ir.ops import OPS
from graphc.ir.types import BF16, F16, F32, F64, I8, I32, I64, U8, U32, U64, DType
from graphc.runtime.compile import compile_graph
from tests.equivalence import Array, random_arrays
from tests.op_samples import bound_graph, sample_arrays, sample_types

COMPOSITE_ULP = {BF16: 4, F16: 4, F32: 64, F64: 64}
"""What composites without a declared error may differ by: XLA contracts multiply-adds,
and rounds to narrow floats in other places of a body than the reference does."""

STAND_INS = {F32: (BF16, F16, F64), I32: (I8, U8, U32, I64, U64)}
"""The dtypes that samples are tried in besides their own."""


@dataclass
class Case:
    """One use of an op with the arrays for it."""

    graph: Graph
    arrays: list[Array]

    @property
    def ulp(self) -> float:
        """The allowed error, in units in the last place of the largest result."""
        (node,) = self.graph.nodes
        result = node.results[0].type
        if node.op.is_composite and node.op.ulp == 0:
            return COMPOSITE_ULP.get(result.dtype, 0)
        read = sum(prod(a.shape) for a in self.arrays)
        terms = read // max(1, prod(result.static_shape))
        return node.op.ulp * max(1, terms)


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
        for old in [dtype for dtype in STAND_INS if dtype in dtypes]:
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


def check(op: OpDef, given: Sequence[Case], by_element: bool = False) -> None:
    """Asserts that XLA and the reference agree on each case.

    Errors are judged by the magnitude of the element if `by_element`, else by the
    largest of all cases: one case may be a single number near a zero of the op.
    """
    expected = [evaluate(case.graph, *case.arrays) for case in given]
    scales = magnitudes(want for results in expected for want in results)
    found = results_by_xla(op, given)
    for case, wanted, results in zip(given, expected, found, strict=True):
        for want, got in zip(wanted, results, strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            if want.dtype not in scales:
                np.testing.assert_array_equal(got, want)
                continue
            relative = case.ulp * float(finfo(want.dtype).eps)
            absolute = 0 if by_element else relative * scales[want.dtype]
            np.testing.assert_allclose(
                flushed(got), flushed(want), relative if by_element else 0, absolute
            )


def magnitudes(arrays: Iterable[Array]) -> dict[Any, float]:
    """The largest finite magnitude among the arrays of each floating-point dtype."""
    found: dict[Any, float] = {}
    for array in arrays:
        if dtype(array.dtype).is_float:
            wide = np.abs(array.astype(np.float64))
            largest = np.max(wide, where=np.isfinite(wide), initial=0.0)
            found[array.dtype] = max(found.get(array.dtype, 0.0), float(largest))
    return found


def flushed(array: Array) -> Array:
    """The array in float64, zeros in the place of subnormal numbers.

    XLA:CPU flushes them; integers and bool stay as they are.
    """
    if not dtype(array.dtype).is_float:
        return array
    wide = array.astype(np.float64)
    return np.where(np.abs(wide) < float(finfo(array.dtype).smallest_normal), 0, wide)


@each_op
def test_xla_agrees_with_the_reference(op: OpDef, rng: np.random.Generator):
    check(op, list(sample_cases(op, rng)))


@pytest.mark.slow
@each_op
def test_xla_agrees_with_the_reference_in_other_dtypes(
    op: OpDef, rng: np.random.Generator
):
    if given := list(variant_cases(op, rng)):
        check(op, given)


ODD_DTYPES = (BF16, F16, F32, F64, I8, U8, I32, U32, I64)


def is_odd_case(op: OpDef) -> bool:
    return op.kind is Kind.ELEMENTWISE and not op.is_composite


def odd_cases(op: OpDef, rng: np.random.Generator) -> Iterator[Case]:
    """The op on infinities, nans, limits and signed zeros of every dtype it takes."""
    for odd in ODD_DTYPES:
        for sample in op.samples[:2]:
            types = sample_types(sample)
            variant = in_dtype(sample, types[-1].dtype, odd)
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
    check(op, list(odd_cases(op, rng)), by_element=True)
