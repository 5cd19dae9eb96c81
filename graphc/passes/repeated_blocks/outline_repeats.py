"""Outlining repeats: finds equal blocks and makes each a call."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.values import Literal, Value, attributes_text
from graphc.passes.effects import Effects
from graphc.passes.fusion.cones import Cones
from graphc.passes.fusion.costs import nbytes
from graphc.passes.fusion.roles import Role, role_of
from graphc.passes.graph_pass import ModulePass, register
from graphc.passes.inline import FUSED
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.repeated_blocks.arranging import arranged, updates, with_blocks
from graphc.passes.repeated_blocks.tandems import Tandem, find_tandems
from graphc.passes.rewrite import Rewriter

HEAVY = (Role.CONTRACTION, Role.ALONE)
"""What a block must have some of to be worth a call."""
MAX_KEPT = 1.25
"""How many bytes may be kept for each byte that need not be written."""


@register
@final
@dataclass(frozen=True)
class OutlineRepeats(ModulePass):
    """Makes graphs of blocks that follow one another and look the same, such as layers.

    Blocks look the same whose nodes have the same ops, attributes, types and literals.
    `deduplicate` makes those that are the same call one graph, `inline` takes back what
    is called once. Both forward and backward blocks are found, with the updates of
    variables, which are moved behind the block that they belong to. What a block reads
    of another one and is cheaper to compute again than to store, it gets a copy of.

    Attributes:
        min_nodes: How many nodes a block must have.
        min_count: How often it must come. A few are not worth that nothing is fused
            across their borders.
    """

    min_nodes: int = 24
    min_count: int = 4
    name: ClassVar[str] = "outline_repeats"
    numerics: ClassVar[Mapping[str, Numerics]] = {"order": EXACT, "outline": EXACT}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        if graph.symbols:
            reason = "what is worth copying depends on sizes, which are not bound"
            rewriter.refuse(graph.return_node, "outline", reason)
            return False
        for each in graph.reachable():
            rewriter.ledger.visits += len(each)
            if not each.attributes.get(FUSED) and len(each) >= 2 * self.min_nodes:
                _outline(each, self, rewriter)
        return rewriter.ledger.count > made


def _outline(graph: Graph, options: OutlineRepeats, rewriter: Rewriter) -> None:
    """Outlines the blocks of a graph."""
    roles = _roles(graph)
    late = updates(graph, roles.__getitem__)
    order = arranged(graph, late)
    # A variable is updated once the block, which may still read it, is done.
    blocks = [
        sorted(block, key=late.__contains__)
        for block in _blocks(order, lambda node: roles[node] in HEAVY, options)
    ]
    order = with_blocks(graph, late, blocks)
    if not blocks or not rewriter.arrange(graph, order, "order"):
        return
    # What goes from one block to the next is in memory, for all blocks alike.
    stored = dict.fromkeys(_borders(blocks), Role.ALONE)
    cones = Cones(graph, (roles | stored).__getitem__)
    places = {node: place for place, node in enumerate(graph.nodes)}
    # The last come first: what they copy need not be returned by the others.
    for block in reversed(blocks):
        copies = sorted(_copies(block, roles | stored, cones), key=places.__getitem__)
        nodes = [*copies, *(node for node in block if node.graph is graph)]
        name = f"{graph.name}_block"
        rewriter.outline(nodes, name, "outline", shared=set(copies))


def _roles(graph: Graph) -> dict[Node, Role]:
    effects = Effects()
    roles = {node: role_of(node, effects) for node in graph.nodes}
    roles[graph.return_node] = Role.OUTSIDE
    return roles


# -- which blocks there are ------------------------------------------------------------


def _blocks(
    order: Sequence[Node],
    heavy: Callable[[Node], bool],
    options: OutlineRepeats,
) -> list[list[Node]]:
    """The nodes of all blocks, the first block first."""
    tandems = find_tandems([_look(node) for node in order], options.min_nodes)
    places = {node: place for place, node in enumerate(order)}
    blocks: list[list[Node]] = []
    for tandem in sorted(tandems, key=lambda tandem: tandem.start):
        part = order[tandem.start : tandem.start + tandem.period]
        if tandem.count < options.min_count or not any(map(heavy, part)):
            continue
        parts = tandem.cut(_crossing(order, places, tandem))
        if len(parts) >= options.min_count:
            blocks += [[order[place] for place in part] for part in parts]
    return blocks


def _look(node: Node) -> Hashable:
    """What a node has in common with those that do the same on other values."""
    operands = tuple([o if isinstance(o, Literal) else o.type for o in node.operands])
    attributes = attributes_text(node.attributes)
    types = tuple([result.type for result in node.results])
    return node.op, operands, attributes, types


def _crossing(
    order: Sequence[Node], places: dict[Node, int], tandem: Tandem
) -> list[float]:
    """For each place the bytes of values that are made shortly before and read after.

    What is read much later, as by the backward part, crosses every cut.
    """
    change = [0.0] * (len(order) + 2)
    for place in range(tandem.start, tandem.end):
        for value in order[place].results:
            users = (places.get(user, tandem.end) for user, _ in value.uses)
            near = [user for user in users if user - place < tandem.period]
            if near:
                change[place + 1] += value.type.nbytes
                change[max(near) + 1] -= value.type.nbytes
    total = 0.0
    costs: list[float] = []
    for step in change:
        total += step
        costs.append(total)
    return costs


def _borders(blocks: Sequence[Sequence[Node]]) -> Iterator[Node]:
    """The nodes whose results the next block reads."""
    for block, following in pairwise(blocks):
        readers = set(following)
        for node in block:
            if any(u in readers for result in node.results for u, _ in result.uses):
                yield node


# -- what a block computes again -------------------------------------------------------


def _copies(block: Sequence[Node], roles: dict[Node, Role], cones: Cones) -> set[Node]:
    """Nodes in front of a block that it had better have copies of."""
    inside = set(block)
    stored = _stored(block, roles)
    reads = dict.fromkeys(
        operand
        for node in block
        for operand in node.operands
        if isinstance(operand, Value) and operand.node not in inside
    )
    copies: set[Node] = set()
    for value in list(reads):
        maker = value.node
        if maker is None or roles.get(maker) not in (Role.POINTWISE, Role.MOVE):
            continue
        if maker in cones.ends or maker in cones.epilogues:
            continue
        cone = cones[maker]
        if cone.cost and value in stored:
            continue
        further = [leaf for leaf in cone.leaves if leaf.node and leaf not in reads]
        if sum(map(nbytes, further)) <= MAX_KEPT * nbytes(value):
            copies |= cone.nodes
            reads.update(dict.fromkeys(further))
    return copies


def _stored(block: Sequence[Node], roles: dict[Node, Role]) -> set[Value]:
    """What must be in memory for the kernels of a block, also to be read elsewhere."""
    found: set[Value] = set()
    for node in reversed(block):
        moved = roles[node] is Role.MOVE and not found.isdisjoint(node.results)
        if moved or roles[node] in (Role.CONTRACTION, Role.ALONE):
            found.update(o for o in node.operands if isinstance(o, Value))
    return found
