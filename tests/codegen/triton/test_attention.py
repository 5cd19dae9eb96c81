"""Attention and its gradient as kernels, against the references of their ops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graphc.codegen.triton.attention import attention_kernel, supports
from graphc.codegen.triton.kernel import Kernel
from graphc.ir import Node, OpDef, parse
from graphc.ir.tolerance import node_ulp
from graphc.runtime.triton_compile import Compiler
from graphc.runtime.triton_device import Device, stored_nbytes
from graphc.testing.equivalence import assert_close
from tests.codegen.triton.attention_cases import PIECES, Use, expected

pytestmark = pytest.mark.triton

Array = np.ndarray[Any, Any]

FORWARD, QUERY_GRADIENT, KEY_VALUE_GRADIENT = PIECES[1:]
CAUSAL = {"causal": True}
FIRST = {
    "fewer queries": Use((1, 18, 1, 8), 40, attributes=CAUSAL),
    "grouped heads": Use((1, 9, 4, 20), 23, shared=2, width=36),
    "a causal mask": Use((1, 20, 2, 16), 20, 1, mask=(1, 2, 20, 20), attributes=CAUSAL),
    "bfloat16": Use((1, 33, 1, 32), 33, dtype="bf16", attributes=CAUSAL),
}
MORE = {
    "whole tiles": Use((1, 32, 1, 16), 32),
    "causal": Use((1, 40, 1, 16), 40, attributes=CAUSAL),
    "fewer keys": Use((1, 40, 1, 8), 18, attributes=CAUSAL),
    "one query": Use((2, 1, 2, 16), 20, mask=(2, 1, 1, 20)),
    "a mask": Use((1, 20, 2, 16), 33, mask=(1, 2, 20, 33)),
    "a mask of keys": Use((2, 17, 1, 16), 24, mask=(2, 1, 1, 24)),
    "a mask of queries": Use((1, 20, 2, 16), 17, mask=(1, 2, 20, 1)),
    "a mask of examples": Use((2, 16, 1, 16), 16, mask=(2, 1, 1, 1)),
    "a negative scale": Use((1, 16, 1, 16), 16, attributes={"scale": -0.5}),
    "a scale of zero": Use((1, 16, 1, 16), 17, attributes={"scale": 0.0}),
    "float16": Use((1, 20, 2, 64), 20, 1, dtype="f16"),
    "a mask in bfloat16": Use((1, 20, 2, 40), 33, 1, mask=(1, 1, 20, 33), dtype="bf16"),
}
USES = [
    *[pytest.param(use, id=name) for name, use in FIRST.items()],
    *[pytest.param(use, id=name, marks=pytest.mark.slow) for name, use in MORE.items()],
]


@pytest.mark.parametrize("op", PIECES[1:], ids=lambda op: op.name)
@pytest.mark.parametrize("use", USES)
def test_kernels_agree_with_the_reference(
    op: OpDef, use: Use, kernel_device: Device, rng: np.random.Generator
):
    check(op, use, kernel_device, rng)


def test_an_attention_without_gradient_keeps_no_logarithms(
    kernel_device: Device, rng: np.random.Generator
):
    check(PIECES[0], FIRST["grouped heads"], kernel_device, rng)


def check(op: OpDef, use: Use, device: Device, rng: np.random.Generator) -> None:
    """Compares a kernel of small tiles with its op's reference."""
    node, arrays = use.node(op), use.arrays(op, rng)
    kernel = attention_kernel(node, "kernel")
    kernel = replace(kernel, constants={"BLOCK_M": 16, "BLOCK_N": 16})
    wanted = expected(node, arrays)
    for got, want in zip(launched(device, kernel, arrays), wanted, strict=True):
        assert_close(got, want, node_ulp(node))


def launched(device: Device, kernel: Kernel, arrays: list[Array]) -> list[Array]:
    """The results of a kernel for arrays, in memory of their own."""
    addresses = [device.allocate(stored_nbytes(type)) for type in kernel.pointers]
    for address, array in zip(addresses, arrays, strict=False):
        device.write(address, array)
    device.launch(device.load(kernel), addresses)
    results = addresses[len(arrays) :]
    found = [
        device.read(address, type)
        for address, type in zip(results, kernel.results, strict=True)
    ]
    for address in addresses:
        device.free(address)
    return found


def test_operands_that_are_one_value_share_an_argument(
    kernel_device: Device, rng: np.random.Generator
):
    node = only_node("""
        graph @f(%x: f32[1,17,2,16]) -> (f32[1,17,2,16]) {
          %y, %total = attention_with_logsumexp(%x, %x, %x) : f32[1,17,2,16], f32[1,2,17]
          return %y
        }""")
    kernel = attention_kernel(node, "kernel")
    assert kernel.arguments == ("q_ptr", "y_ptr")
    x = rng.normal(size=(1, 17, 2, 16)).astype(np.float32)
    (found,) = launched(kernel_device, kernel, [x])
    assert_close(found, expected(node, [x])[0], node_ulp(node))


