"""Making the launch plan of a lowered graph."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from graphc.codegen.triton.buffers import Buffer, Memory, Move, View
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.memory import aligned
from graphc.codegen.triton.plan import (
    Address,
    Branch,
    Constant,
    Copy,
    Fill,
    HostCall,
    Launch,
    Limit,
    Loop,
    Plan,
    Region,
    Step,
    Term,
)
from graphc.codegen.triton.trip_counts import count_trips
from graphc.ir.errors import UnsupportedError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Trait, operand_types
from graphc.ir.types import TensorType
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.fusion.group import is_alias
from graphc.passes.inline import FUSED

Views: TypeAlias = dict[Value, View]
"""Where the values of a graph lie."""

Draft: TypeAlias = "Callable[[Homes], Step | None]"
"""Makes a step once all memory is laid out; None if there is nothing left to do."""

Homes: TypeAlias = Mapping[Buffer, Address]

FOREVER = 2**62
"""A time after the end, when the memory of a result is still read."""


def make_plan(
    graph: Graph, kernels: Mapping[str, Kernel], donate: Sequence[int] = ()
) -> Plan:
    """The plan by which a lowered graph runs.

    Args:
        graph: A graph of calls of kernel graphs, aliases, constants and control flow.
        kernels: The kernel of each kernel graph, by the graph's name.
        donate: The positions of parameters whose memory may be overwritten.

    Raises:
        UnsupportedError: If a node is none of these.
    """
    return _Planner(graph, kernels, donate).plan()


def stored_bytes(type: TensorType) -> int:
    """The bytes of a tensor in memory, where every element takes a byte or more."""
    return math.prod(type.static_shape) * max(type.dtype.bits, 8) // 8


class _Planner:
    """Walks the graph in order; each step takes one unit of time.

    Every value gets a buffer of its own first, and whatever may need a copy is copied.
    `Memory.share` then finds the copies that need not be.
    """

    def __init__(
        self, graph: Graph, kernels: Mapping[str, Kernel], donate: Sequence[int]
    ) -> None:
        self.graph = graph
        self.kernels = kernels
        self.donated = tuple(donate)
        self.memory = Memory()
        self.time = 0
        self.drafts: list[Draft] = []
        self.loops: list[_Around] = []
        self.loop_count = 0
        self.numbers: dict[int, int] = {}  # a kernel's number, by its identity
        self.distinct: list[Kernel] = []
        self.constants: dict[str | Literal, Constant] = {}
        types = [p.type for p in graph.parameters]
        self.parameters = [
            self.memory.new(stored_bytes(type), 0, position)
            for position, type in enumerate(types)
        ]
        for position, buffer in enumerate(self.parameters):
            if position not in self.donated:
                buffer.read(FOREVER)
        self.pool = self.memory.new(0, 0, len(types))
        self.pool.read(FOREVER)

    def plan(self) -> Plan:
        """The plan."""
        graph, memory = self.graph, self.memory
        found = self.run(graph, [View(buffer) for buffer in self.parameters])
        results, regions = self.return_all(found)
        taken = {buffer for _, buffer in results}
        spare = [self.parameters[p] for p in self.donated]
        memory.share([buffer for buffer in spare if buffer not in taken])
        homes, size, bound = memory.lay_out(len(graph.parameters) + 1)
        last = max(self.constants.values(), key=lambda c: c.offset, default=None)
        pool = 0 if last is None else last.offset + stored_bytes(last.type)
        return Plan(
            graph.name,
            tuple(p.type for p in graph.parameters),
            tuple((type, homes[buffer].region) for type, buffer in results),
            self.donated,
            (
                *(
                    Region("parameter", f"%{p.name or p.index}", stored_bytes(p.type))
                    for p in graph.parameters
                ),
                Region("constants", "constants", pool),
                Region("arena", "arena", size),
                *regions,
            ),
            tuple(self.constants.values()),
            tuple(self.distinct),
            _finished(self.drafts, homes),
            bound,
        )

    # -- memory ------------------------------------------------------------------------

    def tick(self) -> int:
        """The time of the next step."""
        self.time += 1
        return self.time

    def buffer(self, type: TensorType, time: int) -> View:
        """A new buffer for a value, which is written at a time."""
        return View(self.memory.new(stored_bytes(type), time))

    def read(self, view: View, time: int) -> None:
        """Notes that a view is read at a time, and so in every step of loops around."""
        view.buffer.read(time)
        for around in self.loops:
            if view.buffer.start < around.start:
                around.read[view.buffer] = None

    def copy(self, source: View, target: View, bytes: int) -> None:
        """Copies, unless both turn out to be the same place."""
        time = self.tick()
        self.read(source, time)
        trips = math.prod(around.length for around in self.loops)
        since = self.loops[-1].start if self.loops else 0
        self.memory.moves.append(
            Move(source, target, bytes, time, bytes * trips, since)
        )
        self.memory.hand_over(time, source, target)

        def draft(homes: Homes) -> Step | None:
            here, there = _address(source, homes), _address(target, homes)
            return Copy(here, there, bytes) if here != there and bytes else None

        self.drafts.append(draft)

    def copied(self, source: View, type: TensorType) -> View:
        """A copy of a value."""
        target = self.buffer(type, self.time + 1)
        self.copy(source, target, stored_bytes(type))
        return target

    def overwrite(self, source: View, target: View, type: TensorType) -> None:
        """Copies a value over what a buffer held before."""
        target.buffer.write(self.time + 1)
        self.copy(source, target, stored_bytes(type))

    def view(self, views: Views, operand: Operand) -> View:
        """Where an operand lies."""
        if isinstance(operand, Literal):
            return self.constant(operand, operand.type)
        return views[operand]

    def constant(self, of: str | Literal, type: TensorType) -> View:
        """Where a constant of the module, or a literal, lies."""
        if of not in self.constants:
            end = 0
            if self.constants:
                last = next(reversed(self.constants.values()))
                end = last.offset + aligned(stored_bytes(last.type))
            literal = isinstance(of, Literal)
            self.constants[of] = Constant(
                type,
                end,
                name=None if literal else of,
                value=of.value if literal else None,
            )
        return View(self.pool, self.constants[of].offset)

    # -- graphs ------------------------------------------------------------------------

    def run(self, graph: Graph, operands: Sequence[View]) -> list[View]:
        """Plans a graph's nodes; where its results lie."""
        views = dict(zip(graph.parameters, operands, strict=True))
        for node in graph.nodes:
            read = [self.view(views, operand) for operand in node.operands]
            views.update(zip(node.results, self.node(node, read), strict=True))
        return [self.view(views, result) for result in graph.results]

    def node(self, node: Node, operands: Sequence[View]) -> Sequence[View]:
        """Plans a node; where its results lie."""
        if Trait.EFFECT in node.op.traits:
            return self.host_call(node, operands)
        lowering = LOWERINGS.get(node.op.name)
        if lowering is None and is_alias(node):  # such as a transposition of sizes 1
            lowering = _alias
        if lowering is None and node.op.no_kernel:
            raise UnsupportedError(
                f"{node.op.name} has no Triton kernel: {node.op.no_kernel}",
                received=", ".join(map(str, operand_types(node.operands))),
                location=node.location,
                hint="target='xla' runs it",
            )
        if lowering is None or node.graph is None:
            raise UnsupportedError(
                f"{node.op.name}: the launch plan takes it only inside of a kernel",
                received=", ".join(map(str, operand_types(node.operands))),
                location=node.location,
                hint="the pipeline 'triton' puts it into one",
            )
        attributes = node.op.decode(node.attributes, node.graph.module)
        return lowering(self, node, operands, **attributes)

    def steps_of(self, plan: Callable[[], None]) -> list[Draft]:
        """What `plan` appends to the drafts, taken from them."""
        outer, self.drafts = self.drafts, []
        plan()
        inner, self.drafts = self.drafts, outer
        return inner

    def return_all(
        self, found: Sequence[View]
    ) -> tuple[list[tuple[TensorType, Buffer]], list[Region]]:
        """Plans what brings the results to where the caller gets them."""
        types = operand_types(self.graph.results)
        targets = self.replaced(found, types)
        regions: list[Region] = []
        for number, (view, type) in enumerate(zip(found, types, strict=True)):
            target = targets.get(number)
            bytes = stored_bytes(type)
            if target is None:
                region = len(self.parameters) + 2 + len(regions)
                target = self.memory.new(bytes, self.time + 1, region)
                regions.append(Region("result", f"result{number}", bytes))
                self.copy(view, View(target), bytes)
            elif view.buffer is not target:
                self.overwrite(view, View(target), type)
            targets[number] = target
            target.read(FOREVER)
        return [(t, targets[i]) for i, t in enumerate(types)], regions

    def replaced(
        self, found: Sequence[View], types: Sequence[TensorType]
    ) -> dict[int, Buffer]:
        """The donated parameter whose memory each result takes, if one does.

        A donated parameter that is returned keeps its memory, and so does one that a
        loop starts with whose last state is returned. Every other one gives its memory
        to the first result of its type that is left.
        """
        own = {self.parameters[position]: position for position in self.donated}
        targets: dict[int, Buffer] = {}
        # Those that are returned come first: nothing may overwrite them.
        for origins in ({}, self.memory.origins()):
            for number, (view, type) in enumerate(zip(found, types, strict=True)):
                buffer = view.buffer
                while buffer not in own and buffer in origins:
                    buffer = origins[buffer]
                fits = view.is_whole and buffer.bytes == stored_bytes(type)
                if buffer in own and fits and number not in targets:
                    targets[number] = buffer
                    del own[buffer]
        for buffer, position in own.items():
            type = self.graph.parameters[position].type
            for number, wanted in enumerate(types):
                if number not in targets and wanted == type:
                    targets[number] = buffer
                    break
        return targets

    # -- kernels and the host ----------------------------------------------------------

    def launch(self, graph: Graph, operands: Sequence[View]) -> list[View]:
        """Plans a launch of a graph's kernel; where the results lie."""
        kernel = self.kernels[graph.name]
        places = list(operands)
        for position in kernel.in_place.values():
            places[position] = self.copied(
                places[position], kernel.parameters[position]
            )
        results = [
            places[kernel.in_place[number]]
            if number in kernel.in_place
            else self.buffer(type, self.time + 1)
            for number, type in enumerate(kernel.results)
        ]
        for number in kernel.zeroed:
            self.zero(results[number], kernel.results[number])
        time = self.tick()
        own = [view for i, view in enumerate(results) if i not in kernel.in_place]
        for view in (*places, *own):
            self.read(view, time)
        readers = Counter([view.buffer for view in places])
        for position, result in kernel.overwrites:
            source = places[position]
            alone = readers[source.buffer] == 1
            if alone and result not in (*kernel.zeroed, *kernel.in_place):
                self.memory.hand_over(time, source, results[result])
        arguments = (*places, *own)
        number = self.numbers.setdefault(id(kernel), len(self.distinct))
        if number == len(self.distinct):
            self.distinct.append(kernel)
        self.drafts.append(
            lambda homes: Launch(number, tuple(_address(v, homes) for v in arguments))
        )
        return results

    def zero(self, view: View, type: TensorType) -> None:
        """Plans the zeros that a kernel adds to."""
        self.read(view, self.tick())
        self.drafts.append(
            lambda homes: Fill(_address(view, homes), stored_bytes(type))
        )

    def host_call(self, node: Node, operands: Sequence[View]) -> list[View]:
        """Plans a call of the op's reference on the host."""
        time = self.tick()
        for view in operands:
            self.read(view, time)
        results = [self.buffer(result.type, time) for result in node.results]
        read = list(zip(operands, operand_types(node.operands), strict=True))
        written = list(zip(results, operand_types(node.results), strict=True))

        def draft(homes: Homes) -> Step:
            return HostCall(
                node.op.name,
                node.attributes,
                tuple((_address(view, homes), type) for view, type in read),
                tuple((_address(view, homes), type) for view, type in written),
            )

        self.drafts.append(draft)
        return results


