"""Minimum cuts: the cheapest edges without which a sink cannot be reached."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V", bound=Hashable)


class Network(Generic[V]):
    """Edges with capacities, as integers or infinity."""

    def __init__(self) -> None:
        self._numbers: dict[V, int] = {}
        self._edges: list[list[int]] = []
        self._ends: list[int] = []
        self._left: list[float] = []

    def add(self, start: V, end: V, capacity: float = math.inf) -> None:
        """Adds an edge."""
        one, other = self._number(start), self._number(end)
        # An edge and its reverse have numbers that differ in the last bit.
        for place, to, left in ((one, other, capacity), (other, one, 0)):
            self._edges[place].append(len(self._ends))
            self._ends.append(to)
            self._left.append(left)

    def cut(self, source: V, sink: V) -> tuple[float, set[V]]:
        """The capacity of a minimum cut, and the vertices on the side of the sink.

        Of equal cuts the one with the fewest vertices there; none, of infinite
        capacity, if edges without limit lead to the sink. The flow that the cut limits
        is found as by Dinitz (1970): along shortest paths, those of a length at once.
        That changes the network.
        """
        start, goal = self._number(source), self._number(sink)
        flow: float = 0
        levels = self._distances(goal)
        while levels[start] is not None:
            flow += self._blocked(start, goal, levels)
            if flow == math.inf:
                return flow, set()
            levels = self._distances(goal)
        side = {v for v, number in self._numbers.items() if levels[number] is not None}
        return flow, side

    def _number(self, vertex: V) -> int:
        number = self._numbers.setdefault(vertex, len(self._numbers))
        if number == len(self._edges):
            self._edges.append([])
        return number

    def _distances(self, goal: int) -> list[int | None]:
        """How far each vertex is from the sink; None if nothing flows there."""
        found: list[int | None] = [None] * len(self._edges)
        found[goal] = 0
        queue = deque([goal])
        while queue:
            place = queue.popleft()
            for edge in self._edges[place]:
                before = self._ends[edge]
                if self._left[edge ^ 1] and found[before] is None:
                    found[before] = (found[place] or 0) + 1
                    queue.append(before)
        return found

    def _blocked(self, start: int, goal: int, levels: list[int | None]) -> float:
        """Sends what fits along paths on which each step leads nearer to the sink."""
        waiting = [list(edges) for edges in self._edges]
        flow: float = 0
        path: list[int] = []
        place = start
        while True:
            if place == goal:
                least = min(self._left[edge] for edge in path)
                if least == math.inf:
                    return least
                for edge in path:
                    self._left[edge] -= least
                    self._left[edge ^ 1] += least
                flow += least
                full = next(n for n, edge in enumerate(path) if not self._left[edge])
                place = self._ends[path[full] ^ 1]
                del path[full:]
            elif waiting[place]:
                edge = waiting[place][-1]
                near, here = levels[self._ends[edge]], levels[place]
                if self._left[edge] and near is not None and here == near + 1:
                    path.append(edge)
                    place = self._ends[edge]
                else:
                    waiting[place].pop()
            elif path:
                place = self._ends[path.pop() ^ 1]
                waiting[place].pop()
            else:
                return flow
