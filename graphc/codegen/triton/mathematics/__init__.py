"""Functions that kernels call: what Triton's language has not, or has not exactly.

The modules of this package hold their text. They are written with plain operations of
``triton.language`` only, so that they are the same in the interpreter and on a GPU,
and take tiles of any rank.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from graphc.codegen.triton.mathematics import (
    exponentials,
    integers,
    powers,
    random,
    rounding,
    storage,
    trigonometry,
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A line of Triton and what it needs.

    Attributes:
        text: An expression in terms of the names of its operands.
        helpers: The functions of this package that it calls, and those that they call.
    """

    text: str
    helpers: tuple[str, ...] = ()


def _functions(source: str) -> Iterator[tuple[str, str]]:
    """The functions in a text, each with its decorator."""
    lines = source.splitlines()
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef):
            first = function.decorator_list[0].lineno - 1
            yield function.name, "\n".join(lines[first : function.end_lineno])


_MODULES = (exponentials, integers, powers, random, rounding, storage, trigonometry)

FUNCTIONS: dict[str, str] = {
    name: text for module in _MODULES for name, text in _functions(module.SOURCE)
}
"""The text of each function. Their names start with an underscore, as no variable of a
generated kernel does."""


def _called(name: str) -> set[str]:
    names = (n for n in ast.walk(ast.parse(FUNCTIONS[name])) if isinstance(n, ast.Name))
    return {n.id for n in names if n.id in FUNCTIONS} - {name}


_CALLED = {name: _called(name) for name in FUNCTIONS}


def closure(names: Iterable[str]) -> tuple[str, ...]:
    """`names` and what these functions call, sorted."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _CALLED[name]
    return tuple(sorted(found))


def call(name: str, *arguments: str) -> Expression:
    """The call of a function of this package."""
    return Expression(f"{name}({', '.join(arguments)})", closure([name]))


def helper_source(names: Iterable[str]) -> str:
    """The text of functions and of those that they call, sorted by name."""
    return "\n\n\n".join(FUNCTIONS[name] for name in closure(names))
