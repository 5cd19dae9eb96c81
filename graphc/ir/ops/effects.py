"""Ops that do something besides computing their results."""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphc.ir.errors import GraphError
from graphc.ir.opdef import IllTyped, Kind, Sample, Trait
from graphc.ir.register import primitive
from graphc.ir.types import TensorType

_SPEC = re.compile(r"[<>=^]?[+ -]?0?\d{0,3},?(\.\d{1,2})?[bdeEfFgGoxX%]?")
"""The format specs that are taken: no width that would fill the memory."""


def _write_line(text: str) -> None:
    # The stream is looked up now: what is printed goes where Python prints.
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


_WRITERS: list[Callable[[str], object]] = [_write_line]


def write_lines_with(writer: Callable[[str], object]) -> None:
    """Makes `print` hand its lines to `writer`, which other output goes through."""
    _WRITERS[:] = [writer]


@contextmanager
def discarded_lines() -> Generator[None, None, None]:
    """While open, `print` prints nothing."""
    previous = list(_WRITERS)
    _WRITERS[:] = [lambda text: None]
    try:
        yield
    finally:
        _WRITERS[:] = previous


class _Formatter(string.Formatter):
    """Formats arrays element by element, and reads no attribute of anything."""

    def get_field(
        self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        return args[int(field_name)], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if not np.ndim(value):
            return format(np.asarray(value).item(), format_spec)
        if not format_spec:
            return str(value)

        def element(number: Any) -> str:
            return format(number.item(), format_spec)

        return np.array2string(value, formatter={"all": element})


def _print(*operands: Any, format: str) -> tuple[Any, ...]:
    _WRITERS[0](_Formatter().vformat(format, operands, {}))
    return operands


def check_format(format: str, operands: Sequence[TensorType]) -> None:
    """Checks the format string of a `print`.

    Raises:
        GraphError: If it is not well formed, or does not fit the operands.
    """
    try:
        fields = [field[1:3] for field in string.Formatter().parse(format)]
    except ValueError as error:
        raise GraphError(
            f"print: the format is not well formed: {error}",
            received=repr(format)[:200],
        ) from error
    named = [(name, spec or "") for name, spec in fields if name is not None]
    numbers = [name for name, _ in named if name]
    if numbers and len(numbers) < len(named):
        raise GraphError(
            "print: number all fields or none", received=repr(format)[:200]
        )
    for position, (name, spec) in enumerate(named):
        place = name if name else str(position)
        if not place.isdecimal() or int(place) >= len(operands):
            raise GraphError(
                f"print: field {{{place[:40]}}} is none of the {len(operands)} operands",
                received=repr(format)[:200],
            )
        _check_spec(spec, operands[int(place)])


def _check_spec(spec: str, type: TensorType) -> None:
    try:
        if _SPEC.fullmatch(spec) is None:
            raise ValueError("no format of a number")
        format(np.zeros((), type.dtype.numpy).item(), spec)
    except ValueError as error:
        raise GraphError(
            f"print: {spec[:40]!r} does not format {type}: {error}",
            hint="such as {:.3f} or {:.1%} for floats, {:6d} for integers",
        ) from error


@primitive(
    Kind.OPAQUE,
    _print,
    vjp=lambda g, y, *operands, format: g if isinstance(g, tuple) else (g,),
    traits=[Trait.EFFECT, Trait.MOVES_DATA],
    exact=lambda *operands, format: operands,
    no_kernel="it prints on the host",
    samples=(
        Sample(("f32[3]", "i32[]"), {"format": "x = {}, n = {:d}"}),
        Sample(("f32[]",), {"format": "{0:.3f} {0}"}),
    ),
    errors=(
        IllTyped(("f32[]",), "attribute 'format' is missing"),
        IllTyped(("f32[]",), "{1} is none of the 1 operands", {"format": "{} {}"}),
        IllTyped(("f32[]",), "is none of the", {"format": "{0.__class__}"}),
        IllTyped(("f32[]",), "not well formed", {"format": "{"}),
        IllTyped(("f32[]",), "does not format f32[]", {"format": "{:999999999f}"}),
        IllTyped(("f32[]",), "does not format f32[]", {"format": "{:d}"}),
        IllTyped(("f32[]",), "number all fields or none", {"format": "{0} {}"}),
    ),
)
def print_(x: TensorType, *more: TensorType, format: str) -> tuple[TensorType, ...]:
    """The operands, which are printed: `format` has a ``{}`` for each, as in Python.

    It prints a line whenever it runs. The prints of a graph come in its order; those of
    graphs that are called come in between.
    """
    check_format(format, (x, *more))
    return (x, *more)
