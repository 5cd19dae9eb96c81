"""What becomes of each node when a graph is computed in a narrower float, and why.

All of it follows from the ops' records: their kinds and traits, the dtypes that they
take, and for a composite those of the ops in its body.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ml_dtypes import finfo

from graphc.ir.body import body_graph
from graphc.ir.cost import node_cost
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import AttributeKind, Kind, OpDef, Trait
from graphc.ir.ops import convert
from graphc.ir.types import F32, F64, DType
from graphc.ir.values import Literal

FOLLOWING = (Kind.ELEMENTWISE, Kind.BROADCAST, Kind.INJECTIVE, Kind.REDUCTION)
"""The kinds of ops that are as accurate in a dtype as their operands are.

Reductions that accumulate have a trait that says so; the others pick elements."""


class Role(enum.Enum):
    """What part a node can have in a graph of narrow floats."""

    PRODUCT = "product"
    """It has much to gain: sums of products, with accumulators of their own."""
    FOLLOWS = "follows"
    """It may be computed in the dtype of what it reads."""
    STAYS = "stays"
    """It is computed in float32."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a node.

    Attributes:
        role: What part it can have.
        reason: Why it is computed in float32; None if it is not.
        widens: Whether it is narrow and becomes float32.
    """

    role: Role
    reason: str | None = None
    widens: bool = False


@dataclass
class Fates:
    """Decides what becomes of the nodes of graphs.

    Attributes:
        narrow: The narrow dtype.
        mixed: Whether what follows must lie between two products.
        least_reuse: How often a product must use each operand element on average.
        keep: The names of ops that stay in float32 in any case.
    """

    narrow: DType
    mixed: bool
    least_reuse: int
    keep: frozenset[str]
    _found: dict[Node, Fate] = field(default_factory=dict[Node, Fate])
    _obstacles: dict[object, str | None] = field(
        default_factory=dict[object, "str | None"]
    )

    def of(self, graph: Graph) -> dict[Node, Fate]:
        """The fate of each node that computes with float32, or with the narrow dtype.

        Conversions between floats are none of these: they are what frontiers between
        dtypes consist of.
        """
        roles = {node: self._role(node) for node in graph.nodes if self._concerns(node)}
        follows = self._followers(graph, roles)
        self._found = {
            node: self._fate(node, found, follows)
            for node, found in roles.items()
            if not changes_float(node)
        }
        return self._found

    def widens(self, node: Node) -> bool:
        """Whether a node of the graph that was asked for becomes float32."""
        return node in self._found and self._found[node].widens

    def narrowable(self, node: Node) -> Iterator[int]:
        """The positions of float32 operands for which the op takes the narrow dtype."""
        last = len(node.op.dtypes) - 1
        for position, operand in enumerate(node.operands):
            accepted = node.op.dtypes[min(position, last)]
            if operand.type.dtype is F32 and self.narrow in accepted:
                yield position

    # -- what a node could be ------------------------------------------------------

    def _concerns(self, node: Node) -> bool:
        return any(dtype in (F32, self.narrow) for dtype in _dtypes(node))

    def _role(self, node: Node) -> Fate:
        if changes_float(node):
            return Fate(Role.FOLLOWS)
        if node.op.kind is Kind.CONTRACTION:
            reason = self._against_product(node)
            return Fate(Role.PRODUCT if reason is None else Role.STAYS, reason)
        reason = self._against_following(node)
        if reason is None:
            return Fate(Role.FOLLOWS)
        return Fate(Role.STAYS, reason, self._is_narrow(node) and _needs_range(node.op))

    def _is_narrow(self, node: Node) -> bool:
        return all(dtype is self.narrow for dtype in _dtypes(node) if dtype.is_float)

    def _against_product(self, node: Node) -> str | None:
        """Why a product is not computed in the narrow dtype, if so."""
        if node.op.name in self.keep:
            return "the pass is asked to keep it"
        dtypes = [operand.type.dtype for operand in node.operands]
        if self.narrow not in dtypes and not any(self.narrowable(node)):
            return f"{node.op.name} takes no {self.narrow}"
        reuse = _reuse(node)
        if F32 in dtypes and reuse < self.least_reuse:
            return (
                f"it uses each operand element {reuse:.3g} times, fewer than"
                f" {self.least_reuse}"
            )
        return None

    def _against_following(self, node: Node) -> str | None:
        """Why a node cannot be computed in the dtype of what it reads, if so."""
        op = node.op
        if op.name in self.keep:
            return "the pass is asked to keep it"
        if reason := _against_record(op, self.narrow):
            return reason
        floats = [o for o in node.operands if o.type.dtype.is_float]
        if not floats:
            return "it reads no floats"
        if not any(result.dtype.is_float for result in node.results):
            return "its result is no float"
        if F64 in _dtypes(node):
            return "it computes with float64"
        wide = [o for o in floats if o.type.dtype is F32]
        if len(list(self.narrowable(node))) < len(wide):
            return f"{op.name} takes no {self.narrow}"
        for literal in floats:
            if isinstance(literal, Literal) and not _holds(self.narrow, literal.value):
                return f"{self.narrow} cannot hold {literal.value:g}"
        if op.is_composite:
            return self._against_body(node)
        if op.kind in FOLLOWING or not op.traits.isdisjoint(_PICKS):
            return None
        return f"{op.name} is neither pointwise nor a product"

    def _against_body(self, node: Node) -> str | None:
        """Why the body of a composite cannot be computed in the narrow dtype, if so."""
        types = [operand.type for operand in node.operands]
        for position in self.narrowable(node):
            types[position] = types[position].with_dtype(self.narrow)
        use = node.op, tuple(types), json.dumps(node.attributes, sort_keys=True)
        if use not in self._obstacles:
            body = body_graph(node.op, types, node.attributes)
            found = (self._against_inside(inner) for inner in body.nodes)
            self._obstacles[use] = next((reason for reason in found if reason), None)
        return self._obstacles[use]

    def _against_inside(self, inner: Node) -> str | None:
        """Why a node of a narrow body should rather be wide, if so."""
        if self.narrow not in _dtypes(inner) or changes_float(inner):
            return None  # the body computes it in float32 by itself
        if not any(result.dtype.is_float for result in inner.results):
            return None  # it compares what is as large in the narrow dtype
        if inner.op.kind is Kind.CONTRACTION:
            return f"{inner.op.name} in its body is a product"
        reason = self._against_following(inner)
        return reason and f"{inner.op.name} in its body: {reason}"

    # -- what it becomes -----------------------------------------------------------

    def _fate(self, node: Node, found: Fate, follows: dict[Node, str]) -> Fate:
        if F32 not in _dtypes(node):
            return Fate(found.role, None, found.widens)
        return Fate(found.role, follows.get(node, found.reason))

    def _followers(self, graph: Graph, roles: dict[Node, Fate]) -> dict[Node, str]:
        """Why those that could follow do not; those that do are not in it."""

        def plays(node: Node, role: Role) -> bool:
            return node in roles and roles[node].role is role

        def product(node: Node) -> bool:
            return plays(node, Role.PRODUCT)

        def follower(node: Node) -> bool:
            return plays(node, Role.FOLLOWS)

        def leads(node: Node) -> bool:
            return product(node) or node.op.calls_graphs

        if self.mixed:
            behind = _reached(graph.nodes, _producers, product, follower)
            before = _reached(graph.reversed_nodes(), _users, product, follower)
            unread = f"no product in {self.narrow} reads what it computes"
        else:
            behind = None
            before = _reached(graph.reversed_nodes(), _users, leads, lambda node: True)
            unread = "no product depends on it"
        reasons: dict[Node, str] = {}
        for node in graph.reversed_nodes():
            if not follower(node):
                continue
            if behind is not None and node not in behind:
                reasons[node] = f"no product in {self.narrow} comes before it"
            elif node not in before:
                reasons[node] = unread
            if node in reasons and self._moves_less(node, roles, reasons):
                del reasons[node]
        return reasons

    def _moves_less(
        self, node: Node, roles: dict[Node, Fate], reasons: dict[Node, str]
    ) -> bool:
        """Whether moving elements after they are converted is the same, and cheaper."""
        if Trait.MOVES_DATA not in node.op.traits:
            return False
        users = [user for result in node.results for user in result.users]
        wanted = all(
            user in roles and roles[user].role is not Role.STAYS and user not in reasons
            for user in users
        )
        read = [o.type.size for o in node.operands if o.type.dtype is F32]
        written = [result.type.size for result in node.results]
        return bool(users) and wanted and not _known_more(sum(read), sum(written))


_PICKS = {Trait.MOVES_DATA, Trait.GATHERS, Trait.ALONG_AXIS}
"""Traits of ops whose result elements are some of their operands' elements.

