"""Ops that call graphs by name, and ops that steer differentiation and effects."""

from __future__ import annotations

from typing import Any

from graphc.ir.build import inline
from graphc.ir.differentiate import check_differentiable, differentiate
from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph
from graphc.ir.opdef import IllTyped, Ints, Kind, Sample, Trait
from graphc.ir.register import composite, primitive
from graphc.ir.typerules import types_text
from graphc.ir.types import TensorType

_NO_GRAPH = (IllTyped(("f32[3]",), "attribute 'graph' is missing"),)


def _call_types(*operands: TensorType, graph: Graph) -> tuple[TensorType, ...]:
    wanted = [p.type for p in graph.parameters]
    if list(operands) != wanted:
        raise GraphError(
            f"call: graph @{graph.name} takes ({types_text(wanted)})",
            received=types_text(operands),
        )
    return tuple(r.type for r in graph.results)


@composite(
    Kind.OPAQUE,
    infer=_call_types,
    reference=lambda *operands, graph, run: run(graph, *operands),
    samples=(Sample(("f32[3]",), {"graph": "sample"}),),
    errors=_NO_GRAPH,
)
def call(*operands: Any, graph: Graph) -> Any:
    """The results of another graph of the module."""
    return inline(graph, operands)


def _gradient_types(
    *operands: TensorType, graph: Graph, wrt: Ints
) -> tuple[TensorType, ...]:
    results = _call_types(*operands, graph=graph)
    check_differentiable(graph, wrt)
    return (*results, *(operands[i] for i in wrt))


@composite(
    Kind.OPAQUE,
    infer=_gradient_types,
    samples=(Sample(("f32[3]",), {"graph": "sample", "wrt": [0]}),),
    errors=(IllTyped(("f32[3]",), "attribute 'graph' is missing", {"wrt": [0]}),),
)
def value_and_gradient(*operands: Any, graph: Graph, wrt: Ints) -> Any:
    """The results of a graph, then gradients of its first result.

    `wrt` lists the operands to differentiate with respect to.
    """
    expanded = differentiate(graph, wrt)
    try:
        return inline(expanded, operands)
    finally:
        graph.module.remove(expanded)


@primitive(
    Kind.ELEMENTWISE,
    lambda x: x,
    vjp=lambda g, y, x: (None,),
    traits=[Trait.IDEMPOTENT, Trait.MOVES_DATA],
    samples=(Sample(("f32[3,4]",), smooth=False), Sample(("i32[]",))),
    errors=(IllTyped((), "takes 1 operands"),),
)
def stop_gradient(x: TensorType) -> TensorType:
    """x, through which no gradient flows."""
    return x


@primitive(
    Kind.OPAQUE,
    lambda *operands: operands,
    vjp=lambda g, y, *operands: g if isinstance(g, tuple) else (g,),
    traits=[Trait.MOVES_DATA],
    samples=(Sample(("f32[3]", "i32[2]")), Sample(("f32[3]",))),
    errors=(IllTyped((), "takes 1 or more operands"),),
)
def optimization_barrier(x: TensorType, *more: TensorType) -> tuple[TensorType, ...]:
    """The operands, which no optimization moves computation across."""
    return (x, *more)
