"""The kill suite: fast checks of what a mutant may have broken.

The checks are those of the test suite, made small: samples of the ops that the mutated
function works for, examples of the rules, and the tests named after the file. Nothing
in them knows of a mutant.
"""

from __future__ import annotations

import contextlib
import functools
import io
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

from graphc import passes
from graphc.codegen.stablehlo.module import LOWERINGS
from graphc.codegen.triton.bodies import PULLS
from graphc.codegen.triton.elementwise import FORMS
from graphc.ir import Graph, GraphError, Kind, OpDef, building, evaluate, parse
from graphc.ir.differentiate import differentiate
from graphc.ir.dims import substitute
from graphc.ir.ops import OPS, convert, multiply, reduce_sum
from graphc.ir.tolerance import mismatch
from graphc.ir.types import F64
from graphc.passes.canonicalize import RULES
from graphc.passes.meaning import Meaning
from graphc.passes.pattern import traced
from graphc.passes.rule import NumericsClass, Rule
from graphc.testing.agreement import assert_agreement
from graphc.testing.checks import results_on
from graphc.testing.equivalence import assert_same_meaning, random_arrays
from graphc.testing.op_cases import dtype_cover, own_cases
from graphc.testing.op_samples import (
    SIZES,
    bound_graph,
    build_sample,
    sample_arrays,
    sample_graph,
    sample_module,
)
from graphc.testing.rule_cases import apply_rule
from tests.closeness import Comparison, assert_close
from tests.mutation.mutants import ROOT, Mutant
from tests.runtime.test_ops_xla import check, odd_cases

MOST_OPS = 24
"""How many ops a mutant is looked for in."""

MOST_COMPILED = 6
"""How many of them XLA or Triton runs: compiling takes longer than all else."""

TRITON = "graphc/codegen/triton/"

ANY_OPS = ("mish", "attention", "floor", "sort", "batch_norm_training", "dot_general")
"""Ops that functions which work for all of them are tried on."""

Check = Callable[[], object]


def checks_for(mutant: Mutant) -> Iterator[Check]:
    """The checks that may notice a mutant, the most likely and fastest first."""
    path = PurePosixPath(mutant.file)
    if "identities" in path.parts or path.name == "rule.py":
        for rule in _affected_rules(mutant):
            yield functools.partial(check_rule, rule)
    ops = affected_ops(mutant)
    if mutant.file.startswith(TRITON):
        for op in ops[:MOST_COMPILED]:
            yield functools.partial(check_kernels, op)
        yield from _own_tests(path)
        return
    for check_op in (check_types, check_errors, check_gradient):
        for op in ops:
            yield functools.partial(check_op, op)
    for check_op in (check_xla, check_odd):
        for op in ops[:MOST_COMPILED]:
            yield functools.partial(check_op, op)
    if path.parts[1] == "passes":
        for name in ("softmax", "layer_norm", "gelu", "convolution", "gather", "slice"):
            yield functools.partial(check_pipeline, OPS[name])
    yield from _own_tests(path)


def _own_tests(path: PurePosixPath) -> Iterator[Check]:
    """The tests named after a file, and those of its whole folder."""
    folder = "/".join(path.parts[1:-1])
    near = [f"tests/{folder}/test_{path.stem}.py"]
    elsewhere = {
        "graphc/passes/effects.py": ["test_dce", "test_cse"],
        "graphc/ir/differentiate.py": ["test_autodiff"],
    }
    if str(path) in elsewhere:
        near = [f"tests/passes/{name}.py" for name in elsewhere[str(path)]]
    near += {
        "graphc/ir/ops": ["tests/ir/ops/test_composites.py"],
        "graphc/codegen/stablehlo": [
            "tests/codegen/stablehlo/test_text.py",
            "tests/codegen/stablehlo/test_module.py",
        ],
        "graphc/importers/stablehlo": [
            f"tests/importers/stablehlo/test_{name}.py"
            for name in ("importing", "operations", "source", "random_bits", "programs")
        ],
        "graphc/frontend/ops": [
            "tests/frontend/ops/test_ops.py",
            "tests/frontend/ops/test_functions.py",
        ],
        "graphc/passes/identities": [
            "tests/passes/test_near_misses.py",
            "tests/passes/test_canonicalize.py",
        ],
        "graphc/passes": [
            "tests/passes/test_near_misses.py",
            "tests/passes/test_rewrite.py",
            "tests/passes/test_rule.py",
        ],
    }.get(str(path.parent), [])
    for file in near:
        if (ROOT / file).exists():
            yield functools.partial(run_tests, file)


