"""How the values of a graph depend on the batch, found by trying each node.

A batch of two is cut into two of one. A node is run on random arrays for all of it and
for each half; what it does with examples shows in how the three results go together.
No list of ops is needed, and what combines examples, such as batch normalization in
training, is found whatever it is made of.

Random numbers for the batch are none of these, but need not be drawn for parts: what
reads no example can be computed for the whole batch before. Such nodes are *drawn*; a
composite that fails only because of drawn nodes in its body, as dropout does, is to be
*opened*.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graphc.ir.body import body_graph
from graphc.ir.errors import UnsupportedError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph, Node, clone_nodes
from graphc.ir.opdef import Kind, Trait
from graphc.ir.random_inputs import random_array
from graphc.ir.tolerance import near
from graphc.ir.types import TensorType
from graphc.ir.values import Literal, Operand, Value

Array: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, slots=True)
class Rows:
    """Along an axis, each part of the batch makes a part of the value by itself."""

    axis: int


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of what the parts make, times their number to the power of `degree`.

    A mean over the batch has the degree 0, a sum 1.
    """

    degree: int


@dataclass(frozen=True, slots=True)
class Alone:
    """What any part makes, times the number of parts to the power of `degree`.

    What does not depend on the batch has the degree 0, its size 1.
    """

    degree: int


Role: TypeAlias = Rows | Mean | Alone

PARTS = 2
DEGREES = (0, 1, -1, 2, -2)
RANGES = ((-2.0, 2.0), (0.1, 3.0), (-1e4, 1e4), (-1e-3, 1e-3))
"""What the numbers of each trial are drawn from."""

CLOSE = 1e-6
"""How far, in float64, results may be apart by rounding."""


@dataclass(frozen=True, slots=True)
class BatchRoles:
    """How a graph depends on the batch.

    Attributes:
        results: The role of each result.
        drawn: The positions of the nodes that read no example and have to be computed
            for the whole batch; their results have their roles for granted.
        opened: The positions of the composites whose bodies have such nodes.
    """

    results: list[Role]
    drawn: frozenset[int]
    opened: frozenset[int]


def batch_roles(
    graph: Graph,
    given: Sequence[Role],
    symbol: str,
    bindings: Mapping[str, int],
    differentiated: Collection[int] = (),
) -> BatchRoles:
    """The role of each result of a graph, and what has to be drawn before.

    Args:
        graph: The graph.
        given: The role of each parameter.
        symbol: The dimension symbol that is the size of the batch.
        bindings: The sizes of all symbols; that of the batch does not matter.
        differentiated: The positions of parameters that gradients are taken by;
            what reads these stays.

    Raises:
        UnsupportedError: If a node combines examples of different parts in another way
            than a sum; names the node.
    """
    whole = _bound(graph, {**bindings, symbol: PARTS})
    part = _bound(graph, {**bindings, symbol: 1})
    free = [
        isinstance(role, Alone) and position not in differentiated
        for position, role in enumerate(given)
    ]
    return _Trials(whole, given, free).run(part)


class _Trials:
    """Finds the roles of the values of one graph, from its parameters on.

    Attributes:
        whole: The graph for a batch of `PARTS`.
        roles: The roles of the values so far.
        free: The values that read no example, and nothing that is differentiated.
        drawn: Those of them that are, or read, what is drawn for the batch.
    """

    def __init__(
        self, whole: Graph, given: Sequence[Role], free: Sequence[bool]
    ) -> None:
        self.whole = whole
        self.roles: dict[Value, Role] = dict(zip(whole.parameters, given, strict=True))
        flags = zip(whole.parameters, free, strict=True)
        self.free = {value for value, flag in flags if flag}
        self.drawn: set[Value] = set()
        self._known: dict[object, tuple[list[Role], bool]] = {}

    def run(self, part: Graph) -> BatchRoles:
        """Tries each node; `part` is the graph for a batch of one."""
        drawn: set[int] = set()
        opened: set[int] = set()
        pairs = zip(list(self.whole.nodes), list(part.nodes), strict=True)
        for position, (large, small) in enumerate(pairs):
            read = [_role(self.roles, operand) for operand in large.operands]
            values = [o for o in large.operands if isinstance(o, Value)]
            free = all(value in self.free for value in values)
            found, special = self._found(large, small, read, free)
            if free and (special or not self.drawn.isdisjoint(values)):
                found = _roles_by_shape(large, small)
                self.drawn.update(large.results)
                drawn.add(position)
            elif special:
                opened.add(position)
            self.roles.update(zip(large.results, found, strict=True))
            if free:
                self.free.update(large.results)
        results = [_role(self.roles, result) for result in self.whole.results]
        return BatchRoles(results, frozenset(drawn), frozenset(opened))

    def _found(
        self, large: Node, small: Node, read: Sequence[Role], free: bool
    ) -> tuple[list[Role], bool]:
        """The roles of a node's results, and whether it is drawn or opened for them."""
        flags = [isinstance(o, Literal) or o in self.free for o in large.operands]
        key = (
            large.op,
            json.dumps(large.attributes, sort_keys=True),
            *(o if isinstance(o, Literal) else o.type for o in large.operands),
            *read,
            *flags,
        )
        if key not in self._known:
            try:
                self._known[key] = _tried(large, small, read), False
            except UnsupportedError:
                roles = [] if free else _in_body(large, small, read, flags)
                if roles is None:
                    raise
                self._known[key] = roles, True
        return self._known[key]


