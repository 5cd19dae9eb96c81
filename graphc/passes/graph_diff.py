"""What each pass of a pipeline changes: nodes added, removed and changed, by identity.

Nodes keep their identity while passes rewrite a graph, so nothing is guessed: a line
stands for the same node before and after, and values keep their names over all passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from graphc.ir.graph import Graph, Node
from graphc.ir.printer import operands_text, statement_text
from graphc.ir.types import TensorType
from graphc.ir.values import Value
from graphc.passes.pass_manager import PassRun

REMOVED, ADDED, CHANGED, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
"""Colours of a terminal."""


@dataclass(frozen=True, slots=True)
class NodeChange:
    """What happened to one node.

    Attributes:
        path: The path of the layer that it belongs to; empty if none is known.
        before: Its text before the pass, or None if the pass added it.
        after: Its text after the pass, or None if the pass removed it.
    """

    path: str
    before: str | None
    after: str | None

    def lines(self, colours: bool = False) -> Iterator[str]:
        """The change as lines of a diff: removed with ``-``, added with ``+``.

        A node that stays and reads something else has both, the second marked ``>``.
        """
        signs = ("-", REMOVED), ("+", ADDED)
        if self.before is not None and self.after is not None:
            signs = ("~", CHANGED), (">", CHANGED)
        for text, (sign, colour) in zip((self.before, self.after), signs, strict=True):
            if text is not None:
                line = f"  {sign} {text}"
                yield f"{colour}{line}{PLAIN}" if colours else line


@dataclass(frozen=True, slots=True)
class PassDiff:
    """What one run of a pass changed.

    Attributes:
        run: The run.
        changes: The changed nodes of each graph that has any, by the graph's name, in
            the order of the nodes.
    """

    run: PassRun
    changes: dict[str, list[NodeChange]]

    def text(self, colours: bool = False) -> str:
        """The diff as text, under the paths of layers."""
        every = [change for each in self.changes.values() for change in each]
        added = sum(change.before is None for change in every)
        removed = sum(change.after is None for change in every)
        lines = [
            f"after {self.run}: {removed} removed, {added} added,"
            f" {len(every) - added - removed} changed"
        ]
        for name, changes in self.changes.items():
            lines.append(f"graph @{name}")
            path = ""
            for change in changes:
                if change.path != path:
                    path = change.path
                    lines.append(f" {path or '(no layer)'}")
                lines += change.lines(colours)
        return "\n".join(lines)


_Lines = dict[Node, str]


class GraphDiff:
    """Watches a pass manager; see its argument `watch`.

    Args:
        report: Called with what each run of a pass changed, if it changed anything.
    """

    def __init__(self, report: Callable[[PassDiff], None]) -> None:
        self._report = report
        self._names: dict[Value, str] = {}
        self._counts: dict[str, int] = {}
        self._before: dict[str, _Lines] = {}

    def __call__(self, run: PassRun | None, graph: Graph) -> None:
        after = {each.name: self._lines(each) for each in graph.reachable()}
        if run is not None:
            changes = {
                name: found
                for name in {**self._before, **after}
                if (found := _changes(self._before.get(name, {}), after.get(name, {})))
            }
            if changes:
                self._report(PassDiff(run, changes))
        self._before = after

    def _lines(self, graph: Graph) -> _Lines:
        """The text of each node; the keys keep it from being another by identity."""
        for parameter in graph.parameters:
            self._name(graph, parameter)
        lines: _Lines = {}
        types: dict[TensorType, str] = {}
        for node in graph.nodes:
            for result in node.results:
                self._name(graph, result)
            lines[node] = statement_text(node, self._names, types)
        results = operands_text(graph.results, self._names)
        lines[graph.return_node] = f"return {results}".rstrip()
        return lines

    def _name(self, graph: Graph, value: Value) -> None:
        """Names a value as the printer does, once and for all passes."""
        if value.name is not None:
            self._names[value] = f"%{value.name}"
        elif value not in self._names:
            number = self._counts.get(graph.name, 0)
            self._names[value] = f"%{number}"
            self._counts[graph.name] = number + 1


def _changes(before: _Lines, after: _Lines) -> list[NodeChange]:
    """The changed nodes, the removed ones where they were."""
    old = list(before)
    places = {node: place for place, node in enumerate(old)}
    found: list[NodeChange] = []
    done = 0

    def remove(until: int) -> None:
        nonlocal done
        for node in old[done:until]:
            if node not in after:
                found.append(NodeChange(_path(node), before[node], None))
        done = max(done, until)

    for node, text in after.items():
        place = places.get(node)
        if place is not None:
            remove(place + 1)
            if before[node] != text:
                found.append(NodeChange(_path(node), before[node], text))
            continue
        end = done
        while end < len(old) and old[end] not in after:
            end += 1
        remove(end)  # what a node stands for comes right before it
        found.append(NodeChange(_path(node), None, text))
    remove(len(old))
    return found


def _path(node: Node) -> str:
    return (node.location.path if node.location else None) or ""
