"""Making a graph what a choice of equal forms says, through the rewriter."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphc.ir.build import current_builder
from graphc.ir.graph import Node
from graphc.ir.opdef import Kind
from graphc.ir.values import Operand, Value
from graphc.passes.equivalent_forms import LEAF, NUMBER, STRETCH, EquivalentForms
from graphc.passes.extraction import Choice, Class
from graphc.passes.rewrite import Proposal, Rewriter, full

RULE = "saturate"
"""What the ledger calls each rewrite."""


class _TooEarlyError(Exception):
    """A form needs a value that is computed later."""


@dataclass
class Rebuilding:
    """Puts the chosen forms for the nodes of a graph, the first node first.

    Attributes:
        space: All forms of the graph's values.
        choice: The chosen ones.
        rewriter: What changes the graph.
    """

    space: EquivalentForms
    choice: Choice
    rewriter: Rewriter
    _made: dict[Class, Operand] = field(default_factory=dict[Class, Operand])
    _defined: set[Value] = field(default_factory=set[Value])

    def run(self) -> bool:
        """Rewrites the graph; returns whether anything changed."""
        graph = self.space.graph
        self._defined.update(graph.parameters)
        changed = False
        for node in list(graph.nodes):
            if node in self.space.forms:
                changed |= self._visit(node)
            else:
                self._defined.update(node.results)
        return changed

    def _visit(self, node: Node) -> bool:
        """Puts the chosen form for one node; whether that changed anything."""
        result = node.results[0]
        name = self.space.values[result]
        if name not in self.choice:  # nothing needs it
            return False
        if name in self._made:
            return self.rewriter.replace(node, [self._made[name]], RULE)
        if self.choice[name] != self.space.forms[node]:
            made: dict[Class, Operand] = {}

            def attempt() -> Proposal | None:
                try:
                    return RULE, [self._built(name, made)]
                except _TooEarlyError:
                    return None

            if self.rewriter.rewrite(node, attempt):
                self._made.update(made)
                return True
        self._made[name] = result
        return False

    def _built(self, name: Class, made: dict[Class, Operand]) -> Operand:
        """The value of a class at the insertion point; new ones are put into `made`."""
        known = made.get(name, self._made.get(name))
        if known is not None:
            return known
        form = self.choice[name]
        if form.head == LEAF:
            found: Operand = list(self.space.leaves)[form.payload or 0]
            if found not in self._defined:
                raise _TooEarlyError
        elif form.head == NUMBER:
            found, _ = list(self.space.numbers)[form.payload or 0]
        elif form.head == STRETCH:
            found = self._built(form.children[0], made)
        else:
            signature = self.space.signature(form)
            operands = [self._built(child, made) for child in form.children]
            if signature.op.kind is not Kind.ELEMENTWISE:  # which stretches no scalar
                operands = [
                    full(operand, type)
                    for operand, type in zip(operands, signature.operands, strict=True)
                ]
            value = current_builder().apply(signature.op, operands, signature.decoded())
            found = full(value, signature.type)
        made[name] = found
        return found