def _in_body(
    large: Node, small: Node, read: Sequence[Role], free: Sequence[bool]
) -> list[Role] | None:
    """The roles of a composite's results, if drawn nodes in its body explain them."""
    if not large.op.is_composite or large.op.graph_names(large):
        return None
    whole, part = (
        body_graph(node.op, [o.type for o in node.operands], node.attributes)
        for node in (large, small)
    )
    if [node.op for node in whole.nodes] != [node.op for node in part.nodes]:
        return None
    try:
        found = _Trials(whole, read, free).run(part)
    except UnsupportedError:
        return None
    return found.results if found.drawn or found.opened else None


def _roles_by_shape(large: Node, small: Node) -> list[Role]:
    """The roles of what is drawn for the whole batch, and given to each part."""
    roles: list[Role] = []
    for whole, part in zip(large.results, small.results, strict=True):
        sizes = zip(whole.type.shape, part.type.shape, strict=True)
        axes = [axis for axis, (size, less) in enumerate(sizes) if size != less]
        if len(axes) > 1:
            raise UnsupportedError(_reason(large), location=large.location)
        roles.append(Rows(axes[0]) if axes else Alone(0))
    return roles


def _bound(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    copy = graph.copy(dict(sizes))
    copy.ranges = {}
    return copy


def _role(roles: Mapping[Value, Role], operand: Operand) -> Role:
    return Alone(0) if isinstance(operand, Literal) else roles[operand]


def _tried(large: Node, small: Node, read: Sequence[Role]) -> list[Role]:
    """The roles of a node's results, from trials with random arrays."""
    if all(role == Alone(0) for role in read) and _types(large) == _types(small):
        return [Alone(0) for _ in large.results]
    possible: list[set[Role]] = []
    # One trial tells of what is linear in each operand.
    linear = large.op.kind is Kind.CONTRACTION or Trait.MOVES_DATA in large.op.traits
    for seed, (low, high) in enumerate(RANGES[:1] if linear else RANGES):
        arrays = _arguments(large, small, read, np.random.default_rng(seed), low, high)
        with np.errstate(all="ignore"):
            whole, first, second = map(_run, (large, small, small), arrays)
        triples = zip(whole, first, second, strict=True)
        fitting = [set(_fitting(*triple, read)) for triple in triples]
        both = zip(possible or fitting, fitting, strict=True)
        possible = [earlier & now for earlier, now in both]
        if not all(possible):
            raise UnsupportedError(_reason(large), location=large.location)
    return [min(each, key=_preference) for each in possible]


def _types(node: Node) -> list[TensorType]:
    return [result.type for result in node.results]


def _reason(node: Node) -> str:
    place = node.location.path if node.location is not None else None
    where = f" in layer '{place}'" if place else ""
    return f"{node.op.name}{where} does not treat the examples of a batch one by one"


def _preference(role: Role) -> tuple[int, int]:
    kinds: list[type[Any]] = [Rows, Alone, Mean]
    degree = role.axis if isinstance(role, Rows) else DEGREES.index(role.degree)
    return kinds.index(type(role)), degree


def _arguments(
    large: Node,
    small: Node,
    read: Sequence[Role],
    rng: np.random.Generator,
    low: float,
    high: float,
) -> tuple[list[Array], list[Array], list[Array]]:
    """Operands for the whole batch and for each part that go together."""
    whole: list[Array] = []
    parts: tuple[list[Array], list[Array]] = ([], [])
    for operand, fewer, role in zip(large.operands, small.operands, read, strict=True):
        if isinstance(operand, Literal):
            continue
        halves = [random_array(fewer.type, rng, low, high) for _ in parts]
        if operand.type.dtype.is_float:
            halves = [half.astype(np.float64) for half in halves]
        if isinstance(role, Rows):
            full = np.concatenate(halves, role.axis)
        elif isinstance(role, Alone):
            halves[1] = halves[0]
            full = _scaled(halves[0], role.degree)
        else:
            full = _scaled((halves[0] + halves[1]) / 2, role.degree)
        whole.append(full)
        for part, half in zip(parts, halves, strict=True):
            part.append(half)
    return whole, *parts


def _scaled(x: Array, degree: int) -> Array:
    scaled = x * float(PARTS) ** degree
    return scaled if x.dtype.kind == "f" else scaled.astype(x.dtype)


def _run(node: Node, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """The results of one node in float64."""
    assert node.graph is not None
    module = node.graph.module
    trial = Graph(module.fresh_name("trial"), module)
    operands = [o for o in node.operands if isinstance(o, Value)]
    values: dict[Value, Operand] = {}
    given: list[Array] = []
    for operand, array in zip(operands, arrays, strict=True):
        if operand not in values:
            values[operand] = trial.add_parameter(operand.type)
            given.append(array)
    clone_nodes([node], values, trial.insert)
    trial.results = [values[result] for result in node.results]
    try:
        return evaluate(trial, *given, dtype="f64")
    finally:
        module.remove(trial)


def _fitting(
    whole: Array, first: Array, second: Array, read: Sequence[Role]
) -> list[Role]:
    """The roles that explain three results."""
    if whole.shape != first.shape:
        return [
            Rows(axis)
            for axis in range(whole.ndim)
            if whole.shape[axis] == PARTS * first.shape[axis]
            and near(np.concatenate([first, second], axis), whole, CLOSE)
        ]
    sizes = whole.dtype.kind in "iu" and np.array_equal(first, second)
    if sizes or all(isinstance(role, Alone) for role in read):
        return [Alone(d) for d in DEGREES if near(_scaled(first, d), whole, CLOSE)]
    if whole.dtype.kind != "f":
        return []
    mean = (first + second) / 2
    return [Mean(d) for d in DEGREES if near(_scaled(mean, d), whole, CLOSE)]
