"""Environment variables that are switches and numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping

from graphc.ir.errors import GraphcError

_SWITCH = {"": False, "0": False, "1": True}


def read_switch(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a variable is set to 1.

    Raises:
        GraphcError: If it is neither 0 nor 1.
    """
    text = environment.get(name, "")
    if text not in _SWITCH:
        raise GraphcError(f"{name} must be 0 or 1", received=repr(text)[:80])
    return _SWITCH[text]


def read_number(
    name: str, environment: Mapping[str, str] = os.environ, unit: str = ""
) -> int | None:
    """The number that a variable is set to, in `unit`; None if it is not set.

    Raises:
        GraphcError: If it is no number.
    """
    text = environment.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        of = f" of {unit}" if unit else ""
        raise GraphcError(f"{name} must be a number{of}", received=repr(text)[:80])
    return int(text)
