"""Decomposition: lowers composites to primitives, but for those that a backend keeps."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.errors import PassError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import OpDef
from graphc.ir.ops import OPS
from graphc.passes.autodiff import is_differentiated
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.numerics import EXACT, REASSOCIATES, Numerics, approx
from graphc.passes.rewrite import Rewriter

BEFORE_GRADIENT = "before_gradient"
"""What rules are called with where a gradient is still to be taken.

There the gradient of the body replaces the composite's own."""


def body_numerics(op: OpDef) -> Numerics:
    """How far the body of a composite may be from the composite.

    One without a reference means what its body computes.
    """
    if op.reference is None or not _has_floats(op):
        return EXACT
    return approx(op.ulp) if op.ulp else REASSOCIATES


def _has_floats(op: OpDef) -> bool:
    return any(dtype.is_float for allowed in op.dtypes for dtype in allowed)


_COMPOSITES = {name: op for name, op in OPS.items() if op.is_composite}
_OWN_GRADIENTS = {
    name: f"{name}_{BEFORE_GRADIENT}"
    for name, op in _COMPOSITES.items()
    if callable(op.vjp)
}


@register
@final
@dataclass(frozen=True)
class Decompose(GraphPass):
    """Replaces composites by their bodies until primitives are left.

    Composites that name graphs, such as calls, belong to other passes and stay.

    Attributes:
        keep: Names of composites that stay, because a backend has its own code.
    """

    keep: tuple[str, ...] = ()
    name: ClassVar[str] = "decompose"
    required: ClassVar[bool] = True
    rounding: ClassVar[Set[str]] = frozenset(_OWN_GRADIENTS.values()) | {
        name for name, op in _COMPOSITES.items() if not body_numerics(op).is_exact
    }
    numerics: ClassVar[Mapping[str, Numerics]] = {
        name: body_numerics(op) for name, op in _COMPOSITES.items()
    } | {
        rule: approx(OPS[name].ulp) if OPS[name].ulp else REASSOCIATES
        for name, rule in _OWN_GRADIENTS.items()
    }

    def __post_init__(self) -> None:
        for name in self.keep:
            if name not in _COMPOSITES:
                near = difflib.get_close_matches(name, _COMPOSITES, 1)
                raise PassError(
                    f"decompose: keep names no composite: {name!r}",
                    hint=f"did you mean {near[0]!r}?" if near else None,
                )

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        found: list[Node] = []
        made = rewriter.ledger.count
        rules = _OWN_GRADIENTS if is_differentiated(graph) else {}
        rewriter.listener = found.append
        found += graph.reversed_nodes()
        while found:
            node = found.pop()
            rewriter.ledger.visits += 1
            if node.graph is graph and self._lowers(node):
                name = node.op.name
                rewriter.expand(node, rules.get(name, name), f"decomposed from {name}")
        rewriter.listener = None
        return rewriter.ledger.count > made

    def _lowers(self, node: Node) -> bool:
        op = node.op
        return op.is_composite and op.name not in self.keep and not op.graph_names(node)