class _Around:
    """A loop that is being planned.

    Attributes:
        number: Its number.
        start: The time before its first step.
        length: How often it runs, as far as anybody knows.
        read: The buffers from outside that it reads.
    """

    def __init__(self, number: int, start: int, length: int) -> None:
        self.number = number
        self.start = start
        self.length = length
        self.read: dict[Buffer, None] = {}


def _address(view: View, homes: Homes) -> Address:
    at = view.resolve()
    home = homes[at.buffer]
    return Address(home.region, home.offset + at.offset, at.terms)


def _finished(drafts: Sequence[Draft], homes: Homes) -> tuple[Step, ...]:
    steps = (draft(homes) for draft in drafts)
    return tuple(step for step in steps if step is not None)


# -- ops outside of kernels ------------------------------------------------------------

Lowering: TypeAlias = Callable[..., Sequence[View]]
"""``(planner, node, operands, **attributes)`` to where the results lie."""


def _alias(
    planner: _Planner, node: Node, operands: Sequence[View], **attributes: Any
) -> Sequence[View]:
    """The results are the operands: the same elements in row-major order."""
    return operands


def _constant(
    planner: _Planner, node: Node, operands: Sequence[View], name: Any
) -> Sequence[View]:
    return [planner.constant(node.attributes["name"], node.result.type)]


