"""What graphc emits is read back as a graph that means the same."""

import numpy as np
import pytest
from jax.extend.mlir import deserialize_portable_artifact, serialize_portable_artifact
from jax.extend.mlir.dialects import stablehlo

import graphc
from graphc.importers.stablehlo.context import new_context
from graphc.ir import OpDef, UnsupportedError, evaluate
from graphc.ir.tolerance import mismatch
from graphc.testing.op_cases import Case, dtype_cases, own_cases
from tests.op_cases import each_op


def through_an_artifact(text: str) -> str:
    """The module's text after its way through a portable artifact, verified."""
    version = stablehlo.get_current_version()
    artifact = serialize_portable_artifact(text, version, True)
    with new_context() as context:
        found = deserialize_portable_artifact(artifact, context)
        assert found.operation.verify()
        return str(found)


def assert_same_meaning(case: Case, portable: bool = False) -> None:
    text = graphc.emit(case.graph)
    if portable:
        text = through_an_artifact(text)
    if "custom_call" in text or "complex<" in text:  # which no import understands
        with pytest.raises(
            UnsupportedError, match=r"stablehlo\.(custom_call|complex|fft)"
        ):
            graphc.from_stablehlo(text)
        return
    graph = graphc.from_stablehlo(text)
    assert [p.type for p in graph.parameters] == [p.type for p in case.graph.parameters]
    found = evaluate(graph, *case.arrays)
    wanted = evaluate(case.graph, *case.arrays)
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype == want.dtype
        problem = mismatch(got, want)
        assert problem is None, f"{problem}\n{case.graph}\n{graph}"


@each_op
def test_samples(op: OpDef, rng: np.random.Generator):
    for number, case in enumerate(own_cases(op, rng)):
        assert_same_meaning(case, portable=number == 0)


@pytest.mark.slow
@each_op
def test_samples_in_every_dtype(op: OpDef, rng: np.random.Generator):
    for case in dtype_cases(op, rng):
        assert_same_meaning(case, portable=True)
