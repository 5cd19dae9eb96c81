"""Automatic names: ``dense``, ``dense_1``, ..."""

from __future__ import annotations

import re
from collections import Counter

from graphc.frontend.seeds import note_name, reset_draws, times_seeded


class _Names:
    """How many names were made up by prefix: in all, and before the seed was set."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.before: Counter[str] = Counter()
        self.times_seeded = 0


_NAMES = _Names()


def snake_case(name: str) -> str:
    """``Conv2DTranspose`` to ``conv2d_transpose``, as Keras names layers."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(prefix: str) -> str:
    """`prefix`, with a number behind it from the second time on."""
    if times_seeded() != _NAMES.times_seeded:
        _NAMES.times_seeded = times_seeded()
        _NAMES.before = Counter(_NAMES.counts)
    count = _NAMES.counts[prefix]
    _NAMES.counts[prefix] += 1
    name = _numbered(prefix, count)
    note_name(name, _numbered(prefix, count - _NAMES.before[prefix]))
    return name


def _numbered(prefix: str, number: int) -> str:
    return f"{prefix}_{number}" if number else prefix


def clear_session() -> None:
    """Starts automatic names and random draws afresh, as in a new process."""
    _NAMES.counts.clear()
    _NAMES.before.clear()
    reset_draws()
