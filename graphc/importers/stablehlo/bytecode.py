"""MLIR bytecode and portable artifacts as text.

``python -m graphc.importers.stablehlo.bytecode`` translates standard input to standard
output. It is a process of its own: damaged bytecode can end the one that reads it.
"""

from __future__ import annotations

import os
import subprocess
import sys

from jax.extend.mlir import deserialize_portable_artifact, ir

from graphc.importers.stablehlo.context import new_context
from graphc.ir.errors import LoadError

MAGIC = b"ML\xefR"
"""What bytecode starts with."""

_PORTABLE = b"StableHLO_v"
_SECONDS = 600


def text_of_bytecode(data: bytes) -> str:
    """The text of the module that `data` encodes.

    Raises:
        LoadError: If it encodes none.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        process = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=data,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise LoadError(f"bytecode was not read in {_SECONDS} seconds") from None
    if process.returncode:
        said = process.stderr.decode(errors="replace").strip().splitlines() or [""]
        raise LoadError(
            "damaged MLIR bytecode",
            received=said[-1][:200],
            hint="or of a later StableHLO than this jaxlib's",
        )
    return process.stdout.decode()


def main() -> None:
    """Translates standard input to standard output."""
    data = sys.stdin.buffer.read()
    with new_context() as context:
        if data.find(_PORTABLE, 0, 64) >= 0:
            module = deserialize_portable_artifact(data, context)
        else:
            module = ir.Module.parse(data)
        text = str(module.operation.get_asm(enable_debug_info=True))
    sys.stdout.buffer.write(text.encode())


if __name__ == "__main__":
    main()
