"""Kernels that multiply matrices on tiles, against the reference and as machine code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from graphc.codegen.triton.contraction import contraction_body
from graphc.codegen.triton.contraction_schedule import (
    LEAST_SIDE,
    PROGRAMS,
    SHARED_MEMORY,
    Problem,
    candidates,
    default_schedule,
)
from graphc.codegen.triton.contraction_space import contraction_space
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import emit_kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.ir import Graph, OpDef, evaluate, parse
from graphc.ir.opdef import Kind
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.runtime.triton_compile import Compiler
from graphc.runtime.triton_device import Device
from graphc.testing.equivalence import random_arrays
from graphc.testing.op_cases import own_cases
from tests.codegen.triton.contraction_cases import (
    CASES,
    GATED,
    MORE,
    TILE_SUMS,
    convolution,
    linear_gelu,
    matmul,
)
from tests.op_programs import ALL_OPS
from tests.triton_kernels import run_kernel

pytestmark = pytest.mark.triton

SMALL = Schedule({"BLOCK_M": 16, "BLOCK_N": 32, "BLOCK_K": 16, "GROUP_M": 2}, 1)


DESCRIBED = replace(SMALL, descriptors=True)
IN_TURN = replace(DESCRIBED, constants={**SMALL.constants, PROGRAMS: 3})


def tiled(graph: Graph, schedule: Schedule | None = SMALL) -> Kernel:
    """The kernel of a graph that has to be one that multiplies tiles."""
    kernel = emit_kernel(graph, partial(contraction_body, schedule=schedule))
    assert "tl.dot(" in kernel.source
    return kernel


def check(
    graph: Graph,
    arrays: Sequence[np.ndarray[Any, Any]],
    device: Device,
    schedule: Schedule = SMALL,
) -> None:
    """Compares a kernel of small tiles with the reference."""
    found = run_kernel(device, tiled(graph, schedule), *arrays)
    expected = evaluate(graph, *arrays)
    exact = evaluate(graph, *arrays, dtype="f64")
    for got, want, judge in zip(found, expected, exact, strict=True):
        if mismatch(got, want):
            assert not inaccuracy(got, want, judge)


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(text, id=name) for name, text in CASES.items()),
        *(
            pytest.param(text, id=name, marks=pytest.mark.slow)
            for name, text in MORE.items()
        ),
    ],
)
def test_kernels_agree_with_the_reference(
    text: str, kernel_device: Device, rng: np.random.Generator
):
    graph = parse(text)
    check(graph, random_arrays(graph, rng), kernel_device)


def test_parts_of_tiles_that_reach_beyond_the_end_are_not_stored(
    kernel_device: Device, rng: np.random.Generator
):
    graph = parse(TILE_SUMS)
    sizes = {**SMALL.constants, "BLOCK_M": 32}
    assert "mask=n_inside & part_inside" in tiled(graph, Schedule(sizes)).source
    check(graph, random_arrays(graph, rng), kernel_device, Schedule(sizes))


def test_tiles_have_whole_parts():
    space = contraction_space(parse(TILE_SUMS.replace("80", "320").replace("16", "64")))
    assert space is not None
    found = candidates(space.problem(tf32=False))
    assert found
    assert all(each.constants["BLOCK_M"] % 64 == 0 for each in found)


PRIMITIVES = [op for op in ALL_OPS if not op.is_composite]
DESCRIBABLE = {
    "matrices": matmul(40, 48, 56),
    "transposed matrices": matmul(40, 48, 56, "f16", form="TT"),
    "gelu": linear_gelu(40, 24, 48),
    "a batch": """
        graph @f(%x: f32[3,20,32], %w: f32[3,16,32]) -> (f32[3,20,16]) {
          %y = dot_general(%x, %w) {batch=[[0],[0]], contract=[[2],[2]]} : f32[3,20,16]
          return %y
        }""",
    "a window of one": convolution(
        (2, 4, 4, 24), (1, 1, 24, 16), (2, 4, 4, 16), padding="[[0,0],[0,0]]"
    ),
}


@pytest.mark.parametrize("text", DESCRIBABLE.values(), ids=DESCRIBABLE)
@pytest.mark.parametrize(
    "schedule", [DESCRIBED, IN_TURN], ids=["tile by tile", "in turn"]
)
def test_tiles_are_read_by_descriptors(
    text: str,
    schedule: Schedule,
    kernel_device: Device,
    rng: np.random.Generator,
):
    graph = parse(text)
    source = tiled(graph, schedule).source
    described = 0 if "batch=" in text and schedule is IN_TURN else 2
    assert source.count("tl.make_tensor_descriptor(") == described
    check(graph, random_arrays(graph, rng), kernel_device, schedule)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(matmul(40, 44, 36), id="rows that start at odd places"),
        pytest.param(CASES["strides"], id="windows"),
        pytest.param(CASES["prepared operands"], id="prepared operands"),
    ],
)
def test_other_tiles_are_read_by_positions(text: str):
    assert "descriptor" not in tiled(parse(text), IN_TURN).source


CONTRACTIONS = [op for op in PRIMITIVES if op.kind is Kind.CONTRACTION]


@pytest.mark.parametrize("op", CONTRACTIONS, ids=lambda op: op.name)
def test_samples_agree_with_the_reference(
    op: OpDef, kernel_device: Device, rng: np.random.Generator
):
    template = partial(contraction_body, schedule=SMALL)
    checked = 0
    for case in own_cases(op, rng):
        if "tl.dot(" in emit_kernel(case.graph, template).source:
            check(case.graph, case.arrays, kernel_device)
            checked += 1
    assert checked > len(op.samples) / 2


def test_what_is_beyond_the_operands_adds_nothing(
    kernel_device: Device, rng: np.random.Generator
):
    graph = parse(matmul(20, 18, 21, "f32"))
    x, w = random_arrays(graph, rng)
    x[3, 20], x[4, 0], w[20, 5] = np.inf, np.nan, -np.inf
    check(graph, [x, w], kernel_device)


def test_source(golden):
    for text in (
        linear_gelu(4096, 3072, 768),
        convolution(
            (128, 28, 28, 128), (3, 3, 128, 256), (128, 14, 14, 256), strides="[2,2]"
        ),
    ):
        graph = parse(text)
        golden(tiled(graph, None).source, graph.name)


# -- which kernels ---------------------------------------------------------------------


LONELY = {
    "a reduction behind": """
        graph @f(%x: f32[32,32], %w: f32[32,32]) -> (f32[32]) {
          %p = dot_general(%x, %w) {contract=[[1],[0]]} : f32[32,32]
          %y = reduce_sum(%p) {axes=[1]} : f32[32]
          return %y
        }""",
    "a product of a product": """
        graph @f(%x: f32[32,32], %w: f32[32,32]) -> (f32[32,32]) {
          %p = dot_general(%x, %w) {contract=[[1],[0]]} : f32[32,32]
          %y = dot_general(%p, %w) {contract=[[1],[0]]} : f32[32,32]
          return %y
        }""",
    "elements read at two places": """
        graph @f(%x: f32[32,32], %w: f32[32,32]) -> (f32[32,32]) {
          %p = dot_general(%x, %w) {contract=[[1],[0]]} : f32[32,32]
          %t = transpose(%p) {permutation=[1,0]} : f32[32,32]
          %y = add(%p, %t) : f32[32,32]
          return %y
        }""",
    "a result of another size": """
        graph @f(%x: f32[32,32], %w: f32[32,32], %z: f32[8]) -> (f32[32,32], f32[8]) {
          %y = dot_general(%x, %w) {contract=[[1],[0]]} : f32[32,32]
          %e = exponential(%z) : f32[8]
          return %y, %e
        }""",
    "integers of 32 bits": matmul(32, 32, 32, "i32"),
    "a vector": matmul(32, 1, 32, "f32"),
}


@pytest.mark.parametrize("text", LONELY.values(), ids=LONELY)
def test_other_kernels_are_left_to_others(text: str):
    assert contraction_body(parse(text), ["p"] * 5, SMALL) is None


def test_small_groups_are_left_to_loops():
    depthwise = convolution((8, 28, 28, 32), (5, 5, 1, 32), (8, 26, 26, 32), groups=32)
    assert contraction_body(parse(depthwise), ["p"] * 3) is None


def test_products_of_one_operand_share_its_tiles():
    source = tiled(parse(GATED)).source
    assert source.count("tl.load(x_ptr") == 1
    assert source.count("tl.dot(") == 2


def test_positions_beyond_31_bits_are_wide():
    source = tiled(parse(matmul(65_536, 65_536, 64)), None).source
    assert "tl.program_id(0).to(tl.int64)" in source
    assert "tl.arange(0, BLOCK_K).to(tl.int64)" in source
    small = tiled(parse(matmul(4096, 4096, 64)), None).source
    assert "int64" not in small


def test_float32_is_rounded_only_where_it_may_be():
    graph = parse(matmul(64, 64, 64, "f32"))
    assert 'input_precision="ieee"' in tiled(graph).source
    graph.attributes["tf32"] = True
    assert 'input_precision="tf32"' in tiled(graph).source


# -- schedules -------------------------------------------------------------------------


def test_large_products_take_the_largest_tiles():
    for k in (768, 8192):
        schedule = default_schedule(Problem(8192, 8192, k))
        assert list(schedule.constants.values())[:3] == [128, 256, 64]
        assert (schedule.num_warps, schedule.num_stages) == (8, 3)


def test_much_arithmetic_behind_takes_smaller_tiles():
    schedule = default_schedule(Problem(32_768, 3072, 768, epilogue=8))
    assert list(schedule.constants.values())[:3] == [128, 128, 64]


def test_descriptors_are_candidates_where_there_is_hardware():
    problem = Problem(8192, 8192, 768)
    plain = candidates(problem)
    found = candidates(problem, descriptors=True)
    assert found[-len(plain) :] == plain
    assert {each.descriptors for each in found[: -len(plain)]} == {True}
    assert sum(PROGRAMS in each.constants for each in found) == 4
    assert candidates(replace(problem, tensor_cores=False), descriptors=True) == (
        candidates(replace(problem, tensor_cores=False))
    )


def test_warps_have_parts_of_their_own_only_where_that_is_asked_for():
    graph, problem = parse(matmul(512, 512, 512)), Problem(512, 512, 512)
    plain = candidates(problem, descriptors=True)
    found = candidates(problem, descriptors=True, warp_specialize=True)
    assert found[-len(plain) :] == plain
    divided = found[: -len(plain)]
    assert all(each.warp_specialize and each.descriptors for each in divided)
    for schedule in divided:
        source = tiled(graph, schedule).source
        assert source.count("warp_specialize=True") == 1
        assert ("PROGRAMS, warp_specialize=True)" in source) == (
            PROGRAMS in schedule.constants
        )
        assert tiled(graph, schedule).schedule == schedule
    assert not any(each.warp_specialize for each in plain)


def test_tiles_lie_in_one_place_of_a_window():
    schedule = default_schedule(Problem(100_352, 96, 864, aligned=96))
    assert schedule.constants["BLOCK_K"] == 32


def test_schedules_fit(rng: np.random.Generator):
    for _ in range(200):
        m, n, k = (int(2 ** rng.uniform(0, 15)) for _ in range(3))
        bits = int(rng.choice([8, 16, 32, 64]))
        products = int(rng.integers(1, 3))
        problem = Problem(
            m,
            n,
            k,
            batch=int(2 ** rng.uniform(0, 8)),
            bits=bits,
            tensor_cores=bits < 32,
            products=products,
        )
        found = candidates(problem)
        assert found
        assert len({str(each) for each in found}) == len(found)
        for each in found:
            block_m, block_n, block_k = (
                each.constants[name] for name in ("BLOCK_M", "BLOCK_N", "BLOCK_K")
            )
            for block in (block_m, block_n, block_k):
                assert block >= LEAST_SIDE
                assert block & (block - 1) == 0
            assert block_m < 2 * max(m, LEAST_SIDE)
            assert block_n < 2 * max(n, LEAST_SIDE)
            read = (block_m + products * block_n) * block_k * bits // 8
            assert each.num_stages * read <= SHARED_MEMORY


# -- machine code ----------------------------------------------------------------------


BENCHMARKS = {
    "8192": matmul(8192, 8192, 8192),
    "qkv": matmul(32_768, 2304, 768),
    "projection": matmul(32_768, 768, 768),
    "down": matmul(32_768, 768, 3072),
    "gradient of an input": matmul(32_768, 768, 2304, form="NT"),
    "gradient of weights": matmul(768, 2304, 32_768, form="TN"),
    "gelu": linear_gelu(32_768, 3072, 768),
    "float16": linear_gelu(4096, 3072, 768, "f16"),
    "3x3": convolution((256, 56, 56, 64), (3, 3, 64, 64), (256, 56, 56, 64)),
    "1x1": convolution(
        (256, 28, 28, 512),
        (1, 1, 512, 128),
        (256, 28, 28, 128),
        padding="[[0,0],[0,0]]",
    ),
    "stride 2": convolution(
        (256, 56, 56, 128), (3, 3, 128, 128), (256, 28, 28, 128), strides="[2,2]"
    ),
    "phase of a gradient": """
    graph @phase(%g: bf16[256,28,28,128], %w: bf16[3,3,128,128])
        -> (bf16[256,28,28,128]) {
      %r = reverse(%w) {axes=[0,1]} : bf16[3,3,128,128]
      %s = slice(%r) {limit=[3,3,128,128], start=[0,0,0,0], strides=[2,2,1,1]}
        : bf16[2,2,128,128]
      %y = convolution(%g, %s) {input_dilation=[1,1], kernel_dilation=[1,1],
        labels="b01f_01oi->b01f", padding=[[1,0],[1,0]], strides=[1,1]}
        : bf16[256,28,28,128]
      return %y
    }""",
    "stem": convolution(
        (256, 224, 224, 3),
        (7, 7, 3, 64),
        (256, 112, 112, 64),
        padding="[[3,3],[3,3]]",
        strides="[2,2]",
    ),
    "gradient of a kernel": convolution(
        (256, 56, 56, 64),
        (256, 56, 56, 64),
        (3, 3, 64, 64),
        labels="f01b_i01o->01bf",
    ),
}


GELU, GELU_16 = BENCHMARKS["gelu"], BENCHMARKS["float16"]
"""They read a bias; the stem has too few features for copies of 16 bytes."""


def test_tiles_are_multiplied_by_tensor_cores(triton_compiler: Compiler):
    sizes = {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 32, "GROUP_M": 8}
    kernel = tiled(parse(matmul(4096, 4096, 4096)), Schedule(sizes, 4, 3))
    (compiled,) = triton_compiler.compile([kernel], "sm_90")
    assert "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16" in compiled.assembly
    assert "cp.async.cg.shared.global" in compiled.assembly
    assert "ld.global" not in compiled.assembly
    assert compiled.spills == 0


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "gfx942"])
@pytest.mark.parametrize("text", BENCHMARKS.values(), ids=BENCHMARKS)
def test_benchmarks_compile_without_spills(
    text: str, architecture: str, triton_compiler: Compiler
):
    kernel = tiled(parse(text), None)
    (compiled,) = triton_compiler.compile([kernel], architecture)
    assert compiled.spills == 0
    instruction = {"sm_80": "mma.sync", "sm_90": "wgmma", "gfx942": "v_mfma"}
    if min(kernel.constants["BLOCK_M"], kernel.constants["BLOCK_N"]) >= 64:
        assert instruction[architecture] in compiled.assembly
    if architecture != "gfx942" and text not in (BENCHMARKS["stem"], GELU, GELU_16):
        assert "ld.global" not in compiled.assembly


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["8192", "qkv", "gradient of an input", "gradient of weights", "gelu"]
)
def test_descriptors_compile_without_spills(name: str, triton_compiler: Compiler):
    graph = parse(BENCHMARKS[name])
    space = contraction_space(graph)
    assert space is not None
    in_turn, *_, described = candidates(space.problem(tf32=False), descriptors=True)[:5]
    assert PROGRAMS in in_turn.constants
    assert PROGRAMS not in described.constants
    kernels = [tiled(graph, schedule) for schedule in (in_turn, described)]
    for compiled in triton_compiler.compile(kernels, "sm_90"):
        assert compiled.spills == 0
        assert "cp.async.bulk.tensor.2d" in compiled.assembly
        assert "wgmma" in compiled.assembly


@pytest.mark.slow
@pytest.mark.parametrize("name", ["8192", "gelu"])
def test_warps_with_parts_of_their_own_compile(name: str, triton_compiler: Compiler):
    graph = parse(BENCHMARKS[name])
    space = contraction_space(graph)
    assert space is not None
    problem = space.problem(tf32=False)
    found = candidates(problem, descriptors=True, warp_specialize=True)
    kernels = [tiled(graph, each) for each in found if each.warp_specialize][::4]
    for compiled in triton_compiler.compile(kernels, "sm_100"):
        assert compiled.spills == 0
        assert "setmaxnreg" in compiled.assembly


TILE_SUMS_OF_A_LAYER = """
    graph @sums(%g: bf16[32768,768], %w: bf16[3072,768], %z: bf16[32768,3072])
        -> (bf16[32768,3072], f32[512,3072]) {
      %p = dot_general(%g, %w) {contract=[[1],[1]]} : bf16[32768,3072]
      %t = tanh(%z) : bf16[32768,3072]
      %y = multiply(%p, %t) : bf16[32768,3072]
      %c = convert(%y) {dtype="f32"} : f32[32768,3072]
      %r = reshape(%c) {shape=[512,64,3072]} : f32[512,64,3072]
      %s = reduce_sum(%r) {axes=[1]} : f32[512,3072]
      return %y, %s
    }"""
"""The gradient of what goes into an activation, and sums for that of the bias."""


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "gfx942"])
def test_sums_of_rows_compile(architecture: str, triton_compiler: Compiler):
    kernel = tiled(parse(TILE_SUMS_OF_A_LAYER), None)
    (compiled,) = triton_compiler.compile([kernel], architecture)
    assert compiled.spills == 0


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64", "i8"])
def test_every_dtype_compiles(dtype: str, architecture: str, triton_compiler: Compiler):
    kernels = [
        tiled(parse(matmul(300, 200, 100, dtype)), None),
        tiled(parse(matmul(300, 200, 100, dtype)), SMALL_DEPTH),
    ]
    for compiled in triton_compiler.compile(kernels, architecture):
        assert compiled.spills == 0


SMALL_DEPTH = Schedule({"BLOCK_M": 16, "BLOCK_N": 16, "BLOCK_K": 32, "GROUP_M": 2}, 1)
