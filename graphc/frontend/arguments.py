"""Checks of arguments that accept one of a few words, or an integer."""

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


def integer(name: str, given: Any) -> int:
    """`given` as an int, after checking that it is an integer.

    Raises:
        ValueError: If it is not.
    """
    number = _as_integer(given)
    if number is None:
        raise ValueError(
            f"Expected `{name}` to be an integer. Received: {name}={given!r}"
        )
    return number


def positive_integer(name: str, given: Any) -> int:
    """`given` as an int, after checking that it is a positive integer.

    Raises:
        ValueError: If it is not.
    """
    number = _as_integer(given)
    if number is None or number <= 0:
        raise ValueError(
            f"Expected `{name}` to be a positive integer. Received: {name}={given!r}"
        )
    return number


def _as_integer(given: Any) -> int | None:
    """`given` as an int; None for what is no integer, or a boolean."""
    try:
        return None if isinstance(given, bool) else operator.index(given)
    except TypeError:
        return None
