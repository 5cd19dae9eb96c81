"""What must hold for every program: its text, the passes, gradients and XLA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from graphc.fuzz.choices import SeededChoices
from graphc.fuzz.gradients import gradient_problem
from graphc.fuzz.inputs import Array, inputs, sizes
from graphc.fuzz.pipelines import NARROW, RECOMPUTED, eager
from graphc.ir.body import as_tuple
from graphc.ir.build import building
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ir.opdef import OPS
from graphc.ir.ops import call
from graphc.ir.parser import parse
from graphc.ir.rounding import disagreement, spreads
from graphc.ir.types import DType
from graphc.passes import PASSES, Report, run_with_report
from graphc.passes.numerics import NumericsClass, declared
from graphc.passes.pass_manager import RoundingError
from graphc.passes.samples import coarsest, same_bits
from graphc.runtime.compile import compile_graph


@dataclass(frozen=True)
class Failure:
    """A check that a program fails.

    Attributes:
        check: The name of the check.
        message: What is wrong.
    """

    check: str
    message: str

    def __str__(self) -> str:
        return f"{self.check}: {self.message}"


class Subject:
    """A program with what all its checks need.

    Attributes:
        graph: The program.
        arrays: Its inputs.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.arrays = inputs(graph)

    @cached_property
    def bound(self) -> Graph:
        """The program without dimension symbols."""
        return self.graph.bind(**sizes(self.graph))

    @cached_property
    def reference(self) -> tuple[Array, ...]:
        """The results of the reference evaluator."""
        return evaluate(self.graph, *self.arrays)

    @cached_property
    def _spreads(self) -> dict[DType | None, list[Array]]:
        return {}

    def spreads(self, within: DType | None = None) -> list[Array]:
        """How far rounding, at most as coarse as `within`, moves the results."""
        if within not in self._spreads:
            # Errors are made in the nodes of a gradient, too.
            plain, _ = run_with_report(self.bound, "autodiff,inline")
            self._spreads[within] = spreads(
                plain, self.arrays, self.seed, within=within
            )
        return self._spreads[within]

    @property
    def seed(self) -> int:
        """What random decisions of a check follow from."""
        return int(self.graph.attributes.get("seed", 0))

    def compare(
        self,
        found: Sequence[Any],
        exact: bool = False,
        within: DType | None = None,
    ) -> str | None:
        """What is wrong with the results of an executor, or None.

        Args:
            found: The results.
            exact: Whether finite results must have the reference's bits.
            within: The narrowest dtype that floats were computed in, if not their own.
        """
        if len(found) != len(self.reference):
            return f"{len(found)} results, not {len(self.reference)}"
        arrays = [np.asarray(each) for each in found]
        if all(map(same_bits, arrays, self.reference)):
            return None
        for i, (got, want) in enumerate(zip(arrays, self.reference, strict=True)):
            if exact and not same_bits(got, want):
                spread = np.zeros(want.shape)
            else:
                spread = self.spreads(within)[i]
            if problem := disagreement(got, want, spread, within):
                return f"result {i}: {problem}"
        return None


Check = Callable[[Subject], str | None]

# -- one program -----------------------------------------------------------------------


def text_problem(subject: Subject) -> str | None:
    """The text of the program parses to an equal program."""
    text = str(subject.graph)
    parsed = parse(text)
    if parsed != subject.graph:
        return "its text does not parse to an equal graph"
    return None if str(parsed) == text else "its text prints differently when parsed"


def meaning_problem(subject: Subject) -> str | None:
    """Dimension symbols mean the sizes that they are bound to."""
    subject.graph.verify()
    subject.bound.verify()
    found = evaluate(subject.bound, *subject.arrays)
    return subject.compare(found, exact=True)


def pipeline_problem(
    subject: Subject, pipeline: str, graph: Graph | None = None
) -> str | None:
    """A pipeline keeps types and meaning, and the bits if its rewrites promise that.

    It runs on `graph`, which is that of the subject unless given.
    """
    graph = subject.graph if graph is None else graph
    result, report = run_with_report(graph, pipeline, verify=True)
    before = [p.type for p in graph.parameters]
    if [p.type for p in result.parameters] != before:
        return "the parameters' types changed"
    wanted = [r.type for r in graph.results]
    if [r.type for r in result.results] != wanted:
        return "the results' types changed"
    found = evaluate(result, *subject.arrays)
    return subject.compare(found, keeps_bits(report), narrowest(report))


def narrowest(report: Report) -> DType | None:
    """The dtype of the fewest digits that rewrites compute in; None for the graph's."""
    return coarsest(
        [
            declared(PASSES[rewrite.pass_name].numerics, rewrite.rule)
            for rewrite in report.ledger.rewrites
        ]
    )


def keeps_bits(report: Report) -> bool:
    """Whether all rewrites promise the same bits."""
    for rewrite in report.ledger.rewrites:
        made_by = PASSES[rewrite.pass_name]
        exact = declared(made_by.numerics, rewrite.rule).is_exact
        if not exact or rewrite.rule in made_by.rounding:
            return False
        # A body may round otherwise than the reference of a composite.
        op = OPS.get(rewrite.node.op) if rewrite.node else None
        if op is not None and op.is_composite and op.reference is not None:
            return False
    return True


