"""Automatic names: ``dense``, ``dense_1``, ..."""

from __future__ import annotations

import re
from collections import Counter

from graphc.frontend.seeds import reset_draws

_COUNTS: Counter[str] = Counter()


def snake_case(name: str) -> str:
    """``Conv2DTranspose`` to ``conv2d_transpose``, as Keras names layers."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(prefix: str) -> str:
    """`prefix`, with a number behind it from the second time on."""
    _COUNTS[prefix] += 1
    count = _COUNTS[prefix]
    return prefix if count == 1 else f"{prefix}_{count - 1}"


def clear_session() -> None:
    """Starts automatic names and random draws afresh, as in a new process."""
    _COUNTS.clear()
    reset_draws()