def _call(
    planner: _Planner,
    node: Node,
    operands: Sequence[View],
    graph: Graph,
    **attributes: Any,
) -> Sequence[View]:
    if graph.attributes.get(FUSED):
        return planner.launch(graph, operands)
    return planner.run(graph, operands)


def _while(
    planner: _Planner,
    node: Node,
    operands: Sequence[View],
    cond: Graph,
    body: Graph,
) -> Sequence[View]:
    types = operand_types(node.operands)
    length = _trip_count(planner, node, operands, cond, body)
    carried = _carried(planner, operands, types, body)
    predicates: list[View] = []

    def plan_condition() -> None:
        if length is None:
            predicates.extend(planner.run(cond, carried))
            planner.read(predicates[0], planner.tick())

    def plan_body() -> None:
        found = planner.run(body, carried)
        _carry(planner, found, carried, carried, types)

    around = _enter(planner, length if isinstance(length, int) else 1)
    condition = planner.steps_of(plan_condition)
    steps = planner.steps_of(plan_body)
    _leave(planner, carried)
    planner.drafts.append(
        lambda homes: Loop(
            around.number,
            length,
            _finished(condition, homes),
            _address(predicates[0], homes) if predicates else None,
            _finished(steps, homes),
        )
    )
    return carried


def _trip_count(
    planner: _Planner, node: Node, operands: Sequence[View], cond: Graph, body: Graph
) -> int | Limit | None:
    """How often a `while` runs, if that is known before its first step.

    What a loop counts up to must be a number or what the caller passes, which then need
    not be read from the device.
    """
    found = count_trips(node, cond, body)
    if found is None:
        return None
    limit = node.operands[found.limit] if isinstance(found.limit, int) else found.limit
    if isinstance(limit, Literal):
        return max(0, int(limit.value) - found.start)
    assert isinstance(found.limit, int)
    view = operands[found.limit]
    if not view.is_whole or view.buffer not in planner.parameters:
        return None
    return Limit(planner.parameters.index(view.buffer), found.start)


