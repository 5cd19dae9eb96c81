"""Long lines of kernel source, broken as a formatter would."""

from __future__ import annotations

WIDTH = 88
INDENT = "    "
_OPEN, _CLOSE = "([{", ")]}"
_OPERATORS = (" & ", " | ", " + ", " - ")


def wrapped(line: str, indent: str) -> list[str]:
    """A statement as lines of at most `WIDTH` columns, where it can be broken.

    Args:
        line: A statement without its indentation.
        indent: What its lines start with.
    """
    if len(indent) + len(line) <= WIDTH:
        return [indent + line]
    call = _last_call(line)
    if call is not None:
        start, end = call
        head, inner, tail = line[: start + 1], line[start + 1 : end], line[end:]
        deeper = indent + INDENT
        parts = _split(inner, ", ")
        if len(parts) == 1:
            return [indent + head, *_broken(inner, deeper), indent + tail]
        if len(deeper) + len(inner) <= WIDTH:
            return [indent + head, deeper + inner, indent + tail]
        lines = [_ended(_broken(part, deeper)) for part in parts]
        return [
            indent + head,
            *[text for part in lines for text in part],
            indent + tail,
        ]
    name, equals, value = line.partition(" = ")
    if equals and len(_operands(value)) > 1:
        return [f"{indent}{name} = (", *_broken(value, indent + INDENT), f"{indent})"]
    return [indent + line]


def _broken(text: str, indent: str) -> list[str]:
    """An expression inside of brackets, in as many lines as it needs."""
    if len(indent) + len(text) < WIDTH:
        return [indent + text]
    parts = _operands(text)
    if len(parts) == 1:
        return wrapped(text, indent)
    return [line for part in parts for line in wrapped(part, indent)]


def _ended(lines: list[str]) -> list[str]:
    return [*lines[:-1], f"{lines[-1]},"]


def _last_call(line: str) -> tuple[int, int] | None:
    """Where the arguments of the call are that the line ends with, if it does."""
    if not line.endswith((")", ")[:, None]", ")[None, :]")):
        return None
    end = line.rindex(")")
    depth = 0
    for position in range(end, -1, -1):
        depth += (line[position] in _CLOSE) - (line[position] in _OPEN)
        if depth == 0:
            break
    else:
        return None
    before = line[:position]
    if not before or not (before[-1].isalnum() or before[-1] == "_"):
        return None
    prefix = before.partition(" = ")[2] or before
    return (position, end) if len(_operands(prefix)) == 1 else None


def _operands(text: str) -> list[str]:
    """The operands of the loosest operator, each but the first with its operator."""
    for group in (_OPERATORS[:2], _OPERATORS[2:]):
        parts: list[str] = []
        start = 0
        for position in _outside(text):
            operator = text[position : position + 3]
            if operator in group and position > start:
                parts.append(text[start:position].strip())
                start = position + 1
        if parts:
            return [*parts, text[start:].strip()]
    return [text]


def _split(text: str, separator: str) -> list[str]:
    """The parts of `text` between separators outside of brackets."""
    parts: list[str] = []
    start = 0
    for position in _outside(text):
        if text.startswith(separator, position):
            parts.append(text[start:position])
            start = position + len(separator)
    return [*parts, text[start:]]


def _outside(text: str) -> list[int]:
    """The positions in `text` that no bracket encloses."""
    depth = 0
    found: list[int] = []
    for position, character in enumerate(text):
        depth += (character in _OPEN) - (character in _CLOSE)
        if depth == 0:
            found.append(position)
    return found
