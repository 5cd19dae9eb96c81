"""What holds for every op, tested on the samples and ill-typed calls of its record."""

from __future__ import annotations

import keyword
import pkgutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphc.ir.ops as table
from graphc.ir import (
    Graph,
    GraphError,
    OpDef,
    Sample,
    evaluate,
    parse,
)
from graphc.ir.body import as_tuple
from graphc.ir.dims import substitute
from graphc.ir.evaluate import Evaluator
from graphc.ir.opdef import IllTyped
from graphc.ir.ops import OPS
from graphc.testing.op_samples import (
    SIZES,
    Array,
    bound_graph,
    build_sample,
    sample_arrays,
    sample_graph,
    sample_module,
    sample_symbols,
)
from tests.op_samples import sample_cases

SAMPLES = sample_cases()
SYMBOLIC = sample_cases(lambda op, sample: bool(sample_symbols(sample)))
ILL_TYPED = [
    pytest.param(op, error, id=f"{name}-{number}")
    for name, op in sorted(OPS.items())
    for number, error in enumerate(op.errors)
]
each_sample = pytest.mark.parametrize(("op", "sample"), SAMPLES)


# -- the table -------------------------------------------------------------------------


def test_every_op_is_named_in_the_package():
    for op in OPS.values():
        name = table.python_name(op)
        assert getattr(table, name) is op
        assert name in (op.name, f"{op.name}_")
        assert not keyword.iskeyword(name)


def test_no_op_hides_a_module():
    modules = {module.name for module in pkgutil.iter_modules(table.__path__)}
    assert not modules & set(OPS)


# -- types, text and meaning -----------------------------------------------------------


def reference_results(op: OpDef, graph: Graph, arrays: Sequence[Array]) -> Any:
    """What the op's own reference returns, before anything is rounded or converted."""
    (node,) = graph.nodes
    evaluator = Evaluator({})
    values = dict(zip(graph.parameters, arrays, strict=True))
    operands = [evaluator.read(values, operand) for operand in node.operands]
    attributes = op.decode(node.attributes, graph.module)
    if op.calls_graphs:
        attributes["run"] = evaluator.run
    assert op.reference is not None
    with np.errstate(all="ignore"):
        return as_tuple(op.reference(*operands, **attributes))


@each_sample
def test_type_rule_agrees_with_reference(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    graph = bound_graph(op, sample)
    arrays = sample_arrays(sample, rng)
    narrow = any(a.dtype.name in ("bfloat16", "float16") for a in arrays)
    if op.reference is None or narrow:  # narrow floats are computed in float32
        results = evaluate(graph, *arrays)
    else:
        results = reference_results(op, graph, arrays)
    found = [(np.shape(a), np.asarray(a).dtype) for a in results]
    assert found == [(r.type.shape, r.type.dtype.numpy) for r in graph.results]


@each_sample
def test_references_leave_their_operands_alone(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    arrays = sample_arrays(sample, rng)
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    evaluate(sample_graph(op, sample), *arrays)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@each_sample
def test_sample_verifies(op: OpDef, sample: Sample):
    sample_graph(op, sample).verify()
    bound_graph(op, sample).verify()


@each_sample
def test_text_round_trip(op: OpDef, sample: Sample):
    graph = sample_graph(op, sample)
    assert parse(str(graph)) == graph


@pytest.mark.parametrize(("op", "error"), ILL_TYPED)
def test_ill_typed_call(op: OpDef, error: IllTyped):
    with pytest.raises(GraphError) as caught:
        build_sample(op, error, sample_module(op))
    assert error.message in str(caught.value)
    assert caught.value.location is not None
    assert caught.value.location.file.endswith("test_ops.py")


@pytest.mark.parametrize(("op", "sample"), SYMBOLIC)
def test_symbols_mean_the_sizes_they_are_bound_to(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    symbolic, bound = sample_graph(op, sample), bound_graph(op, sample)
    assert not any(r.type.symbols for r in bound.results)
    for before, after in zip(symbolic.results, bound.results, strict=True):
        assert (
            tuple(substitute(d, SIZES) for d in before.type.shape) == after.type.shape
        )
    arrays = sample_arrays(sample, rng)
    for a, b in zip(evaluate(symbolic, *arrays), evaluate(bound, *arrays), strict=True):
        np.testing.assert_array_equal(a, b)
