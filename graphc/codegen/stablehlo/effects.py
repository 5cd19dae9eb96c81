"""The StableHLO of effects: calls of the ops' references on the host."""

from __future__ import annotations

from typing import Any

from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import function_type
from graphc.ir.errors import UnsupportedError
from graphc.ir.graph import Node
from graphc.ir.opdef import operand_types
from graphc.ir.types import U8, TensorType

_TARGETS = {
    "cpu": "xla_ffi_python_cpu_callback",
    "cuda": "xla_ffi_python_gpu_callback",
}
"""What jax registers with XLA to call Python functions, which it knows by index."""

_DONE = TensorType((), U8)
"""What a call returns. The next one reads it, so that calls keep their order."""


def host_call(f: FunctionWriter, node: Node, **attributes: Any) -> None:
    """Writes a call of the node's reference; the results are the operands."""
    if f.platform not in _TARGETS:
        raise UnsupportedError(f"{node.op.name} is not known on {f.platform}")
    types = operand_types(node.operands)
    names = [f.operand(operand) for operand in node.operands]
    given, index = list(names), len(f.host_calls)
    f.host_calls.append(node)
    if f.done is not None:
        given.append(f.done)
        types.append(_DONE)
    f.done = f.define(
        f"stablehlo.custom_call @{_TARGETS[f.platform]}({', '.join(given)}) "
        f"{{api_version = 4 : i32, backend_config = {{index = {index} : ui64}}, "
        f"has_side_effect = true}} : {function_type(types, [_DONE])}",
        "done",
    )
    for result, name in zip(node.results, names, strict=True):
        f.alias(result, name)


LOWERINGS: dict[str, Lowering] = {"print": host_call}
