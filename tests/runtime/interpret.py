"""Runs programs with StableHLO's own interpreter, which aborts on what it cannot run.

``python -m tests.runtime.interpret FOLDER`` reads ``NAME.mlir``, programs without
parameters, and writes ``NAME.npz``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from jax.extend.lowering import JaxIrContext, upstream_dialects
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import chlo, sdy, stablehlo


def context() -> ir.Context:
    """A context that knows StableHLO's dialects."""
    made = JaxIrContext()
    made.append_dialect_registry(upstream_dialects)
    made.load_all_available_dialects()
    for dialect in (sdy, stablehlo, chlo):
        dialect.register_dialect(made)
    return made


def interpret(text: str) -> list[np.ndarray[Any, Any]]:
    """The results of a module, which must be of 32-bit dtypes."""
    with context(), ir.Location.unknown():
        results = stablehlo.eval_module(ir.Module.parse(text), [])
        return [np.array(ir.DenseElementsAttr(result)) for result in results]


def main(folder: Path) -> None:
    """Runs every program of the folder."""
    for program in sorted(folder.glob("*.mlir")):
        print(program.stem, flush=True)
        np.savez(program.with_suffix(".npz"), *interpret(program.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
