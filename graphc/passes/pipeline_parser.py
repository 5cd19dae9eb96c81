"""Pipelines as text: ``"autodiff,(canonicalize,cse)*,fusion{max_nodes=64},dce"``."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from graphc.ir.errors import PassError
from graphc.passes.graph_pass import (
    PASSES,
    WORD,
    Option,
    Pass,
    checked_option,
    options,
)
from graphc.passes.pipelines import PIPELINES
from graphc.passes.plugins import find_pass, known_passes

MAX_DEPTH = 16
"""How deep groups may nest."""


@dataclass(frozen=True)
class Pipeline:
    """Stages that run one after the other.

    ``str(pipeline)`` is text that `parse_pipeline` reads back to an equal pipeline.
    """

    stages: tuple[Pass | Fixpoint, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.stages))

    def passes(self) -> list[Pass]:
        """The passes, each as often as the text names it."""
        found: list[Pass] = []
        for stage in self.stages:
            found += stage.body.passes() if isinstance(stage, Fixpoint) else [stage]
        return found


@dataclass(frozen=True)
class Fixpoint:
    """Stages that are repeated until none of them changes anything."""

    body: Pipeline

    def __str__(self) -> str:
        return f"({self.body})*"


def parse_pipeline(text: str) -> Pipeline:
    """The pipeline that `text` spells.

    Passes stand between commas, with options in braces; ``(...)*`` is repeated until
    nothing changes; the name of a pipeline stands for its stages. ``#`` starts a
    comment that ends with the line. Empty text is the pipeline without passes. A pass
    that is not known here is looked up in the installed packages
    (`graphc.passes.plugins`).

    Raises:
        PassError: With the column, for text that is no pipeline or names an unknown
            pass or option.
    """
    parser = _Parser(text)
    if not parser.token:
        return Pipeline(())
    stages = parser.stages(0)
    if parser.token:
        parser.fail(f"expected ',' or the end, not {parser.token[:40]!r}")
    return Pipeline(tuple(stages))


_TOKEN = re.compile(
    r"(?:\s|#[^\n]*)*("
    r"[A-Za-z_][\w.:-]*"  # a word
    r"|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"  # a number
    r'|"(?:[^"\\]|\\.)*"'  # a quoted text
    r"|[,(){}=*\[\]]"
    r"|\S)",
    re.DOTALL,
)


class _Parser:
    """Recursive descent; groups are the only recursion."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.start = 0
        self.token = ""
        self.advance()

    def advance(self) -> str:
        """Goes to the next token; returns the one before."""
        token = self.token
        match = _TOKEN.match(self.text, self.end)
        self.token = match.group(1) if match else ""
        self.start = match.start(1) if match else len(self.text)
        self.end = match.end() if match else len(self.text)
        return token

    def fail(
        self, message: str, hint: str | None = None, at: int | None = None
    ) -> NoReturn:
        """Raises a `PassError` that points to a column."""
        column = self.start if at is None else at
        before, _, _ = self.text[:column].rpartition("\n")
        line = self.text.count("\n", 0, column)
        start = len(before) + 1 if line else 0
        column -= start
        first = max(0, column - 60)
        shown, *_ = self.text[start + first : start + first + 120].split("\n")
        place = f"line {line + 1}, column" if line else "column"
        raise PassError(
            f"pipeline, {place} {column + 1}: {message}\n"
            f"    {shown}\n    {' ' * (column - first)}^",
            hint=hint,
        )

    def accept(self, token: str) -> bool:
        """Goes past `token` if it comes next; whether it did."""
        if self.token != token:
            return False
        self.advance()
        return True

    def expect(self, token: str) -> None:
        """Goes past `token`."""
        if not self.accept(token):
            self.fail(f"expected {token!r}, not {self.token[:40] or 'the end'!r}")

    def stages(self, depth: int) -> list[Pass | Fixpoint]:
        """Stages up to the end or a closing parenthesis."""
        found = self.stage(depth)
        while self.accept(","):
            found += self.stage(depth)
        return found

    def stage(self, depth: int) -> list[Pass | Fixpoint]:
        """One stage, or the stages of the pipeline that is named."""
        if self.accept("("):
            if depth == MAX_DEPTH:
                self.fail(f"groups nest deeper than {MAX_DEPTH}")
            body = Pipeline(tuple(self.stages(depth + 1)))
            self.expect(")")
            self.expect("*")
            return [Fixpoint(body)]
        at = self.start
        name = self.word("a pass")
        if name in PASSES or (name not in PIPELINES and find_pass(name)):
            return [self.pass_(PASSES[name], at)]
        if name not in PIPELINES:
            hint = _nearest(name, [*known_passes(), *PIPELINES])
            self.fail(f"unknown pass {name[:40]!r}", hint, at)
        return list(parse_pipeline(PIPELINES[name]).stages)

    def pass_(self, cls: type[Pass], at: int) -> Pass:
        """The pass with the options that follow."""
        given: dict[str, Any] = {}
        if self.accept("{"):
            self.option(cls, given)
            while self.accept(","):
                self.option(cls, given)
            self.expect("}")
        try:
            return cls(**given)
        except PassError as error:
            self.fail(error.message, error.hint, at)

    def option(self, cls: type[Pass], given: dict[str, Any]) -> None:
        """Reads one option into `given`."""
        at = self.start
        name = self.word("an option")
        known: dict[str, dataclasses.Field[Any]] = {o.name: o for o in options(cls)}
        if name not in known:
            self.fail(
                f"pass {cls.name} has no option {name[:40]!r}",
                _nearest(name, known),
                at,
            )
        if name in given:
            self.fail(f"option {name!r} stands twice", None, at)
        self.expect("=")
        at = self.start
        value = self.value()
        try:
            given[name] = checked_option(known[name], value)
        except PassError as error:
            self.fail(f"{error.message}, received {error.received}", None, at)

    def value(self) -> Option:
        """A number, true, false, a word, a quoted text or a list of texts."""
        if not self.accept("["):
            return self.scalar()
        items: list[str] = []
        while not self.accept("]"):
            if items:
                self.expect(",")
            at = self.start
            item = self.scalar()
            if not isinstance(item, str):
                self.fail("a list holds words or quoted texts", None, at)
            items.append(item)
        return tuple(items)

    def scalar(self) -> bool | int | float | str:
        """One number, true, false, word or quoted text."""
        token = self.token
        if token.startswith('"') and len(token) > 1:
            return re.sub(r"\\(.)", r"\1", self.advance()[1:-1], flags=re.DOTALL)
        if WORD.fullmatch(token):
            self.advance()
            return _WORDS.get(token, token)
        if re.fullmatch(r"[-+]?\d{1,18}", token):
            return int(self.advance())
        if not re.match(r"[-+.]?\d", token) or len(token) > 40:
            self.fail(f"expected a value, not {token[:40] or 'the end'!r}")
        return float(self.advance())

    def word(self, what: str) -> str:
        """A word."""
        if not WORD.fullmatch(self.token):
            self.fail(f"expected {what}, not {self.token[:40] or 'the end'!r}")
        return self.advance()


_WORDS: dict[str, bool | float] = {"true": True, "false": False, "inf": float("inf")}


def _nearest(name: str, known: Iterable[str]) -> str:
    """What to use instead of an unknown name."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:40], names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there is {', '.join(names)}" if names else "there is none"
