"""Element types and tensor types."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np

from graphc.ir.dims import Dim, SymbolicDim, parse_dim, symbols_of
from graphc.ir.errors import GraphError

MAX_RANK = 64

DTypeKind = Literal["bool", "int", "uint", "float"]


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type. There is one object per dtype, so ``is`` compares them.

    Attributes:
        name: The name in the text format, such as ``f32``.
        long_name: NumPy's and Keras's name, such as ``float32``.
        kind: What family the dtype belongs to.
        bits: The size of one element in bits.
    """

    name: str
    long_name: str
    kind: DTypeKind
    bits: int

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype (from ml_dtypes for those NumPy lacks)."""
        return _NUMPY[self.name]

    @property
    def is_float(self) -> bool:
        """Whether elements are floating-point numbers."""
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        """Whether elements are signed or unsigned integers."""
        return self.kind in ("int", "uint")

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype, (self.name,)


BOOL = DType("bool", "bool", "bool", 8)
I4 = DType("i4", "int4", "int", 4)
I8 = DType("i8", "int8", "int", 8)
I16 = DType("i16", "int16", "int", 16)
I32 = DType("i32", "int32", "int", 32)
I64 = DType("i64", "int64", "int", 64)
U8 = DType("u8", "uint8", "uint", 8)
U16 = DType("u16", "uint16", "uint", 16)
U32 = DType("u32", "uint32", "uint", 32)
U64 = DType("u64", "uint64", "uint", 64)
F8E4M3FN = DType("f8e4m3fn", "float8_e4m3fn", "float", 8)
F8E5M2 = DType("f8e5m2", "float8_e5m2", "float", 8)
F16 = DType("f16", "float16", "float", 16)
BF16 = DType("bf16", "bfloat16", "float", 16)
F32 = DType("f32", "float32", "float", 32)
F64 = DType("f64", "float64", "float", 64)

DTYPES: dict[str, DType] = {
    d.name: d
    for d in (
        *(BOOL, I4, I8, I16, I32, I64, U8, U16, U32, U64),
        *(F8E4M3FN, F8E5M2, F16, BF16, F32, F64),
    )
}
_ML_DTYPES = {"int4", "float8_e4m3fn", "float8_e5m2", "bfloat16"}
_NUMPY: dict[str, np.dtype[Any]] = {
    d.name: np.dtype(
        getattr(ml_dtypes, d.long_name) if d.long_name in _ML_DTYPES else d.long_name
    )
    for d in DTYPES.values()
}
_BY_NUMPY: dict[np.dtype[Any], DType] = {n: DTYPES[name] for name, n in _NUMPY.items()}
_BY_LONG_NAME: dict[str, DType] = {d.long_name: d for d in DTYPES.values()}


def dtype(of: str | DType | np.dtype[Any] | type[Any]) -> DType:
    """The DType that a name (``f32`` or ``float32``) or a NumPy dtype stands for.

    Raises:
        GraphError: If there is no such element type.
    """
    if isinstance(of, DType):
        return of
    found = None
    if isinstance(of, str):
        found = DTYPES.get(of) or _BY_LONG_NAME.get(of)
    elif isinstance(of, (np.dtype, type)):  # NumPy would read None and dicts as well
        with suppress(TypeError):  # abstract ones, such as np.floating
            found = _BY_NUMPY.get(np.dtype(of))
    if found is None:
        raise GraphError(
            "unknown dtype",
            received=repr(of)[:100],
            hint=f"use one of {', '.join(_BY_LONG_NAME)}",
        )
    return found


@dataclass(frozen=True, slots=True)
class TensorType:
    """The type of a value: a shape of dims and an element type, as ``f32[B,784]``."""

    shape: tuple[Dim, ...]
    dtype: DType

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return product(self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as integers.

        Raises:
            GraphError: If a dim is symbolic.
        """
        return tuple(int(d) for d in self.shape)

    @property
    def nbytes(self) -> int:
        """The size in bytes of a value with a static shape."""
        return (product(self.static_shape) * self.dtype.bits + 7) // 8

    @property
    def symbols(self) -> set[str]:
        """The names of the symbols in the shape."""
        return symbols_of(self.shape)

    def with_shape(self, shape: Iterable[Dim]) -> TensorType:
        """A tensor type of this dtype with another shape."""
        return TensorType(tuple(shape), self.dtype)

    def with_dtype(self, new: DType) -> TensorType:
        """A tensor type of this shape with another dtype."""
        return TensorType(self.shape, new)

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"

    __repr__ = __str__


def product(dims: Iterable[Dim]) -> Any:
    """The product of `dims`; 1 for none."""
    total: Any = 1
    for each in dims:
        total = total * each
    return total


def tensor_type(of: str) -> TensorType:
    """The tensor type that `of` spells, as in ``tensor_type("f32[B,784]")``.

    Raises:
        GraphError: If `of` is not a tensor type.
    """
    from_text = of.strip()
    name, bracket, rest = from_text.partition("[")
    if not bracket or not rest.endswith("]"):
        raise GraphError(f"{of[:80]!r} is not a tensor type")
    dims = rest[:-1].split(",") if rest[:-1].strip() else []
    _check_rank(len(dims))  # before reading what may be a million dims
    return checked_type(dtype(name), map(dim, dims))


def checked_type(element: DType, shape: Iterable[Dim]) -> TensorType:
    """A tensor type whose rank and sizes are within limits.

    Raises:
        GraphError: If a dim is negative or the type is too large to address.
    """
    dims = tuple(shape)
    _check_rank(len(dims))
    fixed = 1
    for size in dims:
        if not isinstance(size, int):
            continue
        if size < 0:
            raise GraphError(
                "a dimension is negative", received=str(TensorType(dims, element))
            )
        fixed *= size or 1
    if fixed * element.bits >= 2**63:
        raise GraphError(f"tensor of {fixed} elements is too large to address")
    return TensorType(dims, element)


def _check_rank(rank: int) -> None:
    if rank > MAX_RANK:
        raise GraphError(f"rank {rank} is above the limit of {MAX_RANK}")


def dim(of: int | str | SymbolicDim) -> Dim:
    """The dim that an integer, a text or a dim stands for."""
    return parse_dim(of) if isinstance(of, str) else of
