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
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.numerics import EXACT, REASSOCIATES, Numerics, approx
from graphc.passes.rewrite import Rewriter


def body_numerics(op: OpDef) -> Numerics:
    """How far the body of a composite may be from the composite."""
    if op.ulp:
        return approx(op.ulp)
    rounds = any(dtype.is_float for allowed in op.dtypes for dtype in allowed)
    own = op.reference is not None or callable(op.vjp)
    return REASSOCIATES if rounds and own else EXACT


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
    # Where a gradient is still to be taken, that of the body replaces their own.
    rounding: ClassVar[Set[str]] = frozenset(
        name for name, op in OPS.items() if op.is_composite and callable(op.vjp)
    )
    numerics: ClassVar[Mapping[str, Numerics]] = {
        name: body_numerics(op) for name, op in OPS.items() if op.is_composite
    }

    def __post_init__(self) -> None:
        composites = [name for name, op in OPS.items() if op.is_composite]
        for name in self.keep:
            if name not in composites:
                near = difflib.get_close_matches(name, composites, 1)
                raise PassError(
                    f"decompose: keep names no composite: {name!r}",
                    hint=f"did you mean {near[0]!r}?" if near else None,
                )

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        found: list[Node] = []
        made = rewriter.ledger.count
        rewriter.listener = found.append
        found += graph.reversed_nodes()
        while found:
            node = found.pop()
            rewriter.ledger.visits += 1
            if node.graph is graph and self._lowers(node):
                rewriter.expand(node, node.op.name, f"decomposed from {node.op.name}")
        rewriter.listener = None
        return rewriter.ledger.count > made

    def _lowers(self, node: Node) -> bool:
        op = node.op
        return op.is_composite and op.name not in self.keep and not op.graph_names(node)
