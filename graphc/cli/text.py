"""Reading graphs from files, and writing text and files safely."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import graphc
from graphc.ir import Graph, parse
from graphc.ir.errors import LoadError

LARGEST_TEXT = 256 * 2**20
"""The largest .gir file that is read, in bytes."""


def printable(text: str) -> str:
    """`text` with control characters (terminal escapes) shown instead of sent."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def read_graph(source: str) -> Graph:
    """The graph in a .gir or .mlir file, or on standard input for ``-``.

    Raises:
        ParseError: If the text is not a graph.
        LoadError: If the file is too large or not text.
        UnsupportedError: If a StableHLO program says what graphs cannot.
    """
    if source == "-":
        return parse(sys.stdin.read())
    path = Path(source)
    if path.stat().st_size > LARGEST_TEXT:
        raise LoadError(
            f"{printable(source)} is too large for a graph's text",
            received=f"{path.stat().st_size} bytes",
        )
    if path.suffix == ".mlir":
        return graphc.from_stablehlo(path.read_bytes())
    try:
        return parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise LoadError(
            f"{printable(source)} is not text", received=f"byte {error.start}"
        ) from None


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that is there whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