def only_node(text: str) -> Node:
    (node,) = parse(text).nodes
    return node


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (Use((1, 4, 1, 8), 4, dtype="f64"), "f64 has no matrix products in hardware"),
        (Use((1, 4, 1, 8), 4, width=257), "the depth 257 is more than 256"),
        (Use((1, 4, 1, 8), 0), "an operand has no elements"),
        (Use((1, 4, 1, 256), 4), None),
    ],
)
def test_what_has_no_kernel_is_declined_with_a_reason(use: Use, reason: str | None):
    assert supports(use.node(PIECES[0])) == reason


def test_other_ops_are_declined():
    node = only_node(
        "graph @f(%x: f32[3]) -> (f32[3]) {\n  %0 = tanh(%x) : f32[3]\n  return %0\n}"
    )
    assert supports(node) == "tanh is no piece of attention"


def test_counts_operations_of_logits_that_take_part():
    full, causal = (
        attention_kernel(Use((2, 8, 3, 4), 8, attributes=given).node(FORWARD), "kernel")
        for given in ({}, CAUSAL)
    )
    assert full.flops == 2 * (2 * 3) * (8 * 8) * (4 + 4)
    assert causal.flops == 2 * (2 * 3) * (8 * 9 // 2) * (4 + 4)
    assert full.bytes == 4 * (4 * 2 * 8 * 3 * 4 + 2 * 3 * 8)


@pytest.mark.parametrize(("batch", "wide"), [(2048, False), (4096, True)])
def test_offsets_are_as_wide_as_the_tensors_ask(batch: int, wide: bool):
    use = Use((batch, 8192, 1, 64), 8192)
    for op in PIECES:
        source = attention_kernel(use.node(op), "kernel").source
        assert (
            "batch = (tl.program_id(0) // (blocks * 1)).to(tl.int64)" in source
        ) is wide


@pytest.mark.parametrize("op", PIECES[1:], ids=lambda op: op.name)
@pytest.mark.parametrize("name", ["grouped heads", "a causal mask", "GPT-2"])
def test_the_source_reads_as_written_by_hand(
    op: OpDef, name: str, golden: Callable[..., None]
):
    kernel = attention_kernel((FIRST | BENCHMARKS)[name].node(op), "kernel")
    golden(kernel.source)
    assert max(map(len, kernel.source.split("\n"))) <= 88


# -- machine code ----------------------------------------------------------------------

BENCHMARKS = {
    "GPT-2": Use((32, 1024, 12, 64), 1024, dtype="bf16", attributes=CAUSAL),
    "padded": Use((32, 1024, 12, 64), 1024, dtype="bf16", mask=(32, 1, 1, 1024)),
    "masked": Use((32, 1024, 12, 64), 1024, dtype="bf16", mask=(32, 12, 1024, 1024)),
    "long": Use((4, 4096, 16, 128), 4096, dtype="bf16", attributes=CAUSAL),
    "odd lengths in float32": Use((7, 77, 3, 64), 1531),
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("op", PIECES[1:], ids=lambda op: op.name)
@pytest.mark.parametrize("use", BENCHMARKS.values(), ids=BENCHMARKS.keys())
def test_registers_suffice(
    op: OpDef, use: Use, architecture: str, triton_compiler: Compiler
):
    kernel = attention_kernel(use.node(op), "kernel", architecture)
    (compiled,) = triton_compiler.compile([kernel], architecture)
    assert compiled.spills == 0


SIZES = {
    "depth 32": Use((2, 500, 4, 32), 600, 2, dtype="f16"),
    "depth 96": Use((2, 500, 4, 96), 600, 2, dtype="bf16", mask=(2, 1, 1, 600)),
    "depth 256": Use((2, 500, 4, 256), 600, dtype="bf16", attributes=CAUSAL),
    "float32": Use((2, 500, 4, 64), 600, attributes=CAUSAL),
    "deep float32": Use((2, 500, 4, 256), 600),
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "gfx942"])
@pytest.mark.parametrize("op", PIECES[1:], ids=lambda op: op.name)
@pytest.mark.parametrize("use", SIZES.values(), ids=SIZES.keys())
def test_kernels_fit_the_machine(
    op: OpDef, use: Use, architecture: str, triton_compiler: Compiler
):
    kernel = attention_kernel(use.node(op), "kernel", architecture)
    (compiled,) = triton_compiler.compile([kernel], architecture)  # checks memory
    assert compiled.binary
