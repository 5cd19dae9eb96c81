"""The pass manager: runs pipelines, verifies, times, dumps and stops where asked."""

from __future__ import annotations

import difflib
import os
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from graphc.ir.collection import collection_paused
from graphc.ir.environment import read_number, read_switch
from graphc.ir.errors import GraphcError, GraphError, PassError
from graphc.ir.graph import Graph
from graphc.passes.checking import NUMERICS, Checker, PassCheck
from graphc.passes.graph_pass import GraphPass, Pass
from graphc.passes.journal import Journal
from graphc.passes.ledger import Ledger, Rewrite
from graphc.passes.numerics import Provenance, Statement, statements
from graphc.passes.pipeline_parser import Fixpoint, Pipeline, parse_pipeline
from graphc.passes.rewrite import Rewriter

MAX_REPEATS = 16
"""How often a group of a pipeline is repeated at most."""

DUMPS = "dump_dir keeps the graph before each pass"
"""What one can do about a pass that fails."""

LAWS = (
    "what holds up to rounding alone is no law of arithmetic: a rule says so by"
    " algebraic=False, a pass by naming it in `rounding`"
)
"""What one can do about a pass that is right and does not keep what a graph means."""

MAX_NOTE = 20_000
"""How many characters of a graph an error carries."""


@dataclass(frozen=True)
class PassRun:
    """One run of a pass over a module.

    Attributes:
        name: The pass as the pipeline spells it.
        seconds: How long it took, without verification and dumps.
        nodes_before: The nodes of all reachable graphs before it.
        nodes_after: The same after it.
        rewrites: How many rewrites it made.
        refusals: How many rewrites it considered and refused.
    """

    name: str
    seconds: float
    nodes_before: int
    nodes_after: int
    rewrites: int
    refusals: int

    def __str__(self) -> str:
        return (
            f"{self.name}, {self.seconds * 1e3:.1f} ms,"
            f" {self.nodes_before} -> {self.nodes_after} nodes"
        )


@dataclass
class Report:
    """What a pipeline did to a graph.

    Attributes:
        pipeline: The pipeline's text, named pipelines spelled out.
        nodes_before: The nodes of all reachable graphs before the first pass.
        nodes_after: The same after the last.
        runs: The runs of the passes in order.
        ledger: Every rewrite and refusal.
        unfinished: The groups that still changed the graph when their repeats ended.
        stopped: Whether the pipeline was stopped early.
        results: How many results the graph has.
        checks: How what the graph means was compared after each pass.
        unchecked: Why something was not compared after some, if so.
        executed: How what was compiled was compared with the evaluator, if it was.
    """

    pipeline: str
    nodes_before: int
    nodes_after: int
    ledger: Ledger
    runs: list[PassRun] = field(default_factory=list[PassRun])
    unfinished: list[str] = field(default_factory=list[str])
    stopped: bool = False
    results: int = 0
    checks: list[PassCheck] = field(default_factory=list[PassCheck])
    unchecked: str | None = None
    executed: str | None = None

    @property
    def checked(self) -> int:
        """After how many passes the meaning was compared over finite fields."""
        return sum(check.exact is not None for check in self.checks)

    @property
    def numerics(self) -> list[Statement]:
        """What the rewrites promise of each result: the classes that reached it."""
        return statements(self.results, self.ledger.inexact)

    def check_summary(self) -> str:
        """How each pass was checked, as lines."""
        lines = [str(check) for check in self.checks]
        if not lines and self.unchecked is not None:
            lines = [f"nothing was compared: {self.unchecked}"]
        if self.executed is not None:
            lines.append(self.executed)
        return "\n".join(lines) or "no pass rewrote anything"

    @property
    def seconds(self) -> float:
        """How long the passes took."""
        return sum(run.seconds for run in self.runs)

    def by_rule(self) -> Counter[str]:
        """The number of rewrites by ``pass/rule``."""
        return self.ledger.by_rule()

    def bisection(self) -> str:
        """The numbers of each pass's rewrites, and the last one that was made."""
        lines: list[str] = []
        number = 0
        for run in self.runs:
            if run.rewrites:
                lines.append(f"#{number + 1} to #{number + run.rewrites}: {run.name}")
            number += run.rewrites
        last = str(self.ledger.rewrites[-1]) if self.ledger.rewrites else "none"
        return "\n".join([*lines, f"last rewrite: {last}"])

    def table(self) -> str:
        """The runs and the most frequent rules as text in columns."""
        width = max([len(run.name) for run in self.runs] + [8])
        lines = [f"{'pass':<{width}}  {'ms':>8}  {'nodes':>15}  rewrites"]
        for run in self.runs:
            nodes = f"{run.nodes_before} -> {run.nodes_after}"
            ms = f"{run.seconds * 1e3:.1f}"
            lines.append(f"{run.name:<{width}}  {ms:>8}  {nodes:>15}  {run.rewrites}")
        lines += [
            f"{count:>8}  {rule}" for rule, count in self.by_rule().most_common(20)
        ]
        return "\n".join(lines)


