"""Identities of branches that are known and of loops that do nothing."""

from __future__ import annotations

from typing import Any

from graphc.ir.body import as_tuple
from graphc.ir.build import building, current_builder
from graphc.ir.graph import Graph, Node
from graphc.ir.ops import add, call, cond, negate, scan
from graphc.ir.types import F32, I32, TensorType
from graphc.ir.values import Literal
from graphc.passes.rewrite import full, owner
from graphc.passes.rule import Replacement, RuleSet, example

RULES = RuleSet()


def _branches() -> list[Graph]:
    """Two graphs in the module that is being built, for examples."""
    return [_graph("negated", 1), _graph("doubled", 1)]


def _graph(name: str, parameters: int) -> Graph:
    graph = Graph(name, current_builder().graph.module)
    x, *_ = [graph.add_parameter(TensorType((3,), F32)) for _ in range(parameters)]
    with building(graph):
        graph.results = [negate(x) if name == "negated" else add(x, x)] * parameters
    return graph


@RULES.rule(
    "cond",
    examples=[
        *example(lambda x: cond(True, x, branches=_branches()), "f32[3]"),
        *example(lambda x: cond(Literal(-3, I32), x, branches=_branches()), "f32[3]"),
        *example(lambda x: cond(Literal(3, I32), x, branches=_branches()), "f32[3]"),
        *example(lambda i, x: cond(i, x, branches=_branches()[:1]), "i32[]", "f32[3]"),
    ],
)
def call_known_branch(node: Node) -> Replacement:
    """`cond(1, x, branches=[a, b]) = b(x)`."""
    index, *operands = node.operands
    names: list[str] = node.attributes["branches"]
    if len(names) == 1:
        chosen = 0
    elif isinstance(index, Literal):
        chosen = min(max(int(index.value), 0), len(names) - 1)
    else:
        return None
    results: tuple[Any, ...] = as_tuple(call(*operands, graph=names[chosen]))
    return results


@RULES.rule(
    "scan",
    examples=example(
        lambda x: scan(x, x, body=_graph("step", 2), length=0, carries=1), "f32[3]"
    ),
)
def skip_loop_of_no_steps(node: Node) -> Replacement:
    """A loop of no steps leaves the carries as they are; its outputs are empty."""
    attributes = node.op.decode(node.attributes, owner(node).module)
    if attributes["length"] != 0:
        return None
    carries: int = attributes["carries"]
    outputs = [result.type for result in node.results[carries:]]
    return [*node.operands[:carries], *(full(Literal(0, t.dtype), t) for t in outputs)]
