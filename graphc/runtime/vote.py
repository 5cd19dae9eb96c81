"""Voting: which executor is wrong about a graph, and at which node.

Every node is given the evaluator's values of its operands, so that it is judged by what
it does itself and not by what came before. Then it is given values among which there are
equal neighbours, and integers that may lie outside of what they are places in: what it
does with ties and limits shows. If all nodes are right alone, the whole program is run
and, if that is wrong, run with the nodes' results returned too: the error then comes
from what an executor makes of several nodes.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc import passes
from graphc.ir.errors import CompileError, GraphcError, UnsupportedError
from graphc.ir.evaluate import Evaluator, evaluate
from graphc.ir.graph import Graph, Module, Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.ops.effects import discarded_lines
from graphc.ir.printer import print_node
from graphc.ir.tolerance import node_ulp
from graphc.ir.types import dtype
from graphc.ir.values import Attributes, Literal, Operand, Value
from graphc.runtime.ballots import (
    Array,
    Dispute,
    NodeStandard,
    ProgramStandard,
    Standard,
    describe_array,
    dispute,
)
from graphc.runtime.calling import find_mismatch
from graphc.runtime.compile import check_bound, compile_graph
from graphc.runtime.targets import find_target, targets

EVALUATOR = "numpy"
"""What ballots call the evaluator, whose values nodes are given."""

BODY = "numpy, by its body"
"""What ballots call the evaluator's value of a composite that has a reference too."""

RESULTS = "return"
"""The line of disputes over the graph's results."""

FLATTEN = f"autodiff,inline{{max_nodes={2**31}}}"
"""The passes after which every node stands in the graph itself or in a loop."""

INTERPRETED = 2**16
"""How many elements the values of a graph may have for interpreters to be asked, too."""

CHUNK = 64
"""How many nodes are compiled together: one at a time takes longer, all at once need
the memory of all results."""

NUDGE = 4
"""By how many units in the last place operands are moved, to see what that does."""

_ROUNDED = Evaluator({})
_EXACT = Evaluator({}, wide=True)

_Standards = Callable[[Node], list[Standard]]


@dataclass
class Verdict:
    """The outcome of a vote.

    Attributes:
        graph: The graph's name.
        executors: The executors that voted.
        nodes: How many nodes the flattened graph has.
        disputes: The results on which executors differ, in the graph's order.
        refusals: What targets do not serve; those nodes have fewer votes.
    """

    graph: str
    executors: tuple[str, ...]
    nodes: int = 0
    disputes: list[Dispute] = field(default_factory=list[Dispute])
    refusals: list[str] = field(default_factory=list[str])


def vote(
    graph: Graph,
    arrays: Sequence[Any],
    targets: Sequence[str] | None = None,
    pipeline: str | None = None,
    every: bool = False,
) -> Verdict:
    """Runs every node of a graph on every executor and compares the results.

    Args:
        graph: A graph without dimension symbols; it stays as it is.
        arrays: One array per parameter.
        targets: The names of the targets that vote beside the evaluator. Unless given,
            those of `voters`.
        pipeline: The passes to run first. Whether they keep the graph's results is
            voted on, too.
        every: Whether to go on after the first result that is disputed.

    Raises:
        TargetError: For a target that is unknown or not available.
        PassError: If a pass fails.
        GraphError: If the graph has symbols, or the arrays do not fit its parameters.
        CompileError: If a target fails; it names the node.
    """
    check_bound(graph)
    given = [np.asarray(array) for array in arrays]
    if mismatch := find_mismatch(graph, given):
        raise mismatch
    for name in targets or ():
        find_target(name)
    flat = passes.run(graph, f"{pipeline},{FLATTEN}" if pipeline else FLATTEN)
    chosen = voters(flat) if targets is None else tuple(targets)
    verdict = Verdict(graph.name, (EVALUATOR, *chosen), len(flat))
    with np.errstate(all="ignore"), discarded_lines():
        polls = _Polls(flat, given, chosen, verdict)
        changed = _changed_results(graph, flat, given) if pipeline else ()
        disputes = itertools.chain(changed, polls.alone())
        verdict.disputes += itertools.islice(disputes, None if every else 1)
        if not verdict.disputes:
            verdict.disputes += itertools.islice(polls.together(), 1)
    return verdict


