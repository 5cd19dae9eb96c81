"""Checks of arguments that accept one of a few words, or a positive integer."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def one_of(name: str, given: T, accepted: Iterable[Any]) -> T:
    """`given`, after checking that it is one of the values that an argument accepts.

    Raises:
        ValueError: If it is not.
    """
    listed = tuple(accepted)
    if given not in listed:
        raise ValueError(
            f"Expected `{name}` to be one of {', '.join(map(repr, listed))}."
            f" Received: {name}={given!r}"
        )
    return given


def positive_integer(name: str, given: Any) -> int:
    """`given` as an int, after checking that it is a positive integer.

    Raises:
        ValueError: If it is not.
    """
    try:
        number = 0 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        number = 0
    if number <= 0:
        raise ValueError(
            f"Expected `{name}` to be a positive integer. Received: {name}={given!r}"
        )
    return number
