"""An itemised bill of the memory that a graph is predicted to need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.graph import Graph
from graphc.ir.opdef import operand_types
from graphc.ir.values import Value
from graphc.passes.liveness import Liveness, backward_start, is_gradient

LARGEST = 10
"""How many values a bill names."""


@dataclass(frozen=True, slots=True)
class Held:
    """A value that is in memory at the peak.

    Attributes:
        bytes: Its size.
        type: Its type as text.
        op: The op that makes it.
        path: The path of the layer that it belongs to, or None.
        kind: ``gradient`` for what the backward part made, ``saved`` for what it is
            still to read of the forward part, ``temporary`` for the rest.
    """

    bytes: int
    type: str
    op: str
    path: str | None
    kind: str

    def __str__(self) -> str:
        place = f" in {self.path}" if self.path else ""
        return (
            f"{format_bytes(self.bytes):>10}  {self.kind}: {self.op} {self.type}{place}"
        )


@dataclass(frozen=True, slots=True)
class MemoryBill:
    """What memory a graph is predicted to need, and what for.

    Attributes:
        parameters: The bytes of the arrays that are passed in.
        state: Those of them that are state: weights and what the optimizer keeps.
        results: The bytes of results that reuse no donated parameter.
        temporaries: The most bytes that are held at one time besides.
        kinds: The temporaries at the peak by kind; see `Held`. What loops and called
            graphs hold inside is ``inside loops``.
        saved: The ``saved`` bytes at the peak by layer path.
        largest: The largest values at the peak.
    """

    parameters: int
    state: int
    results: int
    temporaries: int
    kinds: Mapping[str, int]
    saved: Mapping[str, int]
    largest: tuple[Held, ...]

    @property
    def peak(self) -> int:
        """The most bytes that are held at one time."""
        return self.parameters + self.results + self.temporaries

    def __str__(self) -> str:
        lines = [
            f"{format_bytes(self.peak):>10}  predicted peak",
            f"{format_bytes(self.state):>10}  state",
            f"{format_bytes(self.parameters - self.state):>10}  inputs",
            f"{format_bytes(self.results):>10}  results",
            f"{format_bytes(self.temporaries):>10}  while it runs, of which at the peak",
        ]
        lines += [f"{format_bytes(n):>22}  {kind}" for kind, n in self.kinds.items()]
        if self.saved:
            lines.append("saved for the backward part, by layer:")
            lines += [f"{format_bytes(n):>10}  {p}" for p, n in self.saved.items()]
        if self.largest:
            lines.append("largest at the peak:")
            lines += map(str, self.largest)
        return "\n".join(lines)


def memory_bill(graph: Graph, donated: Sequence[int] = ()) -> MemoryBill:
    """The bill of a bound graph of primitives.

    Args:
        graph: The graph, after the passes that lower it and before kernels are made.
        donated: The positions of parameters whose memory results may reuse.
    """
    liveness = Liveness(graph)
    time = liveness.peak_time
    start = backward_start(liveness)
    held = [
        (value, _kind(value, liveness, start))
        for value in (liveness.held_at(time) if liveness.nodes else ())
    ]
    kinds: Counter[str] = Counter()
    saved: Counter[str] = Counter()
    for value, kind in held:
        kinds[kind] += liveness.stored[value]
        if kind == "saved":
            saved[_path(value) or "(no layer)"] += liveness.stored[value]
    inside = liveness.peak - sum(kinds.values())
    if inside > 0:
        kinds["inside loops"] = inside
    parameters = graph.parameters
    return MemoryBill(
        parameters=sum(p.type.nbytes for p in parameters),
        state=sum(p.type.nbytes for p in parameters if is_state(p)),
        results=new_result_bytes(graph, donated),
        temporaries=liveness.peak,
        kinds=dict(kinds.most_common()),
        saved=dict(saved.most_common()),
        largest=tuple(_held(*each, liveness) for each in held[:LARGEST]),
    )


def new_result_bytes(graph: Graph, donated: Sequence[int]) -> int:
    """The bytes of results for which no donated parameter of the type is left."""
    spare = Counter(graph.parameters[position].type for position in donated)
    total = 0
    for type in operand_types(graph.results):
        if spare[type] > 0:
            spare[type] -= 1
        else:
            total += type.nbytes
    return total


def is_state(parameter: Value) -> bool:
    """Whether a parameter holds state, which a step replaces."""
    return (parameter.attributes or {}).get("role") == "state"


def format_bytes(count: int) -> str:
    """Bytes as people read them: ``1.50 GiB``."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"


def _held(value: Value, kind: str, liveness: Liveness) -> Held:
    assert value.node is not None
    size = liveness.stored[value]
    return Held(size, str(value.type), value.node.op.name, _path(value), kind)


def _kind(value: Value, liveness: Liveness, start: int) -> str:
    assert value.node is not None
    if is_gradient(value.node):
        return "gradient"
    return "saved" if liveness.end[value] >= start else "temporary"


def _path(value: Value) -> str | None:
    assert value.node is not None
    return value.node.location.path if value.node.location is not None else None
