"""What holds for every composite: its body, rule and reference say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from graphc.ir import Arg, Graph, OpDef, Sample, evaluate
from graphc.ir.body import body_graph
from graphc.ir.evaluate import Evaluator
from graphc.ir.ops import OPS
from graphc.ir.types import BF16, F16, F32, DType
from tests.op_samples import (
    Array,
    bound_graph,
    float_values,
    sample_arrays,
    sample_cases,
    sample_graph,
    sample_types,
)


def has_body_graph(op: OpDef, sample: Sample) -> bool:
    (node,) = sample_graph(op, sample).nodes
    return op.is_composite and not op.graph_names(node)


def body_of(graph: Graph) -> Graph:
    """The body of the composite that is the one node of `graph`."""
    (node,) = graph.nodes
    return body_graph(node.op, [o.type for o in node.operands], node.attributes)


def body_results(graph: Graph, arrays: Sequence[Array], wide: bool = False) -> Any:
    """What the body of the composite says, whatever reference it has."""
    (node,) = graph.nodes
    evaluator = Evaluator({}, wide)
    values = dict(zip(graph.parameters, arrays, strict=True))
    operands = [evaluator.read(values, operand) for operand in node.operands]
    with np.errstate(all="ignore"):
        return evaluator.run(body_of(graph), *operands)


COMPOSITES = sample_cases(has_body_graph)
each_composite = pytest.mark.parametrize(("op", "sample"), COMPOSITES)
each_with_reference = pytest.mark.parametrize(
    ("op", "sample"),
    sample_cases(lambda op, s: op.reference is not None and has_body_graph(op, s)),
)


@each_composite
def test_body_has_the_types_of_the_rule(op: OpDef, sample: Sample):
    symbolic, bound = sample_graph(op, sample), bound_graph(op, sample)
    for graph in (symbolic, bound):
        found = [result.type for result in body_of(graph).results]
        assert found == [result.type for result in graph.results]
    body_of(bound).verify()


@each_with_reference
def test_body_agrees_with_reference(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    graph = bound_graph(op, sample)
    arrays = sample_arrays(sample, rng)
    by_body = body_results(graph, arrays)
    for found, expected in zip(by_body, evaluate(graph, *arrays), strict=True):
        if not expected.size or expected.dtype.kind != "f":
            np.testing.assert_array_equal(found, expected)
            continue
        error = np.abs(found - expected).max()
        assert error <= op.ulp * np.spacing(np.abs(expected).max())


def narrowed(sample: Sample, dtype: DType) -> Sample:
    """The sample with operands of another dtype in place of float32."""
    operands: list[str | Arg | float] = []
    for operand in sample.operands:
        if isinstance(operand, Arg):
            type = operand.type.replace(F32.name, dtype.name)
            operands.append(Arg(type, operand.low, operand.high))
        elif isinstance(operand, str):
            operands.append(operand.replace(F32.name, dtype.name))
        else:
            operands.append(operand)
    return Sample(tuple(operands), sample.attributes)


def is_float_composite(op: OpDef, sample: Sample) -> bool:
    types = sample_types(sample)
    return has_body_graph(op, sample) and F32 in [type.dtype for type in types]


@pytest.mark.parametrize("dtype", [BF16, F16])
@pytest.mark.parametrize(("op", "sample"), sample_cases(is_float_composite))
def test_narrow_floats_lose_only_the_last_digits(
    op: OpDef, sample: Sample, dtype: DType, rng: np.random.Generator
):
    narrow = bound_graph(op, narrowed(sample, dtype))
    arrays = sample_arrays(narrowed(sample, dtype), rng)
    wide = [a.astype(np.float32) if a.dtype == dtype.numpy else a for a in arrays]
    judge = evaluate(bound_graph(op, sample), *wide, dtype="f64")
    for value, found, expected in zip(
        narrow.results, body_results(narrow, arrays), judge, strict=True
    ):
        if not expected.size or value not in float_values(narrow.results):
            continue
        assert np.isfinite(found.astype(np.float64)).all()
        largest = np.abs(expected).max().astype(dtype.numpy)
        error = np.abs(found.astype(np.float64) - expected).max()
        assert error <= 3 * float(np.spacing(largest))


def test_composites_are_many():
    assert len([op for op in OPS.values() if op.is_composite]) > 40