Watch = Callable[[PassRun | None, Graph], None]
"""What a pass manager calls with the graph, as it is at first and after each run."""


class RoundingError(PassError):
    """A pass that rounds changed results by more than tolerances allow.

    In a graph that amplifies rounding errors, this can be no fault of the pass.
    """


class PassManager:
    """Runs a pipeline over a graph and everything it calls.

    Args:
        pipeline: The pipeline or its text.
        verify: Whether to verify before the first and after each pass;
            ``GRAPHC_VERIFY=1`` unless given.
        dump_dir: A directory for numbered texts of the graph, such as ``03-cse.gir``.
        stop_after: A pass after whose first run to stop, or a number of runs.
        bisect: The number of the last optional rewrite; ``GRAPHC_OPT_BISECT=N``
            unless given, which also prints the numbers of the rewrites to stderr.
        check: Whether to compare what the graph means before and after each pass, by
            evaluating it over finite fields (see `graphc.ir.exact`); ``GRAPHC_CHECK=1``
            unless given. ``"numerics"`` runs the graph on samples of its inputs, too
            (`graphc.passes.samples`). Graphs that are too large are not compared.
        watch: Called with the graph before the first pass, and with each run of a pass
            and the graph after it; it must leave the graph as it is.

    Raises:
        PassError: If the pipeline's text is none, or `stop_after` names no pass of it.
    """

    def __init__(
        self,
        pipeline: Pipeline | str,
        *,
        verify: bool | None = None,
        dump_dir: str | os.PathLike[str] | None = None,
        stop_after: str | int | None = None,
        bisect: int | None = None,
        check: bool | str | None = None,
        watch: Watch | None = None,
    ) -> None:
        if isinstance(pipeline, str):
            pipeline = parse_pipeline(pipeline)
        if not isinstance(pipeline, Pipeline):
            raise PassError(
                "expected a pipeline's name or text, such as 'cse,dce'",
                received=repr(pipeline)[:80],
            )
        self.pipeline = pipeline
        self.verify = read_switch("GRAPHC_VERIFY") if verify is None else verify
        self.dump_dir = Path(dump_dir) if dump_dir is not None else None
        self.stop_after = stop_after
        self.check = read_switch("GRAPHC_CHECK") if check is None else check
        self.watch = watch
        self.announces = bisect is None and bool(os.environ.get("GRAPHC_OPT_BISECT"))
        self.bisect = read_number("GRAPHC_OPT_BISECT") if bisect is None else bisect
        names = [each.name for each in self.pipeline.passes()]
        if isinstance(stop_after, str) and stop_after not in names:
            near = difflib.get_close_matches(stop_after, names, 1)
            raise PassError(
                f"stop_after: no pass {stop_after[:40]!r} in {self.pipeline}",
                hint=f"did you mean {near[0]!r}?" if near else None,
            )

    def run(self, graph: Graph) -> Report:
        """Runs the pipeline on `graph` itself; returns what it did.

        Graphs that nothing reaches any more leave the module.

        Raises:
            GraphError: If the graph does not verify to begin with.
            PassError: If a pass fails or breaks the graph, or changes what it means;
                names the pass, and the rewrite if a check found it.
        """
        with collection_paused():
            return _Run(self, graph).run()


_Outline = list[tuple[int, ...]]


