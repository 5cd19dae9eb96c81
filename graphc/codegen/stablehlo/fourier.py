"""The StableHLO of Fourier transforms, which has complex numbers for a while."""

from __future__ import annotations

from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import ints, type_text
from graphc.ir.graph import Node
from graphc.ir.opdef import Ints
from graphc.ir.types import TensorType, product


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
    pairs = returned if kind == "IRFFT" else _complex_text(result)
    text = f"stablehlo.fft {name}, type = {kind}, length = {ints(lengths)}"
    found = f.define(f"{text} : ({given}) -> {pairs}", "transform")
    found, flat = _in_a_row(f, found, pairs, result)
    back = f"({flat}) -> {pairs}"
    if kind == "IRFFT":
        f.assign(node, f"stablehlo.reshape {found} : {back}")
        return
    found = f.define(f"stablehlo.reshape {found} : {back}", "transform")
    for part, each in zip(("real", "imag"), node.results, strict=True):
        f.assign_value(each, f"stablehlo.{part} {found} : ({pairs}) -> {returned}")


def _in_a_row(
    f: FunctionWriter, name: str, pairs: str, type: TensorType
) -> tuple[str, str]:
    """What is called `name` as one row, and its type, which has but one layout.

    XLA on CPU transforms into its usual layout only, and yet asks for others where the
    result goes into a factorization of matrices: it aborts with an internal error.
    """
    row = type.with_shape((product(type.shape),))
    flat = type_text(row) if pairs == type_text(type) else _complex_text(row)
    name = f.define(f"stablehlo.reshape {name} : ({pairs}) -> {flat}", "row")
    return f.define(f"stablehlo.optimization_barrier {name} : {flat}", "row"), flat


LOWERINGS: dict[str, Lowering] = {"fft": fft}
