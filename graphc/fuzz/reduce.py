"""Makes a failing program small: delta debugging on graphs.

Every step proposes smaller programs; a proposal that is valid and still fails takes the
program's place. What a node was for the inputs bounds the parameter that replaces it,
so the rest of the program sees like numbers.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, final

import numpy as np

from graphc.fuzz.growth import extent
from graphc.fuzz.inputs import Array, inputs, sizes
from graphc.ir.build import building
from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError, PassError
from graphc.ir.evaluate import Evaluator
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import AttributeKind
from graphc.ir.ops import broadcast_in_dim, while_
from graphc.ir.types import TensorType
from graphc.ir.values import Literal, Operand, Value
from graphc.passes import run

Predicate = Callable[[Graph], bool]
Step = Callable[[Graph], Iterator[Graph]]
"""From a program to smaller ones."""


class Source(Protocol):
    """Where programs have their inputs from."""

    def arrays(self, graph: Graph) -> list[Array]:
        """One array for each parameter of `graph`."""
        ...

    def free_name(self, taken: Collection[str | None]) -> str:
        """A name for a new parameter."""
        ...

    def keep(self, name: str, array: Array) -> dict[str, Any]:
        """Takes notice of what a new parameter holds; returns its attributes."""
        ...


@final
class Drawn:
    """Inputs that follow from the program's text: a new parameter is given bounds."""

    def arrays(self, graph: Graph) -> list[Array]:
        """What the text says."""
        return inputs(graph)

    def free_name(self, taken: Collection[str | None]) -> str:
        """The first that is not taken."""
        return next(n for i in itertools.count() if (n := f"c{i}") not in taken)

    def keep(self, name: str, array: Array) -> dict[str, Any]:
        """The bounds of `array`."""
        return _bounds(array)


@final
class Given:
    """Inputs that are given by name: a new parameter holds what it stands for.

    What a smaller program reads is the front part of an array.

    Args:
        arrays: The inputs.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = dict(arrays)

    def arrays(self, graph: Graph) -> list[Array]:
        """The given arrays, cut to the parameters' sizes."""
        return [
            np.asarray(self._arrays[p.name or ""][_front(p.type.static_shape)])
            for p in graph.parameters
        ]

    def free_name(self, taken: Collection[str | None]) -> str:
        """One that no array ever had: other programs may still read theirs."""
        names = (f"c{i}" for i in itertools.count(len(self._arrays)))
        return next(n for n in names if n not in self._arrays and n not in taken)

    def keep(self, name: str, array: Array) -> dict[str, Any]:
        """Keeps `array` under the name; there are no attributes."""
        self._arrays[name] = array
        return {}


def reduce_graph(
    graph: Graph,
    fails: Predicate,
    seconds: float = 300,
    source: Source | None = None,
) -> Graph:
    """The smallest program found that fails as `graph` does.

    Args:
        graph: A program that fails; it stays as it is.
        fails: Whether a program fails in the same way.
        seconds: How long to look for smaller ones.
        source: Where inputs are from: the program's text unless given.

    Example:
        >>> from graphc.fuzz import random_program, reduce_graph
        >>> def has_sort(graph):
        ...     return any(node.op.name == "sort" for node in graph.nodes)
        >>> seed = next(s for s in range(100) if has_sort(random_program(s)))
        >>> len(reduce_graph(random_program(seed), has_sort))
        1
    """
    deadline = time.monotonic() + seconds
    source = source or Drawn()
    starts = (_bare(graph, with_dead_ends=True), _bare(graph))
    best = next((start for start in starts if fails(start)), graph.copy())
    before = None
    while best is not before:
        before = best
        for step in _steps(source):
            best = _reduced(best, step, fails, deadline)
    return best


