"""What a namespace answers when it lacks a name: the nearest one that it has."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import Any


def suggest_nearest(namespace: str) -> None:
    """Makes a module name the nearest of its public names when one is missing.

    What the module imported for that, this function, is left out of ``dir``. Both are
    set from here, not defined in the module: a type checker that sees a module's own
    ``__getattr__`` takes every name of it for granted.

    Args:
        namespace: The module's ``__name__``; it must have an ``__all__``.
    """
    module: Any = sys.modules[namespace]

    def missing(name: str) -> Any:
        names = {known.lower(): known for known in module.__all__}
        near = get_close_matches(name.lower(), names, 1)
        hint = f": did you mean {names[near[0]]!r}?" if near else ""
        raise AttributeError(f"module {namespace!r} has no attribute {name!r}{hint}")

    def listed() -> list[str]:
        return sorted(vars(module).keys() - {suggest_nearest.__name__})

    module.__getattr__ = missing
    module.__dir__ = listed