def voters(graph: Graph) -> tuple[str, ...]:
    """The targets that work here besides the evaluator, each device once.

    A small graph is also run by the interpreters of backends that have no device here.
    """
    able = [t for t in targets() if t.available and t.name != EVALUATOR]
    found = [t for t in able if t.kind == "device"]
    elements = sum(result.type.size for node in graph.nodes for result in node.results)
    if elements <= INTERPRETED:
        served = {t.backend for t in found}
        found += [
            t for t in able if t.kind == "interpreter" and t.backend not in served
        ]
    named = {t.backend for t in found if t.device is not None}
    return tuple(t.name for t in found if t.device or t.backend not in named)


def _changed_results(
    graph: Graph, flat: Graph, arrays: Sequence[Array]
) -> Iterator[Dispute]:
    """The results that passes have changed, by the evaluator."""
    standards = _program_standards(graph, arrays)(graph.return_node)
    found = evaluate(flat, *arrays)
    for number, (standard, array) in enumerate(zip(standards, found, strict=True)):
        if standard.wrong(array).any():
            values = {EVALUATOR: standard.reference, "after the passes": array}
            yield dispute(standard, values, f"result {number} of @{graph.name}")


class _Polls:
    """The polls of one vote."""

    def __init__(
        self,
        graph: Graph,
        arrays: Sequence[Array],
        targets: Sequence[str],
        verdict: Verdict,
    ) -> None:
        self.graph = graph
        self.arrays = list(arrays)
        self.targets = targets
        self.verdict = verdict
        self.values = _all_values(_ROUNDED, graph, arrays)

    def alone(self) -> Iterator[Dispute]:
        """The disputes over what nodes make of the evaluator's operands."""
        groups = sorted(alike(self.graph), key=len)  # those of a program run as often
        found = {
            name: dict(
                itertools.chain.from_iterable(
                    self._run_alone(name, groups[start : start + CHUNK])
                    for start in range(0, len(groups), CHUNK)
                )
            )
            for name in self.targets
        }
        disputed: set[Node] = set()
        for tied, node in itertools.product((False, True), _voted(self.graph)):
            key = node, tied
            said = {name: by[key] for name, by in found.items() if key in by}
            if said and node not in disputed:
                read = self._operands(node, tied)
                standards = _node_standards(node, read, tied)
                if tied and not all(map(_is_finite, standards)):
                    continue  # what is rounded may be a singular matrix
                for each in self._poll(node, standards, said, read, alone=True):
                    disputed.add(node)
                    yield each

    def together(self) -> Iterator[Dispute]:
        """For each target that gets the program wrong, the dispute to begin with."""
        standards = _program_standards(self.graph, self.arrays)
        for name in self.targets:
            try:
                wrong = list(
                    self._poll_whole(name, [self.graph.return_node], standards)
                )
            except UnsupportedError as error:
                self._refused(name, "the whole graph", error)
                continue
            for nodes in _chunks(self.graph) if wrong else ():
                wrong = [*self._poll_whole(name, nodes, standards), *wrong]
                if wrong[0].line != RESULTS:
                    break
            yield from wrong[:1]

    def _poll_whole(
        self, name: str, nodes: Sequence[Node], standards: _Standards
    ) -> Iterator[Dispute]:
        program = _connected(self.graph, nodes)
        found = iter(_arrays(compile_graph(program, name)(*self.arrays)))
        for node in nodes:
            judged = standards(node)
            said = {name: list(itertools.islice(found, len(judged)))}
            read = self._operands(node)
            yield from self._poll(node, judged, said, read, alone=False)

    def _poll(
        self,
        node: Node,
        standards: Sequence[Standard],
        said: Mapping[str, Sequence[Array]],
        operands: Sequence[Array],
        alone: bool,
    ) -> Iterator[Dispute]:
        for number, standard in enumerate(standards):
            values = {name: results[number] for name, results in said.items()}
            if not any(standard.wrong(value).any() for value in values.values()):
                continue
            first = {EVALUATOR: standard.reference}
            if alone and node.op.is_composite and node.op.reference is not None:
                first[BODY] = _by_body(node, operands)[number]
            yield dispute(
                standard,
                first | values,
                line=RESULTS if node is self.graph.return_node else print_node(node),
                location=node.location,
                result=number,
                operands=tuple(map(describe_array, operands)),
                alone=alone,
            )

    def _operands(self, node: Node, tied: bool = False) -> list[Array]:
        read = [_ROUNDED.read(self.values, operand) for operand in node.operands]
        if not tied:
            return read
        return [
            array if isinstance(operand, Literal) else _tied(array)
            for operand, array in zip(node.operands, read, strict=True)
        ]

    def _run_alone(
        self, name: str, groups: Sequence[Sequence[Node]]
    ) -> Iterator[tuple[tuple[Node, bool], list[Array]]]:
        """The results of nodes on a target, without those that it does not serve.

        Each group consists of nodes that are alike.
        """
        try:
            yield from list(self._run_groups(name, groups))
        except GraphcError as error:
            middle, node = len(groups) // 2, groups[0][0]
            if middle:
                yield from self._run_alone(name, groups[:middle])
                yield from self._run_alone(name, groups[middle:])
            elif isinstance(error, UnsupportedError):
                self._refused(name, print_node(node), error)
            else:
                raise CompileError(
                    f"{name} fails at this node: {print_node(node)}",
                    received=str(error),
                    location=node.location,
                ) from error

    def _run_groups(
        self, name: str, groups: Sequence[Sequence[Node]]
    ) -> Iterator[tuple[tuple[Node, bool], list[Array]]]:
        """The results of nodes on a target, of a program with a node for each group.

        The first node of a group is run once more, on `_tied` operands.
        """
        program = detached([group[0] for group in groups])
        # What a target cannot do without, and no other pass: nodes as written.
        pipeline = find_target(name).pipeline
        lowered = passes.run(program, pipeline, bisect=0) if pipeline else program
        run = compile_graph(lowered, name, pipeline="")
        for number in range(max(map(len, groups))):
            row = [group[min(number, len(group) - 1)] for group in groups]
            found = iter(_arrays(run(*self._read(row))))
            for group, node in zip(groups, row, strict=True):
                results = list(itertools.islice(found, len(node.results)))
                if number < len(group):
                    yield (node, False), results
        row = [group[0] for group in groups]
        found = iter(_arrays(run(*self._read(row, tied=True))))
        for node in row:
            results = list(itertools.islice(found, len(node.results)))
            if _has_rules_for_ties(node):
                yield (node, True), results

    def _refused(self, name: str, what: str, error: UnsupportedError) -> None:
        self.verdict.refusals.append(f"{name}: {what}: {error.message}")

    def _read(self, nodes: Sequence[Node], tied: bool = False) -> list[Array]:
        """What the parameters of the detached nodes stand for."""
        return [
            array
            for node in nodes
            for operand, array in zip(
                node.operands,
                self._operands(node, tied and _has_rules_for_ties(node)),
                strict=True,
            )
            if isinstance(operand, Value)
        ]


