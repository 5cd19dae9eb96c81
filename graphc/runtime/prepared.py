"""Programs that prepare weights once, and again when there are others."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from graphc.ir import parse
from graphc.ir.errors import GraphcError, LoadError
from graphc.ir.graph import Graph
from graphc.ir.opdef import operand_types
from graphc.runtime.backend import Backend, Memory, Packed, Program, Runnable

if TYPE_CHECKING:
    from graphc.runtime.kernel_costs import KernelReport

PREPARED = "prepared"
"""Among the facts of a packed program: what prepares its weights, if something does."""

GRAPH = "prepared.gir"

P = TypeVar("P", bound=Runnable)


class PreparedRunnable(Generic[P]):
    """A program of two: the results of the first are kept for the second.

    They are kept as long as the first is given the same arrays, and these exist. Arrays
    of NumPy, which can change, are prepared in each run.

    Args:
        first: The program that prepares.
        operands: The positions of the arrays that it is given.
        rest: The program that is given all arrays, and what the first returns.
    """

    def __init__(self, first: P, operands: Sequence[int], rest: P) -> None:
        self._first = first
        self._operands = operands
        self._rest = rest
        self._kept: tuple[list[weakref.ref[Any]], tuple[Any, ...]] | None = None

    def run(self, *arrays: Any) -> tuple[Any, ...]:
        """The results of the second program."""
        return self._rest.run(*arrays, *self._prepared(arrays))

    def _prepared(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        given = [arrays[position] for position in self._operands]
        kept = self._kept
        if kept is not None and all(
            known() is array for known, array in zip(kept[0], given, strict=True)
        ):
            return kept[1]
        made = tuple(self._first.run(*given))
        if not any(isinstance(array, np.ndarray) for array in given):
            self._kept = [weakref.ref(a, self._forget) for a in given], made
        return made

    def _forget(self, gone: weakref.ref[Any]) -> None:
        """Frees what was made of an array that is gone."""
        if self._kept is not None and any(gone is known for known in self._kept[0]):
            self._kept = None

    def explain(self, error: Exception) -> GraphcError | None:
        """As the second program says."""
        return self._rest.explain(error)

    def place(self, array: Any) -> Any:
        """As the second program does."""
        return self._rest.place(array)


class PreparedProgram(PreparedRunnable[Program]):
    """A compiled program of two.

    Args:
        graph: The graph of the one that prepares.
        first, operands, rest: As for a `PreparedRunnable`.
    """

    def __init__(
        self, graph: Graph, first: Program, operands: Sequence[int], rest: Program
    ) -> None:
        super().__init__(first, operands, rest)
        self._graph = graph

    @property
    def text(self) -> str:
        """The text of what prepares, then that of the rest."""
        return f"{self._first.text}\n{self._rest.text}"

    def pack(self) -> Packed | None:
        """Both programs, if both can be kept."""
        first, rest = self._first.pack(), self._rest.pack()
        if first is None or rest is None:
            return None
        files = {f"{PREPARED}.{name}": data for name, data in first.files.items()}
        said = {"operands": list(self._operands), "facts": dict(first.facts)}
        graph = str(self._graph).encode()
        return Packed(
            {**rest.facts, PREPARED: said}, {**rest.files, **files, GRAPH: graph}
        )

    def memory(self) -> Memory | None:
        """As the second program says, which is given what is kept."""
        return self._rest.memory()

    def cost(self) -> dict[str, float] | None:
        """As the second program says."""
        return self._rest.cost()

    def kernels(self, *arrays: Any) -> KernelReport | None:
        """As the second program says."""
        prepared = self._prepared(arrays) if arrays else ()
        return self._rest.kernels(*arrays, *prepared)


def unpack(
    backend: Backend,
    packed: Packed,
    graph: Graph,
    device: str | None,
    donate: Sequence[int],
) -> Runnable | None:
    """The program that was packed, prepared or not, as `Backend.unpack` says.

    Raises:
        LoadError: If it is damaged.
    """
    if PREPARED not in packed.facts:
        return backend.unpack(packed, graph, device, donate)
    said, own = _own_part(packed)
    prepares, operands = _graph(packed), said["operands"]
    _check_operands(prepares, operands, graph)
    rest = graph.copy()
    for type in operand_types(prepares.results):
        rest.add_parameter(type)
    facts = {name: fact for name, fact in packed.facts.items() if name != PREPARED}
    others = {n: d for n, d in packed.files.items() if n not in own and n != GRAPH}
    mine = {name.partition(".")[2]: data for name, data in own.items()}
    first = backend.unpack(Packed(said["facts"], mine), prepares, device, ())
    last = backend.unpack(Packed(facts, others), rest, device, donate)
    if first is None or last is None:
        return None
    return PreparedRunnable(first, operands, last)


def _own_part(packed: Packed) -> tuple[dict[str, Any], Mapping[str, bytes]]:
    """What a packed program says of what prepares, and the files of that."""
    said = packed.facts[PREPARED]
    whole = (
        isinstance(said, dict)
        and said.keys() == {"operands", "facts"}
        and isinstance(said["operands"], list)
        and isinstance(said["facts"], dict)
        and PREPARED not in said["facts"]
    )
    if not whole:
        raise LoadError("what a packed program says of its weights is not complete")
    files = packed.files.items()
    own = {n: d for n, d in files if n.startswith(f"{PREPARED}.") and n != GRAPH}
    return said, own


def _graph(packed: Packed) -> Graph:
    """The graph of what prepares."""
    try:
        graph = parse(packed.files.get(GRAPH, b"").decode())
        graph.verify()
    except (GraphcError, UnicodeDecodeError) as error:
        raise LoadError(f"{GRAPH} is not valid: {error}") from error
    return graph


def _check_operands(prepares: Graph, operands: Sequence[Any], graph: Graph) -> None:
    types = [parameter.type for parameter in graph.parameters]
    fits = all(type(place) is int and 0 <= place < len(types) for place in operands)
    wanted = [parameter.type for parameter in prepares.parameters]
    if not fits or [types[place] for place in operands] != wanted:
        raise LoadError("what prepares weights reads others than the program has")
