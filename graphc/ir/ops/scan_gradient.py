"""The gradient of `scan`: a scan in the other direction over the body's pullback.

What the backward body reads of the forward loop is stacked by the forward loop itself,
which therefore runs once: carries, and, unless the node says ``recompute=true``, the
intermediate values. Stretched values and those that no step changes are computed
again, for storing them costs more.

The cotangent of a loop-invariant operand is a sum over the steps. Where its terms are
products of per-step values, as for a weight matrix, those are stacked and contracted
once after the loop: one large matrix multiplication instead of many small ones, and
no sum of the weights' size to read and write at each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.body import as_tuple
from graphc.ir.build import building, current_builder
from graphc.ir.differentiate import Sweep, dependent_values, sweep, zeros
from graphc.ir.dims import Dim
from graphc.ir.graph import Graph, Node, clone_graph, clone_nodes, lookup
from graphc.ir.opdef import OPS, DType, IntLists, Kind, Trait
from graphc.ir.ops.along_axes import in_dtype, wide_dtype
from graphc.ir.ops.contraction import dot_general, labelled_dot
from graphc.ir.ops.elementwise import add, convert
from graphc.ir.ops.reduction import reduce_sum
from graphc.ir.types import TensorType
from graphc.ir.values import Operand, Value


def scan_pullback(
    node: Node, cotangents: Sequence[Operand | None], wanted: Sequence[bool]
) -> list[Operand | None]:
    """The cotangents of a scan's operands; see `OpDef.pullback`."""
    loop = Loop.of(node)
    active = _active_parameters(loop, wanted)
    flows = _flowing_results(loop, active, [g is not None for g in cotangents])
    swept = sweep(loop.body, flows, active)
    try:
        return _Backward(loop, swept, flows, cotangents).run()
    finally:
        loop.body.module.remove(swept.graph)


@dataclass(frozen=True, slots=True)
class Loop:
    """A scan node with its attributes as the op's rules see them."""

    node: Node
    body: Graph
    length: Dim
    carries: int
    sequences: int
    reverse: bool
    recompute: bool

    @classmethod
    def of(cls, node: Node) -> Loop:
        """The loop that a scan node stands for."""
        assert node.graph is not None
        return cls(node, **node.op.decode(node.attributes, node.graph.module))

    def stacked(self, type: TensorType) -> TensorType:
        """The type of one value of `type` for each step."""
        return type.with_shape((self.length, *type.shape))


# -- what depends on what, over all steps ----------------------------------------------


def _active_parameters(loop: Loop, wanted: Sequence[bool]) -> list[bool]:
    """Which parameters of the body depend on a wanted operand, at any step."""
    body, active = loop.body, list(wanted)
    while True:
        values = _dependent(body, active)
        grown = [
            flag or (i < loop.carries and body.results[i] in values)
            for i, flag in enumerate(active)
        ]
        if grown == active:
            return active
        active = grown


def _flowing_results(
    loop: Loop, active: Sequence[bool], given: Sequence[bool]
) -> list[bool]:
    """Which results of the body have a cotangent, at any step."""
    body = loop.body
    values = _dependent(body, active)
    flows = [
        flag and (active[i] if i < loop.carries else body.results[i] in values)
        for i, flag in enumerate(given)
    ]
    while True:
        reached = {r for r, flag in zip(body.results, flows, strict=True) if flag}
        for node in body.reversed_nodes():
            if any(result in reached for result in node.results):
                reached.update(node.operands)
        grown = [
            flag or (i < loop.carries and active[i] and body.parameters[i] in reached)
            for i, flag in enumerate(flows)
        ]
        if grown == flows:
            return flows
        flows = grown


def _dependent(body: Graph, active: Sequence[bool]) -> set[Value]:
    wrt = [p for p, flag in zip(body.parameters, active, strict=True) if flag]
    return dependent_values(body.nodes, wrt)


# -- the backward loop -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Term:
    """A term of the cotangent of an invariant operand.

    Attributes:
        value: The term.
        source: The node whose sum over the steps is taken after the loop, if it is.
        moves: The nodes between the source's result and the term, the last first.
    """

    value: Operand
    source: Node | None = None
    moves: tuple[Node, ...] = ()


