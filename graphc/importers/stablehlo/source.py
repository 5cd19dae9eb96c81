"""StableHLO text and bytecode as a verified MLIR module."""

from __future__ import annotations

import re

from jax.extend.mlir import ir

from graphc.importers.stablehlo.bytecode import MAGIC, text_of_bytecode
from graphc.importers.stablehlo.locations import read_location
from graphc.ir.errors import LoadError, ParseError

MAX_BYTES = 2**30
"""The largest module that is read."""

MAX_NESTING = 128
"""How deep brackets may nest in text: MLIR's parser recurses."""

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|//[^\n]*|->|[\[({<]|[\])}>]')
_DEPTH = {**dict.fromkeys("[({<", 1), **dict.fromkeys("])}>", -1)}
_ESCAPE = re.compile(rb"\\([0-9A-Fa-f]{2})")


def read_module(source: str | bytes) -> ir.Module:
    """The verified module of a program, in the current context.

    Raises:
        ParseError: For text that is no valid module, with line and column.
        LoadError: For what is neither text nor bytecode, or too large.
    """
    _check_size(source)
    text = source if isinstance(source, str) else _text(bytes(source))
    _check_tokens(text)
    try:
        return ir.Module.parse(text.encode())
    except UnicodeEncodeError:
        raise LoadError("a StableHLO module's text must be UTF-8") from None
    except ir.MLIRError as error:
        raise _refusal(error, text) from None


def _check_size(source: str | bytes) -> None:
    if len(source) > MAX_BYTES:
        raise LoadError(
            f"a StableHLO module may have {MAX_BYTES} bytes",
            received=f"{len(source)} bytes",
        )


def _text(data: bytes) -> str:
    if data.startswith(MAGIC):
        return text_of_bytecode(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise LoadError(
            "neither StableHLO text nor MLIR bytecode", received=repr(data[:16])
        ) from None


def _check_tokens(text: str) -> None:
    """Refuses what ends the process when MLIR reads it.

    That is deep nesting, and strings that are not UTF-8 once they are unescaped.

    Raises:
        ParseError: With line and column.
    """
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        depth += _DEPTH.get(token, 0)
        if depth > MAX_NESTING:
            raise _at(text, match, f"brackets nest deeper than {MAX_NESTING}")
        if token[0] == '"' and "\\" in token and not _is_utf8(token):
            raise _at(text, match, "a string must be UTF-8")


def _is_utf8(token: str) -> bool:
    data = token.encode(errors="replace")
    try:
        _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), data).decode()
    except UnicodeDecodeError:
        return False
    return True


def _at(text: str, match: re.Match[str], message: str) -> ParseError:
    place = match.start()
    start = text.rfind("\n", 0, place) + 1
    line = text.count("\n", 0, place) + 1
    source = text[start : place + 60].split("\n")[0]
    return ParseError(message, line=line, column=place - start + 1, source=source)


def _refusal(error: ir.MLIRError, text: str) -> ParseError | LoadError:
    """What MLIR says of a text, at the place in the text that it names."""
    diagnostics = error.error_diagnostics
    if not diagnostics:
        return LoadError(f"not a StableHLO module: {str(error)[:400]}")
    message = diagnostics[0].message[:400]
    location = ir.Location.from_attr(diagnostics[0].location.attr)
    if isinstance(location, ir.FileLineColLoc) and location.filename == "-":
        line, column = location.start_line, location.start_col
        lines = text.split("\n")
        shown = lines[line - 1] if 0 < line <= len(lines) else ""
        return ParseError(message, line=line, column=max(column, 1), source=shown)
    # An operation whose location names another file breaks a rule of its dialect.
    return LoadError(
        f"not a valid StableHLO module: {message}", location=read_location(location)
    )