def exact_problem(subject: Subject) -> str | None:
    """Every pass of the default pipeline keeps the meaning over finite fields."""
    # Other checks know how much the program amplifies rounding errors.
    with suppress(RoundingError):
        run_with_report(subject.bound, eager("default"), verify=False, check=True)
    return None


def shuffled_problem(subject: Subject) -> str | None:
    """All passes in another order."""
    return pipeline_problem(subject, _any_order(subject, 1))


def orders_problem(subject: Subject) -> str | None:
    """All passes, in another order still, keep the meaning over finite fields."""
    pipeline = _any_order(subject, 2)
    with suppress(RoundingError):  # as in `exact_problem`
        run_with_report(subject.bound, pipeline, verify=False, check=True)
    return None


def _any_order(subject: Subject, choice: int) -> str:
    """All passes in an order of the subject's, but those that change dtypes."""
    names = [name for name in sorted(PASSES) if not changes_dtypes(name)]
    return eager(",".join(SeededChoices(subject.seed, choice).shuffled(names)))


def changes_dtypes(name: str) -> bool:
    """Whether a pass computes in other dtypes than the graph says."""
    kinds = {numerics.kind for numerics in PASSES[name].numerics.values()}
    return NumericsClass.PRECISION in kinds


def narrow_problem(subject: Subject) -> str | None:
    """Narrower floats change results by no more than their digits explain."""
    pipeline = SeededChoices(subject.seed, 3).pick(NARROW)
    return pipeline_problem(subject, pipeline, subject.bound)


def bound_check(pipeline: str) -> Check:
    """The check of a pipeline that knows the sizes of dimensions."""
    return lambda subject: pipeline_problem(subject, pipeline, subject.bound)


def gradients_problem(subject: Subject) -> str | None:
    """The gradient is the slope."""
    return gradient_problem(subject.bound, subject.arrays, subject.seed)


def xla_problem(subject: Subject) -> str | None:
    """XLA agrees with the reference."""
    run = compile_graph(subject.bound)
    return subject.compare([np.asarray(r) for r in run(*subject.arrays)])


CHECKS: dict[str, Check] = {
    "text": text_problem,
    "meaning": meaning_problem,
    **{
        name: lambda subject, name=name: pipeline_problem(subject, eager(name))
        for name in sorted(PASSES)
    },
    "default": lambda subject: pipeline_problem(subject, eager("default")),
    "cpu": bound_check(eager("xla:cpu")),
    "kernels": bound_check(eager("triton")),
    "recomputed": bound_check(RECOMPUTED),
    "narrow": narrow_problem,
    "exact": exact_problem,
    "shuffled": shuffled_problem,
    "orders": orders_problem,
    "gradient": gradients_problem,
    "xla": xla_problem,
}
"""The checks by name, each pass by its own; a check says what is wrong, or None."""

QUICK = tuple(name for name in CHECKS if name != "xla")
"""The checks that compile nothing."""


def find_failure(graph: Graph, names: Sequence[str] = tuple(CHECKS)) -> Failure | None:
    """The first of the named checks that a program fails; None if it passes them."""
    subject = Subject(graph)
    for name in names:
        if problem := _outcome(CHECKS[name], subject):
            return Failure(name, problem)
    return None


def _outcome(check: Check, subject: Subject) -> str | None:
    try:
        with np.errstate(all="ignore"):
            return check(subject)
    except Exception as error:  # whatever a compiler raises on a valid program is a bug
        return f"{type(error).__name__}: {error}"


# -- many programs ---------------------------------------------------------------------


def find_xla_failures(graphs: Sequence[Graph]) -> list[Failure | None]:
    """What the check ``xla`` says of each program, compiled as one module.

    If that fails, the programs are compiled one by one.
    """
    subjects = [Subject(graph) for graph in graphs]
    try:
        run = compile_graph(_joined([subject.bound for subject in subjects]))
        arrays = [array for subject in subjects for array in subject.arrays]
        found = iter([np.asarray(result) for result in run(*arrays)])
    except Exception:  # as in `_outcome`; which program is to blame is not known yet
        return [find_failure(graph, ["xla"]) for graph in graphs]
    failures: list[Failure | None] = []
    for subject in subjects:
        results = [next(found) for _ in subject.graph.results]
        with np.errstate(all="ignore"):
            problem = subject.compare(results)
        failures.append(Failure("xla", problem) if problem else None)
    return failures


def _joined(graphs: Sequence[Graph]) -> Graph:
    """One graph that does what all of these do, side by side."""
    together = Graph("together")
    results: list[Any] = []
    with building(together):
        for graph in graphs:
            callee = together.module.include(graph)
            values = [together.add_parameter(p.type) for p in graph.parameters]
            results += as_tuple(call(*values, graph=callee))
    together.results = results
    return together
