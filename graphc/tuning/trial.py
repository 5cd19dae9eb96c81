"""What is known of a choice once it was tried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from graphc.ir.errors import GraphcError
from graphc.tuning.space import Choice

Status: TypeAlias = Literal[
    "measured",
    "same",
    "pruned",
    "unsupported",
    "wrong",
    "memory",
    "timeout",
    "crashed",
    "failed",
]
"""What became of a choice: it was measured; is the program of one before it; was expected
to be slow or to need too much; cannot be compiled; computed something else; ran out of
memory or time; ended its process; or failed in another way."""

STATUSES: tuple[Status, ...] = get_args(Status)


class RejectedError(GraphcError):
    """A choice that cannot be chosen.

    Attributes:
        status: What became of it.
    """

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a program before it is timed.

    Attributes:
        digest: Equal for equal programs.
        predicted: The seconds that a cost model expects, if there is one.
        features: What models may learn from: counts and sizes.
    """

    digest: str
    predicted: float | None = None
    features: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Trial:
    """A choice that was tried.

    Attributes:
        choice: The choice.
        status: What became of it.
        ratio: Its time relative to that of the canonical choice.
        median: Its median time, in seconds.
        spread: The median absolute deviation of its times.
        rounds: How many rounds it was measured in.
        accepted: Whether it replaced the incumbent.
        reason: Why it was not measured.
        facts: What was known of it before.
        conditions: The state of the machine: clocks, temperature, load.
    """

    choice: Choice
    status: Status
    ratio: float = math.inf
    median: float | None = None
    spread: float | None = None
    rounds: int = 0
    accepted: bool = False
    reason: str | None = None
    facts: Facts | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict[str, Any])
