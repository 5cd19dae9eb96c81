"""Integer expressions over loop axes: where the elements of a tensor are.

An `Index` is kept canonical, so equal expressions over axes of known extents mostly
compare equal: ``(x // 12) * 12 + x % 12`` is ``x``. Fusion compares indices, code
generation prints them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Axis:
    """A loop variable, from 0 up to, not including, `extent`."""

    name: str
    extent: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value."""
        return 0, max(0, self.extent - 1)


@dataclass(frozen=True)
class Loaded:
    """An integer read from memory; `of` are the axes that it depends on."""

    name: str
    low: int
    high: int
    of: frozenset[Axis]

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value."""
        return self.low, self.high


@dataclass(frozen=True)
class Quotient:
    """``of // by``, rounded down."""

    of: Index
    by: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value."""
        low, high = self.of.bounds
        return low // self.by, high // self.by


@dataclass(frozen=True)
class Modulo:
    """``of % by``, not negative."""

    of: Index
    by: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value."""
        return 0, self.by - 1


@dataclass(frozen=True)
class Within:
    """`of` where it is from `low` to `high`; elsewhere its value is of no interest."""

    of: Index
    low: int
    high: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value."""
        return self.low, self.high


Atom = Axis | Loaded | Quotient | Modulo | Within


@dataclass(frozen=True)
class Index:
    """``constant + sum of coefficient * atom``, canonical.

    Attributes:
        constant: What is added.
        terms: Atoms with their coefficients, none of which is 0, in a fixed order.
    """

    constant: int = 0
    terms: tuple[tuple[Atom, int], ...] = ()

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """Numbers that the value is never below and never above."""
        low = high = self.constant
        for atom, factor in self.terms:
            ends = [factor * end for end in atom.bounds]
            low, high = low + min(ends), high + max(ends)
        return low, high

    @cached_property
    def axes(self) -> frozenset[Axis]:
        """The axes that the value depends on."""
        return frozenset(axis for atom, _ in self.terms for axis in _axes(atom))

    @cached_property
    def _hash(self) -> int:
        return hash((self.constant, self.terms))

    def __hash__(self) -> int:
        return self._hash

    @property
    def is_constant(self) -> bool:
        """Whether the value is one number."""
        return not self.terms

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.constant + other, self.terms)
        total = dict(self.terms)
        for atom, factor in other.terms:
            total[atom] = total.get(atom, 0) + factor
        return _sum(self.constant + other.constant, total)

    def __sub__(self, other: Index | int) -> Index:
        return self + other * -1 if isinstance(other, Index) else self + -other

    def __mul__(self, factor: int) -> Index:
        if factor == 0:
            return Index()
        terms = tuple((atom, factor * old) for atom, old in self.terms)
        return Index(self.constant * factor, terms)

    def __floordiv__(self, by: int) -> Index:
        if by == 1:
            return self
        whole, rest = _divided(self, by)
        low, high = rest.bounds
        if low // by == high // by:
            return whole + low // by
        coarse = _without_fraction(rest, by)
        if coarse is not None:
            numerator, _, denominator = coarse
            return whole + numerator // denominator
        atom = _only_atom(rest)
        if isinstance(atom, Quotient):
            return whole + _atom(Quotient(atom.of, atom.by * by))
        if isinstance(atom, Modulo) and atom.by % by == 0:
            return whole + (atom.of // by) % (atom.by // by)
        return whole + _atom(Quotient(rest, by))

    def __mod__(self, by: int) -> Index:
        _, rest = _divided(self, by)
        low, high = rest.bounds
        if low // by == high // by:
            return rest - low // by * by
        coarse = _without_fraction(rest, by)
        if coarse is not None:
            numerator, fraction, denominator = coarse
            return (numerator % denominator) * (by // denominator) + fraction
        atom = _only_atom(rest)
        if isinstance(atom, Modulo) and atom.by % by == 0:
            return atom.of % by
        return _atom(Modulo(rest, by))

    def __str__(self) -> str:
        return text(self)


ZERO = Index()


def whole(value: int) -> Index:
    """A number as an index."""
    return Index(value)


def variable(axis: Axis | Loaded) -> Index:
    """The value of a loop variable: 0 if that is all it can be."""
    if isinstance(axis, Axis) and axis.extent <= 1:
        return ZERO
    return _atom(axis)


def within(index: Index, low: int, high: int) -> Index:
    """`index` where it is known to be from `low` to `high`."""
    least, greatest = index.bounds
    if low <= least and greatest <= high:
        return index
    return whole(low) if low == high else _atom(Within(index, low, high))


def released(index: Index) -> Index:
    """`index` without what is said of where its parts are."""
    found = whole(index.constant)
    for atom, factor in index.terms:
        if isinstance(atom, Within):
            found = found + released(atom.of) * factor
        elif isinstance(atom, (Quotient, Modulo)):
            found = found + _atom(type(atom)(released(atom.of), atom.by)) * factor
        else:
            found = found + _atom(atom) * factor
    return found


def flattened(indices: Sequence[Index], shape: Sequence[int]) -> Index:
    """The row-major position of the element at `indices` in a tensor of `shape`."""
    position = ZERO
    for index, size in zip(indices, shape, strict=True):
        position = position * size + index
    return position


def unflattened(position: Index, shape: Sequence[int]) -> tuple[Index, ...]:
    """The indices of the element at a row-major position in a tensor of `shape`."""
    if 0 in shape:
        return (ZERO,) * len(shape)  # of no element
    found: list[Index] = []
    below = math.prod(shape)
    for number, size in enumerate(shape):
        if size <= 1:
            found.append(ZERO)
            continue
        below //= size
        digit = position // below
        # The first digit is within its dimension, for the position is in the tensor.
        leading = all(before <= 1 for before in shape[:number])
        found.append(digit if leading else digit % size)
    return tuple(found)


def text(index: Index) -> str:
    """The expression in Python's syntax, with the names of axes as they are."""
    added: list[str] = []
    taken: list[str] = []
    for atom, factor in index.terms:
        times = "" if abs(factor) == 1 else f" * {abs(factor)}"
        (added if factor > 0 else taken).append(f"{_atom_text(atom)}{times}")
    if index.constant:
        (added if index.constant > 0 else taken).append(str(abs(index.constant)))
    # A sum never starts with a sign, which would bind closer than // and %.
    return " - ".join([" + ".join(added) or "0", *taken])


