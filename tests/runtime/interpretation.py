"""Programs run by StableHLO's own interpreter, each apart: it aborts on some."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphc import passes
from graphc.codegen.stablehlo import emit_stablehlo
from graphc.fuzz import inputs, random_program
from graphc.fuzz.inputs import sizes
from graphc.ir import Graph, OpDef, UnsupportedError, Value, building, evaluate, inline
from graphc.ir.ops import OPS, constant, convert
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.ir.types import F32, I32
from graphc.testing.op_cases import Array, dtype_cover, own_cases

ROOT = Path(__file__).parents[2]

LIBRARY = ("custom_call", "complex<", "all_reduce", "stablehlo.cholesky", "triangular")
"""What the interpreter has no kernels for."""


@dataclass
class Program:
    """A graph with arrays for it.

    Attributes:
        name: What a failure calls it.
        graph: Primitives without symbols, as code is emitted from.
        arrays: One for each parameter.
    """

    name: str
    graph: Graph
    arrays: Sequence[Array]

    def text(self) -> str:
        """A module without parameters that returns the results as f32 and i32.

        These are the dtypes that the interpreter hands back as arrays.
        """
        graph = self.graph.copy()
        whole = Graph(graph.module.fresh_name("whole"), graph.module)
        with building(whole):
            names = [graph.module.add_constant(array) for array in self.arrays]
            values = [constant(name=name) for name in names]
            whole.results = [readable(value) for value in inline(graph, values)]
        return emit_stablehlo(whole)

    def problem(self, found: Sequence[Array]) -> str | None:
        """What is wrong with what the interpreter found."""
        expected = evaluate(self.graph, *self.arrays)
        exact = evaluate(self.graph, *self.arrays, dtype="f64")
        for got, want, judge in zip(found, expected, exact, strict=True):
            kept = got.dtype if want.dtype.itemsize == 8 else want.dtype
            got, want = got.astype(kept), want.astype(kept)
            if mismatch(got, want) and (wrong := inaccuracy(got, want, judge)):
                return f"{self.name}: {wrong}\n{self.graph}"
        return None


def readable(value: Value) -> Value:
    """The value in a dtype that the interpreter hands back."""
    kept = F32 if value.dtype.is_float else I32
    return value if value.dtype is kept else convert(value, dtype=kept)


def op_programs(op: OpDef, rng: np.random.Generator) -> Iterator[Program]:
    """The samples of an op, and others with every dtype in each place."""
    for number, case in enumerate([*own_cases(op, rng), *dtype_cover(op, rng)]):
        lowered = passes.run(case.graph, "xla")
        yield Program(f"{op.name}-{number}", lowered, case.arrays)


def random_programs(seeds: Sequence[int]) -> Iterator[Program]:
    """The random programs of some seeds, their symbols bound."""
    for seed in seeds:
        graph = random_program(seed, nodes=20)
        bound = graph.bind(**sizes(graph))
        yield Program(f"random-{seed}", passes.run(bound, "xla"), inputs(graph))


def interpret(
    programs: Sequence[Program], folder: Path
) -> Iterator[tuple[Program, list[Array] | None]]:
    """Each program with what the interpreter says of it, or None where it aborts."""
    waiting: dict[str, Program] = {}
    for program in programs:
        try:
            text = program.text()
        except UnsupportedError:
            continue
        if not any(word in text for word in LIBRARY):
            (folder / f"{program.name}.mlir").write_text(text)
            waiting[program.name] = program
    while waiting:
        process = subprocess.run(
            [sys.executable, "-m", "tests.runtime.interpret", folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        begun = process.stdout.split()
        for name in begun:
            (folder / f"{name}.mlir").unlink()
            results = folder / f"{name}.npz"
            if results.exists():
                with np.load(results) as arrays:
                    yield waiting.pop(name), list(arrays.values())
            else:
                yield waiting.pop(name), None
        if process.returncode == 0 or not begun:
            break
    assert not waiting, process.stderr


def all_ops() -> list[OpDef]:
    """Every op that a sample can show alone."""
    return [op for op in OPS.values() if op is not constant]
