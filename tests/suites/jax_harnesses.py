"""jax's harnesses of its own primitives: lowered by jax, imported, run and compared.

jax brings some 7,500 uses of its primitives, with arguments. A case is one that takes
and gives dtypes graphs compute with, without custom calls; the project runs the seven
tenths whose name's SHA-256 ends in 0 to 6 modulo 10. Each is imported as a graph,
which the evaluator and XLA run; jax's own result is the reference.

``python -m tests.suites.jax_harnesses [I/N]`` reports on the I-th of N parts of them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import graphc
from graphc.ir import Graph, UnsupportedError, dtype, evaluate
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.runtime.compile import compile_graph
from tests.closeness import Comparison, row

with jax.enable_x64(True):  # those of 64-bit dtypes are made on import
    from jax._src.internal_test_util import test_harnesses

Array = np.ndarray[Any, Any]

EXPECTED_UNSUPPORTED: dict[str, str] = {}
"""Patterns of names with what an import of such a case says is not supported."""

UNORDERED = "sort_multiple_arrays_*_isstable_False_*"
"""Cases whose results are in any order where the keys are equal."""

_NOT_CORE = re.compile(
    r"complex<|custom_call|\bx?(?:f8|f4|f6|u?i4|u?i2)[A-Z0-9]*>|<(?:f8|u?i4|u?i2)"
)
_CHEAP = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
_SEED = 0


@dataclass
class Outcome:
    """What became of one case.

    Attributes:
        name: The name of the harness.
        group: The group it is in: mostly the primitive.
        verdict: ``pass``, ``unsupported``, ``wrong``, or ``not core``.
        reason: What was not supported, or what is wrong.
    """

    name: str
    group: str
    verdict: str
    reason: str = ""

    @property
    def is_expected(self) -> bool:
        """Whether the case is as the table of expected failures says."""
        reasons = [
            reason
            for pattern, reason in EXPECTED_UNSUPPORTED.items()
            if fnmatch.fnmatchcase(self.name, pattern)
        ]
        if self.verdict == "unsupported":
            return any(self.reason.startswith(reason) for reason in reasons)
        return self.verdict == "not core" or (self.verdict == "pass" and not reasons)


def harnesses() -> list[Any]:
    """The project's harnesses, by name."""
    known = [h for h in test_harnesses.all_harnesses if _is_projects(h.fullname)]
    return sorted(known, key=lambda h: h.fullname)


def _is_projects(name: str) -> bool:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 <= 6


def by_group(known: Iterable[Any]) -> dict[str, list[Any]]:
    """The harnesses of each group."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for harness in known:
        groups[harness.group_name].append(harness)
    return dict(groups)


def rotation(known: Iterable[Any], number: int, count: int) -> list[Any]:
    """`count` harnesses of different groups; other ones for each `number`.

    Consecutive numbers go through all groups, then through the cases of each.
    """
    groups = list(by_group(known).values())
    places = [number * count + i for i in range(count)]
    chosen = [(groups[p % len(groups)], p // len(groups)) for p in places]
    return [group[turn % len(group)] for group, turn in chosen]


def run(harness: Any) -> Outcome:
    """Lowers, imports, runs and compares one case."""
    name, group = harness.fullname, harness.group_name
    with warnings.catch_warnings(), jax.enable_x64(True):
        warnings.simplefilter("ignore")
        try:
            arguments = harness.dyn_args_maker(np.random.RandomState(_SEED))
            lowered = jax.jit(harness.dyn_fun, keep_unused=True).lower(*arguments)
            text = lowered.as_text()
        except (TypeError, ValueError, NotImplementedError) as error:
            return Outcome(name, group, "not core", str(error))
        if _NOT_CORE.search(text):
            return Outcome(name, group, "not core")
        try:
            graph = graphc.from_stablehlo(text)
        except UnsupportedError as error:
            return Outcome(name, group, "unsupported", error.message)
        expected = lowered.compile(compiler_options=_CHEAP)(*arguments)
        given = [np.asarray(a) for a in jax.tree.leaves(arguments)]
        wanted = [np.asarray(a) for a in jax.tree.leaves(expected)]
    reason = _problem(graph, given, wanted, ordered=not _is_unordered(name))
    return Outcome(name, group, "wrong" if reason else "pass", reason)


def _is_unordered(name: str) -> bool:
    return fnmatch.fnmatchcase(name, UNORDERED)


def _problem(
    graph: Graph, given: Sequence[Array], wanted: Sequence[Array], ordered: bool
) -> str:
    """What is wrong with the results of the evaluator or of XLA, or nothing."""
    arrays = [
        array.astype(p.dtype.numpy, copy=False)
        for array, p in zip(given, graph.parameters, strict=True)
    ]
    exact = evaluate(graph, *arrays, dtype="f64")
    found = {
        "the evaluator": evaluate(graph, *arrays),
        "XLA": [np.asarray(array) for array in compile_graph(graph)(*arrays)],
    }
    for executor, results in found.items():
        if not ordered:
            results, wanted = _sorted(results), _sorted(wanted)
        for got, want, judge in zip(results, wanted, exact, strict=True):
            if problem := disagreement(got, want, judge if ordered else None):
                return f"{executor}: {problem}"
    return ""


def _sorted(arrays: Sequence[Array]) -> list[Array]:
    """The arrays in the order that sorts all of them, the first one first."""
    order = np.lexsort([np.asarray(a) for a in reversed(arrays)])
    return [np.asarray(a)[order] for a in arrays]


def disagreement(found: Array, jaxs: Array, exact: Array | None) -> str | None:
    """What is wrong with `found`, or None.

    It may differ from jax's result by the table, or be as accurate as jax's where both
    are near to what float64 gives.
    """
    problem = mismatch(found, jaxs)
    if problem is None or exact is None or not dtype(found.dtype).is_float:
        return problem
    near = row(dtype(found.dtype), Comparison.FRAMEWORK)
    if mismatch(jaxs, exact, near) is None and mismatch(found, exact, near) is None:
        return inaccuracy(found, jaxs, exact)
    return problem


def main(part: str = "1/1") -> None:
    """Prints the rates by case and by group, and what failed."""
    index, count = map(int, part.split("/"))
    found = [run(harness) for harness in harnesses()[index - 1 :: count]]
    core = [outcome for outcome in found if outcome.verdict != "not core"]
    verdicts = Counter(outcome.verdict for outcome in core)
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in core:
        groups[outcome.group][outcome.verdict] += 1
    touched = sum(1 for counts in groups.values() if counts["pass"])
    whole = sum(1 for counts in groups.values() if set(counts) == {"pass"})
    print(f"jax {jax.__version__}: {len(core)} cases, {dict(verdicts)}")
    print(f"{len(groups)} groups: {touched} pass in part, {whole} of them in whole")
    reasons = Counter((o.group, o.reason) for o in core if o.verdict == "unsupported")
    for (group, reason), number in reasons.most_common():
        print(f"{number:5} {group}: {reason}")
    for outcome in core:
        if outcome.verdict == "wrong":
            print(f"wrong {outcome.name}: {outcome.reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
