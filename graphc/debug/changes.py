"""What one rewrite changed: the nodes before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.ir.graph import Graph, Node
from graphc.ir.printer import operands_text, statement_text, value_names
from graphc.ir.values import Literal, Value

MOST_LINES = 12
"""How many nodes of a change are shown."""

WIDEST = 300
"""How many characters of a node are shown."""


@dataclass(frozen=True)
class Change:
    """What differs between two versions of a graph.

    Attributes:
        before: The nodes of the first version that are no more.
        after: The nodes of the second version that are new.
        readers: The nodes of both versions that read something else.
        near: The nodes of the first version that make what these nodes read.
        names: What the values of both versions are called: what stands for the same
            has the same name.
    """

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    readers: tuple[tuple[Node, Node], ...]
    near: tuple[Node, ...]
    names: dict[Value, str]

    def __str__(self) -> str:
        lines = [*self._lines("-", self.before), *self._lines("+", self.after)]
        if not (self.before and self.after):
            # What stands for the nodes now is seen where they were read.
            lines += self._lines("~", [old for old, _ in self.readers])
            lines += self._lines(">", [new for _, new in self.readers])
        return "\n".join(lines)

    def _lines(self, mark: str, nodes: Sequence[Node]) -> list[str]:
        texts = [f"{mark} {self._text(node)}" for node in nodes[:MOST_LINES]]
        shown = [t if len(t) <= WIDEST else f"{t[:WIDEST]} ..." for t in texts]
        more = len(nodes) - len(shown)
        return [*shown, f"{mark} ... {more} more"] if more else shown

    def _text(self, node: Node) -> str:
        if node.graph is not None and node is node.graph.return_node:
            return f"return {operands_text(node.operands, self.names)}"
        return statement_text(node, self.names)


def change_between(before: Graph, after: Graph) -> Change:
    """What differs between two versions of a graph, one rewrite apart.

    Nodes are matched from the front, by what they do and read, and from the back, by
    what they do; those between have changed.
    """
    old, new = list(before.nodes), list(after.nodes)
    twins: dict[Value, Value] = dict(
        zip(after.parameters, before.parameters, strict=True)
    )
    first = 0
    while first < min(len(old), len(new)) and _same(old[first], new[first], twins):
        twins.update(zip(new[first].results, old[first].results, strict=True))
        first += 1
    last, most = 0, min(len(old), len(new)) - first
    while last < most and _alike(old[-1 - last], new[-1 - last]):
        last += 1
    tail = list(zip(old[len(old) - last :], new[len(new) - last :], strict=True))
    for a, b in tail:
        twins.update(zip(b.results, a.results, strict=True))
    tail.append((before.return_node, after.return_node))
    readers = [(a, b) for a, b in tail if not _same(a, b, twins)]
    gone, made = old[first : len(old) - last], new[first : len(new) - last]
    read = [twins.get(o) for b in (*made, *(b for _, b in readers)) for o in _values(b)]
    near = {v.node for v in (*read, *(o for a in gone for o in _values(a))) if v}
    return Change(
        tuple(gone),
        tuple(made),
        tuple(readers),
        tuple(node for node in old if node in near),
        _names(before, old, made, twins),
    )


def _names(
    before: Graph, old: list[Node], made: list[Node], twins: dict[Value, Value]
) -> dict[Value, str]:
    """What the values of both versions are called."""
    names = value_names(before, old)
    names |= {value: names[twin] for value, twin in twins.items()}
    number = len(names)
    for value in (result for node in made for result in node.results):
        names[value] = f"%{value.name or number}"
        number += 1
    return names


def _same(old: Node, new: Node, twins: dict[Value, Value]) -> bool:
    """Whether two nodes do the same to the same values."""
    read = tuple(o if isinstance(o, Literal) else twins.get(o) for o in new.operands)
    return _alike(old, new) and old.operands == read


def _alike(old: Node, new: Node) -> bool:
    """Whether two nodes do the same."""
    return (
        old.op is new.op
        and old.attributes == new.attributes
        and [r.type for r in old.results] == [r.type for r in new.results]
    )


def _values(node: Node) -> list[Value]:
    return [operand for operand in node.operands if isinstance(operand, Value)]
