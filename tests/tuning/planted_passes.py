"""Passes that do what a candidate must not: they are loaded into workers by tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphc.ir.graph import Graph
from graphc.ir.opdef import Kind
from graphc.ir.values import Literal
from graphc.passes.graph_pass import GraphPass, Option, register
from graphc.passes.rewrite import Rewriter


@register
@dataclass(frozen=True)
class Planted(GraphPass):
    """Does what its option says."""

    name: ClassVar[str] = "planted"
    tuned: ClassVar[Mapping[str, tuple[Option, ...]]] = {
        "does": ("crash", "exhaust", "raise", "lie")
    }
    does: str = "nothing"

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        if self.does == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.does == "hang":
            signal.pause()
        if self.does == "exhaust":
            np.ones(1 << 40, np.uint8)
        if self.does == "raise":
            raise ValueError("planted")
        return self.does == "lie" and self._lie(graph, rewriter)

    def _lie(self, graph: Graph, rewriter: Rewriter) -> bool:
        """Makes one number another."""
        for node in graph.nodes:
            for place, operand in enumerate(node.operands):
                number = isinstance(operand, Literal) and operand.value == 2.0
                if number and node.op.kind is Kind.ELEMENTWISE:
                    other = Literal(3.0, operand.type.dtype)
                    rewriter.set_operand(node, place, other, "lie")
                    return True
        return False
