"""From a node to its kernel: which text, which grid and which schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphc.codegen.triton.attention import forward, key_value_gradient, query_gradient
from graphc.codegen.triton.attention.facts import (
    MOST_DEPTH,
    Attention,
    depths,
    facts,
    layers,
)
from graphc.codegen.triton.attention.schedules import schedule
from graphc.codegen.triton.attention.text import file_text
from graphc.codegen.triton.kernel import Kernel, Tiles
from graphc.ir.graph import Node
from graphc.ir.opdef import OpDef
from graphc.ir.ops import (
    attention,
    attention_key_value_gradient,
    attention_query_gradient,
    attention_with_logsumexp,
)
from graphc.ir.types import TensorType, product
from graphc.passes.rewrite import owner


@dataclass(frozen=True, slots=True)
class Template:
    """How a node of one op becomes a kernel.

    Attributes:
        name: The name of its schedules.
        results: What its results are called.
        functions: From an attention and a name to the functions of the file, the
            kernel of that name last.
        products: How many products with the logits are as deep as a query, and how
            many as a value.
        by_keys: Whether a program holds a block of keys, not of queries.
    """

    name: str
    results: tuple[str, ...]
    functions: Callable[[Attention, str], list[list[str]]]
    products: tuple[int, int]
    by_keys: bool = False


TEMPLATES: dict[OpDef, Template] = {
    attention: Template("forward", ("y",), forward.functions, (1, 1)),
    attention_with_logsumexp: Template(
        "forward", ("y", "total"), forward.functions, (1, 1)
    ),
    attention_query_gradient: Template(
        "query_gradient", ("dq",), query_gradient.functions, (2, 1)
    ),
    attention_key_value_gradient: Template(
        "key_value_gradient",
        ("dk", "dv"),
        key_value_gradient.functions,
        (2, 2),
        by_keys=True,
    ),
}


def supports(node: Node) -> str | None:
    """Why there is no kernel for a node, which is to be decomposed then.

    Args:
        node: A node without symbols.

    Returns:
        The reason, or None if there is a kernel.
    """
    if node.op not in TEMPLATES:
        return f"{node.op.name} is no piece of attention"
    dtype = node.results[0].dtype
    if dtype.bits > 32:
        return f"{dtype} has no matrix products in hardware"
    if max(depths(node)) > MOST_DEPTH:
        return f"the depth {max(depths(node))} is more than {MOST_DEPTH}"
    if any(0 in operand.type.shape for operand in node.operands):
        return "an operand has no elements"
    return None


def attention_kernel(node: Node, name: str, architecture: str = "sm_90") -> Kernel:
    """The kernel of a node that `supports` accepts.

    Args:
        node: The node, alone in its graph, without symbols.
        name: The name of the kernel's function.
        architecture: The GPU whose schedules are taken, such as ``sm_80``; see
            `graphc.codegen.triton.attention.schedules`.
    """
    template = TEMPLATES[node.op]
    of = facts(node, template.results)
    tiles = schedule(of, template.name, architecture)
    deep = template.products[0] * of.depth + template.products[1] * of.width
    types = [value.type for value in owner(node).parameters]
    found = [value.type for value in owner(node).results]
    return Kernel(
        name=name,
        source=file_text(of, template.functions(of, name)),
        parameters=tuple(types),
        results=tuple(found),
        grid=(_grid(of, template.by_keys),),
        arguments=of.arguments,
        constants={"BLOCK_M": tiles.rows, "BLOCK_N": tiles.keys},
        num_warps=tiles.num_warps,
        num_stages=tiles.num_stages,
        layers=layers(node),
        flops=of.flops_per_depth * deep,
        bytes=sum(map(_bytes, types + found)),
    )


def _grid(of: Attention, by_keys: bool) -> tuple[Tiles, Tiles]:
    if by_keys:
        return Tiles(of.source, "BLOCK_N"), Tiles(of.batch * of.shared)
    return Tiles(of.time, "BLOCK_M"), Tiles(of.batch * of.heads)


def _bytes(type: TensorType) -> int:
    return product(type.static_shape) * -(-type.dtype.bits // 8)