def _tied(array: Array) -> Array:
    """Elements of which neighbours along the last axis are equal.

    Floats are rounded to a few values, without negative zeros, so that others are equal
    by chance; integers are moved apart, to both sides of zero.
    """
    element = dtype(array.dtype)
    if element.is_float:
        wide = _widened(array)
        step = _step(wide)
        array = (np.round(wide / step) * step + 0.0).astype(array.dtype)
    elif element.is_integer:
        apart = np.resize(np.array([-9, 0, 5]), array.shape)
        array = (array.astype(np.int64) * 7 + apart).astype(array.dtype)
    if array.ndim == 0:
        return array
    pairs = np.arange(array.shape[-1]) // 2 * 2
    return np.take(array, pairs, axis=-1)


def _step(array: Array) -> float:
    """A power of two of which the largest element is 4 to 8 times."""
    largest = np.max(np.abs(array), initial=0.0, where=np.isfinite(array))
    exponent = math.frexp(float(largest))[1] - 3
    return math.ldexp(1.0, max(exponent, -1000)) if largest else 1.0


def _is_finite(standard: Standard) -> bool:
    exact = standard.exact
    return not standard.type.dtype.is_float or bool(np.isfinite(exact).all())


def _has_rules_for_ties(node: Node) -> bool:
    """Whether executors must agree on a node though elements are equal."""
    return Trait.FACTORIZES not in node.op.traits and not node.op.calls_graphs


def _by_body(node: Node, operands: Sequence[Array]) -> list[Array]:
    """What the evaluator makes of a composite's body."""
    program = passes.run(detached([node]), "decompose", bisect=0)
    pairs = zip(node.operands, operands, strict=True)
    return list(evaluate(program, *(a for o, a in pairs if isinstance(o, Value))))


def detached(nodes: Sequence[Node]) -> Graph:
    """A graph of nodes that read parameters only."""
    graph = Graph("vote")
    results: list[Operand] = []
    for node in nodes:
        copy = Node(
            node.op,
            [
                o if isinstance(o, Literal) else graph.add_parameter(o.type)
                for o in node.operands
            ],
            _renamed(node, graph.module),
            [result.type for result in node.results],
            node.location,
        )
        graph.insert(copy)
        results += copy.results
    graph.results = results
    return graph