def _scan(
    planner: _Planner,
    node: Node,
    operands: Sequence[View],
    body: Graph,
    length: int,
    carries: int,
    sequences: int,
    reverse: bool,
    **attributes: Any,
) -> Sequence[View]:
    types = operand_types(node.operands)
    state = _carried(planner, operands[:carries], types, body)
    kept, rest = operands[:carries], operands[carries:]
    around = _enter(planner, length)
    stacked = [
        planner.buffer(result.type, around.start) for result in node.results[carries:]
    ]

    def element(view: View, type: TensorType) -> View:
        stride = stored_bytes(type) // max(length, 1)
        first = (length - 1) * stride if reverse and length else 0
        term = Term(around.number, -stride if reverse else stride)
        return View(view.buffer, view.offset + first, (*view.terms, term), view.half)

    def half(view: View, phase: int) -> View:
        term = Term(around.number, view.buffer.half, phase, period=2)
        return view if view in kept else View(view.buffer, half=term)

    def plan_body() -> None:
        elements: list[View] = []
        for view, type in zip(rest[:sequences], types[carries:], strict=False):
            at = element(view, type)
            part = type.with_shape(type.shape[1:])
            elements.append(at if at.is_aligned else planner.copied(at, part))
        now = [half(view, 0) for view in state]
        found = planner.run(body, [*now, *elements, *rest[sequences:]])
        for view, target, result in zip(
            found[carries:], stacked, body.results[carries:], strict=True
        ):
            at = element(target, result.type.with_shape((length, *result.type.shape)))
            planner.copy(view, at, stored_bytes(result.type))
        following = [half(view, 1) for view in state]
        _carry(planner, found[:carries], now, following, types)

    steps = planner.steps_of(plan_body)
    _leave(planner, [*state, *stacked])
    planner.drafts.append(
        lambda homes: Loop(around.number, length, (), None, _finished(steps, homes))
    )
    last = [v if v in kept else View(v.buffer, half=length % 2) for v in state]
    return [*last, *stacked]


