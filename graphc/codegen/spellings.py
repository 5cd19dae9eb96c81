"""How each elementwise primitive is written in the languages that codegen emits."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from graphc.ir.opdef import Kind, OpDef


class Signature(enum.Enum):
    """How StableHLO writes the types of an elementwise operation."""

    UNIFORM = "uniform"
    """One type, which all operands and the result have."""
    FUNCTION = "function"
    """Operand types, an arrow and the result type."""
    ARROW = "arrow"
    """The same without parentheses, as CHLO has it."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """One elementwise primitive in the emitted languages.

    Attributes:
        stablehlo: The StableHLO operation, with its dialect in front if it is of
            another (``chlo.square``); None where it has the primitive's name.
        signature: How its types are written.
        triton: The Triton expression of the operands ``{0}``, ``{1}``, ..., or None
            where that depends on more than these; see
            `graphc.codegen.triton.elementwise`.
    """

    stablehlo: str | None = None
    signature: Signature = Signature.UNIFORM
    triton: str | None = None

    @property
    def operation(self) -> str | None:
        """The operation with its dialect; None where it has the primitive's name."""
        if self.stablehlo is None or "." in self.stablehlo:
            return self.stablehlo
        return f"stablehlo.{self.stablehlo}"


_SAME = Spelling()
_TYPED = Spelling(signature=Signature.FUNCTION)

SPELLINGS: dict[str, Spelling] = {
    "abs": Spelling(triton="tl.abs({0})"),
    "add": Spelling(triton="{0} + {1}"),
    "and": Spelling(triton="{0} & {1}"),
    "atan2": _SAME,
    "bitcast_convert": _TYPED,
    "cbrt": _SAME,
    "ceil": _SAME,
    "clamp": _SAME,
    "convert": _TYPED,
    "cosine": Spelling(triton="tl.cos({0})"),
    "count_leading_zeros": _SAME,
    "divide": _SAME,
    "exponential": Spelling(triton="tl.exp({0})"),
    "exponential_minus_one": _SAME,
    "floor": _SAME,
    "is_finite": _TYPED,
    "log": Spelling(triton="tl.log({0})"),
    "log_plus_one": _SAME,
    "logistic": Spelling(triton="1.0 / (1.0 + tl.exp(-{0}))"),
    "maximum": _SAME,
    "minimum": _SAME,
    "multiply": Spelling(triton="{0} * {1}"),
    "negate": _SAME,
    "not": Spelling(triton="~{0}"),
    "or": Spelling(triton="{0} | {1}"),
    "popcnt": _SAME,
    "power": _SAME,
    "remainder": _SAME,
    "round_nearest_afz": _SAME,
    "round_nearest_even": _SAME,
    "rsqrt": _SAME,
    "select": Spelling(signature=Signature.FUNCTION, triton="tl.where({0}, {1}, {2})"),
    "shift_left": _SAME,
    "shift_right_arithmetic": _SAME,
    "shift_right_logical": _SAME,
    "sign": _SAME,
    "sine": Spelling(triton="tl.sin({0})"),
    "sqrt": _SAME,
    "subtract": Spelling(triton="{0} - {1}"),
    "tan": Spelling(triton="tl.sin({0}) / tl.cos({0})"),
    "tanh": _SAME,
    "xor": Spelling(triton="{0} ^ {1}"),
}
"""Every elementwise primitive but those that `stablehlo_lowerings` has functions for."""


def register_spelling(op: OpDef, spelling: Spelling) -> None:
    """Says how an elementwise primitive of a user's module is written.

    Raises:
        TypeError: If the op is no elementwise primitive, or has a spelling.
    """
    if op.is_composite or op.kind is not Kind.ELEMENTWISE:
        raise TypeError(
            f"{op.name} is no elementwise primitive: spellings are for those"
        )
    if SPELLINGS.setdefault(op.name, spelling) is not spelling:
        raise TypeError(f"there already is a spelling of {op.name!r}")
