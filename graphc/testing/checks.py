"""The checks of whole passes, rules and ops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir import Graph, GraphError, OpDef, parse
from graphc.passes import Pass, Pipeline, Report, Rule, RuleSet, run_with_report
from graphc.runtime.compile import compile_graph
from graphc.testing.agreement import assert_agreement
from graphc.testing.equivalence import assert_same_meaning, random_arrays
from graphc.testing.op_cases import (
    Array,
    Case,
    dtype_cover,
    is_plain,
    joined,
    own_cases,
)
from graphc.testing.op_gradients import check_derivatives, gradient_samples
from graphc.testing.op_samples import build_sample, sample_graph, sample_module
from graphc.testing.rule_cases import check_end, check_example


def check_pass(
    of: Pass | str,
    before: str | Graph,
    after: str | None = None,
    *,
    ulp: float = 0,
    seed: int = 0,
) -> Report:
    """Checks what a pass or a pipeline makes of a graph.

    The result is verified and must give the same results as the graph for random
    arrays, infinities and nans among them.

    Args:
        of: The pass, or a pipeline as text.
        before: The graph, or its text.
        after: The text of the graph that it makes; that of `before` unless given.
        ulp: By how many units in the last place results may differ.
        seed: What the arrays are drawn from.

    Returns:
        What the passes did.

    Raises:
        AssertionError: If the pass makes another graph, or one that means something
            else.
        PassError: If it fails, or its graph does not verify.
    """
    graph = parse(before) if isinstance(before, str) else before
    pipeline = Pipeline((of,)) if isinstance(of, Pass) else of
    result, report = run_with_report(graph, pipeline, verify=True)
    found, wanted = str(result), str(graph if after is None else parse(after))
    assert found == wanted, f"the pass makes\n{found}\nnot\n{wanted}"
    rng = np.random.default_rng(seed)
    for special in (False, True):
        arrays = random_arrays(graph, rng, special)
        assert_same_meaning(graph, result, arrays, ulp)
    return report


def check_rule(of: Rule | RuleSet, seed: int = 0) -> None:
    """Checks rules on their examples.

    Each rule must fire, keep the results as far as its numerics class says (an exact one
    also on infinities, nans and signed zeros, in every dtype that the example takes),
    come to an end, and find nothing to do in what it has made.

    Args:
        of: A rule, or a set of them.
        seed: What the arrays are drawn from.

    Raises:
        AssertionError: If a rule does not keep what it says.
    """
    rng = np.random.default_rng(seed)
    for rule in of.rules if isinstance(of, RuleSet) else [of]:
        for example in rule.examples:
            try:
                check_example(rule, example, rng)
                check_end(rule, example)
            except AssertionError as error:
                raise AssertionError(f"rule {rule.name}: {rule.doc}\n{error}") from None


def check_op(
    op: OpDef,
    targets: Sequence[str] = ("xla", "triton:interpreter"),
    seed: int = 0,
) -> None:
    """Checks an op by the samples of its record.

    The samples verify, and their text reads back to the same graph; what must be ill
    typed is, with the message that the record gives; the first and second derivatives
    are those of differences; and on every target the results are the reference's, within
    the error that the record declares, in every dtype that the op takes.

    Args:
        op: The op.
        targets: What to run it on beside the evaluator.
        seed: What the arrays are drawn from.

    Raises:
        AssertionError: If something is not as the record says.
        GraphcError: If a sample is ill typed, or a target does not serve the op.
    """
    rng = np.random.default_rng(seed)
    for sample in op.samples:
        graph = sample_graph(op, sample)
        graph.verify()
        assert parse(str(graph)) == graph, f"its text does not read back:\n{graph}"
    check_ill_typed(op)
    if not isinstance(op.vjp, str):
        check_derivatives(op, gradient_samples(op), rng)
    cases = [*own_cases(op, rng), *dtype_cover(op, rng)]
    for target in targets:
        assert_agreement(cases, results_on(target, cases))


def check_ill_typed(op: OpDef) -> None:
    """Checks that each ill-typed call of the record gives its message.

    Raises:
        AssertionError: If one does not.
    """
    for error in op.errors:
        try:
            graph = build_sample(op, error, sample_module(op))
        except GraphError as found:
            said = str(found)
            assert error.message in said, f"{error.message!r} is not in {said!r}"
        else:
            raise AssertionError(f"this must be ill typed:\n{graph}")


def results_on(
    target: str, cases: Sequence[Case], pipeline: str | None = None
) -> list[list[Array]]:
    """The results of each case on a target, those that can be as one program.

    Args:
        target: The target.
        cases: The cases.
        pipeline: The passes for that program; the target's own unless given.
    """
    plain = [case for case in cases if is_plain(case)]
    found: dict[int, list[Array]] = {}
    if plain:
        run = compile_graph(joined(case.graph for case in plain), target, pipeline)
        results = iter(run(*(array for case in plain for array in case.arrays)))
        for case in plain:
            found[id(case)] = [np.asarray(next(results)) for _ in case.graph.results]
    for case in cases:
        if id(case) not in found:
            run = compile_graph(case.graph, target)
            found[id(case)] = [np.asarray(result) for result in run(*case.arrays)]
    return [found[id(case)] for case in cases]
