"""How each elementwise primitive is written in the languages that codegen emits."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Signature(enum.Enum):
    """How StableHLO writes the types of an elementwise operation."""

    UNIFORM = "uniform"
    """One type, which all operands and the result have."""
    FUNCTION = "function"
    """Operand types, an arrow and the result type."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """One elementwise primitive in the emitted languages.

    Attributes:
        stablehlo: The StableHLO operation, or None where it has the primitive's name.
        signature: How its types are written.
    """

    stablehlo: str | None = None
    signature: Signature = Signature.UNIFORM


_SAME = Spelling()
_TYPED = Spelling(signature=Signature.FUNCTION)

SPELLINGS: dict[str, Spelling] = {
    "abs": _SAME,
    "add": _SAME,
    "and": _SAME,
    "atan2": _SAME,
    "bitcast_convert": _TYPED,
    "cbrt": _SAME,
    "ceil": _SAME,
    "clamp": _SAME,
    "convert": _TYPED,
    "cosine": _SAME,
    "count_leading_zeros": _SAME,
    "divide": _SAME,
    "exponential": _SAME,
    "exponential_minus_one": _SAME,
    "floor": _SAME,
    "is_finite": _TYPED,
    "log": _SAME,
    "log_plus_one": _SAME,
    "logistic": _SAME,
    "maximum": _SAME,
    "minimum": _SAME,
    "multiply": _SAME,
    "negate": _SAME,
    "not": _SAME,
    "or": _SAME,
    "popcnt": _SAME,
    "power": _SAME,
    "remainder": _SAME,
    "round_nearest_afz": _SAME,
    "round_nearest_even": _SAME,
    "rsqrt": _SAME,
    "select": _TYPED,
    "shift_left": _SAME,
    "shift_right_arithmetic": _SAME,
    "shift_right_logical": _SAME,
    "sign": _SAME,
    "sine": _SAME,
    "sqrt": _SAME,
    "subtract": _SAME,
    "tan": _SAME,
    "tanh": _SAME,
    "xor": _SAME,
}
"""Every elementwise primitive but those that `stablehlo_lowerings` has functions for."""