def _carried(
    planner: _Planner,
    operands: Sequence[View],
    types: Sequence[TensorType],
    body: Graph,
) -> list[View]:
    """Buffers that hold what a loop carries, at first the operands.

    What the body returns as it is stays where it is.
    """
    return [
        view if result is parameter else planner.copied(view, type)
        for view, type, parameter, result in zip(
            operands, types, body.parameters, body.results, strict=False
        )
    ]


def _carry(
    planner: _Planner,
    found: Sequence[View],
    now: Sequence[View],
    following: Sequence[View],
    types: Sequence[TensorType],
) -> None:
    """Plans what brings the results of a loop's body to the next step.

    Results that are carried values themselves are read before any is overwritten.
    """
    held = {view.buffer for view in now}
    kept = [
        view
        if view.buffer not in held or view.buffer is own.buffer
        else planner.copied(view, type)
        for view, own, type in zip(found, now, types, strict=False)
    ]
    for view, own, target, type in zip(kept, now, following, types, strict=False):
        if view != own:
            planner.overwrite(view, target, type)


def _enter(planner: _Planner, length: int) -> _Around:
    around = _Around(planner.loop_count, planner.tick(), length)
    planner.loop_count += 1
    planner.loops.append(around)
    return around


def _leave(planner: _Planner, kept: Sequence[View]) -> None:
    """Ends the innermost loop, through which what it reads and keeps stays alive."""
    around = planner.loops.pop()
    time = planner.tick()
    for buffer in around.read:
        planner.read(View(buffer), time)
    for view in kept:
        planner.read(view, time)


def _cond(
    planner: _Planner,
    node: Node,
    operands: Sequence[View],
    branches: Sequence[Graph],
) -> Sequence[View]:
    index, *rest = operands
    start = planner.tick()
    planner.read(index, start)
    results = [planner.buffer(result.type, start) for result in node.results]
    drafts: list[list[Draft]] = []
    for branch in branches:

        def plan_branch(branch: Graph = branch) -> None:
            found = planner.run(branch, rest)
            for view, target, result in zip(found, results, node.results, strict=True):
                planner.overwrite(view, target, result.type)
            end = planner.tick()
            for target in results:
                planner.read(target, end)

        drafts.append(planner.steps_of(plan_branch))
    type = node.operands[0].type
    planner.drafts.append(
        lambda homes: Branch(
            _address(index, homes),
            type,
            tuple(_finished(each, homes) for each in drafts),
        )
    )
    return results


LOWERINGS: dict[str, Lowering] = {
    "call": _call,
    "cond": _cond,
    "constant": _constant,
    "custom_gradient": _call,
    "optimization_barrier": _alias,
    "reshape": _alias,
    "scan": _scan,
    "stop_gradient": _alias,
    "while": _while,
}
"""What stands outside of kernels in a lowered graph."""