def run_tests(file: str) -> None:
    """Fails if a test of the project's own fails."""
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", file]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        status = pytest.main([*arguments, f"--rootdir={ROOT}"])
    assert status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), (
        output.getvalue()[-2000:]
    )


# -- what a function works for ---------------------------------------------------------


def affected_ops(mutant: Mutant) -> list[OpDef]:
    """The ops whose records, or whose lowerings, call the mutated function."""
    file = str(ROOT / mutant.file)
    name = mutant.function.split(".")[-1]
    if mutant.file.startswith(("graphc/passes", "graphc/importers", "graphc/frontend")):
        return []
    if "/ops/" not in mutant.file and "codegen" not in mutant.file:
        return [OPS[n] for n in ANY_OPS]
    in_kernels = mutant.file.startswith(TRITON)
    found = [op for op in OPS.values() if any(
        code.co_filename == file and name in (code.co_name, _outer(code))
        for code in _reached(op.name, in_kernels)
    )]  # fmt: skip
    home = PurePosixPath(mutant.file).stem
    found.sort(key=lambda op: not op.infer.__module__.endswith(f".{home}"))
    if not found:
        found = [OPS[n] for n in ANY_OPS]
    return found[:MOST_OPS]


def _outer(code: types.CodeType) -> str:
    return code.co_qualname.split(".<locals>")[0].split(".")[-1]


@functools.cache
def _reached(name: str, in_kernels: bool) -> frozenset[types.CodeType]:
    """The code that an op's rules and lowerings may run, found by the names in it."""
    op = OPS[name]
    tables: Sequence[Mapping[str, Any]] = (PULLS, FORMS) if in_kernels else (LOWERINGS,)
    rules = [op.infer, op.reference, op.vjp, op.pullback, op.body, op.exact]
    rules += [table.get(name) for table in tables]
    pending = [rule for rule in rules if callable(rule)]
    seen: set[types.CodeType] = set()
    while pending:
        each = pending.pop()
        each = getattr(each, "func", each)
        code = getattr(each, "__code__", None)
        if code is None or code in seen or "/graphc/" not in code.co_filename:
            continue
        space = each.__globals__
        pending += [
            cell.cell_contents
            for cell in each.__closure__ or ()
            if callable(cell.cell_contents)
        ]
        inner = [code]
        while inner:
            current = inner.pop()
            seen.add(current)
            inner += [c for c in current.co_consts if isinstance(c, types.CodeType)]
            pending += [
                space[n]
                for n in current.co_names
                if isinstance(space.get(n), types.FunctionType)
            ]
    return frozenset(seen)


def _affected_rules(mutant: Mutant) -> list[Rule]:
    named = [rule for rule in RULES.rules if rule.name == mutant.function]
    module = PurePosixPath(mutant.file).stem
    near = [r for r in RULES.rules if r.apply.__module__.endswith(f".{module}")]
    return named or near or RULES.rules


# -- ops -------------------------------------------------------------------------------


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def check_types(op: OpDef) -> None:
    """The type rule agrees with the reference, with and without symbols."""
    for sample in op.samples:
        graph, bound = sample_graph(op, sample), bound_graph(op, sample)
        graph.verify()
        bound.verify()
        assert parse(str(graph)) == graph
        arrays = sample_arrays(sample, _rng())
        found = evaluate(bound, *arrays)
        assert [a.shape for a in found] == [r.type.shape for r in bound.results]
        for a, b in zip(found, evaluate(graph, *arrays), strict=True):
            np.testing.assert_array_equal(a, b)


def check_errors(op: OpDef) -> None:
    """Ill-typed uses give the messages of the record."""
    for error in op.errors:
        with pytest.raises(GraphError) as caught:
            build_sample(op, error, sample_module(op))
        assert error.message in str(caught.value)


def check_xla(op: OpDef) -> None:
    """XLA agrees with the reference, in every dtype."""
    check([[*own_cases(op, _rng()), *dtype_cover(op, _rng())]])


