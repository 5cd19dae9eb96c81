"""What a user asks of a compile, beside the graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What a user asks of a compile.

    Attributes:
        target: The name of the target.
        passes: The pipeline to run instead of the target's own.
    """

    target: str = "xla"
    passes: str | None = None
