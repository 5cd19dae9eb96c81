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
from graphc.ir import OpDef, Trait, UnsupportedError, evaluate, parse
from graphc.runtime.compile import compile_graph
from graphc.testing.agreement import assert_agreement
from graphc.testing.checks import results_on
from graphc.testing.equivalence import random_arrays
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


def test_what_large_results_are_stored_in_parts_of_has_positions_of_64_bits():
    text = """graph @f(%x: f32[{0},512]) -> (f32[{0},1024]) {{
      %0 = exponential(%x) : f32[{0},512]
      %1 = negate(%x) : f32[{0},512]
      %2 = concatenate(%0, %1) {{axis=1}} : f32[{0},1024]
      return %2
    }}"""
    narrow, wide = [emit_kernel(parse(text.format(n))).source for n in (8, 2**21)]
    assert "int64" not in narrow
    # Each part has half as many elements, which 32 bits would do for.
    assert "tl.program_id(0).to(tl.int64) * XBLOCK" in wide
    assert "tl.store(out_ptr + offset + 512, negate)" in wide


@pytest.mark.parametrize(
    "text",
    [
        # A number takes the place of a tile that is sorted along.
        """graph @f(%x: i32[3,5]) -> (i32[3,5], bool[3,5]) {
          %b = broadcast_in_dim(false) {dims=[], shape=[3,5]} : bool[3,5]
          %0, %1 = sort(%x, %b) {axis=1} : i32[3,5], bool[3,5]
          return %0, %1
        }""",
        # Where the first column of an update is depends on the number of the update.
        """graph @f(%x: f32[6,4], %i: i32[5], %a: f32[5,1], %b: f32[5,3])
            -> (f32[6,4]) {
          %u = concatenate(%a, %b) {axis=1} : f32[5,4]
          %0 = scatter(%x, %i, %u) {index_axis=1, index_map=[0], inserted_dims=[0],
              mode="max", update_window_dims=[1]} : f32[6,4]
          return %0
        }""",
    ],
    ids=["sort", "scatter"],
)
def test_what_is_the_same_for_all_lanes(text: str, rng: np.random.Generator):
    graph = parse(text)
    arrays = random_arrays(graph, rng)
    for got, want in zip(
        compile_graph(graph, TARGET)(*arrays), evaluate(graph, *arrays), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(got), want)