class _Backward:
    """Building one backward loop from the sweep of the body.

    Values are those of the sweep's graph: the body's parameters and nodes, then the
    cotangents of its results (`seeds`) and what the sweep added.
    """

    def __init__(
        self,
        loop: Loop,
        swept: Sweep,
        flows: Sequence[bool],
        cotangents: Sequence[Operand | None],
    ) -> None:
        self.loop, self.swept = loop, swept
        self.cotangents = cotangents
        self.forward = set(swept.forward)
        count = len(loop.body.parameters)
        first = loop.carries + loop.sequences
        parameters = swept.graph.parameters
        self.carried = parameters[: loop.carries]
        self.invariants = dict(
            zip(parameters[first:count], loop.node.operands[first:], strict=True)
        )
        seeds = iter(parameters[count:])
        self.seeds = [next(seeds) if flag else None for flag in flows]
        self.varying = _varying(swept.graph, self.invariants)
        # What exists stacked: a value of the sweep's graph to an operand of the scan.
        elements = parameters[loop.carries : first]
        operands = loop.node.operands[loop.carries : first]
        self.stacks: dict[Value, Operand] = dict(zip(elements, operands, strict=True))
        for seed, given in zip(self.seeds, cotangents, strict=True):
            if (
                seed is not None
                and given is not None
                and seed not in self.seeds_carried
            ):
                self.stacks[seed] = given
        # What the forward loop is to stack besides.
        self.stored: dict[Value, None] = {}

    @property
    def seeds_carried(self) -> list[Value | None]:
        """The cotangents of the carries after a step."""
        return self.seeds[: self.loop.carries]

    def run(self) -> list[Operand | None]:
        """Adds the backward loop; returns the cotangents of the scan's operands."""
        gradients, carries = self.swept.gradients, self.loop.carries
        first = carries + self.loop.sequences
        known = {i: g for i, g in enumerate(gradients) if g is not None}
        terms, outputs = self._sorted_terms(
            {i: self._terms(g) for i, g in known.items() if i >= first}
        )
        with building(self.swept.graph):
            ends = {
                i: known[i] if i in known else zeros(seed.type)
                for i, seed in enumerate(self.seeds_carried)
                if seed is not None
            }
            sums = {
                i: _total([term.value for term in parts if term.source is None])
                for i, parts in terms.items()
                if any(term.source is None for term in parts)
            }
        rows = {i: g for i, g in known.items() if carries <= i < first}
        outputs = [value for value in outputs if value not in rows.values()]
        found = self._loop(ends, sums, rows, outputs)
        for i, parts in terms.items():
            later = [self._after(term) for term in parts if term.source is not None]
            found[i] = _total([found[i], *later] if i in found else later)
        return [found.get(i) for i in range(len(gradients))]

    # -- what is summed after the loop ---------------------------------------------

    def _terms(self, gradient: Operand) -> Iterator[_Term]:
        node = self._added(gradient)
        if node is not None and node.op is add and _same_types(node):
            for operand in node.operands:
                yield from self._terms(operand)
        else:
            yield self._term(gradient)

    def _term(self, value: Operand) -> _Term:
        moves: list[Node] = []
        node = self._added(value)
        while node is not None and _only_moves(node):
            moves.append(node)
            node = self._added(node.operands[0])
        sums = node is not None and node.op in (dot_general, reduce_sum)
        if node is None or not sums or self.loop.recompute:
            return _Term(value)
        if not all(operand in self.varying for operand in node.operands):
            return _Term(value)
        return _Term(value, node, tuple(moves))

    def _added(self, value: Operand) -> Node | None:
        """The node of the sweep that computes `value`, if one does."""
        node = value.node if isinstance(value, Value) else None
        return None if node in self.forward else node

    def _sorted_terms(
        self, terms: Mapping[int, Iterable[_Term]]
    ) -> tuple[dict[int, list[_Term]], list[Value]]:
        """The terms, and the values that the backward loop stacks for their sources.

        The sum of a value that nothing else stacks is taken in the loop after all.
        """
        listed = {i: list(parts) for i, parts in terms.items()}
        outputs: dict[Value, None] = {}
        for source in _sources(listed.values()):
            if source.op is dot_general:
                for value in source.operands:
                    if isinstance(value, Value) and value not in self.stacks:
                        kept = self.stored if self._is_stored(value) else outputs
                        kept[value] = None
        stacked = {*self.stacks, *self.stored, *outputs}
        for parts in listed.values():
            for place, term in enumerate(parts):
                source = term.source
                if source is not None and not stacked.issuperset(source.operands):
                    parts[place] = _Term(term.value)
        return listed, list(outputs)

    def _after(self, term: _Term) -> Operand:
        """The sum of a term over all steps, taken from what was stacked."""
        node = term.source
        assert node is not None
        first, *second = [self.stacks[o] for o in node.operands if isinstance(o, Value)]
        attributes = node.op.decode(node.attributes, None)
        if node.op is reduce_sum:
            axes = [0, *(axis + 1 for axis in attributes["axes"])]
            found = reduce_sum(first, axes=axes)
        else:
            found = _product_of_stacks(first, second[0], **attributes)
        values: dict[Value, Operand] = {node.result: found}
        insert = current_builder().insert
        clone_nodes(reversed(term.moves), values, insert, keep_names=False)
        return lookup(values, term.value)

    # -- the loop itself -----------------------------------------------------------

    def _loop(
        self,
        ends: Mapping[int, Operand],
        sums: Mapping[int, Operand],
        rows: Mapping[int, Operand],
        outputs: Sequence[Value],
    ) -> dict[int, Operand]:
        """Adds the scan; returns cotangents by operand and notes what it stacks."""
        wanted = [*ends.values(), *sums.values(), *rows.values(), *outputs]
        read, nodes = self._reads(wanted)
        self._extend_forward()
        if not wanted:
            return {}
        sequences = [value for value in self.stacks if value in read]
        invariants = [value for value in self.invariants if value in read]
        body = self.loop.body
        graph = Graph(body.module.fresh_name(f"{body.name}_backward"), body.module)
        graph.ranges = dict(body.ranges)
        values: dict[Value, Operand] = {}
        for i in ends:
            seed = self.seeds[i]
            assert seed is not None
            values[seed] = graph.add_parameter(seed.type)
        partial = [graph.add_parameter(_sum_type(s.type)) for s in sums.values()]
        for value in (*sequences, *invariants):
            values[value] = graph.add_parameter(value.type, value.name)
        kept = (node for node in self.swept.graph.nodes if node in nodes)
        clone_nodes(kept, values, graph.insert, keep_names=False)
        found = [lookup(values, operand) for operand in wanted]
        with building(graph):
            for place, total in enumerate(partial, len(ends)):
                found[place] = add(total, in_dtype(found[place], total.dtype))
        graph.results = found
        starts = [self.cotangents[i] for i in ends]
        types = [operand.type for operand in (*ends.values(), *partial)]
        results = OPS["scan"](
            *(
                zeros(t) if s is None else s
                for s, t in zip(starts, types, strict=False)
            ),
            *(zeros(total.type) for total in partial),
            *(self.stacks[value] for value in sequences),
            *(self.invariants[value] for value in invariants),
            body=graph,
            length=self.loop.length,
            carries=len(ends) + len(partial),
            sequences=len(sequences),
            reverse=not self.loop.reverse,
            recompute=self.loop.recompute,
        )
        return self._named(ends, sums, rows, outputs, as_tuple(results))

    def _named(
        self,
        ends: Mapping[int, Operand],
        sums: Mapping[int, Operand],
        rows: Mapping[int, Operand],
        outputs: Sequence[Value],
        results: Sequence[Value],
    ) -> dict[int, Operand]:
        left = iter(results)
        found: dict[int, Operand] = {i: next(left) for i in ends}
        for i, total in sums.items():
            found[i] = in_dtype(next(left), total.type.dtype)
        found |= {i: next(left) for i in rows}
        self.stacks.update(
            (row, found[i]) for i, row in rows.items() if isinstance(row, Value)
        )
        self.stacks.update(zip(outputs, left, strict=True))
        return found

    def _reads(self, wanted: Iterable[Operand]) -> tuple[set[Operand], set[Node]]:
        """What the values `wanted` are computed from, and by which nodes.

        Stored values are noted and not computed.
        """
        read: set[Operand] = set()
        nodes: set[Node] = set()
        left = list(wanted)
        while left:
            value = left.pop()
            if value in read or not isinstance(value, Value):
                continue
            read.add(value)
            if self._is_stored(value):
                self.stored[value] = None
            elif value.node is not None:
                nodes.add(value.node)
                left += value.node.operands
        return read, nodes

    def _is_stored(self, value: Value) -> bool:
        node = value.node
        if node is None:
            return value in self.carried
        if node not in self.forward:
            return False
        if Trait.EFFECT in node.op.traits:
            return True  # computing it again would have the effect again
        if self.loop.recompute:
            return False
        return value in self.varying and node.op.kind is not Kind.BROADCAST

    # -- the forward loop ----------------------------------------------------------

    def _extend_forward(self) -> None:
        """Makes the forward loop stack the stored values."""
        loop, node = self.loop, self.loop.node
        results = zip(self.swept.results, node.results, strict=True)
        for result, stacked in list(results)[loop.carries :]:
            if isinstance(result, Value) and result in self.stored:
                self.stacks[result] = stacked
        missing = [value for value in self.stored if value not in self.stacks]
        if not missing:
            return
        graph = self._forward_body(missing)
        node.attributes = node.attributes | {"body": graph.name}
        added = node.extend(loop.stacked(value.type) for value in missing)
        self.stacks.update(zip(missing, added, strict=True))

    def _forward_body(self, stored: Sequence[Value]) -> Graph:
        """The body, returning these values too."""
        body = self.loop.body
        name = body.module.fresh_name(f"{body.name}_forward")
        if all(value.node is None for value in stored):
            graph = clone_graph(body, name, body.module)
            added = [graph.parameters[value.index] for value in stored]
            graph.results = [*graph.results, *added]
            return graph
        graph = Graph(name, body.module)
        graph.ranges, graph.attributes = dict(body.ranges), body.attributes
        own = self.swept.graph.parameters[: len(body.parameters)]
        values: dict[Value, Operand] = {
            p: graph.add_parameter(p.type, p.name) for p in own
        }
        clone_nodes(self.swept.forward, values, graph.insert)
        graph.results = [
            lookup(values, operand) for operand in (*self.swept.results, *stored)
        ]
        return graph


