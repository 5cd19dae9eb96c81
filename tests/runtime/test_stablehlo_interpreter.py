"""StableHLO's own interpreter against the reference, for every primitive."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from graphc.codegen.stablehlo import emit_stablehlo
from graphc.ir import Graph, Kind, OpDef, Trait, Value, building, inline
from graphc.ir.ops import OPS, constant, convert, scatter, top_k
from graphc.ir.types import F32, I32
from graphc.testing.agreement import assert_agreement
from graphc.testing.op_cases import Array, Case, make_case
from graphc.testing.op_samples import sample_module

ROOT = Path(__file__).parents[2]


def closed(cases: list[Case]) -> Graph:
    """A graph without parameters that returns the results of all cases.

    It reads the arrays as constants and returns f32 and i32, which the interpreter
    hands back as arrays.
    """
    graph = Graph("closed", sample_module(cases[0].op))
    results = []
    with building(graph):
        for case in cases:
            names = [graph.module.add_constant(array) for array in case.arrays]
            values = [constant(name=name) for name in names]
            results += map(readable, inline(case.graph, values))
    graph.results = results
    return graph


def readable(value: Value) -> Value:
    kept = F32 if value.dtype.is_float else I32
    return value if value.dtype is kept else convert(value, dtype=kept)


def is_known(op: OpDef) -> bool:
    """Whether the interpreter has an op: no effects, and nothing of libraries."""
    if op.is_composite or op is constant or Trait.EFFECT in op.traits:
        return False
    return not op.no_kernel and op is not top_k


def differs(case: Case) -> bool:
    """Whether the interpreter is known to abort on the case or to disagree with XLA.

    It has results of convolutions in one layout only, and no sums of no products. It
    scatters the inner part of a window that lies partly outside, which XLA drops.
    """
    node = case.graph.last
    if node.op is scatter:
        return set(node.attributes["index_map"]) > set(node.attributes["inserted_dims"])
    if node.op.kind is not Kind.CONTRACTION:
        return False
    layout = node.attributes.get("labels", "->b").split("->")[1]
    return not layout.startswith("b") or not all(a.size for a in case.arrays)


def interpreted(programs: dict[str, list[Case]], folder: Path) -> list[Array]:
    """What the interpreter says of each program, in another process."""
    for name, cases in programs.items():
        (folder / f"{name}.mlir").write_text(emit_stablehlo(closed(cases)))
    process = subprocess.run(
        [sys.executable, "-m", "tests.runtime.interpret", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, [*process.stdout.split()[-1:], process.stderr]
    results: list[Array] = []
    for name in programs:
        with np.load(folder / f"{name}.npz") as arrays:
            results += arrays.values()
    return results


def test_interpreter_agrees_with_the_reference(
    tmp_path: Path, rng: np.random.Generator
):
    programs = {
        op.name: [
            case
            for sample in op.samples
            if not differs(case := make_case(op, sample, rng))
        ]
        for op in OPS.values()
        if is_known(op)
    }
    results = iter(interpreted(programs, tmp_path))
    for cases in programs.values():
        found = [
            [next(results).astype(r.type.dtype.numpy) for r in case.graph.results]
            for case in cases
        ]
        assert_agreement(cases, found)
