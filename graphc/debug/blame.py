"""Which rewrite is to blame for a symptom: bisection over the rewrites of a pipeline.

There are two searches. One needs no target: the evaluator runs the graph as it is
after each pass, and then after each rewrite of the first pass after which something is
wrong, whether the pass is required or not. If the passes keep the meaning, the other
compiles programs whose optional passes stop after some rewrites.

A later rewrite may hide an earlier one. So bisection finds a rewrite with which the
symptom comes, which need not be the only one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from graphc.debug.changes import Change, change_between
from graphc.debug.judges import (
    Finiteness,
    GraphJudge,
    Meaning,
    Reference,
    Seconds,
    TargetErrors,
    TargetJudge,
    TargetResults,
    Temporaries,
    Validity,
    evaluated,
    is_affordable,
)
from graphc.debug.reproducer import Reproducer, named, reduced
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph, Node
from graphc.ir.tolerance import TOLERANCES
from graphc.ir.types import F32
from graphc.passes import run_with_report
from graphc.passes.ledger import Rewrite
from graphc.passes.replay import NO_LIMIT, Replay, Stretch
from graphc.runtime.calling import find_mismatch
from graphc.runtime.compile import check_bound, compile_graph
from graphc.runtime.targets import find_target

Array = np.ndarray[Any, Any]

SYMPTOMS = ("differs", "nan", "error", "slower", "larger")
"""What may be wrong: results differ, or are not finite; something raises; a program is
slower, or needs more memory for temporaries, than without rewrites."""

EVALUATOR = "numpy"
"""The target for which no program is compiled: the evaluator judges the passes alone."""

NUDGE = 2.0**-23
"""By what part inputs are changed, to see how far rounding moves results."""

BISECTION = (
    "Bisection finds one rewrite with which the symptom comes; a later one may hide"
    " others."
)


@dataclass(frozen=True)
class Blame:
    """What is to blame for a symptom. As text it is a report.

    Attributes:
        symptom: One of `SYMPTOMS`.
        judge: What the results were compared with, or how they were measured.
        rewrites: How many rewrites the whole pipeline makes.
        problem: What is wrong with all of them; None if the symptom does not show.
        rewrite: The rewrite with which the symptom comes; None if it is there without.
        pass_text: The pass that made it, as pipelines spell it.
        change: The nodes before and after the rewrite, if it could be told.
        notes: What else there is to say.
        reproducer: A small program that shows the same, if one was looked for.
    """

    symptom: str
    judge: str
    rewrites: int
    problem: str | None = None
    rewrite: Rewrite | None = None
    pass_text: str | None = None
    change: str | None = None
    notes: tuple[str, ...] = ()
    reproducer: Reproducer | None = field(default=None, compare=False)

    def __str__(self) -> str:
        head = f"{self.symptom}: {self.problem or 'does not show'}"
        lines = [
            head,
            f"judged by {self.judge}; the passes make {self.rewrites} rewrites",
        ]
        if self.pass_text is not None:
            lines.append(f"pass: {self.pass_text}")
        if self.rewrite is not None:
            lines.append(f"rewrite {self.rewrite}")
        lines += [self.change] if self.change else []
        lines += self.notes
        if self.reproducer is not None:
            count = sum(len(each) for each in self.reproducer.graph.reachable())
            lines.append(
                f"reduced to {count} node{'s' * (count != 1)}, which show it with"
                f" --passes '{self.reproducer.pipeline}':\n{self.reproducer.graph}"
            )
        return "\n".join(lines)


def blame(
    graph: Graph,
    arrays: Sequence[Any],
    symptom: str = "differs",
    target: str = "xla",
    pipeline: str | None = None,
    reduce_seconds: float = 60.0,
) -> Blame:
    """The pass and the rewrite with which a symptom comes.

    Args:
        graph: A graph without dimension symbols; it stays as it is.
        arrays: One array per parameter.
        symptom: ``"differs"``, ``"nan"``, ``"error"``, ``"slower"`` or ``"larger"``.
        target: The name of the target; ``"numpy"`` looks at the passes alone.
        pipeline: The passes instead of the target's own, by name or as text.
        reduce_seconds: How long to look for a smaller program; 0 for not at all.

    Raises:
        GraphError: If the graph has symbols, or the arrays do not fit its parameters.
        TargetError: For an unknown target, or one that is not available here.
        PassError: If the pipeline's text is none.

    Example:
        >>> import graphc
        >>> from graphc.debug import blame
        >>> graph = graphc.ir.parse('''
        ...     graph @f(%x: f32[4]) -> (f32[4]) {
        ...       %0 = negate(%x) : f32[4]
        ...       %1 = negate(%0) : f32[4]
        ...       return %1
        ...     }''')
        >>> print(blame(graph, [[1.0, 2.0, 3.0, 4.0]], target="numpy", pipeline="train"))
        differs: does not show
        judged by the evaluator in float64; the passes make 2 rewrites
    """
    if symptom not in SYMPTOMS:
        raise GraphcError(
            "blame: unknown symptom",
            received=repr(symptom)[:80],
            hint=f"use one of {', '.join(SYMPTOMS)}",
        )
    check_bound(graph)
    given = [np.asarray(a, p.dtype.numpy) for a, p in _pairs(graph, arrays)]
    if problem := find_mismatch(graph, given):
        raise problem
    if pipeline is None:
        pipeline = find_target("xla" if target == EVALUATOR else target).pipeline
    with np.errstate(all="ignore"):
        return _Search(
            named(graph), given, symptom, target, pipeline, reduce_seconds
        ).run()


def _pairs(graph: Graph, arrays: Sequence[Any]) -> list[tuple[Any, Any]]:
    if len(arrays) != len(graph.parameters):
        raise GraphcError(
            f"graph @{graph.name} takes {len(graph.parameters)} arrays",
            received=str(len(arrays)),
        )
    return list(zip(arrays, graph.parameters, strict=True))


class _Search:
    """One search."""

    def __init__(
        self,
        graph: Graph,
        arrays: Sequence[Array],
        symptom: str,
        target: str,
        pipeline: str,
        seconds: float,
    ) -> None:
        self.graph = graph
        self.arrays = arrays
        self.symptom = symptom
        self.target = target
        self.pipeline = pipeline
        self.seconds = seconds
        self.by_evaluator = is_affordable(graph)

    def run(self) -> Blame:
        replay = Replay(self.graph, self.pipeline, verify=self.symptom == "error")
        if replay.error is not None:
            self.symptom = "error"  # whatever was looked for
            return self._failing_pass(replay)
        assert replay.result is not None
        judge = self._graph_judge(self.graph, self.arrays)
        if judge is not None:
            found = self._in_graphs(replay, replay.result, judge)
            if found is not None:
                return found
        if self.target == EVALUATOR:
            return Blame(self.symptom, self._judge_name(), replay.count)
        return self._on_target(replay)

    def _judge_name(self) -> str:
        if self.symptom == "differs":
            if self.by_evaluator:
                return "the evaluator in float64"
            return f"the program without optional rewrites on {self.target}"
        return {
            "nan": "whether results are finite",
            "error": "whether passes, verifier and target raise",
            "slower": "interleaved measurements",
            "larger": "the target's bytes of temporaries",
        }[self.symptom]

    # -- without a target ----------------------------------------------------------------

    def _graph_judge(self, graph: Graph, arrays: Sequence[Array]) -> GraphJudge | None:
        """Says whether graphs show the symptom by themselves, if it can be said."""
        if self.symptom == "error":
            return Validity()
        if self.symptom == "differs" and self.by_evaluator:
            return Meaning(graph, arrays)
        if self.symptom == "nan" and self.by_evaluator:
            return Finiteness(arrays)
        return None

    def _in_graphs(
        self, replay: Replay, result: Graph, judge: GraphJudge
    ) -> Blame | None:
        """The first rewrite after which the graph itself shows the symptom."""
        problem = judge.problem(result)
        if problem is None:
            return None
        if first := judge.problem(self.graph):
            note = "The graph shows this before any rewrite: the passes are innocent."
            return self._blame(replay.count, first, notes=(note,))
        # A run's graph before is that after the run before it.
        stretches = replay.stretches
        number = bisect_left(
            range(1, len(stretches)),
            True,
            key=lambda n: judge.problem(stretches[n].before) is not None,
        )
        stretch = stretches[number]

        def wrong(count: int) -> bool:
            return judge.problem(stretch.after(count)[0]) is not None

        count = 1 + bisect_left(range(1, stretch.made), True, key=wrong)
        return self._of_rewrite(replay, stretch, count, problem)

    def _failing_pass(self, replay: Replay) -> Blame:
        """The first rewrite after which a pass raises, or leaves no valid graph."""
        error, stretch = replay.error, replay.stretches[-1]
        assert error is not None

        def fails(count: int) -> bool:
            return _fails(stretch, count)

        problem = f"PassError: {error.message}"
        if fails(0):
            note = "The pass raises before it rewrites anything."
            found = self._blame(replay.count, problem, str(stretch.each), (note,))
            if error.location is not None:
                found = replace(found, change=error.location.describe())
            return self._with_reproducer(found, stretch.before, stretch, ())
        limit = 1
        while limit < 2**20 and not fails(limit):
            limit *= 2
        count = 1 + bisect_left(range(1, limit), True, key=fails)
        try:
            return self._of_rewrite(replay, stretch, count, problem)
        except Exception:  # it raises in the middle of the rewrite
            before, made = stretch.after(count - 1)
            note = f"The pass raises after {len(made)} rewrites."
            found = self._blame(replay.count, problem, str(stretch.each), (note,))
            return self._with_reproducer(found, before, stretch, ())

    def _of_rewrite(
        self, replay: Replay, stretch: Stretch, count: int, problem: str
    ) -> Blame:
        """The report on one rewrite of a pass, counted from 1."""
        before, rewrite, change = _rewrite_at(stretch, count)
        found = self._blame(replay.count, problem, str(stretch.each), (BISECTION,))
        found = replace(found, rewrite=rewrite, change=str(change) if change else None)
        nodes = _entry_nodes(before, change, rewrite.graph)
        return self._with_reproducer(found, before, stretch, nodes)

    def _with_reproducer(
        self, found: Blame, before: Graph, stretch: Stretch, nodes: Sequence[Node]
    ) -> Blame:
        """The report with a small program that the pass alone makes wrong."""
        if not self.seconds:
            return found
        rule = found.rewrite.rule if found.rewrite else None
        text = str(stretch.each)

        def fails(graph: Graph, arrays: Sequence[Array]) -> bool:
            replay = Replay(graph, text, verify=self.symptom == "error")
            if replay.error is not None or replay.result is None:
                return self.symptom == "error"
            if rule is not None and not _applied(replay, rule):
                return False
            judge = self._graph_judge(graph, arrays)
            if judge is None or judge.problem(graph) is not None:
                return False
            return judge.problem(replay.result) is not None

        for start, near in ((before, nodes), (stretch.before, ())):
            small = reduced(start, self.arrays, fails, self.seconds, near)
            if small is not None:
                return replace(
                    found,
                    reproducer=Reproducer(*small, self.symptom, text, EVALUATOR),
                )
        return found

    # -- on a target ---------------------------------------------------------------------

    def _on_target(self, replay: Replay) -> Blame:
        """The first rewrite after which the target's program shows the symptom."""
        count = replay.count
        judge = self._target_judge(self.graph, self.arrays)
        problem = judge.problem(self.graph, NO_LIMIT)
        if problem is None:
            return self._blame(count, None)
        if judge.problem(self.graph, 0):
            notes = [
                "It shows without optional rewrites: look at emission or the target's"
                " compiler; graphc vote finds the node."
            ]
            if self.symptom == "nan" and self.by_evaluator:
                notes = _finite_notes(self.graph, self.arrays) or notes
            found = self._blame(count, problem, notes=tuple(notes))
            return self._with_target_reproducer(found, 0)
        limits = [
            (stretch, made)
            for stretch in replay.stretches
            if not stretch.each.required
            for made in range(1, stretch.made + 1)
        ]

        def wrong(place: int) -> bool:
            stretch, made = limits[place]
            return judge.problem(self.graph, stretch.first + made) is not None

        stretch, made = limits[bisect_left(range(len(limits) - 1), True, key=wrong)]
        _, rewrite, change = _rewrite_at(stretch, made)
        limit = stretch.first + made
        notes = [BISECTION]
        if self.by_evaluator and self.symptom in ("differs", "nan"):
            notes.append(
                "By the evaluator the passes keep the meaning: what the rewrite leaves"
                " is emitted or compiled wrongly; graphc vote finds the node."
            )
        notes.append(f"GRAPHC_OPT_BISECT={limit} stops with it, {limit - 1} before it.")
        found = self._blame(count, problem, str(stretch.each), tuple(notes))
        found = replace(found, rewrite=rewrite, change=str(change) if change else None)
        return self._with_target_reproducer(found, limit)

    def _target_judge(self, graph: Graph, arrays: Sequence[Array]) -> TargetJudge:
        place = (self.target, self.pipeline)
        if self.symptom == "larger":
            return Temporaries(*place)
        if self.symptom == "slower":
            return Seconds(*place, arrays)
        if self.symptom == "error":
            return TargetErrors(*place, arrays)
        reference = None
        if self.symptom == "differs":
            reference = self._reference(graph, arrays)
        return TargetResults(*place, arrays, reference)

    def _reference(self, graph: Graph, arrays: Sequence[Array]) -> Reference:
        """What programs should compute: the evaluator's results, or the target's own."""
        absolute = TOLERANCES[F32].absolute
        if self.by_evaluator:
            return replace(evaluated(graph, arrays), absolute=absolute)
        plain, _ = run_with_report(graph, self.pipeline, bisect=0)
        program = compile_graph(plain, self.target, pipeline="")
        exact, moved = (
            tuple(np.asarray(each) for each in program(*given))
            for given in (arrays, [_nudged(array) for array in arrays])
        )
        return Reference(exact, moved, absolute)

    def _with_target_reproducer(self, found: Blame, limit: int) -> Blame:
        """The report with a small program that goes wrong on the target."""
        if not self.seconds:
            return found

        def fails(graph: Graph, arrays: Sequence[Array]) -> bool:
            judge = self._target_judge(graph, arrays)
            if judge.problem(graph, NO_LIMIT) is None:
                return False
            return not limit or judge.problem(graph, 0) is None

        small = reduced(self.graph, self.arrays, fails, self.seconds)
        if small is None:
            return found
        made = Reproducer(*small, self.symptom, self.pipeline, self.target)
        return replace(found, reproducer=made)

    def _blame(
        self,
        count: int,
        problem: str | None,
        pass_text: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> Blame:
        return Blame(
            self.symptom,
            self._judge_name(),
            count,
            problem,
            pass_text=pass_text,
            notes=notes,
        )


def _fails(stretch: Stretch, count: int) -> bool:
    """Whether a pass raises or breaks the graph with so many rewrites."""
    try:
        stretch.after(count)[0].verify()
    except Exception:  # passes of users may raise anything
        return True
    return False


def _applied(replay: Replay, rule: str) -> bool:
    """Whether a pipeline applied a rule."""
    (stretch, *_) = replay.stretches or (None,)
    if stretch is None:
        return False
    return any(rewrite.rule == rule for rewrite in stretch.after(stretch.made)[1])


def _rewrite_at(stretch: Stretch, count: int) -> tuple[Graph, Rewrite, Change | None]:
    """The graph before a rewrite of a pass, counted from 1; it; what it changed."""
    before, _ = stretch.after(count - 1)
    after, made = stretch.after(count)
    return before, made[-1], _change(before, after, made[-1].graph)


def _change(before: Graph, after: Graph, name: str) -> Change | None:
    """What changed in the graph of that name, unless it came or went."""
    old, new = before.module.graphs.get(name), after.module.graphs.get(name)
    if old is None or new is None or len(old.parameters) != len(new.parameters):
        return None
    return change_between(old, new)


def _entry_nodes(graph: Graph, change: Change | None, name: str) -> list[Node]:
    """The nodes of the entry graph that a change in the graph of that name concerns."""
    if change is not None and name == graph.name:
        found = [*change.before, *(old for old, _ in change.readers), *change.near]
        return [node for node in found if node is not graph.return_node]
    return [
        node
        for node in graph.nodes
        for called in node.op.graph_names(node)
        if any(each.name == name for each in graph.module.graphs[called].reachable())
    ]


def _finite_notes(graph: Graph, arrays: Sequence[Array]) -> list[str]:
    problem = Finiteness(arrays).problem(graph)
    if problem is None:
        return []
    return ["The graph shows this before any rewrite: the passes are innocent."]


def _nudged(array: Array) -> Array:
    """Floats moved by about one unit in the last place of float32."""
    if array.dtype.kind not in "fV":
        return array
    rng = np.random.default_rng(0)
    signs = rng.choice((-1.0, 1.0), array.shape)
    return (array.astype(np.float64) * (1 + NUDGE * signs)).astype(array.dtype)
