"""Grouping: decides which nodes of a graph are computed by one kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphc.ir.graph import Graph, Node
from graphc.ir.values import Operand, Value
from graphc.passes.coordinates import (
    UNKNOWN,
    Coordinates,
    operand_coordinates,
    stored_parts,
    unknown,
)
from graphc.passes.fusion.cones import Cones
from graphc.passes.fusion.costs import (
    CHEAP,
    MAX_EPILOGUE,
    MAX_REPEATED,
    SMALL,
    arithmetic,
    nbytes,
)
from graphc.passes.fusion.group import (
    KERNELS_OF_ELEMENTS,
    Group,
    Space,
    axes_of,
    elements,
    is_alias,
    joint,
    own_coordinates,
    row_coordinates,
    rows,
)
from graphc.passes.fusion.network import AGAIN, Network, row
from graphc.passes.fusion.parallelism import (
    TOO_SERIAL,
    has_few_programs,
    is_too_serial,
    work_behind,
)
from graphc.passes.fusion.roles import Role
from graphc.passes.rewrite import Rewriter


def group_nodes(graph: Graph, max_nodes: int, rewriter: Rewriter) -> Network:
    """The groups of a graph, grown from its last node to its first.

    A node comes after all that read its results have been placed. It joins the group
    that computes its elements at the places where they are read; groups that do are
    merged for it. What only moves elements is copied into every group that reads it,
    and so is what is cheaper to compute again than to store.
    """
    network = Network(graph)
    placing = _Placing(network, max_nodes, rewriter)
    placing.outside(graph.return_node)
    for node in graph.reversed_nodes():
        rewriter.ledger.visits += 1
        placing.place(node)
    return network


class _Placing:
    """Puts one node after the other into groups."""

    def __init__(self, network: Network, max_nodes: int, rewriter: Rewriter) -> None:
        self.network = network
        self.max_nodes = max_nodes
        self.rewriter = rewriter
        self.cones = Cones(network.graph.nodes, network.role)
        self.refused: set[tuple[Node, str, str]] = set()

    def place(self, node: Node) -> None:
        """Places a node whose readers have been placed."""
        role = self.network.role(node)
        if role is Role.OUTSIDE:
            if node.op.no_kernel:
                self.rewriter.refuse(node, "make a kernel", node.op.no_kernel)
            self.outside(node)
        elif not self.network.readers_of(node):
            return
        elif role is Role.ALONE:
            self._start(node, node.op.name)
        elif role is Role.ROW:
            self._place_row(node)
        elif role is Role.CONTRACTION:
            self._place_contraction(node)
        elif role is Role.POINTWISE:
            self._place_pointwise(node)
        elif self._is_stored(node):
            self._place_stored_move(node)

    def outside(self, node: Node) -> None:
        """Places a node that is in no kernel."""
        self.network.add(self.network.start(None), node, ())

    def _start(self, node: Node, kind: str) -> None:
        """Puts `node` into a group of its own."""
        shape = node.results[0].type.static_shape
        group = self.network.start(kind, elements(shape))
        self.network.add(group, node, own_coordinates(shape))

    def _is_stored(self, node: Node) -> bool:
        """Whether something needs a result of `node` in memory."""
        readers = self.network.readers
        return any(
            None in group.reads[value]
            for value in node.results
            for group in readers.get(value, ())
        )

    # -- one element for each ----------------------------------------------------------

    def _place_pointwise(self, node: Node) -> None:
        if len({o.node for o in _values(stored_parts(node))}) == 1:
            for group in self.network.readers_of(node):
                self._refuse(node, group, "its parts are results of one node")
            self._start_joint(node)
            return
        is_one = len(node.results) == 1
        if is_one and not self._is_stored(node) and self._copied(node):
            return
        if self._joined(node):
            return
        if stored_parts(node):
            self._start_joint(node)
        else:
            self._start(node, "pointwise")

    def _start_joint(self, node: Node) -> None:
        """Puts `node` into a group that stores what it joins, and not its result."""
        self.network.joints.add(node)
        group = self.network.start(
            "pointwise", elements(node.operands[0].type.static_shape)
        )
        # No loops run over its elements, so nothing reads them where they are made.
        at = unknown(node.results[0].type, frozenset(), f"j{self.network.order(node)}")
        self.network.add(group, node, at)

    def _place_stored_move(self, node: Node) -> None:
        """Places a node that moves elements to where others need them in memory."""
        if is_alias(node):
            self.outside(node)
        else:
            self._place_pointwise(node)
        for group in self.network.readers_of(node):
            if node in group.copies:
                self.network.reread(group)

    def _joined(self, node: Node) -> bool:
        """Puts `node` into a group that reads it, which others that do may join."""
        able = [g for g in self.network.readers_of(node) if self._takes(g, node)]
        able.sort(key=lambda group: group.kind == "contraction")
        while able:
            target = able.pop(0)
            self._merge_into(target, able, node.results)
            if self._waits(target, node):
                continue
            self.network.add(target, node, _read_at(target, node)[0] or ())
            for other in self._others(target, node):
                if other.kind is None:
                    self._refuse(node, other, "it is needed in memory")
                elif (node, _reader(other)) not in self.network.refused:
                    self._refuse(node, other, "another kernel makes and stores it")
            return True
        return False

    def _takes(self, group: Group, node: Node) -> bool:
        for value in node.results:
            if value in group.reads and not group.computes(value):
                return self._refuse(node, group, misfit(group, value))
        if len(_read_at(group, node)) > 1:
            return self._refuse(node, group, "its results are read at several places")
        if group.size >= self.max_nodes:
            return self._refuse(node, group, f"the group has {self.max_nodes} nodes")
        is_shared = len(self.network.readers_of(node)) > 1
        if group.kind == "contraction" and (is_shared or arithmetic(node) > CHEAP):
            return self._refuse(node, group, "an epilogue does not prepare operands")
        if self._is_too_serial(group, group.space, node.results[0]):
            return self._refuse(node, group, TOO_SERIAL)
        return True

    def _is_too_serial(self, group: Group, space: Space, value: Operand) -> bool:
        """Whether few programs would compute `value`, and all that it takes."""
        few = has_few_programs(space)
        return few and is_too_serial(space, group.work + work_behind(value))

    def _merge_into(
        self, target: Group, able: list[Group], values: Sequence[Value]
    ) -> None:
        """Merges those of `able` into `target` that can be; they leave the list."""
        for other in list(able):
            if "contraction" in (target.kind, other.kind):
                continue
            if target.size + other.size > self.max_nodes:
                continue
            if self.network.merged(target, other, values):
                able.remove(other)

    def _others(self, target: Group, node: Node) -> list[Group]:
        return [g for g in self.network.readers_of(node) if g is not target]

    def _waits(self, target: Group, node: Node) -> bool:
        """Whether `target` waits for another reader of `node`; records it."""
        if not self.network.leads(self._others(target, node), target):
            return False
        self._refuse(node, target, "a path leads around the group")
        return True

    # -- copies ------------------------------------------------------------------------

    def _copied(self, node: Node) -> bool:
        """Copies `node` into all that read it, if that is no worse than storing it."""
        (value,) = node.results
        readers = self.network.readers_of(node)
        exact = [group for group in readers if group.computes(value)]
        if node in self.cones.ends or node in self.cones.epilogues:
            return False
        if value.shape and len(readers) == len(exact) == 1:
            return False
        for group in readers:
            if group.size + len(self.cones[node].nodes) > self.max_nodes:
                return False
            if any(AGAIN in axes_of(at) for at in group.reads[value] if at):
                return self._refuse(node, group, "it would be computed for every tile")
        repeats = sum(_times(group, value) for group in readers) > value.type.size
        for group in readers:
            extra = self.cones[node].cost * _share(group, value)
            if repeats and group.repeated + extra > MAX_REPEATED:
                return self._refuse(node, group, "it would be computed again too often")
        reason = "a scalar is computed wherever it is read"
        if value.shape and not (reason := self._why_again(node, readers, exact)):
            return False
        self.network.recomputed[node] = reason
        for group in readers:
            work = arithmetic(node) * _share(group, value)
            group.work += work
            group.repeated += work if repeats else 0.0
            self.network.copy(group, node)
        return True

    def _why_again(self, node: Node, readers: list[Group], exact: list[Group]) -> str:
        """Why `node` is better computed in all `readers` than once; empty if not."""
        leaves, size = self.cones[node].leaves, nbytes(node.results[0])
        read = {
            group: sum(nbytes(v) for v in leaves if v not in group.reads)
            for group in readers
        }
        again, once = sum(read.values()), size * len(readers)
        if exact:
            # One of them reads the leaves, computes it, and writes it for all.
            again -= max(read[group] for group in exact)
        else:
            once += size + sum(map(nbytes, leaves))
        extra = [leaf for leaf in leaves if not self._is_in_memory(leaf)]
        if sum(nbytes(leaf) for leaf in extra if self._is_end(leaf)) > size:
            # They would be stored in its place.
            return ""
        most = once + SMALL
        if len(readers) > 1 and extra:
            again, most = again + sum(map(nbytes, extra)), once - 1
        reason = f"that moves {again:,} bytes, storing and reading it {once:,}"
        return reason if again <= most else ""

    def _is_end(self, value: Value) -> bool:
        """Whether a value is computed by itself, and by too much to be computed again."""
        node = value.node
        return node is not None and self.network.role(node) is Role.POINTWISE

    def _is_in_memory(self, value: Value) -> bool:
        """Whether a value is known to be in memory, whatever becomes a kernel."""
        if value.node is None or self.network.role(value.node) is Role.OUTSIDE:
            return True
        if value in self.cones.stored:
            return True
        readers = self.network.readers.get(value, ())
        return any(None in group.reads[value] for group in readers)

    # -- reductions and contractions ---------------------------------------------------

    def _place_row(self, node: Node) -> None:
        axes, type = row(node)
        space, at = rows(type, axes), _row_result(node)
        readers = self.network.readers_of(node)
        able = [g for g in readers if self._fits_row(g, node, space, at)]
        while able:
            target = able.pop(0)
            joined = joint(target.space, space)
            if joined is None:
                continue
            target.change(joined[0], joined[1])
            self._merge_into(target, able, node.results)
            if not self._waits(target, node):
                target.kind = "reduction"
                self.network.add(target, node, at)
                return
        self.network.add(self.network.start("reduction", space), node, at)

    def _fits_row(
        self, group: Group, node: Node, space: Space, at: Coordinates
    ) -> bool:
        """Whether `group` can compute a row op, with its loops or with other ones."""
        read = [result for result in node.results if result in group.reads]
        if group.kind not in ("pointwise", "reduction"):
            return self._refuse(node, group, misfit(group, read[0]))
        if group.size >= self.max_nodes:
            return self._refuse(node, group, f"the group has {self.max_nodes} nodes")
        joined = joint(group.space, space)
        if joined is None or self.network.joins(group):
            return self._refuse(node, group, "the loops are others")
        if self._is_too_serial(group, joined[0], node.operands[0]):
            return self._refuse(node, group, TOO_SERIAL)
        places = [place for result in read for place in group.reads[result]]
        if any(place is None or joined[1](place) != at for place in places):
            return self._refuse(node, group, "its result is read at other places")
        return True

    def _place_contraction(self, node: Node) -> None:
        (value,) = node.results
        own = own_coordinates(value.type.static_shape)
        for group in self.network.readers_of(node):
            reason = self._no_anchor(group, value, own)
            if reason:
                self._refuse(node, group, reason)
            elif not self._waits(group, node):
                group.kind = "contraction"
                self.network.add(group, node, own)
                return
        self._start(node, "contraction")

    def _no_anchor(self, group: Group, value: Value, own: Coordinates) -> str:
        """Why `group` cannot become the epilogue of `value`; empty if it can."""
        if group.kind == "reduction":
            return "a reduction does not follow a dot in its kernel"
        if group.kind == "contraction":
            return "the kernel has a dot already"
        if group.kind != "pointwise" or not group.computes(value):
            return misfit(group, value)
        if list(group.reads[value]) != [own]:
            return "its elements are read at other places"
        if not is_local(self.network, group):
            return "the epilogue would read elements at other places"
        if group.work > MAX_EPILOGUE:
            return "the epilogue has too much work"
        return ""

    def _refuse(self, node: Node, group: Group, reason: str) -> bool:
        """Records that `node` is not computed in `group`; returns False."""
        reader = _reader(group)
        self.network.refused[node, reader] = reason
        key = (node, reader.op.name, reason)
        if key not in self.refused:
            self.refused.add(key)
            self.rewriter.refuse(node, f"fuse into {reader.op.name}", reason)
        return False


def _values(operands: Iterable[Operand]) -> list[Value]:
    return [operand for operand in operands if isinstance(operand, Value)]


def _read_at(group: Group, node: Node) -> list[Coordinates | None]:
    """Where `group` reads results of `node`."""
    read = [group.reads[value] for value in node.results if value in group.reads]
    return list(dict.fromkeys(at for places in read for at in places))


def _reader(group: Group) -> Node:
    """The node that stands for a group in what is refused."""
    return next(reversed(group.members))


def is_local(network: Network, group: Group) -> bool:
    """Whether all members of `group` read elements where they compute their own."""
    return all(
        network.role(node) is Role.POINTWISE and not _reads_elsewhere(node)
        for node in group.members
    )


def _reads_elsewhere(node: Node) -> bool:
    own = own_coordinates(node.results[0].type.static_shape)
    operands = range(len(node.operands))
    return any(operand_coordinates(node, n, own) is None for n in operands)


def misfit(group: Group, value: Value) -> str:
    """Why a group does not run over the elements of a value."""
    if group.kind is None:
        return "it is needed in memory"
    if group.kind not in KERNELS_OF_ELEMENTS:
        return f"{group.kind} reads it from memory"
    places = list(group.reads[value])
    if None in places:
        return "it is needed in memory"
    if any(AGAIN in axes_of(at) for at in places if at):
        return "its elements are read again for every tile"
    if len(places) > 1:
        return "its elements are read at several places"
    if any(UNKNOWN in axes_of(at) for at in places if at):
        return "where its elements are read is not known"
    return "its elements are read more or less often than once"


def _times(group: Group, value: Value) -> int:
    """How often a group reads an element of a value."""
    places: Iterable[Coordinates] = (at or () for at in group.reads[value])
    return sum(map(group.space.evaluations, places))


def _share(group: Group, value: Value) -> float:
    """How many elements of a value a group reads for each of its own."""
    return _times(group, value) / max(1, group.space.size)


def _row_result(node: Node) -> Coordinates:
    """Where a row op's result is, as its own space has it."""
    axes, type = row(node)
    shape = node.results[0].type.static_shape
    if len(shape) == type.rank and axes:
        return row_coordinates(shape, axes)
    return own_coordinates(shape)
