"""The errors graphc raises and the one format they are written in.

Every message says **what** rule was broken, **with what** (types or arguments
received), **where** (the user's line with a caret, the layer path) and **what to
do** when that is known::

    GraphError: add: operands must have the same type
      received: f32[32,128], f32[128]
      at model.py:12:9, in layer 'hidden'
          h = x @ self.kernel + self.bias
              ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      hint: broadcast the second operand
"""

from __future__ import annotations

from graphc.ir.location import Location

__all__ = [
    "CompileError",
    "GraphError",
    "GraphcError",
    "LoadError",
    "NonFiniteError",
    "ParseError",
    "PassError",
    "TargetError",
    "UnknownDimError",
    "UnsupportedError",
]


class GraphcError(Exception):
    """Base of all errors that graphc raises on purpose.

    Args:
        message: What rule was broken, in one line.
        received: What was given instead.
        location: Where in the user's program.
        hint: What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        received: str | None = None,
        location: Location | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.received = received
        self.location = location
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.received is not None:
            lines.append(f"  received: {self.received}")
        if self.location is not None:
            lines.append(self.location.describe())
        if self.hint is not None:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class GraphError(GraphcError, ValueError):
    """A graph breaks a rule: an ill-typed operation or an ill-formed graph."""


class NoGradientError(GraphError):
    """A gradient was asked for where an operation has none."""


class UnknownDimError(GraphError):
    """The value of a symbolic dimension was asked for while tracing."""


class ParseError(GraphcError, ValueError):
    """Text is not a graph. Carries the line and column, both counted from 1.

    Attributes:
        file: The file that holds the text, if it is known.
    """

    file: str | None = None

    def __init__(self, message: str, *, line: int, column: int, source: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.source = source

    def __str__(self) -> str:
        # A hostile line may be megabytes long: show the part around the column.
        start = max(0, self.column - 61)
        shown = self.source[start : start + 120].replace("\t", " ")
        caret = " " * (self.column - 1 - start) + "^"
        file = f"{self.file}, " if self.file is not None else ""
        return (
            f"{file}line {self.line}, column {self.column}: {self.message}\n"
            f"    {shown}\n    {caret}"
        )


class PassError(GraphcError):
    """A pass failed or left a graph that does not verify; names the pass."""


class UnsupportedError(GraphcError, NotImplementedError):
    """A well-formed request that a backend or this release does not serve."""


class TargetError(GraphcError, ValueError):
    """An unknown target, or one whose packages or device are missing."""


class CompileError(GraphcError, RuntimeError):
    """A backend refused a graph; names the node, the layer and the user's line."""


class NonFiniteError(GraphcError, ArithmeticError):
    """A run made a NaN or an infinity; names the node, the layer and the user's line."""


class LoadError(GraphcError, ValueError):
    """A file is damaged, hostile, of an unknown version, or not a graphc file."""
