"""Factorizations call the routines that jax calls, in the way that jax calls them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from jax.lax import linalg

from graphc.codegen.stablehlo import emit_stablehlo
from graphc.ir import Graph, UnsupportedError, building, tensor_type
from graphc.ir.ops import OPS

Case = tuple[str, str, dict[str, Any], Callable[[Any], Any]]

CASES: list[Case] = [
    ("qr", "f32[2,4,3]", {}, lambda x: linalg.qr(x, full_matrices=False)),
    ("qr", "f64[3,4]", {}, lambda x: linalg.qr(x, full_matrices=False)),
    ("qr", "f32[4,3]", {"full_matrices": True}, linalg.qr),
    ("lu", "f32[2,4,3]", {}, linalg.lu),
    ("svd", "f32[2,4,3]", {}, lambda x: linalg.svd(x, full_matrices=False)),
    ("svd", "f64[3,4]", {}, lambda x: linalg.svd(x, full_matrices=False)),
    ("svd", "f32[4,3]", {"full_matrices": True}, linalg.svd),
    ("eigh", "f32[2,3,3]", {}, lambda x: linalg.eigh(x, symmetrize_input=False)),
    ("eigh", "f64[3,3]", {}, lambda x: linalg.eigh(x, symmetrize_input=False)),
]


def emitted(name: str, type: str, attributes: dict[str, Any], platform: str) -> str:
    graph = Graph(name)
    x = graph.add_parameter(tensor_type(type))
    with building(graph):
        graph.results = list(OPS[name](x, **attributes))
    return emit_stablehlo(graph, platform)


def calls(text: str) -> list[tuple[str, ...]]:
    """The target, configuration, layouts and types of each call of a routine."""
    found: list[tuple[str, ...]] = []
    for line in text.splitlines():
        if "_lu_pivots" in line or "custom_call" not in line:
            continue
        parts = [
            re.search(pattern, line)
            for pattern in (
                r"custom_call @(\w+)",
                r"backend_config = \{(.*?)\}",
                r"operand_layouts = \[(.*?tensor<\dxindex>)\]",
                r"result_layouts = \[(.*?tensor<\dxindex>)\]",
                r"\} : (\(.*)$",
            )
        ]
        assert all(parts), line
        texts = [part.group(1) for part in parts if part]
        found.append(tuple(re.sub(r"<\[(\d)\]>", r"<\1>", text) for text in texts))
    return found


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[1]}")
def test_calls_are_those_of_jax(case: Case, platform: str):
    name, type, attributes, function = case
    wanted = tensor_type(type)
    with jax.enable_x64(True):
        spec = jax.ShapeDtypeStruct(wanted.static_shape, wanted.dtype.numpy)
        traced = jax.jit(function).trace(spec)
        expected = traced.lower(lowering_platforms=(platform,)).as_text()
    found = calls(emitted(name, type, attributes, platform))
    assert found
    assert found == calls(expected)


def test_other_platforms_are_refused():
    with pytest.raises(UnsupportedError, match="qr is not known on tpu") as caught:
        emitted("qr", "f32[3,3]", {}, "tpu")
    assert caught.value.hint == "it runs on cpu and cuda"


def test_signs_do_not_depend_on_the_routine():
    text = emitted("eigh", "f32[3,3]", {}, "cpu")
    assert text.count("stablehlo.reduce(") == 2
    values = OPS["eigh"].reference(np.diag([2.0, 1.0, 3.0]))[1]
    np.testing.assert_array_equal(np.abs(values), values)
