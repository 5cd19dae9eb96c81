"""Tables of texts that come again and again, so that a page holds each once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Table(Generic[T]):
    """Texts by number.

    Args:
        text: What an entry is as text.
    """

    def __init__(self, text: Callable[[T], str] = str) -> None:
        self.texts: list[str] = []
        self._text = text
        self._known: dict[T, int] = {}
        self._numbers: dict[str, int] = {}

    def number(self, entry: T) -> int:
        """The number of an entry's text."""
        known = self._known.get(entry)
        if known is None:
            text = self._text(entry)
            known = self._numbers.setdefault(text, len(self.texts))
            if known == len(self.texts):
                self.texts.append(text)
            self._known[entry] = known
        return known
