"""Dimensions: integers, or canonical integer expressions over named symbols.

Two expressions that are equal as polynomials are equal as objects, so the type rules
compare dims with ``==``. Floor division that does not come out even stays an atom of
its own: ``(H-1)//2+1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from graphc.ir.errors import GraphError, UnknownDimError
from graphc.ir.location import Location

Dim: TypeAlias = "int | SymbolicDim"
Atom: TypeAlias = "str | FloorDiv"
Monomial: TypeAlias = tuple[tuple[Atom, int], ...]
"""Atoms with their powers, sorted by their text; the empty one is the constant."""

MAX_DIM = 2**62
MAX_TERMS = 64
MAX_POWER = 8


@dataclass(frozen=True, slots=True)
class FloorDiv:
    """``numerator // denominator`` where the division does not come out even."""

    numerator: SymbolicDim
    denominator: Dim

    def __str__(self) -> str:
        return f"{_wrap(self.numerator)}//{_wrap(self.denominator)}"


class SymbolicDim:
    """An integer polynomial over symbols: a dim that is bound before emission.

    Supports ``+``, ``-``, ``*`` and ``//`` with integers and other dims; a result
    without symbols is an ``int``. Asking for its value (``int``, ``<``, ``bool``,
    ``range``) is a `GraphError`: the value is not known while tracing.
    """

    __slots__ = ("_hash", "terms")

    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)

    @classmethod
    def symbol(cls, name: str) -> SymbolicDim:
        """The dim that consists of the symbol `name` alone."""
        return cls(((((name, 1),), 1),))

    def symbols(self) -> set[str]:
        """The names of all symbols in the expression."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom, _ in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    found |= atom.numerator.symbols() | symbols_of((atom.denominator,))
        return found

    def __add__(self, other: Dim) -> Dim:
        if not isinstance(other, (int, SymbolicDim)):
            return NotImplemented
        return _canonical([*self.terms, *_terms(other)])

    def __mul__(self, other: Dim) -> Dim:
        if not isinstance(other, (int, SymbolicDim)):
            return NotImplemented
        return _canonical(
            (_times(left, right), a * b)
            for left, a in self.terms
            for right, b in _terms(other)
        )

    def __floordiv__(self, other: Dim) -> Dim:
        if not isinstance(other, (int, SymbolicDim)):
            return NotImplemented
        return floor_divide(self, other)

    def __rfloordiv__(self, other: int) -> Dim:
        return floor_divide(other, self)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        if not isinstance(other, (int, SymbolicDim)):
            return NotImplemented
        return self + other * -1

    def __rsub__(self, other: int) -> Dim:
        return self * -1 + other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SymbolicDim) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        text = ""
        for monomial, coefficient in self.terms:
            factors = [str(atom) for atom, power in monomial for _ in range(power)]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            # A quotient must come first or in parentheses: a*b//c means (a*b)//c.
            factors = [factors[0]] + [f"({f})" if "//" in f else f for f in factors[1:]]
            sign = "-" if coefficient < 0 else "+" if text else ""
            if sign == "-" and "//" in factors[0]:
                factors[0] = f"({factors[0]})"
            text += sign + "*".join(factors)
        return text

    __repr__ = __str__

    def _unknown(self, *_: object) -> bool:
        raise UnknownDimError(
            f"the value of dimension {self} is not known while tracing",
            location=Location.capture(),
            hint="use it in shapes or through ops.shape, or give a fixed size"
            " (for example batch_size=...) so that the dimension is an integer",
        )

    def __bool__(self) -> bool:
        return self._unknown()

    def __int__(self) -> int:
        return int(self._unknown())

    __index__ = __int__
    __lt__ = __le__ = __gt__ = __ge__ = _unknown


def _wrap(dim: Dim) -> str:
    text = str(dim)
    return text if re.fullmatch(r"\w+", text) else f"({text})"


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    return dim.terms if isinstance(dim, SymbolicDim) else (((), dim),)


def _times(left: Monomial, right: Monomial) -> Monomial:
    powers: dict[Atom, int] = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    if sum(powers.values()) > MAX_POWER:
        raise GraphError(f"dimension expression exceeds degree {MAX_POWER}")
    return tuple(sorted(powers.items(), key=lambda item: str(item[0])))


def _canonical(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    sums: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        sums[monomial] = sums.get(monomial, 0) + coefficient
    kept = [(m, c) for m, c in sums.items() if c]
    if len(kept) > MAX_TERMS or any(abs(c) > MAX_DIM for _, c in kept):
        raise GraphError("dimension expression is too large")
    if not kept or (len(kept) == 1 and not kept[0][0]):
        return kept[0][1] if kept else 0
    # Highest degree first, then by text; the constant comes last: B*T+2*B+1.
    kept.sort(key=lambda term: (-sum(p for _, p in term[0]), str(term[0])))
    return SymbolicDim(tuple(kept))


def floor_divide(numerator: Dim, denominator: Dim) -> Dim:
    """``numerator // denominator``, exact where every term divides evenly."""
    if denominator == 0:
        raise GraphError("division of a dimension by zero", received=f"{numerator}//0")
    if isinstance(numerator, int) and isinstance(denominator, int):
        return numerator // denominator
    divisor = _terms(denominator)
    if len(divisor) == 1:
        (monomial, coefficient) = divisor[0]
        even: list[tuple[Monomial, int]] = []
        rest: list[tuple[Monomial, int]] = []
        for term in _terms(numerator):
            quotient = _divide_monomial(term[0], monomial)
            if quotient is not None and term[1] % coefficient == 0:
                even.append((quotient, term[1] // coefficient))
            else:
                rest.append(term)
        if not rest:
            return _canonical(even)
        if even:  # (4*B+1)//4 == B + 1//4: whole multiples leave the quotient.
            return _canonical(
                [*even, *_terms(floor_divide(_canonical(rest), denominator))]
            )
    if isinstance(numerator, int):
        numerator = SymbolicDim((((), numerator),))
    atom: Atom = FloorDiv(numerator, denominator)
    monomial = ((atom, 1),)
    return SymbolicDim(((monomial, 1),))


def _divide_monomial(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    powers = dict(monomial)
    for atom, power in divisor:
        left = powers.get(atom, 0) - power
        if left < 0:
            return None
        powers[atom] = left
    return tuple((atom, power) for atom, power in powers.items() if power)


def symbols_of(dims: Iterable[Dim]) -> set[str]:
    """The names of all symbols in `dims`."""
    found: set[str] = set()
    for dim in dims:
        if isinstance(dim, SymbolicDim):
            found |= dim.symbols()
    return found


def substitute(dim: Dim, bindings: Mapping[str, Dim]) -> Dim:
    """`dim` with symbols replaced; symbols without a binding stay."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, coefficient in dim.terms:
        product: Dim = coefficient
        for atom, power in monomial:
            if isinstance(atom, str):
                value = bindings.get(atom, SymbolicDim.symbol(atom))
            else:
                value = floor_divide(
                    substitute(atom.numerator, bindings),
                    substitute(atom.denominator, bindings),
                )
            for _ in range(power):
                product = product * value
        total = total + product
    return total


_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_]\w*)|(//|[-+*()]))")


@lru_cache(maxsize=4096)
def parse_dim(text: str) -> Dim:
    """The dim that `text` spells: integers, symbols, ``+ - * //``, parentheses.

    Raises:
        GraphError: If `text` is not such an expression.
    """
    tokens: list[str] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None or len(tokens) > 256 or match.end() - match.start() > 64:
            raise GraphError(f"{text[:80]!r} is not a dimension expression")
        tokens.append(match.group().strip())
        position = match.end()
    parser = _DimParser(text, tokens)
    dim = parser.sum(0)
    if parser.tokens:
        parser.fail()
    return dim


class _DimParser:
    """Recursive descent over the tokens, which are kept in reverse order."""

    def __init__(self, text: str, tokens: list[str]) -> None:
        self.text = text
        self.tokens = tokens[::-1]

    def fail(self) -> None:
        raise GraphError(f"{self.text[:80]!r} is not a dimension expression")

    def next(self, *accepted: str) -> str | None:
        if self.tokens and self.tokens[-1] in accepted:
            return self.tokens.pop()
        return None

    def sum(self, depth: int) -> Dim:
        total = self.product(depth)
        while sign := self.next("+", "-"):
            term = self.product(depth)
            total = total + term if sign == "+" else total - term
        return total

    def product(self, depth: int) -> Dim:
        total = self.factor(depth)
        while operator := self.next("*", "//"):
            factor = self.factor(depth)
            total = total * factor if operator == "*" else floor_divide(total, factor)
        return total

    def factor(self, depth: int) -> Dim:
        if depth > 32 or not self.tokens:
            self.fail()
        if self.next("-"):
            return self.factor(depth + 1) * -1
        if self.next("("):
            inner = self.sum(depth + 1)
            if not self.next(")"):
                self.fail()
            return inner
        token = self.tokens.pop()
        if token.isdigit():
            return int(token)
        if not token.isidentifier():
            self.fail()
        return SymbolicDim.symbol(token)
