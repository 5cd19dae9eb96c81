"""Kernels whose registers spill are compiled with other schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import emit_kernels
from graphc.codegen.triton.tuning import lighter
from graphc.ir import Graph, parse
from graphc.passes import run
from graphc.runtime.triton_compile import CompiledKernel
from graphc.runtime.triton_spills import without_spills

ROWS = """
    graph @f(%x: f32[4000,96]) -> (f32[4000]) {
      %y = reduce_sum(%x) {axes=[1]} : f32[4000]
      return %y
    }"""
DOT = """
    graph @f(%x: bf16[512,512], %w: bf16[512,512]) -> (bf16[512,512]) {
      %y = dot_general(%x, %w) {contract=[[1],[0]]} : bf16[512,512]
      return %y
    }"""


class Spilling:
    """A compiler by which what a warp has more than so many elements of spills."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.compiled: list[Kernel] = []

    def compile(
        self, kernels: Sequence[Kernel], architecture: str
    ) -> list[CompiledKernel]:
        self.compiled += kernels
        return [self._compiled(kernel) for kernel in kernels]

    def _compiled(self, kernel: Kernel) -> CompiledKernel:
        spills = max(0, held(kernel) - self.most)
        return CompiledKernel(kernel.name, b"", "", 128, 0, 255, spills, 0, 1)


def held(kernel: Kernel) -> int:
    """The elements of a tile that a warp has."""
    sizes = kernel.constants
    rows, columns = (("BLOCK_M", "BLOCK_N"), ("XBLOCK", "RBLOCK"))["RBLOCK" in sizes]
    return sizes[rows] * sizes[columns] // kernel.num_warps


def made(text: str) -> tuple[Graph, str, Kernel]:
    """A lowered graph, and its only kernel."""
    lowered = run(parse(text), "fusion")
    ((name, kernel),) = emit_kernels(lowered).items()
    return lowered, name, kernel


@pytest.mark.parametrize("text", [ROWS, DOT], ids=["rows", "dot"])
def test_the_nearest_schedule_that_does_not_spill_is_taken(text: str):
    graph, name, kernel = made(text)
    compiler = Spilling(held(kernel) // 2)
    found = without_spills({name: kernel}, graph.module, compiler, "sm_90")
    assert held(found[name]) == held(kernel) // 2
    assert replace(found[name], constants={}, num_warps=4, num_stages=2, source="") == (
        replace(kernel, constants={}, num_warps=4, num_stages=2, source="")
    )


def test_what_does_not_spill_stays():
    graph, name, kernel = made(ROWS)
    compiler = Spilling(held(kernel))
    assert not without_spills({name: kernel}, graph.module, compiler, "sm_90")
    assert compiler.compiled == [kernel]


def test_what_spills_least_is_taken_if_all_spill():
    graph, name, kernel = made(ROWS)
    compiler = Spilling(0)
    found = without_spills({name: kernel}, graph.module, compiler, "sm_90")
    tried = [held(each) for each in compiler.compiled]
    assert held(found[name]) == min(tried) < held(kernel)
    assert 2 < len(tried) <= 4


ATTENTION = """
    graph @f(%q: f32[2,77,3,128], %k: f32[2,99,3,128]) -> (f32[2,77,3,128]) {
      %y = attention(%q, %k, %k) {scale=0.1} : f32[2,77,3,128]
      return %y
    }"""


def test_lighter_attention_has_sides_for_products():
    graph, name, kernel = made(ATTENTION)
    assert kernel.num_warps == 4
    found = lighter(graph.module.graphs[name], kernel)
    assert [(each.num_warps, *each.constants.values()) for each in found] == [
        (8, 32, 16),
        (8, 16, 16),
    ]


def test_the_smallest_tile_has_fewer_terms_at_a_time():
    graph, name, kernel = made("""
        graph @f(%x: f32[60,512], %w: f32[512,60]) -> (f32[60,60]) {
          %y = dot_general(%x, %w) {contract=[[1],[0]]} : f32[60,60]
          return %y
        }""")
    own = {"BLOCK_M": 16, "BLOCK_N": 16, "BLOCK_K": 64}
    assert own.items() <= kernel.constants.items()
    found = lighter(graph.module.graphs[name], kernel)
    assert [each.constants for each in found] == [
        {**kernel.constants, "BLOCK_K": terms} for terms in (32, 16)
    ]


def test_lighter_schedules_hold_less():
    for text in (ROWS, DOT):
        graph, name, kernel = made(text)
        schedules = lighter(graph.module.graphs[name], kernel)
        assert schedules
        own = held(kernel)
        for each in schedules:
            changed = replace(
                kernel, constants=each.constants, num_warps=each.num_warps
            )
            assert held(changed) < own
