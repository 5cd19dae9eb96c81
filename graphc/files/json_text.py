"""JSON in files: one spelling when written, nothing ambiguous accepted when read."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from graphc.ir.errors import LoadError

MAX_DEPTH = 200
"""How deep lists and dicts may nest."""


def dump_json(value: Any) -> bytes:
    """`value` as JSON with sorted keys: equal values give equal bytes.

    Raises:
        TypeError: If it is not JSON.
        ValueError: If a number is not finite, a text is not Unicode, or it nests too
            deeply.
    """
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False)
    if problem := _problem(value):
        raise ValueError(f"Expected a value that reads back. Received: {problem}")
    return f"{text}\n".encode()


def load_json(data: bytes, what: str) -> Any:
    """The value that a JSON text of any origin spells.

    Args:
        data: UTF-8, without a byte-order mark.
        what: What the text is, for messages.

    Raises:
        LoadError: If it is no JSON, or JSON that readers would take differently:
            a key twice in one object, a number that is not finite, deep nesting.
    """
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise LoadError(f"{what} is not valid JSON: {str(reason)[:200]}") from None
    if problem := _problem(value):
        raise LoadError(f"{what} is not valid JSON: {problem}")
    return value


def _problem(value: Any) -> str | None:
    """What is wrong with a JSON value, found without recursion."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if not _is_unicode(item):
                    return f"a text that is not Unicode: {item[:40]!r}"
            elif isinstance(item, (list, tuple)):
                below.extend(item)
            elif isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
        if not below:
            return None
        level = below
    return f"nested deeper than {MAX_DEPTH}"


def _is_unicode(text: str) -> bool:
    """Whether there are no unpaired surrogates, which have no bytes in UTF-8."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:40]!r} stands twice")
            seen.add(key)
    return found


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_constant=_no_constant
)
