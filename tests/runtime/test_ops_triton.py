"""Triton's kernels against the reference, for every op: its samples and their dtypes.

The kernels run in Triton's interpreter. The cases of several ops are one program, so
fusion puts many of them into one launch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from graphc.codegen.triton.module import emit_kernel
from graphc.ir import OpDef, Trait, UnsupportedError, parse
from graphc.runtime.compile import compile_graph
from graphc.testing.agreement import assert_agreement
from graphc.testing.checks import results_on
from graphc.testing.op_cases import Case, dtype_cases, own_cases
from tests.op_cases import each_op
from tests.op_programs import ALL_OPS, default_cases, programs
from tests.triton_target import TARGET

pytest.importorskip("triton")
pytestmark = pytest.mark.triton


def served(ops: Sequence[OpDef]) -> list[OpDef]:
    """The ops that no record declines a kernel for."""
    return [op for op in ops if not op.no_kernel]


def check(groups: Sequence[Sequence[Case]]) -> None:
    """Compares what Triton says of the cases of each op with what the reference says."""
    every = [case for cases in groups for case in cases]
    found = iter(results_on(TARGET, every))
    for cases in groups:
        assert_agreement(cases, [next(found) for _ in cases])


@pytest.mark.parametrize("ops", programs(served(ALL_OPS)))
def test_triton_agrees_with_the_reference(ops: list[OpDef], rng: np.random.Generator):
    check([default_cases(op, rng) for op in ops])


@pytest.mark.slow
@each_op
def test_triton_agrees_with_the_reference_in_all_dtypes(
    op: OpDef, rng: np.random.Generator
):
    if op.no_kernel:
        pytest.skip(op.no_kernel)
    check([[*own_cases(op, rng), *dtype_cases(op, rng)]])


@pytest.mark.parametrize(
    "op",
    [
        pytest.param(op, id=op.name)
        for op in ALL_OPS
        if op.no_kernel and Trait.EFFECT not in op.traits
    ],
)
def test_what_triton_declines_says_why(op: OpDef, rng: np.random.Generator):
    case = next(iter(own_cases(op, rng)))
    with pytest.raises(UnsupportedError, match=re.escape(op.no_kernel)):
        compile_graph(case.graph, target=TARGET)


@pytest.mark.slow
@pytest.mark.parametrize("ops", programs(served(ALL_OPS)))
def test_positions_of_64_bits(
    ops: list[OpDef], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("graphc.codegen.triton.bodies.WIDE", 1)
    check([default_cases(op, rng) for op in ops])


def test_large_tensors_get_positions_of_64_bits():
    texts = [
        f"""graph @f(%x: f32[{rows},1024]) -> (f32[1024]) {{
          %0 = reduce_sum(%x) {{axes=[0]}} : f32[1024]
          return %0
        }}"""
        for rows in (2**21 - 1, 2**21)
    ]
    narrow, wide = [emit_kernel(parse(text)).source for text in texts]
    assert "int64" not in narrow
    assert "r = r_start + tl.arange(0, RBLOCK)[None, :].to(tl.int64)" in wide
