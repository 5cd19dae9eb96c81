"""How the values of a graph depend on the batch, found by trying each node.

A batch of two is cut into two of one. A node is run on random arrays for all of it and
for each half; what it does with examples shows in how the three results go together.
No list of ops is needed, and what combines examples, such as batch normalization in
training, is found whatever it is made of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graphc.ir.errors import UnsupportedError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph, Node, clone_nodes
from graphc.ir.opdef import Kind, Trait
from graphc.ir.random_inputs import random_array
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


def batch_roles(
    graph: Graph,
    given: Sequence[Role],
    symbol: str,
    bindings: Mapping[str, int],
) -> list[Role]:
    """The role of each result of a graph.

    Args:
        graph: The graph.
        given: The role of each parameter.
        symbol: The dimension symbol that is the size of the batch.
        bindings: The sizes of all symbols; that of the batch does not matter.

    Raises:
        UnsupportedError: If a node combines examples of different parts in another way
            than a sum, or draws random numbers for the batch; names the node.
    """
    whole = _bound(graph, {**bindings, symbol: PARTS})
    part = _bound(graph, {**bindings, symbol: 1})
    roles: dict[Value, Role] = dict(zip(whole.parameters, given, strict=True))
    known: dict[object, list[Role]] = {}
    for large, small in zip(list(whole.nodes), list(part.nodes), strict=True):
        read = [_role(roles, operand) for operand in large.operands]
        key = (
            large.op,
            json.dumps(large.attributes, sort_keys=True),
            *(o if isinstance(o, Literal) else o.type for o in large.operands),
            *read,
        )
        if key not in known:
            known[key] = _tried(large, small, read)
        roles.update(zip(large.results, known[key], strict=True))
    return [_role(roles, result) for result in whole.results]


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
            and _close(np.concatenate([first, second], axis), whole)
        ]
    sizes = whole.dtype.kind in "iu" and np.array_equal(first, second)
    if sizes or all(isinstance(role, Alone) for role in read):
        return [Alone(d) for d in DEGREES if _close(_scaled(first, d), whole)]
    if whole.dtype.kind != "f":
        return []
    mean = (first + second) / 2
    return [Mean(d) for d in DEGREES if _close(_scaled(mean, d), whole)]


def _close(a: Array, b: Array) -> bool:
    if a.shape != b.shape or a.dtype.kind != "f":
        return np.array_equal(a, b)
    with np.errstate(all="ignore"):
        scale = np.abs(b[np.isfinite(b)]).max(initial=0.0)
        return np.allclose(a, b, CLOSE, CLOSE * scale, equal_nan=True)
