"""Which op of a training step first makes a NaN or an infinity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.ir import Graph, Location, Node
from graphc.ir.evaluate import Evaluator, bind_shapes


@dataclass(frozen=True)
class NonFinite:
    """The first op whose result is not finite.

    Attributes:
        op: The op's name, or ``"input"`` if the data are not finite.
        value: ``"nan"`` or ``"inf"``.
        count: How many elements of the result are not finite.
        type: The type of the result.
        path: The layer path, or None.
        location: The user's line, or None.
        operands: The smallest and the largest element of each operand.
    """

    op: str
    value: str
    count: int
    type: str
    path: str | None
    location: Location | None
    operands: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        lines = [
            f"the first {self.value} comes from {self.op}: {self.count} in {self.type}"
        ]
        for low, high in self.operands:
            lines.append(f"  operand in {low:g} .. {high:g}")
        if self.location is not None:
            lines.append(self.location.describe())
        return "\n".join(lines)


def find_nonfinite(graph: Graph, arrays: Sequence[Any]) -> NonFinite | None:
    """The first op of `graph` with a NaN for these arrays, else with an infinity.

    Infinities come first only where there is no NaN: masks use them on purpose.
    """
    converted = [np.asarray(a) for a in arrays]
    for parameter, array in zip(graph.parameters, converted, strict=True):
        if _is_float(array) and not np.isfinite(array).all():
            value = "nan" if np.isnan(array).any() else "inf"
            count = int((~np.isfinite(array)).sum())
            name = f"input {parameter.name}"
            return NonFinite(name, value, count, str(parameter.type), None, None, ())
    finder = _Finder(bind_shapes(graph, [a.shape for a in converted]))
    with np.errstate(all="ignore"):
        finder.run(graph, *converted)
    return finder.nan or finder.infinity


class _Finder(Evaluator):
    """An evaluator that looks at each result; bodies of ops come before the op."""

    nan: NonFinite | None = None
    infinity: NonFinite | None = None

    def __init__(self, bindings: dict[str, int]) -> None:
        super().__init__(bindings)
        self._around: list[Location] = []

    def apply(self, node: Node, operands: Sequence[Any]) -> list[Any]:
        if node.location is not None:
            self._around.append(node.location)
        results = super().apply(node, operands)
        if self.nan is None:
            for result, array in zip(node.results, results, strict=True):
                if _is_float(array) and not np.isfinite(array).all():
                    self._note(node, str(result.type), array, operands)
        if node.location is not None:
            self._around.pop()
        return results

    def _note(self, node: Node, type: str, array: Any, operands: Sequence[Any]) -> None:
        is_nan = bool(np.isnan(array).any())
        bad = np.isnan(array) if is_nan else np.isinf(array)
        location = self._around[-1] if self._around else None
        found = NonFinite(
            node.op.name,
            "nan" if is_nan else "inf",
            int(bad.sum()),
            type,
            None if location is None else location.path,
            location,
            tuple(
                (float(o.min()), float(o.max())) for o in operands if _sized_float(o)
            ),
        )
        if is_nan:
            self.nan = found
        elif self.infinity is None:
            self.infinity = found


def _is_float(array: Any) -> bool:
    return array.dtype.kind not in "biu"


def _sized_float(array: Any) -> bool:
    return _is_float(array) and array.size > 0
