"""Softmax of rows that no tile holds: one pass for the maximum and the sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops, passes
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import emit_kernel
from graphc.ir import Graph, evaluate
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.runtime.triton_compile import Compiler
from graphc.runtime.triton_device import Device
from tests.triton_kernels import run_kernel

pytestmark = pytest.mark.triton

LENGTH = 20_011
ROWS: dict[str, Any] = {
    "normal": lambda n: np.sin(np.arange(n) * 1.7) * 5,
    "rising": lambda n: np.linspace(-90, 90, n),
    "falling": lambda n: np.linspace(90, -90, n),
    "equal": lambda n: np.full(n, -7.0),
    "huge": lambda n: np.where(np.arange(n) % 97 == 5, 3e38, -3e38),
    "all -inf": lambda n: np.full(n, -np.inf),
    "one finite": lambda n: np.where(np.arange(n) == n - 3, 2.0, -np.inf),
    "one inf": lambda n: np.where(np.arange(n) == 7, np.inf, 1.0),
    "inf and -inf": lambda n: np.where(np.arange(n) % 2, np.inf, -np.inf),
    "one nan": lambda n: np.where(np.arange(n) == n // 2, np.nan, 0.5),
    "the last is the largest": lambda n: np.where(np.arange(n) == n - 1, 60.0, 0.0),
}


def traced(function: Any, rows: int, length: int = LENGTH) -> Graph:
    """A function of long rows as one kernel graph."""
    graph = graphc.trace(function, graphc.TensorSpec((rows, length)))
    return passes.run(graph, "decompose,canonicalize{late=true},cse,dce")


def kernel(graph: Graph) -> Kernel:
    made = emit_kernel(graph)
    assert "r_start" in made.source
    return made


FUNCTIONS: dict[str, tuple[Any, int]] = {
    "softmax": (lambda x: ops.softmax(x, axis=-1), 2),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=-1), 1),
}


@pytest.mark.parametrize(("function", "loops"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_rows_are_read_once_for_maximum_and_sum(
    function: Any, loops: int, kernel_device: Device
):
    graph = traced(function, len(ROWS))
    made = kernel(graph)
    assert made.source.count("for r_start in range(") == loops
    rows = np.stack([make(LENGTH) for make in ROWS.values()]).astype(np.float32)
    (found,) = run_kernel(kernel_device, made, rows)
    (wanted,) = evaluate(graph, rows)
    (exact,) = evaluate(graph, rows, dtype="f64")
    for got, want, judge in zip(found, wanted, exact, strict=True):
        assert not (mismatch(got, want) and inaccuracy(got, want, judge))


def test_source(golden: Any):
    golden(kernel(traced(FUNCTIONS["softmax"][0], 4096, 50_257)).source)


OTHERS: dict[str, Any] = {
    "other elements": lambda x: ops.sum(
        ops.exp(2.0 * x - ops.max(x, axis=-1, keepdims=True)), axis=-1
    ),
    "a sum that is no exponential": lambda x: ops.sum(
        x - ops.max(x, axis=-1, keepdims=True), axis=-1
    ),
    "a minimum": lambda x: ops.sum(
        ops.exp(x - ops.min(x, axis=-1, keepdims=True)), axis=-1
    ),
}


@pytest.mark.parametrize("function", OTHERS.values(), ids=OTHERS)
def test_other_sums_take_a_pass_of_their_own(function: Any):
    source = kernel(traced(function, 4)).source
    assert source.count("for r_start in range(") == 2


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("function", [f for f, _ in FUNCTIONS.values()], ids=FUNCTIONS)
def test_machine_code_has_no_spills(
    function: Any, architecture: str, triton_compiler: Compiler
):
    made = kernel(traced(function, 4096, 50_257))
    (compiled,) = triton_compiler.compile([made], architecture)
    assert compiled.spills == 0
