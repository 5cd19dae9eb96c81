"""Every op in every dtype that it takes, against float64 and exact integers."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pytest
from ml_dtypes import finfo

from graphc.ir import Arg, GraphError, OpDef, dtype, evaluate
from graphc.ir.body import body_graph
from graphc.ir.evaluate import Evaluator
from graphc.ir.opdef import Trait
from graphc.ir.types import F32, I64, DType
from graphc.testing.op_cases import (
    Array,
    Case,
    dtype_cases,
    dtype_cover,
    dtype_places,
    in_dtype,
    in_every_dtype,
    own_cases,
)
from graphc.testing.op_samples import bound_graph, operand_type, sample_types
from tests.op_cases import each_op

# -- floats ----------------------------------------------------------------------------


def assert_near_float64(case: Case, results: Iterable[Array]) -> None:
    """Asserts that float results are what float64 gives, but for their rounding."""
    exact = evaluate(case.graph, *case.arrays, dtype="f64")
    for value, found, want in zip(case.graph.results, results, exact, strict=True):
        assert (found.dtype, found.shape) == (value.type.dtype.numpy, want.shape)
        if not value.type.dtype.is_float:
            continue
        limits = finfo(found.dtype)
        with np.errstate(over="ignore"):  # What is too large is an infinity.
            wide, rounded = (
                a.astype(found.dtype).astype(np.float64) for a in (found, want)
            )
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(wide[~finite], rounded[~finite])
        scale = np.max(np.abs(want[finite]), initial=0.0)
        # Narrow floats are computed in float32 and rounded once.
        ulp = 1 + (case.ulp if limits.bits >= F32.bits else 0)
        allowed = max(ulp * float(limits.eps) * scale, float(limits.smallest_subnormal))
        error = np.max(np.abs(wide[finite] - want[finite]), initial=0.0)
        assert error <= allowed, f"{error} > {allowed}\n{case.graph}"


def body_results(case: Case) -> tuple[Array, ...]:
    """What the body of a composite says, whatever reference it has."""
    graph = case.graph
    (node,) = graph.nodes
    evaluator = Evaluator({})
    values = dict(zip(graph.parameters, case.arrays, strict=True))
    operands = [evaluator.read(values, operand) for operand in node.operands]
    body = body_graph(node.op, [o.type for o in node.operands], node.attributes)
    with np.errstate(all="ignore"):
        return evaluator.run(body, *operands)


# -- integers --------------------------------------------------------------------------


def assert_wrapped_int64(case: Case, results: Iterable[Array]) -> None:
    """Asserts that integer results are those in 64 bits, of which the lowest are kept."""
    if Trait.READS_BITS in case.op.traits or any(a.size == 0 for a in case.arrays):
        return  # these are made of the dtype's width and of its limits
    sample = case.sample
    for type in sample_types(sample):
        if type.dtype.is_integer:
            sample = in_dtype(sample, type.dtype, I64)
    try:
        wide = bound_graph(case.op, sample)
    except GraphError:  # not in 64 bits
        return
    arrays = [
        array.astype(p.type.dtype.numpy)
        for array, p in zip(case.arrays, wide.parameters, strict=True)
    ]
    for found, want in zip(results, evaluate(wide, *arrays), strict=True):
        if dtype(found.dtype).is_integer:
            np.testing.assert_array_equal(found, want.astype(found.dtype))


# -- all -------------------------------------------------------------------------------


def check(cases: Iterable[Case]) -> None:
    for case in cases:
        results = evaluate(case.graph, *case.arrays)
        assert_near_float64(case, results)
        assert_wrapped_int64(case, results)
        (node,) = case.graph.nodes
        if node.op.is_composite and not node.op.graph_names(node):
            assert_near_float64(case, body_results(case))


@each_op
def test_results_are_those_of_float64(op: OpDef, rng: np.random.Generator):
    check(own_cases(op, rng))
    check(dtype_cover(op, rng))


@pytest.mark.slow
@each_op
def test_results_are_those_of_float64_for_all_samples(
    op: OpDef, rng: np.random.Generator
):
    check(dtype_cases(op, rng))


# -- dtypes that ops do not take -------------------------------------------------------


@each_op
def test_dtypes_that_are_not_accepted_are_refused(op: OpDef):
    for sample in op.samples:
        for variant in in_every_dtype(op, sample):
            accepted = [
                operand_type(operand).dtype in op.dtypes[min(i, len(op.dtypes) - 1)]
                for i, operand in enumerate(variant.operands)
                if isinstance(operand, str | Arg)
            ]
            if all(accepted):
                continue
            with pytest.raises(GraphError) as caught:
                bound_graph(op, variant)
            first, *_ = str(caught.value).splitlines()
            assert re.match(rf"{op.name}: \w+ must be ", first), first
            assert "received: " in str(caught.value)


@each_op
def test_every_accepted_dtype_is_tried(op: OpDef, rng: np.random.Generator):
    if op.calls_graphs:
        return  # the graph says which dtypes it takes
    cases = [*own_cases(op, rng), *dtype_cover(op, rng)]
    tried = set[tuple[str, int, DType]]().union(*map(dtype_places, cases))
    for place, accepted in enumerate(op.dtypes[: len(op.operands)]):
        missing = {d.name for d in accepted if ("operand", place, d) not in tried}
        assert not missing, f"no sample of {op.name} takes {sorted(missing)}"
