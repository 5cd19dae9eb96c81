"""Rematerialization: computes values of the forward part again where they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.body import as_tuple
from graphc.ir.build import current_builder
from graphc.ir.errors import PassError
from graphc.ir.graph import Graph, Node, clone_nodes
from graphc.ir.location import Location
from graphc.ir.ops import optimization_barrier
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.fusion.decisions import STORE
from graphc.passes.graph_pass import ModulePass, register
from graphc.passes.liveness import Liveness, is_gradient
from graphc.passes.memory_bill import format_bytes
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Proposal, Rewriter
from graphc.passes.saved_values import LEVELS, Choice, choose_saved

RECOMPUTED = "recomputed"
"""What the origins of nodes that are computed again end with."""


@register
@final
@dataclass(frozen=True)
class Rematerialize(ModulePass):
    """Computes values again for the backward part that are dearer to keep.

    It rewrites a graph of primitives whose gradients are expanded. What is computed
    again reads barriers, through which no pass and no compiler merges it with what was
    computed before, and which wait for the gradient that the result is needed for.
    Equal operations on equal operands: results stay the same to the last bit.

    Attributes:
        level: What may be computed again: ``elementwise``, where each element follows
            by itself, which is almost free where it is fused; ``reductions`` as well;
            or also ``contractions``, dots and convolutions.
        segments: For contractions, into how many parts the forward part is cut. All of
            a part but what crosses its borders is computed again when the backward part
            comes to it.
    """

    level: str = "elementwise"
    segments: int = 8
    name: ClassVar[str] = "rematerialize"
    numerics: ClassVar[Mapping[str, Numerics]] = {
        "recompute": EXACT,
        "read copy": EXACT,
        "wait": EXACT,
    }

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise PassError(
                f"{self.name}: level must be one of {', '.join(LEVELS)}",
                received=repr(self.level)[:80],
            )
        if self.segments < 1:
            raise PassError(
                f"{self.name}: segments must be 1 or more", received=str(self.segments)
            )

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        if graph.symbols:
            reason = "what is worth keeping depends on sizes, which are not bound"
            rewriter.refuse(graph.return_node, "recompute", reason)
            return False
        for each in graph.reachable():
            rewriter.ledger.visits += len(each)
            if each is graph or any(map(is_gradient, each.nodes)):
                liveness = Liveness(each)
                choice = choose_saved(liveness, self.level, self.segments)
                if choice.recomputed:
                    _Recomputing(liveness, choice, rewriter).run()
        return rewriter.ledger.count > made


class _Recomputing:
    """Goes through the backward part in order and copies what it reads.

    Attributes:
        copies: What stands for the values that have been copied so far.
    """

    def __init__(self, liveness: Liveness, choice: Choice, rewriter: Rewriter) -> None:
        self.choice = choice
        self.rewriter = rewriter
        self.time = dict(liveness.time)
        self.backward = liveness.nodes[choice.split :]
        self.copies: dict[Value, Operand] = {}

    def run(self) -> None:
        """Makes every reader of the backward part read copies."""
        for node in self.backward:
            cone = self._cone(node)
            if cone:
                self._recompute(node, cone)
            else:
                self._read_copies(node)

    def _cone(self, node: Node) -> list[Node]:
        """What is to be computed again before `node` and has not been, in order."""
        found: set[Node] = set()
        stack = [node]
        while stack:
            for operand in stack.pop().operands:
                maker = operand.node if isinstance(operand, Value) else None
                if (
                    maker in self.choice.recomputed
                    and maker not in found
                    and operand not in self.copies
                ):
                    assert maker is not None
                    found.add(maker)
                    stack.append(maker)
        return sorted(found, key=self.time.__getitem__)

    def _read_copies(self, node: Node) -> None:
        for position, operand in enumerate(node.operands):
            if operand in self.copies:
                assert isinstance(operand, Value)
                self.rewriter.set_operand(
                    node, position, self.copies[operand], "read copy"
                )

    def _recompute(self, node: Node, cone: list[Node]) -> None:
        """Copies a cone in front of the node that needs it."""
        inputs = self._inputs(cone)
        trigger = self._trigger(node)
        held = [*inputs, *([] if trigger is None else [trigger])]
        values = dict(self.copies)
        barred: list[Operand] = []
        made: list[Node] = []

        def attempt() -> Proposal:
            insert = current_builder().insert
            barred.extend(as_tuple(optimization_barrier(*held)) if held else ())
            read = {**_itself(cone), **_itself([node]), **values}
            read |= dict(zip(held, barred, strict=True))
            clone_nodes(cone, read, insert, relocate=_again, keep_names=False)
            for each in cone:
                values.update({old: read[old] for old in each.results})
            clone_nodes([node], read, lambda n: (insert(n), made.append(n))[0])
            return "recompute", tuple(read[old] for old in node.results)

        time = self.time[node]
        if not self.rewriter.rewrite(node, attempt):
            return
        for each in cone:
            size = format_bytes(sum(value.type.nbytes for value in each.results))
            reason = f"its {size} are not kept for what reads it in the backward part"
            self.rewriter.refuse(each, STORE, reason)
        self.copies = values
        self.time[made[0]] = time
        if trigger is not None:
            self._wait(trigger, barred[-1], time)

    def _inputs(self, cone: list[Node]) -> list[Value]:
        """What a cone reads of what was computed before; parameters if nothing."""
        inside = {value for node in cone for value in node.results}
        read = dict.fromkeys(
            operand
            for node in cone
            for operand in node.operands
            if isinstance(operand, Value)
            and operand not in inside
            and operand not in self.copies
        )
        return [v for v in read if v.node is not None] or list(read)

    def _trigger(self, node: Node) -> Value | None:
        """The latest gradient before `node` that `node` or what follows reads."""
        time, earlier = self.time[node], node.previous
        while earlier is not None and self.time.get(earlier, time) >= self.choice.split:
            if earlier in self.time:
                for value in earlier.results:
                    if value.type.shape and self._readers(value, time):
                        return value
            earlier = earlier.previous
        return None

    def _readers(self, value: Value, time: int) -> list[tuple[Node, int]]:
        """Who reads a value at a time or later, and as which operand."""
        return [use for use in value.uses if self.time.get(use[0], -1) >= time]

    def _wait(self, trigger: Value, barred: Operand, time: int) -> None:
        """Makes what reads the trigger later read it behind the barrier."""
        for user, position in self._readers(trigger, time):
            self.rewriter.set_operand(user, position, barred, "wait")


def _itself(nodes: list[Node]) -> dict[Value, Operand]:
    """The operands of nodes, standing for themselves."""
    return {o: o for n in nodes for o in n.operands if not isinstance(o, Literal)}


def _again(location: Location | None) -> Location | None:
    if location is None:
        return None
    origin = f"{location.origin}, " if location.origin else ""
    return location.derive(f"{origin}{RECOMPUTED}")
