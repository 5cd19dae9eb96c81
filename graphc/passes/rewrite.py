"""The rewriter: the one door through which passes change graphs.

It numbers every rewrite in the compile's ledger, says where new nodes come from, and
refuses optional rewrites once the ledger's limit is reached, which is how a wrong
rewrite is found by bisection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from graphc.ir.body import as_tuple, body_graph, call_body
from graphc.ir.build import GraphBuilder, current_builder, entered, inline
from graphc.ir.errors import GraphError, PassError
from graphc.ir.graph import Graph, Node, clone_nodes, lookup
from graphc.ir.location import Location
from graphc.ir.opdef import OPS
from graphc.ir.types import TensorType
from graphc.ir.values import Attributes, Operand, Value
from graphc.passes.journal import Journal
from graphc.passes.ledger import Ledger, Refusal, Rewrite, snapshot, snapshots
from graphc.passes.numerics import Provenance
from graphc.passes.structure import Structures, structure

Proposal = tuple[str, Sequence[Operand]]
"""A rule's name and what it puts for the results of a node."""


class Rewriter:
    """Changes graphs on behalf of one pass.

    Methods that rewrite return whether they did: False says that the ledger's limit
    is reached, or that a refusal with its reason is in the ledger.

    Attributes:
        ledger: Where rewrites and refusals are recorded.
        pass_name: The pass that rewrites.
        required: Whether the pass is needed for correctness: the limit on rewrites
            does not apply.
        listener: Called with each node that was added, whose operands changed, or
            whose results lost a use.
        provenance: Which results inexact rewrites can change, if that is followed.
        journal: Of which nodes the listener would have heard in the whole compile.
    """

    def __init__(
        self,
        ledger: Ledger,
        pass_name: str,
        required: bool = False,
        provenance: Provenance | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.ledger = ledger
        self.pass_name = pass_name
        self.required = required
        self.listener: Callable[[Node], None] | None = None
        self.provenance = provenance
        self.journal = journal or Journal()

    # -- replacing nodes -----------------------------------------------------------

    def replace(self, node: Node, operands: Sequence[Operand], rule: str) -> bool:
        """Puts `operands` for the results of `node` and removes it."""
        return self.rewrite(node, lambda: (rule, operands))

    def rewrite(
        self,
        node: Node,
        attempt: Callable[[], Proposal | None],
        origin: str | None = None,
    ) -> bool:
        """Replaces `node` by what `attempt` proposes; one rewrite.

        While `attempt` runs, ops that are called add nodes before `node`, at a
        location that derives from its own. They are removed again if nothing comes
        of it. A rank-0 operand proposed for a shaped result is broadcast.

        Args:
            node: The node to replace.
            attempt: Returns the rule's name and one operand per result, or None.
            origin: What new nodes come from; "rewritten by" the pass unless given.

        Raises:
            PassError: If the proposal does not have the types of the results.
        """
        graph = owner(node)
        before, size = node.previous, len(graph)
        builder = GraphBuilder(graph, node)
        builder.location = self._derived(node.location, origin)
        with entered(builder):
            proposal = attempt()
            if proposal is not None:
                rule, operands = proposal
                operands = self._fitted(node, rule, operands)
                if self._granted(node, rule):
                    self._put(node, before, rule, operands, size)
                    return True
        if node.previous is not before:
            _discard(node, before)
        return False

    def expand(self, node: Node, rule: str, origin: str | None = None) -> bool:
        """Replaces a use of a composite, or a call, by its body.

        New nodes without a location of their own get the one of `node`, deriving
        from `origin` if that is given.
        """

        def attempt() -> Proposal:
            if node.op.graph_names(node):
                module = owner(node).module
                found = call_body(node.op, node.operands, node.attributes, module)
                return rule, as_tuple(found)
            types = [operand.type for operand in node.operands]
            return rule, inline(
                body_graph(node.op, types, node.attributes), node.operands
            )

        return self.rewrite(node, attempt, origin or "")

    def _fitted(
        self, node: Node, rule: str, operands: Sequence[Operand]
    ) -> Sequence[Operand]:
        """`operands`, of which rank-0 ones are broadcast to the results' shapes."""
        wanted = [result.type for result in node.results]
        fitted = [full(o, type) for o, type in zip(operands, wanted, strict=False)]
        if len(operands) != len(wanted) or [o.type for o in fitted] != wanted:
            raise PassError(
                f"{self.pass_name}: rule {rule} changes the types of {node.op.name}",
                received=f"{_types(operands)} for {_types(node.results)}",
                location=node.location,
            )
        return fitted

    def _put(
        self,
        node: Node,
        before: Node | None,
        rule: str,
        operands: Sequence[Operand],
        size: int,
    ) -> None:
        graph = owner(node)
        was = snapshot(node)
        added = _added(node, before)
        touched, new_nodes = [*added, *_producers(node)], set(added)
        for old, new in zip(node.results, operands, strict=True):
            touched += old.users
            if isinstance(new, Value) and new.name is None and new.node in new_nodes:
                new.name = old.name
            old.replace_uses(new)
        graph.remove(node)
        self._follow(node, added, operands)
        put = snapshots(tuple(operands))
        rewrite = (rule, graph.name, was, put, size, len(graph))
        self._record(Rewrite(self.ledger.count + 1, self.pass_name, *rewrite))
        self._notify(touched)

    # -- other changes -------------------------------------------------------------

    def erase(self, node: Node, rule: str = "dead") -> bool:
        """Removes a node whose results nothing reads."""
        if not self._granted(node, rule):
            return False
        graph, was, producers = owner(node), snapshot(node), _producers(node)
        graph.remove(node)
        size = len(graph)
        rewrite = (rule, graph.name, was, None, size + 1, size)
        self._record(Rewrite(self.ledger.count + 1, self.pass_name, *rewrite))
        self._notify(producers)
        return True

    def set_operand(
        self, node: Node, position: int, operand: Operand, rule: str
    ) -> bool:
        """Makes `node` read `operand`, of the same type, at `position`."""
        if not self._granted(node, rule):
            return False
        producers = _producers(node)
        self._in_place(node, rule)
        node.set_operand(position, operand)
        self._follow(node, (), (operand,))
        self._notify([node, *producers])
        return True

    def set_attributes(self, node: Node, attributes: Attributes, rule: str) -> bool:
        """Gives `node` other attributes, in JSON form."""
        if not self._granted(node, rule):
            return False
        self._in_place(node, rule)
        node.attributes = attributes
        self._follow(node, (node,), ())
        self._notify([node])
        return True

    def move(self, node: Node, before: Node | None, rule: str) -> bool:
        """Moves `node` before `before`, or to the end of its graph."""
        if not self._granted(node, rule):
            return False
        self._in_place(node, rule)
        owner(node).move(node, before)
        return True

    def arrange(self, graph: Graph, order: Iterable[Node], rule: str) -> bool:
        """Puts the nodes of `graph`, all of which are given, in this order.

        One rewrite, none if they are in it already.
        """
        wanted = [n for n in dict.fromkeys(order) if n is not graph.return_node]
        if wanted == list(graph.nodes):
            return True
        if not self._granted(graph.return_node, rule):
            return False
        size = len(graph)
        whole = (rule, graph.name, None, None, size, size)
        self._record(Rewrite(self.ledger.count + 1, self.pass_name, *whole))
        for node in wanted:
            graph.move(node, None)
        return True

    def set_results(self, graph: Graph, operands: Iterable[Operand], rule: str) -> bool:
        """Makes `graph` return `operands`."""
        node = graph.return_node
        if not self._granted(node, rule):
            return False
        producers = _producers(node)
        self._in_place(node, rule)
        graph.results = tuple(operands)
        self._follow(node, (), graph.results)
        self._notify(producers)
        return True

    def constant(self, array: np.ndarray[Any, Any], name: str) -> Value:
        """A node, at the insertion point, that reads `array` from the module."""
        module = current_builder().graph.module
        return OPS["constant"](name=module.add_constant(array, name))

    def outline(
        self,
        nodes: Sequence[Node],
        name: str,
        rule: str,
        attributes: Attributes | None = None,
        shared: Collection[Node] = (),
        known: Structures | None = None,
    ) -> Graph | None:
        """Moves `nodes` to a graph of their own, which a `call` in their place calls.

        Args:
            nodes: Nodes of one graph in execution order. What reads their results
                must come after the last of them, or the outlining is refused. Those
                that are `shared` may be among them again, for nodes that read a copy
                of their own.
            name: The name that the graph gets, with a number behind it if taken.
            rule: What the ledger calls the rewrite.
            attributes: The attributes of the new graph.
            shared: Those of `nodes` whose results the new graph does not return. If
                anything else reads them, they stay, and the new graph has copies.
            known: Graphs made before, of which an equal one is called instead of a
                new one, and where a new one is noted.

        Returns:
            The graph that is called, or None if refused.
        """
        last, group = nodes[-1], set(nodes)
        stay = _still_read(nodes, shared)
        leaving = group.difference(stay)
        exits = [
            result
            for node in nodes
            if node in leaving
            for result in node.results
            if _leaves(result, leaving)
        ]
        reason = _outline_problem(exits, group, last)
        if reason is not None:
            self.refuse(last, rule, reason)
            return None
        if not self._granted(last, rule):
            return None
        graph = owner(last)
        was, size = snapshot(last), len(graph)
        inputs = _inputs(nodes)
        key = structure(inputs, nodes, exits, known.of) if known else None
        callee = known.graphs.get(key) if known else None
        if callee is None:
            callee = _graph_of(nodes, inputs, exits, name)
            callee.attributes = attributes or {}
            if known:
                known.graphs[key] = callee
        builder = GraphBuilder(graph, last)
        builder.location = self._derived(last.location, _fused_from(nodes))
        with entered(builder):
            outputs = as_tuple(OPS["call"](*inputs, graph=callee.name))
        touched = _take_over(exits, outputs, leaving)
        for node in reversed(dict.fromkeys(nodes)):
            if node in leaving:
                graph.remove(node)
        _put_after(outputs[0], stay)
        put = snapshots(tuple(outputs))
        rewrite = (rule, graph.name, was, put, size, len(graph))
        self._record(Rewrite(self.ledger.count + 1, self.pass_name, *rewrite))
        self._notify(touched)
        return callee

    # -- the ledger ----------------------------------------------------------------

    def refuse(self, node: Node, rule: str, reason: str) -> None:
        """Records that `rule` was not applied to `node`, and why."""
        self.ledger.refusals.append(
            Refusal(self.pass_name, rule, owner(node).name, snapshot(node), reason)
        )

    def _granted(self, node: Node, rule: str) -> bool:
        if self.required or not self.ledger.exhausted:
            if self.provenance is not None:
                number = self.ledger.count + 1
                inexact = self.provenance.before(node, rule, number)
                if inexact is not None:
                    self.ledger.inexact.append(inexact)
            return True
        self.refuse(node, rule, f"the limit of {self.ledger.limit} rewrites is reached")
        return False

    def _follow(
        self, node: Node, added: Sequence[Node], operands: Sequence[Operand]
    ) -> None:
        if self.provenance is not None:
            self.provenance.after(node, added, operands)

    def _in_place(self, node: Node, rule: str) -> None:
        graph = owner(node)
        size = len(graph)
        rewrite = (rule, graph.name, snapshot(node), None, size, size)
        self._record(Rewrite(self.ledger.count + 1, self.pass_name, *rewrite))

    def _record(self, rewrite: Rewrite) -> None:
        self.ledger.rewrites.append(rewrite)

    def _notify(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node.graph is not None:
                self.journal.touched.append(node)
                if self.listener is not None:
                    self.listener(node)

    def _derived(
        self, location: Location | None, origin: str | None
    ) -> Location | None:
        if location is None or origin == "":
            return location
        phrase = origin or f"rewritten by {self.pass_name}"
        if location.origin is None:
            return location.derive(phrase)
        if phrase in location.origin:
            return location
        return location.derive(f"{location.origin}, {phrase}")


def owner(node: Node) -> Graph:
    """The graph that `node` is in."""
    if node.graph is None:
        raise GraphError(f"{node.op.name} is no longer in a graph")
    return node.graph


def size_problem(node: Node) -> str | None:
    """Why a pass that counts the elements of a node's values leaves it, if so."""
    types = [value.type for value in (*node.operands, *node.results)]
    if any(type.symbols for type in types):
        return "its sizes are not known"
    if any(type.size == 0 for type in types):
        return "it has no elements"
    return None


def full(operand: Operand, type: TensorType) -> Operand:
    """A rank-0 `operand` broadcast to `type` at the insertion point.

    What is not of rank 0, or of another dtype, is returned as it is.
    """
    if operand.type.shape or operand.type.dtype is not type.dtype or not type.shape:
        return operand
    return OPS["broadcast_in_dim"](operand, shape=type.shape, dims=())


def _added(node: Node, before: Node | None) -> list[Node]:
    """The nodes between `before` and `node`, in order."""
    added: list[Node] = []
    current = node.previous
    while current is not before and current is not None:
        added.append(current)
        current = current.previous
    return added[::-1]


def _discard(node: Node, before: Node | None) -> None:
    """Removes the nodes between `before` and `node`."""
    for added in reversed(_added(node, before)):
        owner(added).remove(added)


def _producers(node: Node) -> list[Node]:
    return [
        operand.node
        for operand in node.operands
        if isinstance(operand, Value) and operand.node is not None
    ]


def _leaves(value: Value, group: set[Node]) -> bool:
    for user, _ in value.uses:  # noqa: SIM110  a generator takes twice as long
        if user not in group:
            return True
    return False


def _still_read(nodes: Sequence[Node], shared: Collection[Node]) -> list[Node]:
    """The `shared` ones of `nodes` that others read, in order."""
    leaving = set(nodes)
    found: list[Node] = []
    for node in reversed(dict.fromkeys(nodes)):
        if node in shared and any(_leaves(result, leaving) for result in node.results):
            leaving.discard(node)
            found.append(node)
    return found[::-1]


def _put_after(output: Value, nodes: Iterable[Node]) -> None:
    """Moves those of `nodes` that depend on the maker of `output` behind it."""
    maker = output.node
    if maker is None:
        return
    graph, following, behind = owner(maker), maker.next, {maker}
    for node in nodes:
        if not behind.isdisjoint(_producers(node)):
            behind.add(node)
            graph.move(node, following)


def _outline_problem(
    exits: Sequence[Value], group: set[Node], last: Node
) -> str | None:
    """Why nodes whose results are read through `exits` cannot be outlined, if so."""
    if not exits:
        return "nothing reads a result"
    early = {value.node for value in exits} - {last}
    readers = {user for value in exits for user, _ in value.uses} - group
    # The search ends at the first exit: nothing before it can read one.
    current = last.previous
    while current is not None and early:
        if current in readers:
            return "a result is read before the last of the nodes"
        early.discard(current)
        current = current.previous
    return None


def _inputs(nodes: Sequence[Node]) -> list[Value]:
    """The values that `nodes` read and do not make, in the order of their reads."""
    inside = {result for node in nodes for result in node.results}
    return list(
        dict.fromkeys(
            [
                operand
                for node in nodes
                for operand in node.operands
                if isinstance(operand, Value) and operand not in inside
            ]
        )
    )


def _graph_of(
    nodes: Sequence[Node], inputs: Sequence[Value], exits: Sequence[Value], name: str
) -> Graph:
    """A graph of copies of `nodes` that reads `inputs` and returns `exits`."""
    graph = owner(nodes[0])
    callee = Graph(graph.module.fresh_name(name), graph.module)
    values: dict[Value, Operand] = {
        value: callee.add_parameter(value.type, value.name) for value in inputs
    }
    seen: set[Node] = set()
    for node in nodes:
        # Of nodes that are there again, the copies cannot have the same name.
        clone_nodes([node], values, callee.insert, keep_names=node not in seen)
        seen.add(node)
    callee.results = [lookup(values, value) for value in exits]
    callee.ranges = dict(graph.ranges)
    return callee


def _take_over(
    exits: Sequence[Value], outputs: Sequence[Value], group: set[Node]
) -> list[Node]:
    """Makes readers outside the group read `outputs`; returns those readers."""
    changes: dict[Node, dict[int, Operand]] = {}
    for old, new in zip(exits, outputs, strict=True):
        new.name = old.name
        for user, position in old.uses:
            if user not in group:
                changes.setdefault(user, {})[position] = new
    for user, operands in changes.items():
        user.set_operands(operands)
    return list(changes)


def _types(operands: Iterable[Operand]) -> str:
    return ", ".join(str(operand.type) for operand in operands)


def _fused_from(nodes: Sequence[Node]) -> str:
    names = list(dict.fromkeys(node.op.name for node in nodes))
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"fused from {', '.join(names[:6])}{more}"
