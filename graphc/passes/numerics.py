"""How far results may be from what they were: classes of rules, composed by result.

A rule or a pass declares a class for each kind of rewrite that it makes. `Provenance`
follows which results of the entry graph a rewrite can change, and `statements` says of
each result what was done on the way to it.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graphc.ir.graph import Graph, Node
from graphc.ir.types import DType
from graphc.ir.values import Operand, Value


class NumericsClass(enum.Enum):
    """How the results of a rewritten graph may differ from those before."""

    EXACT = "exact"
    """Not at all: the same bits, signed zeros and infinities included; nan is nan.

    Which zero the maximum or minimum of 0.0 and -0.0 is, no op says."""
    APPROX = "approx"
    """By a bounded number of units in the last place."""
    REASSOCIATES = "reassociates"
    """Equal over the reals: sums or products are taken in another order."""
    PRECISION = "precision"
    """Values are computed in another dtype."""


@dataclass(frozen=True, slots=True)
class Numerics:
    """A numerics class with its dtype or its bound."""

    kind: NumericsClass
    dtype: DType | None = None
    ulp: float = 0

    def __str__(self) -> str:
        if self.dtype is not None:
            return f"{self.kind.value}({self.dtype})"
        bounded = self.kind is NumericsClass.APPROX
        return f"approx({self.ulp:g} ulp)" if bounded else self.kind.value

    @property
    def is_exact(self) -> bool:
        """Whether results keep their bits."""
        return self.kind is NumericsClass.EXACT


EXACT = Numerics(NumericsClass.EXACT)
REASSOCIATES = Numerics(NumericsClass.REASSOCIATES)


def precision(dtype: DType) -> Numerics:
    """The class of rules that compute in `dtype`."""
    return Numerics(NumericsClass.PRECISION, dtype=dtype)


def approx(ulp: float) -> Numerics:
    """The class of rules that change results by up to `ulp`."""
    return Numerics(NumericsClass.APPROX, ulp=ulp)


def declared(classes: Mapping[str, Numerics], rule: str) -> Numerics:
    """The class of a rule of a pass that declares these.

    What a pass says nothing about keeps the laws of arithmetic, as all rewrites do.
    Removing what nothing reads, which every pass may do, is exact.
    """
    return classes.get(rule, EXACT if rule == "dead" else REASSOCIATES)


class Inexact(NamedTuple):
    """A rewrite that does not keep all bits.

    Attributes:
        number: Its number in the ledger.
        rule: Its pass and rule, as ``pass/rule``.
        numerics: Its class.
        reached: The results of the entry graph that it can change, as bits of a number.
    """

    number: int
    rule: str
    numerics: Numerics
    reached: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What rewrites did on the way to one result.

    Attributes:
        result: The number of the result.
        classes: Each class with the rules of it and how often they were applied, the
            farthest from exact first; empty if the result is exact.
    """

    result: int
    classes: tuple[tuple[Numerics, tuple[tuple[str, int], ...]], ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether the result keeps its bits."""
        return not self.classes

    def __str__(self) -> str:
        parts = [
            f"{numerics} ({', '.join(f'{name} x{n}' for name, n in rules)})"
            for numerics, rules in self.classes
        ]
        return f"result {self.result}: {', '.join(parts) or 'exact'}"


_ORDER = list(NumericsClass)


def statements(results: int, rewrites: Iterable[Inexact]) -> list[Statement]:
    """A statement for each of so many results, composed from the rewrites."""
    found: list[dict[Numerics, Counter[str]]] = [{} for _ in range(results)]
    for each in rewrites:
        for result, classes in enumerate(found):
            if each.reached >> result & 1:
                classes.setdefault(each.numerics, Counter())[each.rule] += 1
    return [
        Statement(
            result,
            tuple(
                (numerics, tuple(classes[numerics].most_common()))
                for numerics in sorted(classes, key=distance, reverse=True)
            ),
        )
        for result, classes in enumerate(found)
    ]


def distance(of: Numerics) -> tuple[int, float, str]:
    """How far a class is from exact, to sort by."""
    return _ORDER.index(of.kind), of.ulp, str(of.dtype)


class Provenance:
    """Which results of the entry graph each node can change, while one pass rewrites.

    A node can change what is computed from it. What is not known, such as nodes of a
    graph that the pass has just made, can change everything; so the answer is never
    too small. Nothing is looked at before the first rewrite that is not exact.

    Args:
        entry: The entry graph.
        pass_name: The name of the pass.
        classes: What the pass declares for its rules.
    """

    def __init__(
        self, entry: Graph, pass_name: str, classes: Mapping[str, Numerics]
    ) -> None:
        self.entry = entry
        self.pass_name = pass_name
        self.classes = classes
        self.everything = (1 << len(entry.results)) - 1
        self._nodes: dict[Node, int] | None = None
        self._graphs: dict[str, int] = {}

    def before(self, node: Node, rule: str, number: int) -> Inexact | None:
        """What a rewrite of `node` that is about to be made can change.

        None if it is exact.
        """
        numerics = declared(self.classes, rule)
        if numerics.is_exact:
            return None
        if self._nodes is None:
            self._nodes = {}
            self._look()
        name = f"{self.pass_name}/{rule}"
        return Inexact(number, name, numerics, self._reached(node))

    def after(
        self, node: Node, added: Sequence[Node], operands: Sequence[Operand]
    ) -> None:
        """Learns that `operands`, which `added` nodes make, stand for `node`."""
        if self._nodes is None:
            return
        reached = self._reached(node)
        for each in added:
            self._nodes[each] = reached
        for each in added:
            self._reach(each.operands, reached)
            self._reach_callees(each, reached)
        self._reach(operands, reached)

    def _reached(self, node: Node) -> int:
        assert self._nodes is not None
        return self._nodes.get(node, self.everything)

    def _look(self) -> None:
        """Goes through all graphs, from the results to what they are made of."""
        assert self._nodes is not None
        self._graphs[self.entry.name] = 0
        for graph in self.entry.reachable():
            for node in graph.reversed_nodes():
                reached = 0
                for result in node.results:
                    for user, position in result.uses:
                        if user is graph.return_node:
                            reached |= self._returned(graph, position)
                        else:
                            reached |= self._nodes.get(user, 0)
                self._nodes[node] = reached
                self._reach_callees(node, reached)

    def _returned(self, graph: Graph, position: int) -> int:
        if graph is self.entry:
            return 1 << position
        return self._graphs.get(graph.name, 0)

    def _reach_callees(self, node: Node, reached: int) -> None:
        if not node.op.graph_names(node) or node.graph is None:
            return
        graphs = node.graph.module.graphs
        for name in node.op.graph_names(node):
            known = self._graphs.get(name, 0)
            if known | reached != known:
                self._graphs[name] = known | reached
                self._reach(graphs[name].results, known | reached)

    def _reach(self, operands: Iterable[Operand], reached: int) -> None:
        """Notes that what `operands` are made of can change `reached`."""
        assert self._nodes is not None
        pending = list(operands)
        while pending:
            operand = pending.pop()
            node = operand.node if isinstance(operand, Value) else None
            known = self._nodes.get(node) if node is not None else None
            if node is None or known is None or known | reached == known:
                continue
            self._nodes[node] = known | reached
            pending += node.operands
            self._reach_callees(node, known | reached)
