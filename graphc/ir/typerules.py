"""Type rules that several ops share."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.types import TensorType, checked_type


def types_text(types: Sequence[TensorType]) -> str:
    """The types as an error shows them."""
    return _listed(types)


def _listed(items: Sequence[object], limit: int = 16) -> str:
    text = ", ".join(map(str, items[:limit]))
    return text if len(items) <= limit else f"{text}, ... ({len(items)} in all)"


def require(condition: bool, message: str, *types: TensorType) -> None:
    """Raises a `GraphError` with `message` unless `condition` holds."""
    if not condition:
        raise GraphError(message, received=types_text(types) if types else None)


def same_type(name: str, *types: TensorType) -> TensorType:
    """The type of an elementwise result: equal types, of which rank-0 ones stretch.

    Raises:
        GraphError: If dtypes differ or shapes other than rank 0 differ.
    """
    result = types[0]
    for type in types[1:]:
        if type.dtype is not result.dtype:
            raise GraphError(
                f"{name}: operands must have the same dtype", received=types_text(types)
            )
        if type.shape and type.shape != result.shape:
            if result.shape:
                raise GraphError(
                    f"{name}: operands must have the same shape",
                    received=types_text(types),
                    hint="only rank-0 operands stretch; use broadcast_in_dim",
                )
            result = type
    return result


def same_shape(name: str, *types: TensorType) -> tuple[Dim, ...]:
    """The common shape of operands whose dtypes may differ; rank-0 ones stretch."""
    first = types[0].dtype
    return same_type(name, *(type.with_dtype(first) for type in types)).shape


def checked_axes(name: str, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """`axes`, after checking that they are distinct and within ``0..rank-1``.

    Raises:
        GraphError: If they are not.
    """
    if len(set(axes)) != len(axes) or any(not 0 <= a < rank for a in axes):
        raise GraphError(
            f"{name}: axes must be distinct and within 0..{rank - 1}",
            received=f"[{_listed(axes)}]",
        )
    return tuple(axes)


def reduced(name: str, type: TensorType, axes: Sequence[int]) -> TensorType:
    """The type that is left when `axes` are reduced away."""
    checked = checked_axes(name, axes, type.rank)
    return type.with_shape(d for i, d in enumerate(type.shape) if i not in checked)


def shaped(type: TensorType, shape: Sequence[Dim]) -> TensorType:
    """`type` with another shape, within the limits of what can be addressed."""
    return checked_type(type.dtype, shape)
