"""The text of generated kernels: golden files, and the same bytes in every process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from graphc import passes
from graphc.codegen.triton.module import emit_kernels
from graphc.ir import parse

GRAPHS = {
    "softmax": """
        graph @f(%x: bf16[64,1000]) -> (bf16[64,1000]) {
          %0 = softmax(%x) {axis=1} : bf16[64,1000]
          return %0
        }""",
    "layer_norm_gradient": """
        graph @f(%x: f32[512,96], %g: f32[96], %b: f32[96], %t: f32[512,96])
            -> (f32[], f32[512,96], f32[96], f32[96]) {
          %0, %1, %2, %3 = value_and_gradient(%x, %g, %b, %t)
              {graph="loss", wrt=[0,1,2]} : f32[], f32[512,96], f32[96], f32[96]
          return %0, %1, %2, %3
        }
        graph @loss(%x: f32[512,96], %g: f32[96], %b: f32[96], %t: f32[512,96])
            -> (f32[]) {
          %0 = layer_norm(%x, %g, %b) {axes=[1], epsilon=1e-05} : f32[512,96]
          %1 = multiply(%0, %t) : f32[512,96]
          %2 = reduce_sum(%1) {axes=[0,1]} : f32[]
          return %2
        }""",
    "cross_entropy_of_long_rows": """
        graph @f(%x: f32[128,50000], %y: i32[128]) -> (f32[], f32[128,50000]) {
          %0, %1 = value_and_gradient(%x, %y) {graph="loss", wrt=[0]}
              : f32[], f32[128,50000]
          return %0, %1
        }
        graph @loss(%x: f32[128,50000], %y: i32[128]) -> (f32[]) {
          %0 = cross_entropy(%x, %y) : f32[128]
          %1 = reduce_sum(%0) {axes=[0]} : f32[]
          return %1
        }""",
    "transposed_operand": """
        graph @f(%x: f32[640,960], %y: f32[960,640]) -> (f32[960,640]) {
          %0 = transpose(%x) {permutation=[1,0]} : f32[960,640]
          %1 = add(%0, %y) : f32[960,640]
          return %1
        }""",
    "gather_of_padded": """
        graph @f(%x: f32[30,8], %i: i32[5]) -> (f32[5,9]) {
          %0 = pad(%x, 0.5) {high=[0,1], low=[2,0]} : f32[32,9]
          %1 = take(%0, %i) {axis=0} : f32[5,9]
          return %1
        }""",
    "several_updates": """
        graph @f(%a: f32[300], %da: f32[300], %b: f32[7,5], %db: f32[7,5], %r: f32[])
            -> (f32[300], f32[7,5]) {
          %0 = multiply(%da, %r) : f32[300]
          %1 = subtract(%a, %0) : f32[300]
          %2 = multiply(%db, %r) : f32[7,5]
          %3 = subtract(%b, %2) : f32[7,5]
          return %1, %3
        }""",
    "dropout": """
        graph @f(%x: f32[600,4], %key: u32[4]) -> (f32[600,4]) {
          %0 = dropout(%x, %key) {rate=0.25} : f32[600,4]
          return %0
        }""",
    "rotated_halves": """
        graph @f(%x: f32[600,8,32], %c: f32[600,16], %s: f32[600,16])
            -> (f32[600,8,32]) {
          %0 = slice(%x) {limit=[600,8,16], start=[0,0,0]} : f32[600,8,16]
          %1 = slice(%x) {limit=[600,8,32], start=[0,0,16]} : f32[600,8,16]
          %2 = broadcast_in_dim(%c) {dims=[0,2], shape=[600,8,16]} : f32[600,8,16]
          %3 = broadcast_in_dim(%s) {dims=[0,2], shape=[600,8,16]} : f32[600,8,16]
          %4 = multiply(%0, %2) : f32[600,8,16]
          %5 = multiply(%1, %3) : f32[600,8,16]
          %6 = subtract(%4, %5) : f32[600,8,16]
          %7 = multiply(%1, %2) : f32[600,8,16]
          %8 = multiply(%0, %3) : f32[600,8,16]
          %9 = add(%7, %8) : f32[600,8,16]
          %y = concatenate(%6, %9) {axis=2} : f32[600,8,32]
          return %y
        }""",
    "sums_of_interleaved_columns": """
        graph @f(%a: f32[20,13,48], %b: f32[20,13,48]) -> (f32[20,4]) {
          %0 = reshape(%a) {shape=[20,13,1,48]} : f32[20,13,1,48]
          %1 = reshape(%b) {shape=[20,13,1,48]} : f32[20,13,1,48]
          %2 = concatenate(%0, %1) {axis=2} : f32[20,13,2,48]
          %3 = reshape(%2) {shape=[20,26,4,12]} : f32[20,26,4,12]
          %4 = reduce_sum(%3) {axes=[1,3]} : f32[20,4]
          return %4
        }""",
    "max_pool": """
        graph @f(%x: f32[2,8,8,16]) -> (f32[2,4,4,16]) {
          %0 = max_pool(%x) {padding=[[0,1],[0,1]], strides=[2,2], window=[3,3]}
              : f32[2,4,4,16]
          return %0
        }""",
    "sorted_places": """
        graph @f(%x: f32[6,20]) -> (f32[6,20], i32[6,20]) {
          %0 = iota() {axis=1, dtype="i32", shape=[6,20]} : i32[6,20]
          %1, %2 = sort(%x, %0) {axis=1, descending=true} : f32[6,20], i32[6,20]
          return %1, %2
        }""",
    "embedding_gradient": """
        graph @f(%g: f32[256,32], %i: i32[256]) -> (f32[1000,32]) {
          %0 = broadcast_in_dim(0.0) {dims=[], shape=[1000,32]} : f32[1000,32]
          %1 = scatter(%0, %i, %g) {index_axis=1, index_map=[0], inserted_dims=[0],
              update_window_dims=[1]} : f32[1000,32]
          return %1
        }""",
    "running_sum": """
        graph @f(%x: f32[12,50]) -> (f32[12,50]) {
          %0 = cumulative_sum(%x) {axis=1, reverse=true} : f32[12,50]
          return %0
        }""",
    "running_maximum_of_long_rows": """
        graph @f(%x: f32[2,9000]) -> (f32[2,9000], f32[2]) {
          %0 = reduce_min(%x) {axes=[1]} : f32[2]
          %1 = broadcast_in_dim(%0) {dims=[0], shape=[2,9000]} : f32[2,9000]
          %2 = subtract(%x, %1) : f32[2,9000]
          %3 = cumulative_max(%2) {axis=1, reverse=true} : f32[2,9000]
          %4 = reduce_sum(%3) {axes=[1]} : f32[2]
          return %3, %4
        }""",
}


def sources(name: str) -> str:
    """The text of all kernels of a graph."""
    lowered = passes.run(parse(GRAPHS[name]), "triton")
    return "\n\n".join(kernel.source for kernel in emit_kernels(lowered).values())


@pytest.mark.parametrize("name", GRAPHS)
def test_kernel_text(name: str, golden: Callable[..., None]):
    golden(sources(name))


@pytest.mark.parametrize("name", GRAPHS)
def test_kernel_text_is_formatted(name: str):
    lines = sources(name).splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert max(map(len, lines)) <= 88


@pytest.mark.parametrize(
    ("rows", "columns", "programs", "warps"),
    [(640, 960, 150, 8), (32, 192, 48, 1), (5, 3, 1, 1)],
)
def test_tiles_are_small_where_few_would_be_large(
    rows: int, columns: int, programs: int, warps: int
):
    graph = parse(f"""
        graph @f(%x: f32[{columns},{rows}], %y: f32[{rows},{columns}]) ->
            (f32[{rows},{columns}]) {{
          %0 = transpose(%x) {{permutation=[1,0]}} : f32[{rows},{columns}]
          %1 = add(%0, %y) : f32[{rows},{columns}]
          return %1
        }}""")
    (kernel,) = emit_kernels(passes.run(graph, "fusion")).values()
    assert (kernel.programs[0], kernel.num_warps) == (programs, warps)


def test_text_does_not_depend_on_hash_seeds():
    here = hashlib.sha256("".join(map(sources, GRAPHS)).encode()).hexdigest()
    code = (
        "import hashlib\n"
        "from tests.codegen.triton.test_generated import GRAPHS, sources\n"
        "text = ''.join(map(sources, GRAPHS))\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == here
