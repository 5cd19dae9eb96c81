"""Graphs of composites' bodies, made once per operand types and attributes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from graphc.ir.build import building
from graphc.ir.graph import Graph, Module
from graphc.ir.opdef import OpDef
from graphc.ir.types import TensorType
from graphc.ir.values import Attributes


def body_graph(
    op: OpDef, operands: Sequence[TensorType], attributes: Attributes
) -> Graph:
    """The body of a composite as a graph for these operand types.

    The graph is shared: copy or inline it, do not change it. Composites whose
    attributes name graphs have no such graph of their own.
    """
    return _cached(op, tuple(operands), json.dumps(attributes, sort_keys=True))


@lru_cache(maxsize=4096)
def _cached(op: OpDef, operands: tuple[TensorType, ...], attributes: str) -> Graph:
    graph = Graph(op.name)
    values = [graph.add_parameter(type) for type in operands]
    with building(graph):
        graph.results = as_tuple(call_body(op, values, json.loads(attributes)))
    return graph


def call_body(
    op: OpDef,
    operands: Sequence[Any],
    attributes: Attributes,
    module: Module | None = None,
) -> Any:
    """Adds the nodes of a composite's body at the insertion point.

    `module` holds the graphs that the attributes name, if they do.
    """
    assert op.body is not None
    return op.body(*operands, **op.decode(attributes, module))


def as_tuple(results: Any) -> tuple[Any, ...]:
    """One result or a tuple of results, as a tuple."""
    return results if isinstance(results, tuple) else (results,)
