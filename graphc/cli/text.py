"""Reading graphs from files, and writing text and files safely."""

from __future__ import annotations

import sys
from pathlib import Path

import graphc
from graphc.files.atomic_file import write_file
from graphc.ir import Graph, parse
from graphc.ir.errors import LoadError, ParseError

LARGEST_TEXT = 256 * 2**20
"""The largest .gir file that is read, in bytes."""


def printable(text: str) -> str:
    """`text` with control characters (terminal escapes) shown instead of sent."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def read_pipeline(text: str) -> str:
    """A pipeline as an option gives it: text, or ``@`` and a file that holds the text.

    Raises:
        LoadError: If the file is not text.
    """
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LoadError(
            f"{printable(text[1:])} is not text", received=f"byte {error.start}"
        ) from None


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
    except ParseError as error:
        error.file = source
        raise
    except UnicodeDecodeError as error:
        raise LoadError(
            f"{printable(source)} is not text", received=f"byte {error.start}"
        ) from None


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that is there whole or not at all."""
    write_file(str(path), [data])
