"""The StableHLO of Fourier transforms, which has complex numbers for a while."""

from __future__ import annotations

from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import ints, type_text
from graphc.ir.graph import Node
from graphc.ir.opdef import Ints
from graphc.ir.types import TensorType


def _complex_text(type: TensorType) -> str:
    """The MLIR type of complex numbers with parts of `type`."""
    element = type.dtype.name
    return type_text(type).replace(f"{element}>", f"complex<{element}>>")


def fft(f: FunctionWriter, node: Node, *, kind: str, lengths: Ints) -> None:
    """Writes the transform between pairs of parts and complex numbers."""
    x, result = node.operands[0].type, node.results[0].type
    if 0 in result.shape:
        empty = f.constant("", result)
        for each in node.results:
            f.alias(each, empty)
        return
    given, returned = type_text(x), type_text(result)
    name = f.operands(node)
    if kind != "RFFT":
        given = _complex_text(x)
        name = f.define(f"stablehlo.complex {name} : {given}", "complex")
    text = f"stablehlo.fft {name}, type = {kind}, length = {ints(lengths)}"
    if kind == "IRFFT":
        f.assign(node, f"{text} : ({given}) -> {returned}")
        return
    pairs = _complex_text(result)
    found = f.define(f"{text} : ({given}) -> {pairs}", "transform")
    for part, each in zip(("real", "imag"), node.results, strict=True):
        f.assign_value(each, f"stablehlo.{part} {found} : ({pairs}) -> {returned}")


LOWERINGS: dict[str, Lowering] = {"fft": fft}
