"""Kernel text from templates: code with holes, each a word or a run of lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

LINE = 88
"""How long a line of kernel source may be."""

_HOLE = re.compile(r"\$(\w+)")

Piece = str | Sequence[str]
"""What fills a hole: words within a line, or lines in the place of a line."""


def filled(template: str, pieces: Mapping[str, Piece]) -> list[str]:
    """The lines of a template, its holes ``$name`` filled.

    A hole that stands alone on its line takes any number of lines, indented like it.
    """
    lines: list[str] = []
    for line in template.strip("\n").split("\n"):
        alone = _HOLE.fullmatch(line.strip())
        piece = pieces[alone[1]] if alone else ""
        if alone and not isinstance(piece, str):
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + each if each else "" for each in piece]
        else:
            lines.append(_HOLE.sub(lambda hole: str(pieces[hole[1]]), line))
    return lines


def indented(lines: Sequence[str], levels: int = 1) -> list[str]:
    """The lines of a block, further to the right."""
    return ["    " * levels + line if line else "" for line in lines]


def listed(head: str, items: Sequence[str], tail: str, within: int = 0) -> list[str]:
    """``head``, items between commas, ``tail``: broken as the line length asks.

    Args:
        head: What comes before the items, with an opening bracket at its end.
        items: The items.
        tail: What comes after them, with the closing bracket at its start.
        within: How many columns of the line are taken by indentation.
    """
    whole = f"{head}{', '.join(items)}{tail}"
    if len(whole) + within <= LINE:
        return [whole]
    lines = [head]
    for item in items:
        longer = f"{lines[-1]} {item},"
        if len(lines) > 1 and len(longer) + within <= LINE:
            lines[-1] = longer
        else:
            lines.append(f"    {item},")
    if len(lines) == 2:
        lines[1] = lines[1].removesuffix(",")
    return [*lines, tail]
