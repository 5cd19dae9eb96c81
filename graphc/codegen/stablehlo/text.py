"""Types, constants, strings and names as MLIR writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from graphc.ir.errors import GraphError
from graphc.ir.types import BOOL, I4, DType, TensorType, dtype
from graphc.ir.values import Literal

_ELEMENTS = {
    "bool": "i1",
    "u8": "ui8",
    "u16": "ui16",
    "u32": "ui32",
    "u64": "ui64",
    "f8e4m3fn": "f8E4M3FN",
    "f8e5m2": "f8E5M2",
}
"""Element types whose MLIR name differs from ours."""

SPELLED_OUT = 16
"""Constants of more elements than this are written as bytes."""


@lru_cache(maxsize=4096)
def type_text(type: TensorType) -> str:
    """The MLIR type of tensors of `type`: ``tensor<3x4xf32>``.

    Raises:
        GraphError: If a dim is symbolic.
    """
    if type.symbols:
        names = sorted(type.symbols)
        raise GraphError(
            "dimension symbols must be bound before code is emitted",
            received=str(type),
            hint=f"graph.bind({', '.join(f'{name}=...' for name in names)})",
        )
    element = _ELEMENTS.get(type.dtype.name, type.dtype.name)
    return f"tensor<{''.join(f'{d}x' for d in type.shape)}{element}>"


def types_text(types: Iterable[TensorType]) -> str:
    """The MLIR types, comma separated."""
    return ", ".join([type_text(type) for type in types])


def function_type(operands: Iterable[TensorType], results: Sequence[TensorType]) -> str:
    """The MLIR function type: ``(tensor<3xf32>, tensor<f32>) -> tensor<3xf32>``."""
    returned = types_text(results)
    if len(results) != 1:
        returned = f"({returned})"
    return f"({types_text(operands)}) -> {returned}"


def region_text(
    arguments: Iterable[tuple[str, TensorType]],
    lines: Iterable[str],
    result: str,
    type: TensorType,
) -> str:
    """A region with one block: its arguments, its lines and the value it returns."""
    return block_text(arguments, lines, [(result, type)])


def block_text(
    arguments: Iterable[tuple[str, TensorType]],
    lines: Iterable[str],
    results: Sequence[tuple[str, TensorType]],
) -> str:
    """A region with one block: its arguments, its lines and the values it returns."""
    declared = ", ".join(f"{name}: {type_text(of)}" for name, of in arguments)
    names = ", ".join(name for name, _ in results)
    types = types_text(type for _, type in results)
    body = [*lines, f"stablehlo.return {names} : {types}"]
    indented = "".join(f"      {line}\n" for line in body)
    return f"{{\n    ^bb0({declared}):\n{indented}  }}"


def string_text(text: str) -> str:
    r"""`text` as an MLIR string literal, from which nothing in it can break out.

    Quotes, backslashes and everything but printable ASCII are written as ``\XX``.
    """
    if not _PLAIN.fullmatch(text):
        # What UTF-8 cannot hold (an unpaired surrogate in a file name) becomes "?".
        data = text.encode("utf-8", errors="replace")
        text = "".join(_escaped(byte) for byte in data)
    return f'"{text}"'


_PLAIN = re.compile(r"[ !#-\[\]-~]*")
"""Printable ASCII without quotes and backslashes."""


def _escaped(byte: int) -> str:
    character = chr(byte)
    return character if _PLAIN.fullmatch(character) else f"\\{byte:02X}"


def ints(values: Iterable[int]) -> str:
    """The integers in brackets: ``[1, 2]``."""
    return f"[{', '.join(map(str, values))}]"


def int_array(values: Iterable[int]) -> str:
    """The integers as an MLIR array attribute: ``array<i64: 1, 2>``."""
    text = ", ".join(map(str, values))
    return f"array<i64: {text}>" if text else "array<i64>"


def padding_matrix(padding: Sequence[Sequence[int]]) -> str:
    """Low and high padding of each dim as an MLIR attribute."""
    rows = ", ".join(map(ints, padding))
    shape = f"tensor<{len(padding)}x2xi64>"
    return f"dense<[{rows}]> : {shape}" if padding else f"dense<> : {shape}"


def windows_text(
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[Sequence[int]],
    dilation: Sequence[int] | None = None,
) -> str:
    """The attributes of an operation over windows."""
    holes = f"window_dilations = {int_array(dilation)}, " if dilation else ""
    return (
        f"window_dimensions = {int_array(window)}, "
        f"window_strides = {int_array(strides)}, "
        f"{holes}padding = {padding_matrix(padding)}"
    )


def literal_text(literal: Literal) -> str:
    """A literal's value, as it stands between the angle brackets of ``dense<>``."""
    return _element_text(literal.numpy(), literal.dtype)


def dense_text(array: np.ndarray[Any, Any]) -> str:
    """What stands between the angle brackets of the ``dense<>`` of an array.

    One element stands for all when they are equal bit for bit; few elements are
    spelled out; many are written as hexadecimal bytes.
    """
    element = dtype(array.dtype)
    if array.size == 0:
        return ""
    flat = np.ascontiguousarray(array).reshape(-1)
    data = flat.view(np.uint8).reshape(flat.size, -1)
    if (data == data[0]).all():
        return _element_text(flat[0], element)
    if array.size <= SPELLED_OUT or element in (BOOL, I4):
        return _nested_text(array, element)
    # MLIR's bytes are little-endian; an array of the IR is in the machine's order.
    stored = flat if np.little_endian else flat.byteswap()
    return f'"0x{stored.tobytes().hex().upper()}"'


def _nested_text(array: np.ndarray[Any, Any], element: DType) -> str:
    if array.ndim == 0:
        return _element_text(array, element)
    return f"[{', '.join(_nested_text(part, element) for part in array)}]"


def _element_text(value: Any, element: DType) -> str:
    if element is BOOL:
        return "true" if value else "false"
    if not element.is_float:
        return str(int(value))
    number = float(value)
    if not np.isfinite(number):
        bits = np.asarray(value, element.numpy).view(f"u{element.bits // 8}")
        return f"0x{int(bits):0{element.bits // 4}X}"
    # The decimal of the exact value: MLIR rounds it to a double and then to the type.
    digits, exponent, power = repr(number).partition("e")
    return f"{digits if '.' in digits else digits + '.0'}{exponent}{power}"