def _atom_text(atom: Atom) -> str:
    if isinstance(atom, (Axis, Loaded)):
        return atom.name
    inner = text(atom.of)
    if isinstance(atom, Within):
        return f"({inner})"
    alone = len(atom.of.terms) == 1 and not atom.of.constant
    if not alone:
        inner = f"({inner})"
    return f"{inner} {'//' if isinstance(atom, Quotient) else '%'} {atom.by}"


# -- keeping sums canonical ------------------------------------------------------------


def _atom(atom: Atom) -> Index:
    return Index(0, ((atom, 1),))


def _only_atom(index: Index) -> Atom | None:
    """The atom that the index is, if it is one."""
    if len(index.terms) == 1 and index.constant == 0 and index.terms[0][1] == 1:
        return index.terms[0][0]
    return None


def _axes(atom: Atom) -> Iterable[Axis]:
    if isinstance(atom, Axis):
        return (atom,)
    return atom.of if isinstance(atom, Loaded) else atom.of.axes


def _order(term: tuple[Atom, int]) -> tuple[int, str]:
    """Large strides first, as a person would write a position."""
    return -abs(term[1]), _atom_text(term[0])


def _sum(constant: int, total: dict[Atom, int]) -> Index:
    """A canonical sum of atoms with coefficients, which may be 0."""
    terms = {atom: factor for atom, factor in total.items() if factor}
    for atom, factor in terms.items():
        if isinstance(atom, Modulo):
            merged = _merged(atom, factor, terms)
            if merged is not None:
                more, used = merged
                left = {a: f for a, f in terms.items() if a not in used}
                return more + _sum(constant, left)
    return Index(constant, tuple(sorted(terms.items(), key=_order)))


def _merged(
    atom: Modulo, factor: int, terms: dict[Atom, int]
) -> tuple[Index, tuple[Atom, ...]] | None:
    """A remainder together with the quotient that belongs to it, and both terms."""
    quotient = atom.of // atom.by
    for other, stride in quotient.terms:
        whole_part = Index(0, ((other, stride),))
        if quotient == whole_part and terms.get(other) == stride * factor * atom.by:
            return atom.of * factor, (atom, other)
    for other, stride in terms.items():
        # (e // a % b) * a + e % a = e % (a * b)
        follows = stride == factor * atom.by
        if follows and isinstance(other, Modulo) and other.of == quotient:
            return atom.of % (atom.by * other.by) * factor, (atom, other)
    return None


def _divided(index: Index, by: int) -> tuple[Index, Index]:
    """``index = whole * by + rest`` with every multiple of `by` in the first."""
    whole_terms: dict[Atom, int] = {}
    rest_terms: dict[Atom, int] = {}
    for atom, factor in index.terms:
        if factor % by == 0:
            whole_terms[atom] = factor // by
        else:
            rest_terms[atom] = factor
    high, low = divmod(index.constant, by)
    rest = _sum(low, rest_terms)
    # Kernels round quotients toward zero: what is divided must not be negative.
    lift = max(0, -(rest.bounds[0] // by))
    return _sum(high - lift, whole_terms), rest + lift * by


def _without_fraction(index: Index, by: int) -> tuple[Index, Index, int] | None:
    """``index = numerator * g + fraction`` with 0 <= fraction < g and g dividing `by`.

    Then ``index // by = numerator // (by // g)``.

    Returns:
        The numerator, the fraction and ``by // g``; None if there is no such g.
    """
    factors = {math.gcd(factor, by) for _, factor in index.terms}
    for g in sorted(factors - {1}, reverse=True):
        numerator, fraction = _divided(index, g)
        low, high = fraction.bounds
        if numerator.terms and low >= 0 and high < g:
            return numerator, fraction, by // g
    return None
