"""Packed launch plans as the programs of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.codegen.bundle import Array, Code, Program
from graphc.ir.graph import Graph
from graphc.ir.types import TensorType
from graphc.ir.values import Literal
from graphc.runtime.backend import Packed
from graphc.runtime.triton_device import to_bytes
from graphc.runtime.triton_packing import UnpackedPlan, check_interface, unpack_plan


def tensor(name: str, type: TensorType, array: np.ndarray[Any, Any]) -> Array:
    """A tensor of the state, with the bytes that it has on a GPU."""
    return Array(name, type, to_bytes(array).tobytes())


def bundled_program(
    packed: Packed, graph: Graph, donate: Sequence[int], sizes: Mapping[str, int]
) -> Program:
    """The program of a packed launch plan.

    Args:
        packed: The plan with its machine code.
        graph: A graph with its parameters and results.
        donate: The parameters that it may overwrite.
        sizes: The sizes of the symbols.

    Raises:
        LoadError: If it is damaged, or is no plan for the graph.
    """
    found = unpack_plan(packed)
    check_interface(found.plan, graph, donate)
    code = tuple(
        Code(each.entry, each.binary, each.threads, each.shared, each.global_scratch)
        for each in found.compiled
    )
    return Program(sizes, found.plan, code, _constants(found))


def _constants(found: UnpackedPlan) -> bytes:
    """The bytes of the region of constants."""
    plan = found.plan
    content = bytearray(plan.regions[plan.constants_region].bytes)
    for constant in plan.constants:
        if constant.name is not None:
            array = found.module.constants[constant.name]
        else:
            assert constant.value is not None
            array = Literal(constant.value, constant.type.dtype).numpy()
        data = to_bytes(np.asarray(array))
        content[constant.offset : constant.offset + data.size] = data.tobytes()
    return bytes(content)
