"""What a user asks of a compile, beside the graph."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.files.lock import Locked
from graphc.ir.errors import PassError
from graphc.passes.checking import NUMERICS
from graphc.passes.memory_budget import parse_bytes
from graphc.passes.precision import policy_text

NAN = "nan"
"""The check that says which node made a result that is not finite."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What a user asks of a compile.

    Attributes:
        target: The name of the target.
        passes: The pipeline to run instead of the target's own.
        precision: The policy that float32 graphs are computed by.
        memory_budget: The bytes that a run may need by prediction, as a number or as
            text such as ``"20GiB"``; None for no limit.
        check: ``"numerics"`` or ``"nan"``: what to look for mistakes in; None for
            nothing.
        lock: The choices of tuning to go by; None for those of the file that
            ``GRAPHC_LOCK`` names, if any.
    """

    target: str = "xla"
    passes: str | None = None
    precision: str = "float32"
    memory_budget: int | str | None = None
    check: str | None = None
    lock: Locked | None = None

    def __post_init__(self) -> None:
        policy_text(self.precision)  # an unknown policy is an error at once
        if self.memory_budget is not None:
            parse_bytes(self.memory_budget)
        if self.check not in (None, NUMERICS, NAN):
            raise PassError(
                f"check must be {NUMERICS!r}, {NAN!r} or None",
                received=repr(self.check)[:80],
            )