Those that compute with these have traits of their own that say so."""


def changes_float(node: Node) -> bool:
    """Whether a node converts between floats."""
    if node.op is not convert:
        return False
    return node.operands[0].type.dtype.is_float and node.result.dtype.is_float


def _against_record(op: OpDef, narrow: DType) -> str | None:
    """What in an op's record speaks against computing it in a narrow dtype."""
    if op.calls_graphs:
        return "the graphs that it calls take and return float32"
    if Trait.EFFECT in op.traits:
        return "it has an effect"
    if Trait.RANGE_SENSITIVE in op.traits:
        return f"it needs a larger range or accuracy than {narrow} has"
    if Trait.ACCUMULATES in op.traits:
        return "it sums many terms"
    if Trait.READS_BITS in op.traits:
        return "it reads the bits of its operand"
    if any(each.kind is AttributeKind.DTYPE for each in op.attributes.values()):
        return "its dtype is asked for by an attribute"
    return None


def _needs_range(op: OpDef) -> bool:
    return not op.traits.isdisjoint({Trait.RANGE_SENSITIVE, Trait.ACCUMULATES})


def _dtypes(node: Node) -> list[DType]:
    return [each.type.dtype for each in (*node.operands, *node.results)]


def _holds(dtype: DType, value: float) -> bool:
    """Whether a number is neither too large nor too small for a dtype."""
    if not math.isfinite(value) or value == 0:
        return True
    limits = finfo(dtype.numpy)
    return float(limits.smallest_subnormal) <= abs(value) <= float(limits.max)


def _reuse(node: Node) -> float:
    """How often a product uses each element of its largest operand on average."""
    flops = node_cost(node).flops
    largest = [
        size for o in node.operands if isinstance(size := o.type.size, int) and size
    ]
    if not isinstance(flops, int) or not largest:
        return math.inf  # sizes that nobody knows may be large
    return flops / 2 / max(largest)


def _known_more(read: object, written: object) -> bool:
    """Whether more is read than written, as far as the sizes are known."""
    if isinstance(read, int) and isinstance(written, int):
        return read > written
    return str(read) != str(written)


def _producers(node: Node) -> Iterator[Node]:
    for operand in node.operands:
        if not isinstance(operand, Literal) and operand.node is not None:
            yield operand.node


def _users(node: Node) -> Iterator[Node]:
    for result in node.results:
        yield from result.users


def _reached(
    nodes: Iterator[Node],
    neighbours: Callable[[Node], Iterator[Node]],
    starts: Callable[[Node], bool],
    passes: Callable[[Node], bool],
) -> set[Node]:
    """The nodes next to a start, or next to another such node that passes it on."""
    found: set[Node] = set()
    for node in nodes:
        if any(starts(n) or (n in found and passes(n)) for n in neighbours(node)):
            found.add(node)
    return found
