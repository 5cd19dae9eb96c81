"""What holds for every composite: its body, rule and gradient say the same.

That body and reference agree in every dtype is tested with the dtypes.
"""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import Graph, GraphError, Kind, OpDef, Sample, evaluate
from graphc.ir.body import body_graph
from graphc.ir.differentiate import differentiate
from graphc.ir.opdef import Trait
from graphc.ir.ops import OPS
from graphc.ir.types import BF16, F16
from graphc.testing.op_cases import dtype_cover
from graphc.testing.op_gradients import gradient_samples, loss_graph, random_weights
from graphc.testing.op_samples import (
    bound_graph,
    float_values,
    sample_arrays,
    sample_graph,
)
from tests.closeness import assert_close
from tests.op_samples import sample_cases


def has_body_graph(op: OpDef, sample: Sample) -> bool:
    return op.is_composite and not op.calls_graphs


def body_of(graph: Graph) -> Graph:
    """The body of the composite that is the one node of `graph`."""
    (node,) = graph.nodes
    return body_graph(node.op, [o.type for o in node.operands], node.attributes)


@pytest.mark.parametrize(("op", "sample"), sample_cases(has_body_graph))
def test_body_has_the_types_of_the_rule(op: OpDef, sample: Sample):
    symbolic, bound = sample_graph(op, sample), bound_graph(op, sample)
    for graph in (symbolic, bound):
        found = [result.type for result in body_of(graph).results]
        assert found == [result.type for result in graph.results]
    body_of(bound).verify()


SUMMING = [
    pytest.param(op, id=name)
    for name, op in sorted(OPS.items())
    if op.is_composite and not op.calls_graphs and Trait.ACCUMULATES in op.traits
]


@pytest.mark.parametrize("op", SUMMING)
def test_bodies_add_narrow_floats_in_float32(op: OpDef, rng: np.random.Generator):
    """Too few terms in a sample show no rounding, so the nodes are looked at."""
    tried = 0
    for case in dtype_cover(op, rng):
        if not {BF16, F16} & {o.type.dtype for o in case.graph.parameters}:
            continue
        tried += 1
        for node in body_of(case.graph).nodes:
            if node.op.kind is Kind.CONTRACTION or Trait.ACCUMULATES not in (
                node.op.traits
            ):
                continue  # contractions have wide accumulators
            for operand in node.operands:
                assert operand.type.dtype not in (BF16, F16), str(node)
    assert tried


WITH_RULES = [
    pytest.param(op, id=name)
    for name, op in sorted(OPS.items())
    if op.is_composite and callable(op.vjp)
]


@pytest.mark.parametrize("op", WITH_RULES)
def test_gradient_rule_agrees_with_the_gradient_of_the_body(
    op: OpDef, rng: np.random.Generator
):
    for sample in gradient_samples(op):
        graph = bound_graph(op, sample)
        if len(sample.operands) != len(graph.parameters):
            continue  # the body takes the numbers among the operands as well
        arrays = sample_arrays(sample, rng)
        wrt = [p.index for p in float_values(graph.parameters)]
        body = loss_graph(body_of(graph).copy())
        rule = loss_graph(graph)
        arrays += random_weights(rule, arrays, rng)
        try:
            by_body = evaluate(differentiate(body, wrt), *arrays)
        except GraphError:  # the body has no gradient: that is why there is a rule
            continue
        by_rule = evaluate(differentiate(rule, wrt), *arrays)
        for found, expected in zip(by_rule, by_body, strict=True):
            assert_close(found, expected)


def test_composites_are_many():
    assert len([op for op in OPS.values() if op.is_composite]) > 40