def _varying(graph: Graph, invariants: Iterable[Value]) -> set[Operand]:
    """The values that may differ from step to step."""
    found: set[Operand] = set(graph.parameters)
    found.difference_update(invariants)
    for node in graph.nodes:
        if not found.isdisjoint(node.operands):
            found.update(node.results)
    return found


def _sources(terms: Iterable[Iterable[_Term]]) -> list[Node]:
    return [t.source for parts in terms for t in parts if t.source is not None]


def _same_types(node: Node) -> bool:
    return all(operand.type == node.result.type for operand in node.operands)


def _only_moves(node: Node) -> bool:
    """Whether a node moves or converts elements of one value: sums pass through it."""
    return len(node.operands) == 1 and (
        node.op.kind is Kind.INJECTIVE or node.op is convert
    )


def _product_of_stacks(
    a: Operand, b: Operand, contract: IntLists, batch: IntLists, dtype: DType | None
) -> Operand:
    """The sum over all steps of the products of one step's elements."""
    rank = a.type.rank - 1
    labels_a = list(range(rank))
    labels_b = [rank + d for d in range(b.type.rank - 1)]
    for mine, other in (*zip(*contract, strict=True), *zip(*batch, strict=True)):
        labels_b[other] = mine
    left = [label for label in labels_a if label not in (*contract[0], *batch[0])]
    right = [label for label in labels_b if label >= rank]
    step = -1
    return labelled_dot(
        a, [step, *labels_a], b, [step, *labels_b], [*batch[0], *left, *right], dtype
    )


def _sum_type(type: TensorType) -> TensorType:
    """The type that a sum over many steps is kept in."""
    return type.with_dtype(wide_dtype(type.dtype))


def _total(operands: Sequence[Operand]) -> Operand:
    total, *others = operands
    for operand in others:
        total = add(total, operand)
    return total
