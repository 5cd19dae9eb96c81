"""Splitting long reductions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from graphc.codegen.triton.module import emit_kernels
from graphc.ir import parse
from graphc.ir.types import dtype as graphc_dtype
from graphc.passes import run, run_with_report
from graphc.passes.split_reductions import SplitReductions
from graphc.testing.equivalence import assert_same_meaning, random_arrays
from tests.closeness import REORDERED_ULP

SPLIT = SplitReductions(work=8, programs=4)


def test_rows_become_parts_of_rows(check_pass):
    check_pass(
        SPLIT,
        before="""
            graph @f(%x: f32[2,32]) -> (f32[2]) {
              %0 = reduce_max(%x) {axes=[1]} : f32[2]
              return %0
            }""",
        after="""
            graph @f(%x: f32[2,32]) -> (f32[2]) {
              %0 = reshape(%x) {shape=[2,8,4]} : f32[2,8,4]
              %1 = reduce_max(%0) {axes=[2]} : f32[2,8]
              %2 = optimization_barrier(%1) : f32[2,8]
              %3 = reduce_max(%2) {axes=[1]} : f32[2]
              return %3
            }""",
    )


def test_adjacent_axes_are_one(check_pass):
    check_pass(
        SPLIT,
        before="""
            graph @f(%x: f32[4,6,3]) -> (f32[3]) {
              %0 = reduce_max(%x) {axes=[0,1]} : f32[3]
              return %0
            }""",
        after="""
            graph @f(%x: f32[4,6,3]) -> (f32[3]) {
              %0 = reshape(%x) {shape=[24,3]} : f32[24,3]
              %1 = reshape(%0) {shape=[12,2,3]} : f32[12,2,3]
              %2 = reduce_max(%1) {axes=[1]} : f32[12,3]
              %3 = optimization_barrier(%2) : f32[12,3]
              %4 = reduce_max(%3) {axes=[0]} : f32[3]
              return %4
            }""",
    )


NEUTRAL = {
    "reduce_sum": ("f32", "0.0"),
    "reduce_prod": ("f32", "1.0"),
    "reduce_max": ("f32", "-inf"),
    "reduce_min": ("i32", "2147483647:i32"),
    "reduce_and": ("bool", "true"),
    "reduce_or": ("bool", "false"),
}


@pytest.mark.parametrize("op", NEUTRAL)
def test_what_does_not_divide_is_padded_with_what_changes_nothing(op: str, check_pass):
    dtype, neutral = NEUTRAL[op]
    check_pass(
        SPLIT,
        before=f"""
            graph @f(%x: {dtype}[23]) -> ({dtype}[]) {{
              %0 = {op}(%x) {{axes=[0]}} : {dtype}[]
              return %0
            }}""",
        after=f"""
            graph @f(%x: {dtype}[23]) -> ({dtype}[]) {{
              %0 = pad(%x, {neutral}) {{high=[1],low=[0]}} : {dtype}[24]
              %1 = reshape(%0) {{shape=[6,4]}} : {dtype}[6,4]
              %2 = {op}(%1) {{axes=[1]}} : {dtype}[6]
              %3 = optimization_barrier(%2) : {dtype}[6]
              %4 = {op}(%3) {{axes=[0]}} : {dtype}[]
              return %4
            }}""",
        ulp=REORDERED_ULP,
    )


def test_sums_of_narrow_floats_stay_wide_in_between():
    graph = parse("""
        graph @f(%x: bf16[32]) -> (bf16[]) {
          %0 = reduce_sum(%x) {axes=[0]} : bf16[]
          return %0
        }""")
    result = run(graph, "split_reductions{programs=4,work=8}", verify=True)
    ops = [(node.op.name, str(node.results[0].type)) for node in result.nodes]
    assert ops == [
        ("convert", "f32[32]"),
        ("reshape", "f32[8,4]"),
        ("reduce_sum", "f32[8]"),
        ("optimization_barrier", "f32[8]"),
        ("reduce_sum", "f32[]"),
        ("convert", "bf16[]"),
    ]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((5, 7, 4), (0, 2)), ((3, 16, 2), (1,)), ((31, 3), (0,)), ((2, 37), (0, 1))],
)
def test_any_axes_keep_their_meaning(shape: tuple[int, ...], axes: tuple[int, ...]):
    kept = ",".join(str(n) for d, n in enumerate(shape) if d not in axes)
    graph = parse(f"""
        graph @f(%x: f32[{",".join(map(str, shape))}]) -> (f32[{kept}]) {{
          %0 = reduce_sum(%x) {{axes={list(axes)}}} : f32[{kept}]
          return %0
        }}""")
    pipeline = "split_reductions{programs=16,work=4}"
    result, report = run_with_report(graph, pipeline, verify=True, check=True)
    assert report.by_rule()["split_reductions/split"] == 1
    assert report.checked
    arrays = random_arrays(graph, np.random.default_rng(0))
    assert_same_meaning(graph, result, arrays, ulp=REORDERED_ULP)


@pytest.mark.parametrize(
    ("type", "axes"),
    [
        ("f32[512,256]", [1]),  # as many programs as there are rows
        ("f32[16384]", [0]),  # short enough for one program
        ("f32[512,1024]", [0]),  # columns, 32 to a program
        ("f32[0,32768]", [0]),
    ],
)
def test_what_keeps_a_gpu_busy_stays_whole(type: str, axes: list[int], check_pass):
    sizes = [int(n) for n in type[4:-1].split(",")]
    kept = ",".join(str(n) for d, n in enumerate(sizes) if d not in axes)
    graph = parse(f"""
        graph @f(%x: {type}) -> (f32[{kept}]) {{
          %0 = reduce_sum(%x) {{axes={axes}}} : f32[{kept}]
          return %0
        }}""")
    assert run(graph, "split_reductions") == graph


def test_long_columns_are_split():
    graph = parse("""
        graph @f(%x: f32[32768,768]) -> (f32[768]) {
          %0 = reduce_sum(%x) {axes=[0]} : f32[768]
          return %0
        }""")
    result = run(graph, "split_reductions", verify=True)
    assert [str(n.results[0].type) for n in result.nodes] == [
        "f32[32,1024,768]",
        "f32[32,768]",
        "f32[32,768]",
        "f32[768]",
    ]
    assert run(result, "split_reductions") == result


def test_what_elements_are_computed_from_counts():
    graph = parse("""
        graph @f(%x: f32[8192]) -> (f32[], f32[]) {
          %0 = reduce_sum(%x) {axes=[0]} : f32[]
          %1 = sine(%x) : f32[8192]
          %2 = tan(%1) : f32[8192]
          %3 = tan(%2) : f32[8192]
          %4 = tan(%3) : f32[8192]
          %5 = reduce_sum(%4) {axes=[0]} : f32[]
          return %0, %5
        }""")
    result = run(graph, "split_reductions", verify=True)
    reduced = [n.operands[0].type for n in result.nodes if n.op.name == "reduce_sum"]
    assert [str(type) for type in reduced] == ["f32[8192]", "f32[64,128]", "f32[64]"]


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        ([64, 224, 224, 3], 1024),  # the squared error of images
        ([4096, 4096], 1024),  # the penalty of a weight
        ([32768], 256),  # the losses of tokens
    ],
    ids=str,
)
def test_long_sums_have_as_many_programs_as_a_gpu_runs(shape: list[int], parts: int):
    axes = list(range(len(shape)))
    type = f"f32[{','.join(map(str, shape))}]"
    graph = parse(f"""
        graph @f(%x: {type}) -> (f32[]) {{
          %0 = reduce_sum(%x) {{axes={axes}}} : f32[]
          return %0
        }}""")
    kernels = emit_kernels(run(graph, "split_reductions,fusion"))
    assert [math.prod(each.programs) for each in kernels.values()] == [parts, 1]


def test_positions_are_those_within_the_first_best_part(check_pass):
    check_pass(
        SPLIT,
        before="""
            graph @f(%x: f32[30]) -> (i32[]) {
              %0 = argmax(%x) {axis=0} : i32[]
              return %0
            }""",
        after="""
            graph @f(%x: f32[30]) -> (i32[]) {
              %0 = reshape(%x) {shape=[6,5]} : f32[6,5]
              %1 = argmax(%0) {axis=1} : i32[6]
              %2 = reduce_max(%0) {axes=[1]} : f32[6]
              %3 = argmax(%2) {axis=0} : i32[]
              %4 = iota() {axis=0, dtype="i32", shape=[6]} : i32[6]
              %5 = multiply(%4, 5:i32) : i32[6]
              %6 = broadcast_in_dim(%3) {dims=[], shape=[6]} : i32[6]
              %7 = iota() {axis=0, dtype="i32", shape=[6]} : i32[6]
              %8 = compare(%7, %6) {direction="EQ"} : bool[6]
              %9 = add(%5, %1) : i32[6]
              %10 = select(%8, %9, 0:i32) : i32[6]
              %11 = reduce_sum(%10) {axes=[0]} : i32[]
              return %11
            }""",
    )


INF, NAN = math.inf, math.nan
ROWS = {
    "ties": [1, 3, 2, 3, -3, 0, -3, 3] * 5,
    "the first of several nan": [*range(20), NAN, 90, *range(14), NAN, NAN, -5],
    "nothing but infinities": [INF] * 37,
    "nothing but negative infinities": [-INF] * 37,
    "zeros of both signs": [-0.0, 0.0] * 15 + [-0.0],
    "the last": [0] * 40 + [1],
}


@pytest.mark.parametrize("op", ["argmax", "argmin"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_positions_are_the_same(op: str, row: list[float]):
    for dtype in ("f32", "bf16", "i16", "bool"):
        kind = graphc_dtype(dtype)
        finite = row if kind.is_float else np.nan_to_num(row, posinf=9, neginf=-9)
        array = np.array(finite).astype(kind.numpy)
        x = np.stack([array, array[::-1]], 1)
        graph = parse(f"""
            graph @f(%x: {dtype}[{len(row)},2]) -> (i32[2]) {{
              %0 = {op}(%x) {{axis=0}} : i32[2]
              return %0
            }}""")
        result = run(graph, "split_reductions{programs=4,work=8}", verify=True)
        assert sum(node.op.name == op for node in result.nodes) == 2
        assert_same_meaning(graph, result, [x])


def test_long_rows_have_programs_to_find_positions():
    graph = parse("""
        graph @f(%x: f32[3,100000]) -> (i32[3]) {
          %0 = argmin(%x) {axis=1} : i32[3]
          return %0
        }""")
    kernels = emit_kernels(run(graph, "split_reductions,fusion")).values()
    assert [math.prod(each.programs) for each in kernels] == [300, 3]
