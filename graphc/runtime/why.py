"""Why a compile came out as it did: fusion, recomputation, dtypes, schedules, time."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE, function_name
from graphc.codegen.triton.planning import make_plan
from graphc.codegen.triton.tuning import emit_tuned_kernels, load_table, signature_of
from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph, Node
from graphc.ir.location import Location
from graphc.ir.printer import value_names
from graphc.passes import parse_pipeline, run, run_with_report
from graphc.passes.deduplicate import Deduplicate
from graphc.passes.fusion.decisions import FUSE, STORE
from graphc.passes.fusion.fusion import Fusion
from graphc.passes.fusion.outlining import KERNEL
from graphc.passes.inline import FUSED
from graphc.passes.ledger import NodeSnapshot
from graphc.passes.precision import Precision
from graphc.runtime.compile import check_bound
from graphc.runtime.kernel_costs import KernelCost, KernelReport
from graphc.runtime.plan_costs import plan_kernels

LAUNCH = 2e-6
"""Seconds below which a kernel is said to be bound by its launch: an assumption of
about what a GPU takes from one kernel of a recorded graph to the next."""

MOST_KERNELS = 10
"""How many of the slowest kernels are explained."""

DEFAULTS = {
    "pointwise": "1024 elements to a program, fewer if there were too few programs",
    "reduction": "whole rows to a program where they fit into its registers",
    "contraction": "the tiles with the least estimated time, from the sizes alone",
}
"""What the schedule of each kind of kernel follows from if none was measured."""


@dataclass(frozen=True)
class Reason:
    """One reason.

    Attributes:
        subject: What it is about.
        text: The reason.
        location: The user's line.
    """

    subject: str
    text: str
    location: Location | None = None

    def __str__(self) -> str:
        line = f"{self.subject}: {self.text}"
        if self.location is None:
            return line
        return f"{line}\n{self.location.describe()}"


@dataclass(frozen=True)
class Answer:
    """The answer to a question. As text it has a line for each reason.

    Attributes:
        question: The question.
        reasons: What there is to say.
    """

    question: str
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.question}?", *map(str, self.reasons)])


@dataclass(frozen=True)
class _Place:
    """Where a node of the fused graph is: in a kernel, or by itself."""

    kernel: str
    node: Node


class Why:
    """A graph after the passes, with what these decided.

    Nodes are named by their value (``%h``, or ``%3`` as the graph prints), by the path
    of a layer (``encoder/dense``), by an op (``reduce_sum``), or as answers name them: a
    kernel or a called graph is ``@name``, and a value that passes made ``%3@name``, with
    the number that it has in the graph of that name after the passes.

    Args:
        graph: A graph without dimension symbols; it stays as it is.
        pipeline: The passes, by name or as text.
        architecture: The GPU whose measured schedules are taken.

    Raises:
        GraphError: If the graph has symbols.
        PassError: If the pipeline's text is none, or a pass fails.

    Example:
        >>> import graphc
        >>> graph = graphc.ir.parse('''
        ...     graph @f(%x: f32[8,4], %w: f32[4,4]) -> (f32[8]) {
        ...       %h = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,4]
        ...       %s = reduce_sum(%h) {axes=[1]} : f32[8]
        ...       return %s
        ...     }''')
        >>> print(graphc.why(graph).not_fused("%h", "%s"))
        why are %h and %s not one kernel?
        @dot_general and @reduce_sum: a reduction does not follow a dot in its kernel
    """

    def __init__(
        self,
        graph: Graph,
        pipeline: str = "triton",
        architecture: str = DEFAULT_ARCHITECTURE,
    ) -> None:
        check_bound(graph)
        named, self._numbered = _named(graph)
        names = [each.name for each in parse_pipeline(pipeline).passes()]
        # Later passes give kernels other names, and change nothing about the answers.
        stop = Fusion.name if Fusion.name in names else None
        self.graph, self.report = run_with_report(named, pipeline, stop_after=stop)
        self._architecture = architecture
        self._refusals = self.report.ledger.refusals
        self._places = list(_places(self.graph))

    # -- questions ---------------------------------------------------------------------

    def not_fused(self, first: str, second: str) -> Answer:
        """Why two nodes are not computed by one kernel."""
        question = f"why are {first} and {second} not one kernel"
        starts, ends = self._kernels(first), self._kernels(second)
        both = starts & ends
        reasons = [Reason(each, "has nodes of both") for each in sorted(both)]
        starts, ends = starts - both, ends - both
        reasons += self._way(starts, ends or both) or self._way(ends, starts or both)
        if not reasons:
            starts, ends = (self._shared.get(name, {name}) for name in (first, second))
            reasons = self._way(starts, ends) or self._way(ends, starts)
        nothing = (
            "neither reads what the other makes, not even by way of others; only small"
            " kernels that are independent become one"
        )
        found = reasons or [Reason(f"{first} and {second}", nothing)]
        return Answer(question, tuple(found))

    def recomputed(self, name: str | None = None) -> Answer:
        """Why nodes are computed more than once; all of them unless one is named."""
        reasons = [
            Reason(
                " in ".join(filter(None, [_label(each.node), ", ".join(each.kernels)])),
                each.reason,
                each.node.location,
            )
            for each in self._refusals
            if each.rule == STORE and self._is(each.node, name)
        ]
        question = f"why is {name or 'anything'} computed again"
        return self._answer(question, reasons, "nothing of it is computed again", name)

    def float32(self, name: str | None = None) -> Answer:
        """Why nodes are kept in float32 by mixed precision; all unless one is named."""
        question = f"why is {name or 'anything'} in float32"
        passes = {run.name.partition("{")[0] for run in self.report.runs}
        if Precision.name not in passes:
            nothing = "no precision pass ran: dtypes are those of the graph"
            return self._answer(question, [], nothing, name)
        reasons = [
            Reason(_label(refusal.node), refusal.reason, refusal.node.location)
            for refusal in self._refusals
            if refusal.pass_name == Precision.name and self._is(refusal.node, name)
        ]
        if name is not None and not reasons:
            reasons = [
                Reason(
                    _label(each.node),
                    f"its operands are not (rewrite #{each.number}, {each.rule});"
                    " its result is where that is what others read",
                    each.node.location,
                )
                for each in self.report.ledger.rewrites
                if each.pass_name == Precision.name
                and each.node is not None
                and self._is(each.node, name)
            ]
        return self._answer(question, reasons, "nothing was kept in float32", name)

    def kernel(self, name: str) -> Answer:
        """Why a kernel is as it is: what it computes, its borders and its schedule.

        Args:
            name: The name of the kernel's graph, or of a node in it.
        """
        found = sorted(k for k in self._kernels(name) if k.startswith("@"))
        reasons = [reason for each in found for reason in self._about(each)]
        nothing = "it is in no kernel of its own"
        return self._answer(f"why this kernel for {name}", reasons, nothing, None)

    def slow(
        self, name: str | None = None, costs: KernelReport | None = None
    ) -> Answer:
        """What bounds the time of kernels, the slowest first.

        Args:
            name: The kernels of what is named only.
            costs: Measured times: what ``executable.kernels(*arrays)`` returns. The
                roofline of an H200 stands for them unless given.
        """
        report = costs or self.costs()
        wanted = None if name is None else self._functions(name)
        chosen = [c for c in report.costs if wanted is None or c.kernel.name in wanted]
        chosen.sort(key=lambda c: -_taken(c, report))
        total = sum(_taken(c, report) for c in report.costs) or 1.0
        reasons = [_bound(c, report, total) for c in chosen[:MOST_KERNELS]]
        if others := chosen[MOST_KERNELS:]:
            share = sum(_taken(c, report) for c in others) / total
            plural = "s" * (len(others) > 1)
            text = f"{share:.0%} of the time together, none more than any of these"
            reasons.append(Reason(f"{len(others)} other kernel{plural}", text))
        question = f"why is {name or f'@{self.graph.name}'} slow"
        return self._answer(question, reasons, "no kernel computes it", None)

    def costs(self) -> KernelReport:
        """What each kernel costs, by the roofline of an H200."""
        return plan_kernels(make_plan(self.graph, self._emitted))

    # -- names -------------------------------------------------------------------------

    def _kernels(self, name: str) -> set[str]:
        """The kernels, or values without one, that a name stands for.

        Raises:
            GraphError: If it stands for nothing in the graph after the passes.
        """
        if "@" in name and any(p.kernel == name for p in self._places):
            return {name}
        wanted = self._numbered.get(name, name)
        found = {p.kernel for p in self._places if _fits(p.node, wanted)}
        if not found:
            raise GraphError(
                f"nothing is called {name[:80]!r} after the passes{self._fate(wanted)}",
                hint=self._hint(name),
            )
        return found

    def _fate(self, wanted: str) -> str:
        """What became of a value that is no more."""
        for rewrite in self.report.ledger.rewrites:
            node = rewrite.node
            if node is not None and _is_called(node, wanted):
                return (
                    f": rewrite #{rewrite.number}, {rewrite.pass_name}/{rewrite.rule}"
                )
        return ""

    def _hint(self, name: str) -> str | None:
        known = {n for p in self._places for n in _names(p.node)}
        near = difflib.get_close_matches(name, sorted(known), 1)
        return f"did you mean {near[0]!r}?" if near else None

    def _is(self, node: NodeSnapshot, name: str | None) -> bool:
        return name is None or _is_called(node, self._numbered.get(name, name))

    def _answer(
        self, question: str, reasons: Iterable[Reason], nothing: str, name: str | None
    ) -> Answer:
        """An answer; if there are no reasons, what that means."""
        found = tuple(dict.fromkeys(reasons))
        if not found:
            if name is not None:
                self._kernels(name)  # which says if there is no such thing
            found = (Reason(name or f"@{self.graph.name}", nothing),)
        return Answer(question, found)

    # -- kernels -----------------------------------------------------------------------

    @cached_property
    def _apart(self) -> dict[tuple[str, ...], Reason]:
        """Why kernels are not one with those that read what they make."""
        found: dict[tuple[str, ...], Reason] = {}
        for refusal in self._refusals:
            if refusal.rule == FUSE and refusal.kernels:
                pair = tuple(_unique(name, refusal.graph) for name in refusal.kernels)
                found[pair] = Reason(" and ".join(pair), refusal.reason)
        return found

    @cached_property
    def _shared(self) -> dict[str, set[str]]:
        """The kernels that are called by one name once equal ones are one."""
        after = run(self.graph, Deduplicate.name, verify=False)
        found: dict[str, set[str]] = {}
        for graph in after.reachable():
            pairs = zip(
                self.graph.module.graphs[graph.name].nodes, graph.nodes, strict=True
            )
            for old, new in pairs:
                names = zip(
                    old.op.graph_names(old), new.op.graph_names(new), strict=True
                )
                for before, name in names:
                    found.setdefault(f"@{name}", set()).add(f"@{before}")
        return found

    def _way(self, starts: set[str], ends: set[str]) -> list[Reason]:
        """The reasons along a shortest way of values; empty if there is none."""
        came: dict[str, str | None] = dict.fromkeys(sorted(starts))
        queue = deque(came)
        while queue:
            here = queue.popleft()
            if here in ends:
                way: list[Reason] = []
                before = came[here]
                while before is not None:
                    way.append(self._apart[before, here])
                    here, before = before, came[before]
                return way[::-1]
            for first, second in self._apart:
                if first == here and second not in came:
                    came[second] = here
                    queue.append(second)
        return []

    @cached_property
    def _emitted(self) -> dict[str, Kernel]:
        table = load_table(self._architecture)
        return emit_tuned_kernels(self.graph, table, self._architecture)

    def _functions(self, name: str) -> set[str]:
        """The functions of the kernels that a name stands for."""
        return {function_name(k.removeprefix("@")) for k in self._kernels(name)}

    def _about(self, name: str) -> Iterator[Reason]:
        graph = self.graph.module.graphs[name.removeprefix("@")]
        kernel = self._emitted[graph.name]
        kind = str(graph.attributes[KERNEL])
        ops = ", ".join(dict.fromkeys(node.op.name for node in graph.nodes))
        yield Reason(
            name, f"{kind}: {ops}", graph.last.location if graph.last else None
        )
        for pair, reason in self._apart.items():
            if name in pair:
                yield reason
        entry = load_table(self._architecture).get(signature_of(graph))
        if entry is not None:
            why = (
                f"measured on {entry.measured}: {entry.microseconds:.1f} us, with the"
                f" default {entry.default:.1f} us"
            )
        else:
            rule = DEFAULTS.get(kind, "its template's own")
            why = f"no measurement for {self._architecture}; {rule}"
        tiles = ", ".join(f"{n}={size}" for n, size in kernel.constants.items())
        grid = "x".join(map(str, kernel.programs))
        shape = f"{tiles or 'no tiles'}, {kernel.num_warps} warps, grid {grid}"
        yield Reason(f"{name}, schedule {shape}", why)


def why(
    graph: Graph,
    pipeline: str = "triton",
    architecture: str = DEFAULT_ARCHITECTURE,
) -> Why:
    """What the passes decide about `graph`, to be asked; see `Why`."""
    return Why(graph, pipeline, architecture)


def _least(cost: KernelCost, report: KernelReport) -> float:
    """The least seconds that all launches of a kernel take."""
    return max(LAUNCH, cost.roofline(report.gpu)) * cost.launches


def _taken(cost: KernelCost, report: KernelReport) -> float:
    """The seconds of all launches: as measured, else the least."""
    return cost.seconds or _least(cost, report)


def _bound(cost: KernelCost, report: KernelReport, total: float) -> Reason:
    """What bounds the time of a kernel."""
    kernel, gpu = cost.kernel, report.gpu
    moving, least = kernel.bytes / gpu.bandwidth, cost.roofline(gpu)
    if least < LAUNCH:
        text = f"bound by its launch: bytes and arithmetic take {least * 1e6:.2f} us"
    elif moving >= least:
        text = f"bound by memory: {kernel.bytes:,} bytes take {least * 1e6:.2f} us"
    else:
        text = f"bound by arithmetic: {kernel.flops:,} flops take {least * 1e6:.2f} us"
    text += f" on the {gpu.name}"
    if cost.launches != 1:
        text += f", {cost.launches} launches"
    seconds = _taken(cost, report)
    if cost.seconds is not None and cost.seconds > 0:
        reached = least * cost.launches / cost.seconds
        text += f"; measured {cost.seconds * 1e6:.2f} us, {reached:.0%} of the roofline"
    return Reason(f"@{kernel.name}, {seconds / total:.0%} of the time", text)


# -- names -----------------------------------------------------------------------------


def _named(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """A copy whose values have names, and these by what they print as."""
    copy = graph.copy()
    found: dict[str, str] = {}
    names = value_names(copy, copy.nodes)
    taken = set(names.values())
    for value, text in names.items():
        if value.name is None:
            name = f"v{text[1:]}"
            while f"%{name}" in taken:
                name += "_"
            taken.add(f"%{name}")
            value.name = name
            found[text] = f"%{name}"
    return copy, found


def _places(graph: Graph) -> Iterator[_Place]:
    """Every node of a fused graph that is not the launch of a kernel."""
    reached = graph.reachable()
    for each in reached:
        names = value_names(each, each.nodes)
        is_kernel = bool(each.attributes.get(FUSED))
        for node in each.nodes:
            called = node.op.graph_names(node)
            if any(graph.module.graphs[n].attributes.get(FUSED) for n in called):
                continue
            first = names[node.results[0]] if node.results else node.op.name
            alone = _unique(first, each.name)
            yield _Place(f"@{each.name}" if is_kernel else alone, node)


def _unique(name: str, graph: str) -> str:
    """What a node that is in no kernel is called where there are several graphs."""
    return f"{name}@{graph}" if name[1:].isdecimal() else name


def _names(node: Node) -> list[str]:
    """What a node may be called."""
    path = node.location.path if node.location else None
    values = [f"%{r.name}" for r in node.results if r.name]
    called = [f"@{name}" for name in node.op.graph_names(node)]
    return [*values, node.op.name, *called, *([path] if path else [])]


def _fits(node: Node, name: str) -> bool:
    path = node.location.path if node.location else None
    return name in _names(node) or _is_layer(path, name)


def _is_called(node: NodeSnapshot, name: str) -> bool:
    path = node.location.path if node.location else None
    values = [f"%{value}" for value in node.names if value]
    return name in (*values, node.op) or _is_layer(path, name)


def _is_layer(path: str | None, name: str) -> bool:
    """Whether a layer path is that of a layer, or of one inside it."""
    return path is not None and f"/{name}/" in f"/{path}/"


def _label(node: NodeSnapshot | None) -> str:
    """A node in few words."""
    if node is None:
        return "the graph"
    name = next((f"%{n} = " for n in node.names if n), "")
    return f"{name}{node.op} : {', '.join(map(str, node.types))}"
