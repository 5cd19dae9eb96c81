"""Recognising what the region of a reduction, scatter or sort does."""

from __future__ import annotations

from dataclasses import dataclass

from jax.extend.mlir import ir

from graphc.importers.stablehlo.expressions import Expression, region_results

_COMMUTATIVE = {"add", "multiply", "maximum", "minimum", "and", "or", "xor"}


def combination(region: ir.Region) -> str | None:
    """The binary operation that a region combines its two arguments by.

    One of add, multiply, maximum, minimum, and, or, xor; ``first`` or ``second`` for
    the argument itself; or None for anything else. What adds and multiplies bool is
    called by what it does: or, and.
    """
    found = combinations(region)
    return found[0] if len(found) == 1 else None


def combinations(region: ir.Region) -> list[str | None]:
    """What `combination` says of each result, which combines two arguments of its own.

    The arguments of a region of n results are n elements, then n others.
    """
    results = region_results(region) or ()
    return [_of_pair(x, i, len(results) + i) for i, x in enumerate(results)]


def _of_pair(expression: Expression, first: int, second: int) -> str | None:
    match expression:
        case (str(name), a, b) if name in _COMMUTATIVE and {a, b} == {first, second}:
            return name
        case _:
            return {first: "first", second: "second"}.get(expression)


def selection(region: ir.Region) -> str | None:
    """``GE`` or ``LE`` if a region prefers the larger or smaller, on a tie the first."""
    for direction in ("GE", "LE"):
        if region_results(region) == (("compare", direction, False, 0, 1),):
            return direction
    return None


# -- positions of extremes -------------------------------------------------------------


def extreme_position(region: ir.Region) -> str | None:
    """``argmax`` or ``argmin`` if a region of pairs of value and position keeps that.

    The first of equal values wins, and nan over numbers.
    """
    found = region_results(region)
    for name, direction in (("argmax", "GT"), ("argmin", "LT")):
        if found == _first_extreme(direction):
            return name
    return None


def _first_extreme(direction: str) -> tuple[Expression, ...]:
    value, position, other, other_position = 0, 1, 2, 3
    better = (
        "or",
        ("compare", direction, False, value, other),
        ("compare", "NE", False, value, value),
    )
    tied = (
        "and",
        ("compare", "EQ", False, value, other),
        ("compare", "LT", False, position, other_position),
    )
    return (
        ("select", better, value, other),
        ("select", ("or", better, tied), position, other_position),
    )


# -- sorting ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """An operand that a sort orders by.

    Attributes:
        operand: Its position among the operands.
        descending: Whether large elements come first.
        total: Whether by IEEE's total order of floats, which tells zeros and nans apart.
    """

    operand: int
    descending: bool
    total: bool


def sort_keys(region: ir.Region) -> list[Key] | None:
    """The keys of a sort's comparator, the first one decides first; None if unclear."""
    found = region_results(region)
    if found is None or len(found) != 1:
        return None
    return _keys(found[0])


def _keys(expression: Expression) -> list[Key] | None:
    match expression:
        case ("compare", "LT" | "GT" as direction, total, a, b):
            return _comparison(direction == "GT", total, a, b)
        case ("select", ("compare", "EQ", _, a, b), later, first):
            return _in_turn(first, later, tied=_sides(first, a, b))
        case ("or", first, ("and", ("compare", "EQ", _, a, b), later)):
            nan_last = _nan_last(expression)
            return nan_last or _in_turn(first, later, tied=_sides(first, a, b))
        case ("or", first, ("and", ("not", behind), later)):
            return _in_turn(first, later, tied=behind == _swapped(first))
        case ("or", *_):
            return _nan_last(expression)
        case _:
            return None


def _in_turn(first: Expression, later: Expression, tied: bool) -> list[Key] | None:
    """The keys where `later` decides when `first` is `tied`."""
    head, tail = _keys(first), _keys(later)
    return [*head, *tail] if tied and head and tail else None


def _sides(first: Expression, a: Expression, b: Expression) -> bool:
    """Whether `a` and `b` are the two elements that `first` compares."""
    head = _keys(first)
    return head is not None and {_operand(a, 0)[0], _operand(b, 1)[0]} == {
        head[0].operand
    }


def _swapped(expression: Expression) -> Expression:
    """The expression with the two elements of every operand exchanged."""
    if isinstance(expression, tuple):
        return tuple(_swapped(part) for part in expression)
    is_argument = isinstance(expression, int) and not isinstance(expression, bool)
    return expression ^ 1 if is_argument else expression


def _nan_last(expression: Expression) -> list[Key] | None:
    """The key of a comparison that puts nan above all numbers, as graphc writes it."""
    match expression:
        case ("or", ("compare", "LT" | "GT" as direction, False, int(a), int(b)), rest):
            high, low = (a, b) if direction == "GT" else (b, a)
            nan = ("compare", "NE", False, high, high)
            number = ("compare", "EQ", False, low, low)
            if a % 2 == 0 and b == a + 1 and rest == ("and", nan, number):
                return [Key(a // 2, direction == "GT", False)]
    return None


def _comparison(
    descending: bool, total: bool, a: Expression, b: Expression
) -> list[Key] | None:
    (first, plain), (second, also_plain) = _operand(a, 0), _operand(b, 1)
    if first is None or first != second or plain != also_plain:
        return None
    return [Key(first, descending, total and not plain)]


def _operand(expression: Expression, side: int) -> tuple[int | None, bool]:
    """Which operand a side of a comparison is of; and whether zeros and nans are one."""
    match expression:
        case int(argument):
            place, canonical = argument, False
        case (
            "select",
            ("compare", "NE", _, int(argument), b),
            ("constant", _),
            (
                "select",
                ("compare", "EQ", _, c, ("constant", zero)),
                ("constant", also),
                d,
            ),
        ) if argument == b == c == d and not any(zero) and not any(also):
            place, canonical = argument, True
        case _:
            return None, False
    return (place // 2, canonical) if place % 2 == side else (None, False)