class _Run:
    """One run of a pass manager.

    Attributes:
        manager: Its options.
        graph: What the passes change.
        nodes: How many nodes the graph and those that it calls have.
        report: What has happened so far.
        checker: What the graph computes, if that is compared.
        original: The graph before the next rewrite, once it has been copied.
        outline: Which nodes there were when the graph was last verified.
        journal: What the passes have touched, and where each last ended.
    """

    def __init__(self, manager: PassManager, graph: Graph) -> None:
        self.manager = manager
        self.graph = graph
        self.nodes = sum(len(reached) for reached in graph.reachable())
        self.report = Report(
            str(manager.pipeline), self.nodes, self.nodes, Ledger(manager.bisect)
        )
        self.report.results = len(graph.results)
        self.checker: Checker | None = None
        self.original: Graph | None = None
        self.outline: _Outline | None = None
        self.journal = Journal()

    def run(self) -> Report:
        if self.manager.verify:
            self.graph.verify()
            self.outline = _outline(self.graph)
        if self.manager.check:
            self.checker = Checker(self.graph, self.manager.check == NUMERICS)
            self.report.unchecked = next(iter(self.checker.gaps.values()), None)
        self._show("input", f"// input, {self.nodes} nodes", None)
        self._run_stages(self.manager.pipeline)
        _sweep_constants(self.graph)
        self.report.nodes_after = self.nodes
        if self.manager.announces:
            print(f"@{self.graph.name}\n{self.report.bisection()}", file=sys.stderr)
        return self.report

    def _run_stages(self, pipeline: Pipeline) -> bool:
        """Runs the stages up to where the pipeline stops; whether any changed."""
        changed = False
        for stage in pipeline.stages:
            if self.report.stopped:
                break
            if isinstance(stage, Fixpoint):
                changed |= self._repeat(stage)
            else:
                changed |= self._run_pass(stage)
        return changed

    def _repeat(self, group: Fixpoint) -> bool:
        changed = False
        for _ in range(MAX_REPEATS):
            if not self._run_stages(group.body):
                return changed
            changed = True
            if self.report.stopped:
                return True
        self.report.unfinished.append(str(group))
        return changed

    def _run_pass(self, each: Pass) -> bool:
        ledger = self.report.ledger
        # A pass goes on until it finds nothing more to do: if nothing was rewritten
        # since it ended, it would look at everything in vain.
        text = str(each)
        if not self.journal.begin(text, ledger.count):
            return False
        rewrites, refusals = ledger.count, len(ledger.refusals)
        before = self.nodes
        if self.checker and not self.checker.is_blind and self.original is None:
            self.original = self.graph.copy()
        start = time.perf_counter()
        try:
            changed, kept = apply_pass(each, self.graph, ledger, journal=self.journal)
            self._keep(kept)
        except Exception as error:
            raise self._failure(each, "failed", error) from error
        seconds = time.perf_counter() - start
        made = ledger.count - rewrites
        if changed == (made > 0):
            self.journal.end(text, ledger.count, kept)
        run = PassRun(
            *(text, seconds, before, self.nodes, made),
            len(ledger.refusals) - refusals,
        )
        self.report.runs.append(run)
        self._show(each.name, f"// after {run}", run)
        if self.manager.verify:
            self._verify(each, changed, made)
        if self.original is not None and made:
            self._compare(each, self.original, rewrites)
            self.original = None
        stop = self.manager.stop_after
        self.report.stopped = stop in (each.name, len(self.report.runs))
        return changed

    def _keep(self, graphs: list[Graph]) -> None:
        """Leaves only `graphs` in the module, and counts their nodes."""
        kept = {graph.name for graph in graphs}
        for other in list(self.graph.module.graphs.values()):
            if other.name not in kept:
                self.graph.module.remove(other)
        self.nodes = sum(len(graph) for graph in graphs)

    def _verify(self, each: Pass, changed: bool, made: int) -> None:
        """Checks what a pass says, and the graph unless it is as it was."""
        outline = _outline(self.graph)
        if changed or made or outline != self.outline:
            try:
                self.graph.verify()
            except GraphError as error:
                raise self._failure(each, "broke the graph", error) from error
        self.outline = outline
        if changed != (made > 0):
            says = "a change" if changed else "no change"
            raise PassError(f"{each} reports {says} but made {made} rewrites")

    def _compare(self, each: Pass, original: Graph, first: int) -> None:
        """Checks that a pass kept what the graph means."""
        checker, report = self.checker, self.report
        assert checker is not None
        found = checker.compare(each, original, self.graph, report.ledger, first)
        report.unchecked = next(iter(checker.gaps.values()), None)
        if isinstance(found, PassCheck):
            report.checks.append(found)
            return
        rewrite = self._first_wrong(each, original, first)
        # Its second line is the location, which the error has as well.
        line = None if rewrite is None else str(rewrite).partition("\n")[0]
        kind = RoundingError if found.rounds else PassError
        error = kind(
            f"{each} changes what @{self.graph.name} means: {found.text}",
            received=line and f"the rewrite {line}",
            location=rewrite.node.location if rewrite and rewrite.node else None,
            hint=DUMPS if found.rounds else f"{DUMPS}; {LAWS}",
        )
        error.add_note(_limited(str(original)))
        raise error

    def _first_wrong(self, each: Pass, original: Graph, first: int) -> Rewrite | None:
        """The rewrite without which the pass would have kept the meaning."""
        checker = self.checker
        assert checker is not None

        def wrong(count: int) -> bool:
            graph, ledger = original.copy(), Ledger(count)
            apply_pass(each, graph, ledger, limited=True)
            rewrites, inexact = ledger.rewrites, ledger.inexact
            return bool(checker.problem(each, original, graph, rewrites, inexact))

        # A rewrite that comes later can hide one that comes before it, so the search
        # finds one of those after which the meaning is lost.
        made = self.report.ledger.rewrites[first:]
        found = bisect_left(range(len(made)), True, key=lambda n: wrong(n + 1))
        return made[found] if found < len(made) else None

    def _failure(self, each: Pass, what: str, cause: Exception) -> PassError:
        text = f"{each} {what}: "
        hint = DUMPS
        if isinstance(cause, GraphcError):
            text += cause.message
            error = PassError(
                text,
                received=cause.received,
                location=cause.location,
                hint=cause.hint or hint,
            )
        else:
            error = PassError(f"{text}{type(cause).__name__}: {cause}", hint=hint)
        error.add_note(_limited(str(self.graph)))
        return error

    def _show(self, name: str, header: str, run: PassRun | None) -> None:
        if self.manager.watch is not None:
            self.manager.watch(run, self.graph)
        directory = self.manager.dump_dir
        if directory is None:
            return
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{len(self.report.runs):02d}-{name}.gir"
        path.write_text(f"{header}\n{self.graph}", encoding="utf-8")


