"""Names and numbers as C spells them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from graphc.ir.dims import Dim, FloorDiv
from graphc.ir.types import DType

_WORDS = """
auto break case char const continue default do double else enum extern float for goto if
inline int long register restrict return short signed sizeof static struct switch typedef
union unsigned void volatile while
alignas alignof and asm bitand bitor bool catch class compl concept delete explicit export
false friend mutable namespace new noexcept not nullptr operator or private protected
public requires template this throw true try typeid typename using virtual wchar_t xor
"""
KEYWORDS = frozenset(_WORDS.split())
"""What is no name in C, or in C++, which may include the header."""

ELEMENTS: dict[str, str] = {
    "f64": "double",
    "f32": "float",
    "i64": "int64_t",
    "i32": "int32_t",
    "i16": "int16_t",
    "i8": "int8_t",
    "u64": "uint64_t",
    "u32": "uint32_t",
    "u16": "uint16_t",
    "u8": "uint8_t",
    "i4": "int8_t",
}
"""The C types of elements; of other dtypes callers give the bits."""


def element(dtype: DType) -> str:
    """The C type of an element in memory."""
    return ELEMENTS.get(dtype.name, f"uint{max(8, dtype.bits)}_t")


def identifiers(names: Iterable[str]) -> list[str]:
    """A C name for each name, all different and in order."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        plain = f"{plain}_" if plain in KEYWORDS else plain
        plain = plain if re.match(r"[A-Za-z]", plain) else f"x{plain}"
        other, number = plain, 2
        while other in found:
            other, number = f"{plain}_{number}", number + 1
        found.append(other)
    return found


def quoted(text: str) -> str:
    """A C string of a text's UTF-8 bytes."""
    plain = "".join(
        chr(byte)
        if 32 <= byte < 127 and byte not in b'"\\?'
        # Three octal digits: no digit behind them is taken for one more.
        else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "replace")
    )
    return f'"{plain}"'


def comment(text: str) -> str:
    """A text that can stand in a C comment: one line of ASCII that does not end it."""
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")


def expression(dim: Dim, symbols: Mapping[str, str]) -> str:
    """A dim as a C expression of 64-bit integers.

    Args:
        dim: The dim.
        symbols: The expression of each symbol.
    """
    if isinstance(dim, int):
        return str(dim)
    products: list[str] = []
    for monomial, coefficient in dim.terms:
        powers = [_atom(atom, symbols) for atom, n in monomial for _ in range(n)]
        own = [] if coefficient == 1 and powers else [f"({coefficient})"]
        products.append("*".join([*own, *powers]))
    return " + ".join(products)


def _atom(atom: str | FloorDiv, symbols: Mapping[str, str]) -> str:
    if isinstance(atom, str):
        return symbols[atom]
    numerator = expression(atom.numerator, symbols)
    return f"floor_divide({numerator}, {expression(atom.denominator, symbols)})"
