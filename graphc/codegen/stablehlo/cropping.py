"""Windows whose padding takes elements away."""

from __future__ import annotations

from graphc.codegen.stablehlo.function import FunctionWriter
from graphc.codegen.stablehlo.text import function_type, ints
from graphc.ir.opdef import IntLists
from graphc.ir.types import TensorType


class Cropping:
    """What is cut off before windows are laid, because their padding takes it away.

    XLA takes windows of one element for no windows at all, and does not see that
    their padding takes something away.

    Attributes:
        padding: The padding that is left for the windows.
    """

    def __init__(self, padding: IntLists) -> None:
        self._cuts = [tuple(p) if max(p) <= 0 else (0, 0) for p in padding]
        self.padding: IntLists = tuple(
            (0, 0) if any(cut) else tuple(pair)
            for pair, cut in zip(padding, self._cuts, strict=True)
        )

    def crop(
        self, f: FunctionWriter, x: str, type: TensorType, fill: str
    ) -> tuple[str, TensorType]:
        """Writes the crop of `x`; returns the name and type of what is left.

        Args:
            f: The function that it is written in.
            x: The name of the tensor.
            type: The tensor's type.
            fill: The name of a scalar of its dtype, which padding asks for.
        """
        if not any(map(any, self._cuts)):
            return x, type
        low, high = zip(*self._cuts, strict=True)
        sizes = [
            size + sum(cut)
            for size, cut in zip(type.static_shape, self._cuts, strict=True)
        ]
        left = type.with_shape(sizes)
        types = function_type([type, type.with_shape(())], [left])
        name = f.define(
            f"stablehlo.pad {x}, {fill}, low = {ints(low)}, "
            f"high = {ints(high)}, interior = {ints([0] * len(sizes))} : {types}",
            "cropped",
        )
        return name, left