def _outline(graph: Graph) -> _Outline:
    """Which nodes there are, in what order, and what they and the results read."""
    return [
        (id(each), *map(id, read))
        for reached in graph.reachable()
        for each, read in [
            *((node, node.operands) for node in reached.nodes),
            (reached, reached.results),
        ]
    ]


def apply_pass(
    each: Pass,
    graph: Graph,
    ledger: Ledger,
    limited: bool = False,
    journal: Journal | None = None,
) -> tuple[bool, list[Graph]]:
    """Runs a pass over a graph and all that it calls.

    Args:
        each: The pass.
        graph: The entry graph.
        ledger: Where the rewrites go.
        limited: Whether the limit of the ledger is for required passes, too.
        journal: What has been touched in the compile so far; the pass has begun there.

    Returns:
        Whether anything changed, and the graphs that are reachable now.
    """
    provenance = Provenance(graph, each.name, each.numerics)
    required = each.required and not limited
    rewriter = Rewriter(ledger, each.name, required, provenance, journal)
    if not isinstance(each, GraphPass):
        return each.run(graph, rewriter), graph.reachable()
    changed = False
    # Callees are looked up after their caller was worked on, so that the pass does
    # not see those that it has just made unreachable.
    reached = {graph.name: graph}
    queue = [graph]
    for current in queue:
        changed |= each.run(current, rewriter)
        for callee in current.callees():
            if callee.name not in reached:
                reached[callee.name] = callee
                queue.append(callee)
    return changed, queue


def _sweep_constants(graph: Graph) -> None:
    """Removes the constants that nothing reads from the module of `graph`."""
    read = set[str]().union(*(each.constant_names() for each in graph.reachable()))
    constants = graph.module.constants
    for name in constants.keys() - read:
        del constants[name]


def _limited(text: str) -> str:
    if len(text) <= MAX_NOTE:
        return text
    return f"{text[:MAX_NOTE]}\n... {len(text) - MAX_NOTE} characters more"