def _front(shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(map(slice, shape))


def neighbourhoods(
    graph: Graph, nodes: Collection[Node], source: Source
) -> Iterator[Graph]:
    """Programs of `nodes` and of ever more around them, up to the whole graph.

    What the nodes that are left out make of the inputs becomes an input.
    """
    arrays = _values(graph, source)
    near, distance, done = set(nodes), 1, False
    while not done:
        yield _only(graph, near, arrays, source)
        for _ in range(distance):
            known = len(near)
            near |= _neighbours(near)
            near.discard(graph.return_node)
            done = len(near) == known
        distance *= 2


def _neighbours(nodes: Collection[Node]) -> set[Node]:
    """What makes the operands of `nodes`, and what reads their results."""
    read = (o for node in nodes for o in node.operands)
    makers = {o.node for o in read if isinstance(o, Value) and o.node is not None}
    return makers | {user for n in nodes for r in n.results for user in r.users}


def _only(
    graph: Graph, nodes: Collection[Node], arrays: Mapping[Value, Array], source: Source
) -> Graph:
    """A copy with some nodes only, which returns what others read of them."""
    order, kept = list(graph.nodes), graph.results
    outgoing = [
        value
        for node in order
        if node in nodes
        for value in node.results
        if not value.uses or any(user not in nodes for user in value.users)
    ]
    graph.results = outgoing
    try:
        far = {index for index, node in enumerate(order) if node not in nodes}
        return _cut(graph, far, arrays, source)
    finally:
        graph.results = kept


def _reduced(graph: Graph, step: Step, fails: Predicate, deadline: float) -> Graph:
    """The program after all proposals of one step that still fail."""
    refused, found = 0, True
    while found:
        found = False
        # What was refused for the larger program is not worth another try yet.
        for proposal in itertools.islice(step(graph), refused, None):
            if time.monotonic() > deadline:
                return graph
            if _is_valid(proposal) and fails(proposal):
                graph, found = proposal, True
                break
            refused += 1
    return graph


def _is_valid(graph: Graph) -> bool:
    try:
        graph.verify()
        inputs(graph)
    except GraphError:
        return False
    return True


def _bare(graph: Graph, with_dead_ends: bool = False) -> Graph:
    """A copy without locations, perhaps with what nothing reads as results, too."""
    copy = graph.copy()
    for reached in copy.module.graphs.values():
        for node in reached.nodes:
            node.location = None
    if with_dead_ends:
        ends = [v for node in copy.nodes for v in node.results if not v.uses]
        copy.results = [*copy.results, *ends]
    return copy


# -- steps -----------------------------------------------------------------------------


def bind_symbols(graph: Graph) -> Iterator[Graph]:
    """Sizes instead of dimension symbols."""
    if graph.ranges:
        yield _clean(graph.bind(**sizes(graph)))


def keep_some_results(graph: Graph) -> Iterator[Graph]:
    """One half of the results, or all but one."""
    count = len(graph.results)
    for kept in _parts(count):
        yield _swept(graph, [graph.results[i] for i in kept])


def step_back(graph: Graph) -> Iterator[Graph]:
    """What a last node reads as results, instead of what it makes."""
    for node in reversed(list(graph.nodes)):
        if all(user is graph.return_node for v in node.results for user in v.users):
            kept = [r for r in graph.results if r not in node.results]
            read = [o for o in node.operands if isinstance(o, Value)]
            if kept or read:
                yield _swept(graph, [*kept, *read])


def inline_calls(graph: Graph) -> Iterator[Graph]:
    """The bodies of called graphs in the place of calls."""
    if not any(node.op.calls_graphs for node in graph.nodes):
        return
    for pipeline in ("inline,dce", "autodiff,inline,dce"):
        with suppress(PassError):  # one of these passes may be what fails
            inlined = run(graph, pipeline, verify=False)
            if len(inlined.reachable()) < len(graph.reachable()):
                yield inlined


def cut_ahead(graph: Graph, source: Source) -> Iterator[Graph]:
    """Parameters instead of what the first nodes compute."""
    count = len(graph)
    for share in (2, 4, 8):
        if count >= share:
            ends = range(count - count // share, 0, -(count // share))
            yield from _cuts(graph, ends, source)


def cut_nodes(graph: Graph, source: Source) -> Iterator[Graph]:
    """A parameter, an operand or a number in the place of one node."""
    arrays = _values(graph, source)
    nodes = list(graph.nodes)
    for index in reversed(range(len(nodes))):
        yield from _replaced(graph, graph.name, index)
        yield _cut(graph, {index}, arrays, source)


def fill_called(graph: Graph) -> Iterator[Graph]:
    """Numbers in the place of halves, quarters, ... of the nodes of a called graph."""
    for called in _outside_loops(graph):
        count = len(called)
        for size in (count // 2, count // 4, count // 8):
            for start in range(0, count, size) if size > 1 else ():
                copy = graph.copy()
                twin = copy.module.graphs[called.name]
                for node in list(twin.nodes)[start : start + size]:
                    _fill(node)
                _clean(twin, parameters=False)
                yield copy


def _fill(node: Node) -> None:
    """Puts numbers for the results of a node, unless they are numbers."""
    for result in node.results:
        by = _number(node, result) if result.uses else None
        if by is not None:
            result.replace_uses(by)


def cut_called(graph: Graph) -> Iterator[Graph]:
    """An operand or a number in the place of one node of a called graph."""
    for called in _outside_loops(graph):
        for index in reversed(range(len(called))):
            yield from _replaced(graph, called.name, index)


def _outside_loops(graph: Graph) -> list[Graph]:
    """The called graphs of which no loop consists.

    What decides when a loop ends stays as it is: the smaller loop might not.
    """
    reached = graph.reachable()
    loops = {
        each.name
        for caller in reached
        for node in caller.nodes
        if node.op is while_
        for name in node.op.graph_names(node)
        for each in graph.module.graphs[name].reachable()
    }
    return [called for called in reached[1:] if called.name not in loops]


def shrink_sizes(graph: Graph) -> Iterator[Graph]:
    """A smaller size wherever a size stands."""
    found = {d for p in graph.parameters for d in p.shape}
    for node in graph.nodes:
        found |= {d for r in node.results for d in r.type.shape}
    for size in sorted(
        (d for d in found if isinstance(d, int) and d > 1), reverse=True
    ):
        for new in (1, 2, size // 2, size - 1):
            resized = _resized(graph, {size: new}) if 0 < new < size else None
            if resized is not None and _extent(resized) < _extent(graph):
                yield resized


def _extent(graph: Graph) -> int:
    """The sum of all sizes in a program without dimension symbols."""
    values = [*graph.parameters, *(r for node in graph.nodes for r in node.results)]
    return sum(d for value in values for d in value.shape if isinstance(d, int))


def _steps(source: Source) -> tuple[Step, ...]:
    """What is tried, coarse steps first."""
    return (
        keep_some_results,
        step_back,
        partial(cut_ahead, source=source),
        bind_symbols,
        inline_calls,
        fill_called,
        partial(cut_nodes, source=source),
        cut_called,
        shrink_sizes,
    )


# -- how -------------------------------------------------------------------------------


def _parts(count: int) -> Iterator[Sequence[int]]:
    """Halves, quarters, ... of a range, then all but one of its elements."""
    size = count // 2
    while size:
        for start in range(0, count, size):
            yield range(start, min(start + size, count))
        size //= 2
    for left_out in range(count if count > 1 else 0):
        yield [i for i in range(count) if i != left_out]


def _swept(graph: Graph, results: Iterable[Operand]) -> Graph:
    """A copy with other results (values of `graph`), without what is dead then."""
    wanted = list(results)
    kept = graph.results
    graph.results = wanted
    try:
        copy = graph.copy()
    finally:
        graph.results = kept
    return _clean(copy)


def _clean(graph: Graph, parameters: bool = True) -> Graph:
    """The graph without dead nodes and, if that is wanted, unread parameters."""
    for node in graph.reversed_nodes():
        if not any(v.uses for v in node.results):
            graph.remove(node)
    for value in graph.parameters if parameters else ():
        if not value.uses and not _declares_symbols(graph, value):
            graph.remove_parameter(value)
    return graph


def _declares_symbols(graph: Graph, value: Value) -> bool:
    """Whether symbols stand bare in the type of this parameter alone."""
    others = {str(d) for p in graph.parameters if p is not value for d in p.shape}
    return any(name not in others for name in value.type.symbols)


def _values(graph: Graph, source: Source) -> dict[Value, Array]:
    """What every value is for the program's inputs."""
    evaluator = Evaluator(sizes(graph))
    values = dict(zip(graph.parameters, source.arrays(graph), strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            operands = [
                evaluator.store(o.numpy(), o.type)
                if isinstance(o, Literal)
                else values[o]
                for o in node.operands
            ]
            results = evaluator.apply(node, operands)
            values.update(zip(node.results, results, strict=True))
    return values


def _cuts(graph: Graph, ends: Iterable[int], source: Source) -> Iterator[Graph]:
    arrays = _values(graph, source)
    for end in ends:
        yield _cut(graph, set(range(end)), arrays, source)


def _cut(
    graph: Graph, indices: set[int], arrays: Mapping[Value, Array], source: Source
) -> Graph:
    """A copy in which parameters stand for the results of some nodes."""
    copy = graph.copy()
    taken = {p.name for p in copy.parameters}
    pairs = list(zip(list(graph.nodes), list(copy.nodes), strict=True))
    cut = {new for index, (_, new) in enumerate(pairs) if index in indices}
    for old, new in pairs:
        if new not in cut:
            continue
        for before, result in zip(old.results, new.results, strict=True):
            if not cut.issuperset(result.users):
                name = source.free_name(taken)
                taken.add(name)
                given = source.keep(name, arrays[before])
                result.replace_uses(copy.add_parameter(result.type, name, given))
    return _clean(copy)


def _bounds(array: Array) -> dict[str, Any]:
    """The attributes of a parameter that holds numbers like those of an array."""
    found = extent(array) if array.dtype.kind != "b" else None
    if found is None or not np.isfinite(found).all():
        return {}
    low, high = found
    if array.dtype.kind in "iu":
        return {"low": low, "high": high + 1}
    whole = np.asarray(array, np.float64)
    step = {"step": 0.5} if np.array_equal(np.round(2 * whole) / 2, whole) else {}
    return {"low": low, "high": high} | step


def _replaced(graph: Graph, name: str, index: int) -> Iterator[Graph]:
    """Copies in which something stands for a node of the graph of that name."""
    (result, *others) = _node(graph, name, index).results
    operands = _node(graph, name, index).operands
    if others or (not operands and not result.shape):
        return
    choices = [i for i, o in enumerate(operands) if o.type == result.type]
    for choice in [*choices, None]:
        copy = graph.copy()
        node = _node(copy, name, index)
        by = _number(node, node.result) if choice is None else node.operands[choice]
        if by is not None:
            node.result.replace_uses(by)
            _clean(copy.module.graphs[name], parameters=name == graph.name)
            yield copy


def _node(graph: Graph, name: str, index: int) -> Node:
    return next(itertools.islice(graph.module.graphs[name].nodes, index, None))


def _number(node: Node, result: Value) -> Operand | None:
    """Ones of the type of a node's result, unless that is what it makes."""
    one = Literal(1, result.dtype)
    if not result.shape:
        return one
    if node.op is broadcast_in_dim and isinstance(node.operands[0], Literal):
        return None
    with building(result.graph or Graph("f"), node):
        return broadcast_in_dim(one, shape=result.shape, dims=[])


def _resized(graph: Graph, resizes: Mapping[Dim, Dim]) -> Graph | None:
    """The program with other sizes in its types; None if they do not fit."""
    if any(
        node.op.calls_graphs or node.op.constant_names(node) for node in graph.nodes
    ):
        return None
    made = Graph(graph.name)
    made.attributes, made.ranges = graph.attributes, graph.ranges
    values: dict[Value, Operand] = {}
    for p in graph.parameters:
        values[p] = made.add_parameter(
            _with_sizes(p.type, resizes), p.name, p.attributes
        )
    try:
        with building(made):
            for node in graph.nodes:
                _rebuilt(node, values, resizes)
    except GraphError:
        return None
    made.results = [values[r] if isinstance(r, Value) else r for r in graph.results]
    return made


def _rebuilt(
    node: Node, values: dict[Value, Operand], resizes: Mapping[Dim, Dim]
) -> None:
    """Adds a node like `node` that reads what `values` holds."""
    attributes = node.op.decode(node.attributes, None)
    for name, declared in node.op.attributes.items():
        if declared.kind is AttributeKind.SHAPE and attributes[name] is not None:
            attributes[name] = [resizes.get(d, d) for d in attributes[name]]
    operands = [values[o] if isinstance(o, Value) else o for o in node.operands]
    found = node.op(*operands, **attributes)
    results = found if isinstance(found, tuple) else (found,)
    values.update(zip(node.results, results, strict=True))


def _with_sizes(type: TensorType, resizes: Mapping[Dim, Dim]) -> TensorType:
    return type.with_shape(resizes.get(d, d) for d in type.shape)