def check_kernels(op: OpDef) -> None:
    """Triton's interpreter agrees with the reference."""
    cases = list(own_cases(op, _rng()))
    assert_agreement(cases, results_on("triton:interpreter", cases))


def check_odd(op: OpDef) -> None:
    """XLA agrees with the reference on infinities, limits and zeros."""
    if op.kind is Kind.ELEMENTWISE and not op.is_composite:
        check([list(odd_cases(op, _rng()))], by_element=True)


def check_gradient(op: OpDef) -> None:
    """First and second derivatives agree with differences in float64."""
    if isinstance(op.vjp, str):
        return
    for sample in op.samples:
        graph = sample_graph(op, sample)
        floats = [p.index for p in graph.parameters if p.dtype.is_float]
        if not sample.smooth or not floats or not _weigh(graph):
            continue
        arrays = sample_arrays(sample, _rng())
        check_slopes(graph, floats, [*arrays, *_weights(graph, len(arrays))])


def _weigh(graph: Graph) -> bool:
    """Makes a graph return one weighted sum of its float results, if it has any."""
    results = [r for r in graph.results if r.type.dtype.is_float]
    weights = [graph.add_parameter(r.type) for r in results]
    with building(graph):
        total: Any = None
        for value, weight in zip(results, weights, strict=True):
            axes = list(range(value.type.rank))
            term = convert(reduce_sum(multiply(value, weight), axes=axes), dtype=F64)
            total = term if total is None else OPS["add"](total, term)
        if total is not None:
            graph.results = [total]
    return total is not None


def _weights(graph: Graph, known: int) -> list[Any]:
    rng = _rng()
    shapes = [
        [int(substitute(d, SIZES)) for d in p.shape] for p in graph.parameters[known:]
    ]
    return [rng.uniform(0.5, 1.5, shape) for shape in shapes]


def check_slopes(graph: Graph, wrt: Sequence[int], arrays: Sequence[Any]) -> None:
    """The gradient of a graph along random directions is the difference along them."""
    gradient = differentiate(graph, wrt)
    gradient.verify()
    found = evaluate(gradient, *arrays, dtype="f64")[1:]
    rng, step = _rng(), 1e-6
    for position, slope in zip(wrt, found, strict=True):
        direction = rng.standard_normal(slope.shape)

        def shifted(by: float, at: int = position, along: Any = direction) -> float:
            moved = [np.asarray(a) for a in arrays]
            moved[at] = moved[at].astype(np.float64) + by * along
            return float(evaluate(graph, *moved, dtype="f64")[0])

        difference = (shifted(step) - shifted(-step)) / (2 * step)
        actual = float(np.sum(slope * direction))
        assert_close(actual, difference, Comparison.DIFFERENCES)


# -- passes ----------------------------------------------------------------------------


def check_rule(rule: Rule) -> None:
    """A rule fires on its examples, keeps their meaning and comes to an end."""
    fired = 0
    for example in rule.examples:
        fires = False
        for graph in traced(example):
            result, count = apply_rule(rule, graph)
            if not count:
                continue
            fires = True
            if rule.algebraic:
                problem = Meaning(graph).difference(result)
                assert problem is None, problem
            if rule.numerics.kind is NumericsClass.EXACT:
                arrays = random_arrays(graph, _rng(), special=True)
                assert_same_meaning(graph, result, arrays)
            assert apply_rule(rule, result) == (result, 0)
        assert fires, f"{rule.name} does not fire"
        fired += fires
    assert fired


def check_pipeline(op: OpDef) -> None:
    """Whole pipelines keep the meaning of an op's gradient, pass by pass."""
    for sample in op.samples[:3]:
        graph = sample_graph(op, sample)
        floats = [p.index for p in graph.parameters if p.dtype.is_float]
        if _weigh(graph):
            graph = differentiate(graph, floats)
        for pipeline in ("default", "default,fusion,cse,dce"):
            result, _ = passes.run_with_report(graph, pipeline, verify=True, check=True)
            arrays = random_arrays(graph, _rng())
            for got, want in zip(
                evaluate(result, *arrays, dtype="f64"),
                evaluate(graph, *arrays, dtype="f64"),
                strict=True,
            ):
                assert mismatch(got, want) is None or got.dtype.kind == "f"
