"""Mutants: seeded compiler bugs as small edits of the source, made in a child process.

An edit replaces lines of one function. The module is compiled with it, and every live
function whose code the edit changed gets the new code: nothing is written to disk and
nothing is imported again.
"""

from __future__ import annotations

import ast
import functools
import gc
import json
import types
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mutants.jsonl")


@dataclass(frozen=True)
class Mutant:
    """One seeded bug.

    Attributes:
        file: The source file, relative to the root of the repository.
        function: The function it is in, decorators included; dots name what encloses it.
        find: Lines of that function, the first of them that are equal to these.
        replace: What stands in their place.
        bug: What is wrong.
        equivalent: Why no test can tell the difference; empty for a real bug.
        missed: Whether it is known that no check notices it.
    """

    file: str
    function: str
    find: str
    replace: str
    bug: str
    equivalent: str = ""
    missed: bool = False

    @property
    def name(self) -> str:
        """A name for reports."""
        return f"{self.file}:{self.function}: {self.bug}"


def read_mutants() -> list[Mutant]:
    """The seeded bugs of the table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [Mutant(**json.loads(line)) for line in lines]


def write_mutants(mutants: list[Mutant]) -> None:
    """Makes `mutants` the table."""
    text = "".join(json.dumps(asdict(mutant)) + "\n" for mutant in mutants)
    TABLE.write_text(text, encoding="utf-8")


@functools.cache
def functions(source: str) -> dict[str, ast.FunctionDef]:
    """The functions in a module's source by their names with dots."""
    found: dict[str, ast.FunctionDef] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                name = prefix + child.name
                if isinstance(child, ast.FunctionDef):
                    found.setdefault(name, child)
                visit(child, f"{name}.")
            else:
                visit(child, prefix)

    visit(ast.parse(source), "")
    return found


def extent(function: ast.FunctionDef) -> tuple[int, int]:
    """The first line of a function, decorators included, and the one behind it."""
    first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    assert function.end_lineno is not None
    return first - 1, function.end_lineno


def mutated(mutant: Mutant, source: str) -> str:
    """The module's source with the bug.

    Raises:
        LookupError: If the source has changed and no longer has what is replaced.
    """
    function = functions(source).get(mutant.function)
    if function is None:
        raise LookupError(f"{mutant.file} has no function {mutant.function}")
    lines = source.splitlines(keepends=True)
    first, end = extent(function)
    text = "".join(lines[first:end])
    if mutant.find not in text:
        raise LookupError(f"{mutant.name}: not found: {mutant.find}")
    lines[first:end] = [text.replace(mutant.find, mutant.replace, 1)]
    return "".join(lines)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _named(code: types.CodeType) -> dict[tuple[str, int], types.CodeType]:
    """All code objects in one by qualified name and number among those of the name."""
    counts: Counter[str] = Counter()
    found: dict[tuple[str, int], types.CodeType] = {}
    for each in _codes(code):
        name = each.co_qualname
        found[name, counts[name]] = each
        counts[name] += 1
    return found


class Sources:
    """The sources as they were imported, and the live functions of each code object."""

    def __init__(self) -> None:
        self._live: dict[types.CodeType, list[types.FunctionType]] = {}
        for each in gc.get_objects():
            if isinstance(each, types.FunctionType) and "/graphc/" in str(
                each.__code__.co_filename
            ):
                self._live.setdefault(each.__code__, []).append(each)
        self._texts: dict[str, str] = {}

    def text(self, file: str) -> str:
        """The source of a file, read once."""
        if file not in self._texts:
            self._texts[file] = (ROOT / file).read_text(encoding="utf-8")
        return self._texts[file]

    def changes(
        self, mutant: Mutant
    ) -> list[tuple[types.FunctionType, types.CodeType]]:
        """The live functions that the bug is in, with their code with the bug.

        Raises:
            LookupError: If there is none: the source has changed.
        """
        source = self.text(mutant.file)
        path = str(ROOT / mutant.file)
        before = compile(source, path, "exec", dont_inherit=True)
        after = compile(mutated(mutant, source), path, "exec", dont_inherit=True)
        news = _named(after)
        found = [
            (function, new)
            for name, old in _named(before).items()
            if (new := news.get(name)) is not None
            and new != old
            and len(new.co_freevars) == len(old.co_freevars)
            for function in self._live.get(old, ())
        ]
        if not found:
            raise LookupError(f"{mutant.name}: no function of the package has it")
        return found


def seed(sources: Sources, mutant: Mutant) -> None:
    """Puts the bug into this process, and forgets what was computed without it."""
    for function, code in sources.changes(mutant):
        function.__code__ = code
    for each in gc.get_objects():
        if isinstance(each, functools._lru_cache_wrapper):
            module = str(getattr(each, "__module__", ""))
            if module.startswith("graphc."):
                each.cache_clear()
