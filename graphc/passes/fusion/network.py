"""The network of groups: which nodes are in which, who reads what, and who waits."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from graphc.ir.graph import Graph, Node
from graphc.ir.index import Axis
from graphc.ir.opdef import Kind
from graphc.ir.types import TensorType
from graphc.ir.values import Value
from graphc.passes.coordinates import Coordinates, read_coordinates, unknown
from graphc.passes.effects import Effects
from graphc.passes.fusion.costs import MAX_LOADS, arithmetic
from graphc.passes.fusion.group import (
    Change,
    Group,
    Space,
    axes_of,
    elements,
    joint,
    own_coordinates,
    row_coordinates,
)
from graphc.passes.fusion.parallelism import is_too_serial
from graphc.passes.fusion.roles import Role, role_of

AGAIN = Axis("again", 1 << 62)
"""Where it is among the axes, elements are read more often than it pays to compute."""


class Network:
    """The groups of one graph, so far as its nodes have been placed.

    Attributes:
        graph: The graph.
        groups: The group of each node that is in one, and not only copied into some.
        readers: The groups that read each value from memory or compute it.
        refused: Why a node is not computed by the group of another node that reads it.
        recomputed: Why a node is computed wherever it is read, and not stored.
        joints: Nodes whose operands are stored, each in its place, by their kernel.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.groups: dict[Node, Group] = {}
        self.readers: dict[Value, dict[Group, None]] = {}
        self.refused: dict[tuple[Node, Node], str] = {}
        self.recomputed: dict[Node, str] = {}
        self.joints: set[Node] = set()
        effects = Effects()
        self._roles = {node: role_of(node, effects) for node in graph.nodes}
        self._roles[graph.return_node] = Role.OUTSIDE
        self._number = {node: i for i, node in enumerate(graph.nodes)}
        self._number[graph.return_node] = len(self._number)
        self._count = 0

    def order(self, node: Node) -> int:
        """The place of a node in the graph, as it was at first."""
        return self._number[node]

    def role(self, node: Node) -> Role:
        """The role of a node."""
        return self._roles[node]

    def readers_of(self, node: Node) -> list[Group]:
        """The groups that read results of `node`, the nearest to its place first."""
        found = dict.fromkeys(g for r in node.results for g in self.readers.get(r, ()))
        return list(found)[::-1]

    def successors(self, group: Group) -> set[Group]:
        """The other groups that read results of `group`."""
        found = {r for v in group.results() for r in self.readers.get(v, ())}
        return found - {group}

    def loads(self, group: Group) -> list[Value]:
        """The values that `group` reads from memory."""
        return [
            value
            for part in group.parts
            for value in part.reads
            if value.node not in part.members and value.node not in part.copies
        ]

    # -- groups ------------------------------------------------------------------------

    def start(self, kind: str | None, space: Space | None = None) -> Group:
        """A new group without nodes."""
        self._count += 1
        return Group(kind, space or elements(), 1 << self._count)

    def add(self, group: Group, node: Node, at: Coordinates) -> None:
        """Makes `node` a member of `group`, which computes its results at `at`."""
        self.groups[node] = group
        self._register(group)
        self.put(group, node, at)
        self._learn(group, self.readers_of(node))

    def put(self, group: Group, node: Node, at: Coordinates) -> None:
        """Makes `node` a member of a group that is no part of the network yet."""
        group.members[node] = at
        group.work += arithmetic(node)
        self.read_operands(group, node, at)

    def merge(
        self, group: Group, other: Group, changes: tuple[Space, Change, Change]
    ) -> None:
        """Puts what is in `other` into `group`, with loops for both."""
        space, change, other_change = changes
        self._unregister(other)
        group.change(space, change)
        other.change(space, other_change)
        for node in other.members:
            self.groups[node] = group
        for value, places in other.reads.items():
            self.readers.setdefault(value, {})[group] = None
            group.reads.setdefault(value, {}).update(places)
        members = group.members | other.members
        latest_first = sorted(members, key=self.order, reverse=True)
        group.members = {node: members[node] for node in latest_first}
        group.take_over(other)
        self._learn(group, [other])

    def merged(self, group: Group, other: Group, values: Sequence[Value]) -> bool:
        """Merges two groups that read `values` in one place, if nothing forbids it."""
        changes = joint(group.space, other.space)
        loads = {*self.loads(group), *self.loads(other)}
        if changes is None or len(loads) > MAX_LOADS:
            return False
        if is_too_serial(changes[0], group.work + other.work):
            return False
        if changes[0].reduced > 1 and (self.joins(group) or self.joins(other)):
            return False
        _, change, other_change = changes
        places = {at and change(at) for at in _places(group, values)}
        if len(places) > 1 or places != {
            at and other_change(at) for at in _places(other, values)
        }:
            return False
        if not _agree(group, change, other, other_change):
            return False
        if not _agree(other, other_change, group, change):
            return False
        if self.leads_around(group, other) or self.leads_around(other, group):
            return False
        self.merge(group, other, changes)
        return True

    def without(self, group: Group, nodes: Collection[Node]) -> Group:
        """A group of what is left of `group` without some of its members."""
        rest = Group(group.kind, group.space, 0)
        rest.inlined = group.inlined
        for node, at in group.members.items():
            if node not in nodes:
                self.put(rest, node, at)
        return rest

    def split(self, group: Group, part: Group, rest: Group) -> None:
        """Puts `part` and `rest` for `group`; `rest` goes on under its name.

        Nothing knows yet that it comes before `part`, which must be merged with a group.
        """
        self._unregister(group)
        group.members, group.reads, group.copies = rest.members, rest.reads, rest.copies
        group.work = rest.work
        self._register(group)
        self._register(part)
        for node in part.members:
            self.groups[node] = part
        for reader in self.successors(part):
            part.below |= reader.below | reader.bits

    def separate(self, group: Group, parts: Sequence[Collection[Node]]) -> None:
        """Makes sections of the parts of the members of `group`, but for the first."""
        self._unregister(group)
        everything = set(group.members)
        sections = [self.without(group, everything - set(part)) for part in parts]
        for section in sections:
            is_row = any(self.role(node) is Role.ROW for node in section.members)
            section.kind = "reduction" if is_row else "pointwise"
        first, *group.sections = sections
        group.members, group.reads, group.copies = (
            first.members,
            first.reads,
            first.copies,
        )
        group.kind = first.kind
        self._register(group)

    def put_beside(self, group: Group, other: Group) -> None:
        """Makes `other` a section of `group`; no path leads from one to the other."""
        self._unregister(group)
        self._unregister(other)
        group.sections += other.parts
        other.sections = []
        self._register(group)
        for part in group.sections:
            for node in part.members:
                self.groups[node] = group

    def joins(self, group: Group) -> bool:
        """Whether a group stores values in parts."""
        return not self.joints.isdisjoint(group.members)

    # -- what groups read --------------------------------------------------------------

    def copy(self, group: Group, node: Node) -> None:
        """Makes `group` compute again what it reads of `node`."""
        group.copies[node] = None
        group.inlined.add(node)
        for at in list(group.reads[node.results[0]]):
            self.read_operands(group, node, at or ())

    def reread(self, group: Group) -> None:
        """Notes anew what `group` reads."""
        self._unregister(group)
        group.reads, group.copies = {}, {}
        for node, at in group.members.items():
            self.read_operands(group, node, at)
        self._register(group)

    def read_operands(self, group: Group, node: Node, at: Coordinates) -> None:
        """Notes what `group` reads to compute an element of `node`."""
        for position, operand in enumerate(node.operands):
            if isinstance(operand, Value):
                self._read(group, operand, self._where(group, node, position, at))

    def _where(
        self, group: Group, node: Node, position: int, at: Coordinates
    ) -> Coordinates | None:
        """Where an operand is read; None if it must be in memory."""
        type, role = node.operands[position].type, self.role(node)
        if group.kind is None or (role is Role.ALONE and _overwrites(node, position)):
            return None
        if type.rank == 0:
            return ()
        if role is Role.ROW:
            axes, _ = row(node)
            return row_coordinates(type.static_shape, axes)
        if node in self.joints:
            return own_coordinates(type.static_shape)
        mark = f"e{self.order(node)}_{position}"
        if role in (Role.CONTRACTION, Role.ALONE):
            return unknown(type, frozenset({AGAIN}), mark)
        if window := node.attributes.get("window"):
            inner = Axis("window", math.prod(window))
            return unknown(type, axes_of(at) | {inner}, mark)
        return read_coordinates(node, position, at, mark)

    def _read(self, group: Group, value: Value, at: Coordinates | None) -> None:
        """Notes that `group` reads `value`, and what that is copied from."""
        places = group.reads.setdefault(value, {})
        if group.is_registered:
            self.readers.setdefault(value, {})[group] = None
        if at in places:
            return
        places[at] = None
        node = value.node
        if at is not None and node is not None and self._computes_again(group, node):
            group.copies[node] = None
            self.read_operands(group, node, at)

    def _computes_again(self, group: Group, node: Node) -> bool:
        """Whether `group` computes what it reads of `node` by itself."""
        moves = self.role(node) is Role.MOVE and node not in self.groups
        return moves or node in group.inlined

    def _register(self, group: Group) -> None:
        """Tells the values that `group` reads."""
        if not group.is_registered:
            group.is_registered = True
            for part in group.parts:
                for value in part.reads:
                    self.readers.setdefault(value, {})[group] = None

    def _unregister(self, group: Group) -> None:
        if group.is_registered:
            group.is_registered = False
            for part in group.parts:
                for value in part.reads:
                    self.readers[value].pop(group, None)

    # -- who waits for whom ------------------------------------------------------------

    def leads(self, starts: Iterable[Group], target: Group) -> bool:
        """Whether a path leads from one of `starts` to `target`."""
        # What a group is known to come before may have left it since.
        pending = [group for group in starts if group.below & target.bits]
        seen = set(pending)
        while pending:
            for reader in self.successors(pending.pop()):
                if reader is target:
                    return True
                if reader not in seen and reader.below & target.bits:
                    seen.add(reader)
                    pending.append(reader)
        return False

    def leads_around(self, first: Group, last: Group) -> bool:
        """Whether a path leads from `first` to `last` by way of another group."""
        others = self.successors(first) - {last}
        return bool(first.below & last.bits) and self.leads(others, last)

    def _learn(self, group: Group, readers: Iterable[Group]) -> None:
        """Notes which groups wait for `group`, and for those that it waits for."""
        below = 0
        for reader in readers:
            if reader is not group:
                below |= reader.below | reader.bits
        group.below = (group.below | below) & ~group.bits
        waiting = [group]
        while waiting:
            known = waiting.pop()
            reached = known.below | known.bits
            for value in known.reads:
                maker = self.groups.get(value.node) if value.node is not None else None
                if maker is None or maker is known or not reached & ~maker.below:
                    continue
                maker.below |= reached
                waiting.append(maker)


def row(node: Node) -> tuple[tuple[int, ...], TensorType]:
    """The axes that a row op goes along, and the type of what it reads."""
    along = node.op.attributes.get("axes") or node.op.attributes["axis"]
    axes = along.decode(node.attributes.get(along.name, along.default), None)
    return (axes,) if isinstance(axes, int) else axes, node.operands[0].type


def _overwrites(node: Node, position: int) -> bool:
    """Whether a kernel of one node needs an operand as a buffer.

    It is given what composites read, and what it may work on in place.
    """
    operand = node.operands[position]
    maker = operand.node if isinstance(operand, Value) else None
    filled = maker is not None and maker.op.kind is Kind.BROADCAST
    return node.op.is_composite or (position == 0 and not filled)


def _places(group: Group, values: Sequence[Value]) -> list[Coordinates | None]:
    """Where `group` reads those of `values` that it reads."""
    return [place for value in values for place in group.reads.get(value, ())]


def _agree(maker: Group, made: Change, reader: Group, read: Change) -> bool:
    """Whether one group reads what another makes at the places where it is made."""
    for value, places in reader.reads.items():
        if value.node in maker.members:
            at = made(maker.members[value.node])
            if any(place is None or read(place) != at for place in places):
                return False
    return True
