"""Which node of a graph first makes a NaN or an infinity that its results show.

`watched` gives a graph one more result, which says whether all others are finite: a run
that is finite costs no more than that. For one that is not, `find_nonfinite` runs the
graph on the evaluator and follows what is not finite to the node that made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ml_dtypes import finfo

from graphc.ir.build import building
from graphc.ir.errors import NonFiniteError
from graphc.ir.evaluate import Evaluator, bind_shapes
from graphc.ir.graph import Graph, Node
from graphc.ir.location import Location
from graphc.ir.ops import and_, is_finite, reduce_and
from graphc.ir.types import dtype
from graphc.ir.values import Literal, Operand, Value

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class NonFinite:
    """A node that made a value that is not finite, and from what.

    Attributes:
        op: The op's name; ``"input x"`` or ``"variable w"`` if it was not finite before.
        value: ``"nan"`` or ``"inf"``.
        count: How many elements of the result are not finite.
        type: The type of the result.
        path: The layer path, or None.
        location: The user's line, or None.
        operands: The smallest and the largest finite element of each operand.
        within: The op that the node is part of, if that is made of others.
        hint: What may be the cause.
        is_state: Whether it is a variable that was not finite before.
    """

    op: str
    value: str
    count: int
    type: str
    path: str | None
    location: Location | None
    operands: tuple[tuple[float, float], ...]
    within: str | None = None
    hint: str | None = None
    is_state: bool = False

    def __str__(self) -> str:
        lines = [self.summary]
        lines += [f"  operand in {low:g} .. {high:g}" for low, high in self.operands]
        if self.location is not None:
            lines.append(self.location.describe())
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """What was made by what, in a line."""
        within = f" in {self.within}" if self.within else ""
        return (
            f"the first {self.value} comes from {self.op}{within}:"
            f" {self.count} in {self.type}"
        )

    def error(self) -> NonFiniteError:
        """The error that says so."""
        ranges = [f"{low:g} .. {high:g}" for low, high in self.operands]
        return NonFiniteError(
            self.summary,
            received=f"operands in {', '.join(ranges)}" if ranges else None,
            location=self.location,
            hint=self.hint,
        )


def watched(graph: Graph, state: int = 0) -> Graph:
    """A copy that also returns whether its float results are finite: bool[].

    Args:
        graph: The graph.
        state: How many results at the end are not looked at, because the next run
            reads them: reading them twice takes time, and it will show then.
    """
    copy = graph.copy()
    with building(copy):
        finite: Operand = Literal(True)
        for result in dict.fromkeys(copy.results[: len(copy.results) - state]):
            if isinstance(result, Value) and result.dtype.is_float:
                axes = list(range(result.type.rank))
                each = reduce_and(is_finite(result), axes=axes)
                finite = each if isinstance(finite, Literal) else and_(finite, each)
        copy.results = (*copy.results, finite)
    return copy


def find_nonfinite(graph: Graph, arrays: Sequence[Any]) -> NonFinite | None:
    """What made the first NaN of the results of `graph`, else the first infinity.

    That is the first node, of those that a result which is not finite comes from, that
    made such a value of finite operands. Infinities that the program writes itself, as
    masks are, are no cause: there it is what made a NaN of them. None if all results
    are finite, or only have such infinities.

    Args:
        graph: The graph.
        arrays: An array for each parameter.
    """
    converted = [np.asarray(array) for array in arrays]
    finder = _Finder(bind_shapes(graph, [array.shape for array in converted]))
    for parameter, array in zip(graph.parameters, converted, strict=True):
        finder.look_at_parameter(parameter, array)
    with np.errstate(all="ignore"):
        results = finder.run(graph, *converted)
    return finder.first(results)


@dataclass(frozen=True)
class _Origin:
    """A cause, and its place among all causes."""

    number: int
    cause: NonFinite


class _Finder(Evaluator):
    """An evaluator that notes of each array that is not finite where that began.

    Arrays are known by identity, which bodies of ops and called graphs keep.
    """

    def __init__(self, bindings: Mapping[str, int]) -> None:
        super().__init__(bindings)
        self._origins: dict[int, _Origin] = {}
        self._kept: list[Array] = []  # so that no other array gets an id again
        self._found: list[_Origin] = []
        self._around: list[Node] = []
        self._flows: list[_Origin | None] = []

    def look_at_parameter(self, parameter: Value, array: Array) -> None:
        """Notes that a parameter is not finite, if it is not."""
        if not _is_bad(array):
            return
        is_state = parameter.attributes.get("role") == "state"
        kind = "variable" if is_state else "input"
        name = parameter.name or str(parameter.index)
        before = "was not finite before this run" if is_state else "is not finite"
        cause = NonFinite(
            f"{kind} {name}",
            _value(array),
            int((~np.isfinite(array)).sum()),
            str(parameter.type),
            None,
            None,
            (),
            hint=f"{kind} {name} {before}",
            is_state=is_state,
        )
        self._remember(array, self._new(cause))

    def first(self, results: Sequence[Array]) -> NonFinite | None:
        """The first cause of what is not finite in the results, of NaN if there is."""
        bad = [array for array in results if _is_bad(array)]
        nans = [array for array in bad if np.isnan(array).any()]
        origin = self._earliest(nans) or self._earliest(bad)
        return None if origin is None else origin.cause

    def run(self, graph: Graph, *arrays: Array) -> tuple[Array, ...]:
        flow = self._flows[-1] if self._flows else None
        if flow is not None:
            # References of loops cut their operands into arrays that are new.
            for array in arrays:
                if _is_bad(array) and id(array) not in self._origins:
                    self._remember(array, flow)
        return super().run(graph, *arrays)

    def apply(self, node: Node, operands: Sequence[Array]) -> list[Array]:
        bad = [array for array in operands if _is_bad(array)]
        self._around.append(node)
        self._flows.append(self._earliest(bad))
        before = len(self._found)
        results = super().apply(node, operands)
        for result, array in zip(node.results, results, strict=True):
            if _is_bad(array) and id(array) not in self._origins:
                inner = self._found[before:]
                origin = self._origin(result, array, operands, bad, inner)
                if origin is not None:
                    self._remember(array, origin)
        self._flows.pop()
        self._around.pop()
        return results

    def _origin(
        self,
        result: Value,
        array: Array,
        operands: Sequence[Array],
        bad: Sequence[Array],
        inner: Sequence[_Origin],
    ) -> _Origin | None:
        """Where that an array is not finite began; None if that is on purpose."""
        is_nan = bool(np.isnan(array).any())
        nans = [each for each in bad if np.isnan(each).any()]
        known = self._earliest(nans) if is_nan else None
        known = known or self._earliest(bad)
        if known is not None:
            return known
        for origin in inner:
            if origin.cause.value == _value(array):
                return origin
        if bad and not is_nan:
            return None
        return self._new(self._cause(result, array, operands))

    def _cause(
        self, result: Value, array: Array, operands: Sequence[Array]
    ) -> NonFinite:
        located = [node for node in self._around if node.location is not None]
        location = located[-1].location if located else None
        node, outer = self._around[-1], self._around[-2:-1]
        composite = bool(outer) and not outer[0].op.graph_names(outer[0])
        floats = [each for each in operands if _is_sized_float(each)]
        ranges = tuple(_range(each) for each in floats)
        return NonFinite(
            node.op.name,
            _value(array),
            int((np.isnan if np.isnan(array).any() else np.isinf)(array).sum()),
            str(result.type),
            None if location is None else location.path,
            location,
            ranges,
            outer[0].op.name if composite else None,
            _hint(array, floats, ranges),
        )

    def _earliest(self, arrays: Sequence[Array]) -> _Origin | None:
        known = [self._origins[id(a)] for a in arrays if id(a) in self._origins]
        return min(known, key=lambda origin: origin.number, default=None)

    def _new(self, cause: NonFinite) -> _Origin:
        self._found.append(_Origin(len(self._found), cause))
        return self._found[-1]

    def _remember(self, array: Array, origin: _Origin) -> None:
        self._origins[id(array)] = origin
        self._kept.append(array)


def _hint(
    array: Array, operands: Sequence[Array], ranges: Sequence[tuple[float, float]]
) -> str:
    """What may be the cause, as the operands suggest."""
    if any(np.isinf(each).any() for each in operands):
        return "an operand is infinite: infinities cancel, or are multiplied by zero"
    if np.isnan(array).any() and any(low < 0 for low, _ in ranges):
        return "an operand is negative: clip it, or add what keeps it positive"
    if any((each == 0).any() for each in operands):
        return "an operand reaches zero: add a small number to it, or clip it"
    return (
        f"the result is beyond {float(finfo(array.dtype).max):g}, the largest"
        f" {dtype(array.dtype)}: scale the operands down, clip gradients, or lower the"
        " learning rate"
    )


def _range(array: Array) -> tuple[float, float]:
    """The smallest and the largest finite element, or infinities if there is none."""
    wide = array.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    ends = finite if finite.size else wide
    return float(ends.min()), float(ends.max())


def _value(array: Array) -> str:
    return "nan" if np.isnan(array).any() else "inf"


def _is_bad(array: Array) -> bool:
    return array.dtype.kind not in "biu" and not np.isfinite(array).all()


def _is_sized_float(array: Array) -> bool:
    return array.dtype.kind not in "biu" and array.size > 0
