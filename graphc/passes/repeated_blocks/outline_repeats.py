"""Outlining repeats: finds equal blocks and makes each a call."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.values import Value
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
from graphc.passes.structure import Structures, look

HEAVY = (Role.CONTRACTION, Role.ALONE)
"""What a block must have some of to be worth a call."""
LIGHT = (Role.POINTWISE, Role.MOVE)
"""What can be computed again anywhere."""
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
    looks = _Looks(graph)
    late = updates(graph, looks.role)
    order = arranged(graph, late)
    # A variable is updated once the block, which may still read it, is done.
    blocks = [
        sorted(block, key=late.__contains__) for block in _blocks(order, looks, options)
    ]
    order = with_blocks(graph, late, blocks)
    if not blocks or not rewriter.arrange(graph, order, "order"):
        return
    # What goes from one block to the next is in memory, for all blocks alike.
    looks.stored = _borders(blocks)
    places = {node: place for place, node in enumerate(graph.nodes)}
    cones = _cones(blocks, looks, places)
    known = Structures(looks.number)
    # The last come first: what they copy need not be returned by the others.
    for block in reversed(blocks):
        copies = sorted(_copies(block, looks, cones), key=places.__getitem__)
        nodes = [*copies, *(node for node in block if node.graph is graph)]
        name = f"{graph.name}_block"
        rewriter.outline(nodes, name, "outline", shared=set(copies), known=known)


class _Looks:
    """What nodes of a graph do, asked once for all that look the same.

    Attributes:
        stored: Nodes whose results are in memory, whatever they do.
    """

    def __init__(self, graph: Graph) -> None:
        self.stored: set[Node] = set()
        self._numbers: dict[Node, int] = {}
        self._roles: list[Role] = []
        effects = Effects()
        found: dict[Hashable, int] = {}
        for node in graph.nodes:
            number = found.setdefault(look(node), len(found))
            self._numbers[node] = number
            if number == len(self._roles):
                self._roles.append(role_of(node, effects))

    def number(self, node: Node) -> int:
        """A number that nodes share which look the same."""
        return self._numbers[node]

    def role(self, node: Node) -> Role:
        """The role of a node; of calls of blocks as well."""
        if node in self.stored:
            return Role.ALONE
        number = self._numbers.get(node)
        return Role.OUTSIDE if number is None else self._roles[number]


# -- which blocks there are ------------------------------------------------------------


def _blocks(
    order: Sequence[Node], looks: _Looks, options: OutlineRepeats
) -> list[list[Node]]:
    """The nodes of all blocks, the first block first."""
    tandems = find_tandems([looks.number(node) for node in order], options.min_nodes)
    blocks: list[list[Node]] = []
    for tandem in sorted(tandems, key=lambda tandem: tandem.start):
        part = order[tandem.start : tandem.start + tandem.period]
        heavy = any(looks.role(node) in HEAVY for node in part)
        if tandem.count < options.min_count or not heavy:
            continue
        parts = tandem.cut(_crossing(order, tandem))
        if len(parts) >= options.min_count:
            blocks += [[order[place] for place in part] for part in parts]
    return blocks


def _crossing(order: Sequence[Node], tandem: Tandem) -> list[int]:
    """For each place of a period the bytes of what is made before and read shortly after.

    What is read much later, as by the backward part, crosses every cut. All periods
    are alike: one from the middle is looked at.
    """
    period = tandem.period
    start = tandem.start + tandem.count // 2 * period
    near = order[start : start + 2 * period]
    places = {node: place for place, node in enumerate(near)}
    costs = [0] * (2 * period)
    for place, node in enumerate(near[:period]):
        for value in node.results:
            read = [places.get(user, len(near)) - place for user, _ in value.uses]
            last = max([distance for distance in read if distance < period], default=0)
            for cut in range(place + 1, place + last + 1):
                costs[cut] += value.type.nbytes
    return [one + other for one, other in zip(costs, costs[period:], strict=False)]


def _borders(blocks: Sequence[Sequence[Node]]) -> set[Node]:
    """The nodes whose results the next block reads."""
    numbers = {node: n for n, block in enumerate(blocks) for node in block}
    return {
        node
        for node, number in numbers.items()
        for result in node.results
        for user, _ in result.uses
        if numbers.get(user) == number + 1
    }


# -- what a block computes again -------------------------------------------------------


def _cones(
    blocks: Iterable[Sequence[Node]], looks: _Looks, places: dict[Node, int]
) -> Cones:
    """The cones of what blocks read of others."""
    found: set[Node] = set()
    pending = [value for block in blocks for value in _reads(block)]
    while pending:
        node = pending.pop().node
        if node is not None and node not in found and looks.role(node) in LIGHT:
            found.add(node)
            pending += [o for o in node.operands if isinstance(o, Value)]
    return Cones(sorted(found, key=places.__getitem__), looks.role)


def _reads(block: Sequence[Node]) -> dict[Value, None]:
    """The values that a block reads and does not make, each once."""
    inside = set(block)
    return dict.fromkeys(
        [
            operand
            for node in block
            for operand in node.operands
            if isinstance(operand, Value) and operand.node not in inside
        ]
    )


def _copies(block: Sequence[Node], looks: _Looks, cones: Cones) -> set[Node]:
    """Nodes in front of a block that it had better have copies of."""
    stored = _stored(block, looks)
    reads = _reads(block)
    copies: set[Node] = set()
    for value in list(reads):
        maker = value.node
        if maker is None or looks.role(maker) not in LIGHT:
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


def _stored(block: Sequence[Node], looks: _Looks) -> set[Value]:
    """What must be in memory for the kernels of a block, also to be read elsewhere."""
    found: set[Value] = set()
    for node in reversed(block):
        role = looks.role(node)
        moved = role is Role.MOVE and not found.isdisjoint(node.results)
        if moved or role in HEAVY:
            found.update(o for o in node.operands if isinstance(o, Value))
    return found