def alike(graph: Graph) -> list[list[Node]]:
    """The nodes without effects, in groups that differ in what they read alone."""
    groups: dict[object, list[Node]] = {}
    for node in _voted(graph):
        named = node.op.graph_names(node) or node.op.constant_names(node)
        operands = [o if isinstance(o, Literal) else o.type for o in node.operands]
        key = (
            node if named else node.op,
            json.dumps(node.attributes, sort_keys=True),
            *operands,
        )
        groups.setdefault(key, []).append(node)
    return list(groups.values())


def _renamed(node: Node, module: Module) -> Attributes:
    """The attributes of a node whose graphs and constants are put into `module`."""
    assert node.graph is not None
    source = node.graph.module
    graphs = {
        name: module.include(source.graphs[name]).name
        for name in node.op.graph_names(node)
    }
    constants = {
        name: module.add_constant(source.constants[name], name)
        for name in node.op.constant_names(node)
    }
    return node.op.rename(node.attributes, graphs, constants)


def _connected(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """A copy of `graph` that returns the results of `nodes` instead of its own."""
    copy = graph.copy()
    if list(nodes) != [graph.return_node]:
        twins = dict(zip(graph.nodes, copy.nodes, strict=True))
        copy.results = [result for node in nodes for result in twins[node].results]
    return copy


def _voted(graph: Graph) -> Iterator[Node]:
    """The nodes without effects, in order."""
    return (node for node in graph.nodes if Trait.EFFECT not in node.op.traits)


def _chunks(graph: Graph) -> Iterator[list[Node]]:
    """The nodes without effects, in order, some at a time."""
    nodes = _voted(graph)
    while chunk := list(itertools.islice(nodes, CHUNK)):
        yield chunk


def _arrays(results: Sequence[Any]) -> list[Array]:
    return [np.asarray(result) for result in results]


# -- what results are measured by --------------------------------------------------------


def _all_values(
    evaluator: Evaluator, graph: Graph, arrays: Sequence[Array]
) -> dict[Value, Array]:
    """Every value of a graph."""
    values = {
        p: evaluator.store(array, p.type)
        for p, array in zip(graph.parameters, arrays, strict=True)
    }
    for node in graph.nodes:
        operands = [evaluator.read(values, operand) for operand in node.operands]
        values.update(zip(node.results, evaluator.apply(node, operands), strict=True))
    return values


_BY_ELEMENT = (Kind.ELEMENTWISE, Kind.BROADCAST, Kind.INJECTIVE)
"""Kinds whose results are rounded element by element."""


def _node_standards(
    node: Node, operands: Sequence[Array], tied: bool
) -> list[Standard]:
    """What the results of a node are measured by, given its operands."""
    wide = [_widened(array) for array in operands]
    exact = _EXACT.apply(node, wide)
    rounded = _ROUNDED.apply(node, operands)
    nudged = _EXACT.apply(node, _nudged(operands, tied))
    ulp = node_ulp(node)
    by_element = not node.op.is_composite and node.op.kind in _BY_ELEMENT
    return [
        NodeStandard(result.type, *values, ulp=ulp, by_element=by_element)
        for result, *values in zip(node.results, exact, rounded, nudged, strict=True)
    ]


def _program_standards(graph: Graph, arrays: Sequence[Array]) -> _Standards:
    """What results within a program are measured by, given the program's inputs."""
    exact = _all_values(_EXACT, graph, arrays)
    rounded = _all_values(_ROUNDED, graph, arrays)

    def standards(node: Node) -> list[Standard]:
        measured = node.operands if node is graph.return_node else node.results
        return [
            ProgramStandard(
                operand.type,
                _EXACT.read(exact, operand),
                _ROUNDED.read(rounded, operand),
            )
            for operand in measured
        ]

    return standards


def _widened(array: Array) -> Array:
    """Floats in float64."""
    return array.astype(np.float64) if dtype(array.dtype).is_float else array


def _nudged(arrays: Sequence[Array], tied: bool) -> list[Array]:
    """Floats in float64, moved by some units in the last place.

    Halves that are equal are moved alike, so that the rules for ties still show.
    """
    rng = np.random.default_rng(0)
    nudged: list[Array] = []
    for array in arrays:
        if dtype(array.dtype).is_float:
            # Narrower floats are computed with in float32.
            computed = array if array.dtype.itemsize >= 4 else array.astype(np.float32)
            wide = _widened(computed)
            signs = 1 - 2 * np.mod(np.floor(2 * wide), 2)
            if not tied:
                signs = rng.choice((-1.0, 1.0), array.shape)
            array = wide + NUDGE * signs * np.spacing(computed)
        nudged.append(array)
    return nudged
