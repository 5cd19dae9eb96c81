"""The tokens of the text format, read one at a time, with errors that show the place."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from graphc.ir.errors import ParseError
from graphc.ir.verifier import json_problem

# Possessive quantifiers keep matching linear and its stack flat on hostile text.
_SPACE = r"(?:\s++|//[^\n]*+)*+"
_STRING = r'"(?:[^"\\\n]++|\\.)*+"'
_LOCATION = rf"""loc\(\s*+(?:(?P<path>{_STRING})\s*+)?
    (?P<file>[^\s:"()]*+):(?P<line>[0-9]{{1,9}}):(?P<column>[0-9]{{1,9}})
    (?:\s++from\s++(?P<origin>{_STRING}))?\s*+\)"""

_SKIPPED = re.compile(_SPACE)
_TOKEN = re.compile(
    rf"""{_SPACE}(?:
        (?P<mark>->|\.\.|[(){{}}:,=])
      | (?P<value>%[A-Za-z0-9_.]++)
      | (?P<type>[A-Za-z][A-Za-z0-9_]*+\[[^\]\n]*+\])
      | (?P<location>{_LOCATION})
      | (?P<name>[A-Za-z_][A-Za-z0-9_.]*+)
      | (?P<symbol>@[A-Za-z0-9_.]++)
      | (?P<number>-?(?:0[xX][0-9a-fA-F]*+(?:\.[0-9a-fA-F]*+)?(?:[pP][-+]?[0-9]++)?
                      |[0-9]++(?:\.(?!\.)[0-9]*+)?(?:[eE][-+]?[0-9]++)?
                      |inf\b))
      | (?P<string>{_STRING})
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_ATTRIBUTES = re.compile(rf"\{{{_SPACE}[A-Za-z_][A-Za-z0-9_.]*+{_SPACE}=")


class Tokens:
    """The tokens of a text, of which one is current.

    Attributes:
        kind: What the current token is: ``mark``, ``value`` (``%x``), ``symbol``
            (``@f``), ``type``, ``location``, ``name``, ``number``, ``string``, ``end``.
        token: The text of the current token.
        start: Where the current token starts.
        match: The current token's match; a location has groups.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self.kind = ""
        self.token = ""
        self.start = 0
        self.advance()

    def advance(self) -> None:
        """Makes the next token the current one."""
        match = _TOKEN.match(self._text, self._end)
        if match is None:
            self.start = self._skip_space()
            self.fail(f"unexpected {self._text[self.start]!r}")
        kind = match.lastgroup
        assert kind is not None
        self.kind = kind
        self.token = token = match[kind]
        self.match = match
        self._end = end = match.end()
        self.start = end - len(token)

    def accept(self, token: str) -> bool:
        """Whether the current token is `token`, which is then passed."""
        if self.token != token:
            return False
        self.advance()
        return True

    def expect(self, token: str) -> None:
        """Passes the current token, which must be `token`."""
        if self.token != token:
            self.fail_expected(repr(token))
        self.advance()

    def take(self, kind: str, description: str) -> str:
        """Passes the current token, which must be of `kind`, and returns it."""
        if self.kind != kind:
            self.fail_expected(description)
        token = self.token
        self.advance()
        return token

    def starts_attributes(self) -> bool:
        """Whether the current token, a ``{``, opens attributes and not a body."""
        return _ATTRIBUTES.match(self._text, self.start) is not None

    def take_json(self) -> Any:
        """The JSON value behind the current token, which is passed with it."""
        start = self.start = self._skip_space()
        try:
            value, self._end = _JSON.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            self.fail(f"invalid JSON: {error.msg}", error.pos)
        except ValueError as error:  # from the hooks below, and for huge integers
            self.fail(f"invalid JSON: {error}")
        except RecursionError:
            self.fail("invalid JSON: nested too deeply")
        if problem := json_problem(value):
            self.fail(f"invalid JSON: {problem}")
        self.advance()
        return value

    def _skip_space(self) -> int:
        match = _SKIPPED.match(self._text, self._end)
        return match.end() if match is not None else self._end

    def fail_expected(self, description: str) -> NoReturn:
        """Raises the error that something else than the current token is expected."""
        found = "the end of the text" if self.kind == "end" else repr(self.token[:40])
        self.fail(f"expected {description}, found {found}")

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        """Raises a `ParseError` at offset `at`, or at the current token."""
        at = self.start if at is None else at
        text = self._text
        first = text.rfind("\n", 0, at) + 1
        last = text.find("\n", at)
        raise ParseError(
            message,
            line=text.count("\n", 0, at) + 1,
            column=at - first + 1,
            source=text[first : last if last >= 0 else len(text)].rstrip("\r"),
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:40]!r} stands twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
