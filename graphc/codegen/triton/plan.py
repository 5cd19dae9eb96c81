"""The launch plan: which kernel runs when, and where everything lies in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from graphc.codegen.triton.kernel import Kernel
from graphc.ir.types import TensorType
from graphc.ir.values import Attributes

RegionKind: TypeAlias = Literal["parameter", "constants", "arena", "result"]

UNROLLED = 20_000
"""The most steps of a loop that are recorded one after the other."""


@dataclass(frozen=True, slots=True)
class Region:
    """Memory with an address of its own.

    Attributes:
        kind: What it holds: a parameter, all constants, all temporaries, or a result
            that no donated parameter's memory takes.
        name: What it is called in the plan's text.
        bytes: Its size.
    """

    kind: RegionKind
    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Term:
    """What an address adds in each step of a loop.

    Attributes:
        loop: The number of the loop.
        stride: The bytes per step; negative where the last element comes first.
        phase: What is added to the number of the step.
        period: What the number of the step is taken modulo, unless it is 0.
    """

    loop: int
    stride: int
    phase: int = 0
    period: int = 0

    def at(self, step: int) -> int:
        """The bytes to add in a step of the loop."""
        number = step + self.phase
        return self.stride * (number % self.period if self.period else number)

    def __str__(self) -> str:
        number = f"i{self.loop}" + (f"+{self.phase}" if self.phase else "")
        if self.period:
            number = f"({number})%{self.period}" if self.phase else f"i{self.loop}%2"
        sign = "-" if self.stride < 0 else "+"
        return f" {sign} {number}*{abs(self.stride)}"


@dataclass(frozen=True, slots=True)
class Address:
    """A place in a region.

    Attributes:
        region: The number of the region.
        offset: Bytes from its start, before the first step of the loops around.
        terms: What the loops around add.
    """

    region: int
    offset: int = 0
    terms: tuple[Term, ...] = ()

    def resolve(self, bases: Sequence[int], steps: Mapping[int, int]) -> int:
        """The address in memory.

        Args:
            bases: The address of each region.
            steps: The number of the step that each loop around is in.
        """
        moved = sum(term.at(steps[term.loop]) for term in self.terms)
        return bases[self.region] + self.offset + moved


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel runs.

    Attributes:
        kernel: Its number among the plan's kernels.
        arguments: What its pointers are.
    """

    kernel: int
    arguments: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """Bytes are copied; the two places do not overlap."""

    source: Address
    target: Address
    bytes: int


@dataclass(frozen=True, slots=True)
class Fill:
    """Bytes are set to zero."""

    target: Address
    bytes: int


@dataclass(frozen=True, slots=True)
class HostCall:
    """The host runs the reference of an op, for its effect.

    Attributes:
        op: The name of the op.
        attributes: The node's attributes.
        operands: What the reference reads.
        results: What it returns.
    """

    op: str
    attributes: Attributes
    operands: tuple[tuple[Address, TensorType], ...]
    results: tuple[tuple[Address, TensorType], ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """How often a loop runs that counts up to what the caller passes.

    Attributes:
        parameter: The number of the parameter, an integer.
        start: What the loop counts from.
    """

    parameter: int
    start: int

    def length(self, value: int) -> int:
        """How often the loop runs if the parameter has a value."""
        return max(0, value - self.start)


@dataclass(frozen=True, slots=True)
class Loop:
    """Steps that run again and again.

    Attributes:
        number: The loop's own number, which `Term` refers to.
        length: How often they run, or None while the predicate is true.
        condition: The steps that compute the predicate.
        predicate: A byte that is 0 if the loop ends, which the host reads.
        body: The steps.
    """

    number: int
    length: int | Limit | None
    condition: tuple[Step, ...]
    predicate: Address | None
    body: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """One of several sequences of steps runs; the host reads which.

    Attributes:
        index: The number of the branch; one that names none means the nearest.
        type: The type of the index.
        branches: The sequences.
    """

    index: Address
    type: TensorType
    branches: tuple[tuple[Step, ...], ...]


Step: TypeAlias = "Launch | Copy | Fill | HostCall | Loop | Branch"


@dataclass(frozen=True, slots=True)
class Constant:
    """What lies at an offset of the region of constants from the start.

    Attributes:
        type: Its type.
        offset: Where it lies.
        name: The name of the module's constant, or None for a literal.
        value: The literal's value.
    """

    type: TensorType
    offset: int
    name: str | None = None
    value: float | int | bool | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run does, in order, over memory that is laid out beforehand.

    Attributes:
        name: The name of the graph.
        parameters: The type of each parameter; its region has the same number.
        results: The type of each result and the number of its region: that of a
            donated parameter if the result takes its memory.
        donated: The parameters whose memory may be overwritten.
        regions: All memory: the parameters, the constants, the arena, other results.
        constants: What the region of constants holds.
        kernels: The distinct kernels.
        steps: What is done.
        bound: The most bytes of temporaries that are alive at one time: no arena could
            be smaller.
    """

    name: str
    parameters: tuple[TensorType, ...]
    results: tuple[tuple[TensorType, int], ...]
    donated: tuple[int, ...]
    regions: tuple[Region, ...]
    constants: tuple[Constant, ...]
    kernels: tuple[Kernel, ...]
    steps: tuple[Step, ...]
    bound: int

    @property
    def constants_region(self) -> int:
        """The number of the region of constants."""
        return len(self.parameters)

    @property
    def arena(self) -> int:
        """The number of the arena's region."""
        return len(self.parameters) + 1

    def bytes(self, kind: RegionKind) -> int:
        """The bytes of all regions of a kind."""
        return sum(region.bytes for region in self.regions if region.kind == kind)

    @property
    def aliased(self) -> int:
        """The bytes of the results that lie in the memory of donated parameters."""
        taken = {region for _, region in self.results if region < len(self.parameters)}
        return sum(self.regions[region].bytes for region in taken)

    def launches(self) -> list[tuple[int, int | None]]:
        """The kernel of each launch and how often it runs; None if nobody knows."""
        return list(_launches(self.steps, 1))

    @property
    def limits(self) -> tuple[int, ...]:
        """The parameters whose values say how often loops run."""
        loops = (step for step in _nested(self.steps) if isinstance(step, Loop))
        found = {x.length.parameter for x in loops if isinstance(x.length, Limit)}
        return tuple(sorted(found))

    @property
    def obstacle(self) -> str | None:
        """Why a run cannot be recorded once and replayed, or None if it can."""
        return obstacle(self.steps)

    def __str__(self) -> str:
        return "\n".join(_lines(self)) + "\n"


def limited(steps: Sequence[Step], values: Mapping[int, int]) -> tuple[Step, ...]:
    """Steps with the lengths that loops have for values of the parameters.

    Args:
        steps: Some steps of a plan.
        values: The value of each parameter that limits a loop.
    """
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Loop):
            length = step.length
            if isinstance(length, Limit):
                length = length.length(values[length.parameter])
            condition = limited(step.condition, values)
            body = limited(step.body, values)
            step = replace(step, length=length, condition=condition, body=body)
        elif isinstance(step, Branch):
            branches = tuple(limited(branch, values) for branch in step.branches)
            step = replace(step, branches=branches)
        found.append(step)
    return tuple(found)


def obstacle(steps: Sequence[Step]) -> str | None:
    """Why steps cannot be recorded once and replayed, or None if they can."""
    for step in _nested(steps):
        if isinstance(step, HostCall):
            return f"{step.op} runs on the host"
        if isinstance(step, Branch):
            return "the host reads which branch to take"
        if isinstance(step, Loop) and step.length is None:
            return "the host reads whether a loop goes on"
        if isinstance(step, Loop) and repeats(step):
            return "a loop is too long to be recorded with what is around it"
    return None


def repeats(loop: Loop) -> bool:
    """Whether a loop does the same in each of its steps, which are many."""
    return (
        isinstance(loop.length, int)
        and loop.length * length_of(loop.body) > UNROLLED
        and all(
            term.loop != loop.number
            for step in _nested(loop.body)
            for address in _addresses(step)
            for term in address.terms
        )
    )


def length_of(steps: Sequence[Step]) -> int:
    """How many steps a run takes, loops that are not unrolled counted as one step."""
    return sum(
        length_of(step.body) * step.length
        if isinstance(step, Loop) and isinstance(step.length, int) and not repeats(step)
        else 1
        for step in steps
    )


def _addresses(step: Step) -> Sequence[Address]:
    """The places that a step by itself names."""
    match step:
        case Launch(arguments=arguments):
            return arguments
        case Copy(source=source, target=target):
            return source, target
        case Fill(target=target):
            return (target,)
        case HostCall(operands=operands, results=results):
            return [address for address, _ in (*operands, *results)]
        case Branch(index=index):
            return (index,)
        case Loop(predicate=predicate):
            return () if predicate is None else (predicate,)


def _nested(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps, those of loops and branches too."""
    for step in steps:
        yield step
        for inner in _parts(step):
            yield from _nested(inner)


def _parts(step: Step) -> tuple[tuple[Step, ...], ...]:
    match step:
        case Loop(condition=condition, body=body):
            return condition, body
        case Branch(branches=branches):
            return branches
        case _:
            return ()


def _launches(
    steps: Sequence[Step], times: int | None
) -> Iterator[tuple[int, int | None]]:
    for step in steps:
        if isinstance(step, Launch):
            yield step.kernel, times
        inside = times
        match step:
            case Loop(length=int(length)):
                inside = None if times is None else times * length
            case Loop() | Branch():
                inside = None
            case _:
                pass
        for inner in _parts(step):
            yield from _launches(inner, inside)


# -- text ------------------------------------------------------------------------------


def _lines(plan: Plan) -> Iterator[str]:
    yield f"plan @{plan.name}"
    for number, region in enumerate(plan.regions):
        type = f" {plan.parameters[number]}" if region.kind == "parameter" else ""
        donated = ", donated" if number in plan.donated else ""
        yield f"  {region.name}:{type} {region.bytes} bytes{donated}"
    for constant in plan.constants:
        what = f"@{constant.name}" if constant.name else repr(constant.value)
        yield f"  constants+{constant.offset}: {what} : {constant.type}"
    yield "steps"
    yield from _step_lines(plan, plan.steps, "  ")
    places = (f"{plan.regions[region].name} {type}" for type, region in plan.results)
    yield f"return {', '.join(places)}"


def _step_lines(plan: Plan, steps: Sequence[Step], indent: str) -> Iterator[str]:
    for step in steps:
        yield from (indent + line for line in _step_text(plan, step))


def _step_text(plan: Plan, step: Step) -> Iterator[str]:
    def place(address: Address) -> str:
        name = plan.regions[address.region].name
        offset = f"+{address.offset}" if address.offset or name == "arena" else ""
        return name + offset + "".join(map(str, address.terms))

    match step:
        case Launch(kernel=number, arguments=arguments):
            kernel = plan.kernels[number]
            grid = "x".join(str(n) for n in kernel.programs)
            yield f"launch {kernel.name}[{grid}]({', '.join(map(place, arguments))})"
        case Copy(source=source, target=target, bytes=count):
            yield f"copy {place(target)} <- {place(source)}, {count} bytes"
        case Fill(target=target, bytes=count):
            yield f"zero {place(target)}, {count} bytes"
        case HostCall(op=op, operands=operands, results=results):
            read = ", ".join(f"{place(at)} : {type}" for at, type in operands)
            written = ", ".join(f"{place(at)} : {type}" for at, type in results)
            yield f"host {op}({read}) -> ({written})"
        case Loop(number=number, length=length, predicate=predicate):
            if isinstance(length, Limit):
                limit = plan.regions[length.parameter].name
                less = f" - {length.start}" if length.start else ""
                yield f"loop i{number} < {limit}{less}"
            elif predicate is None:
                yield f"loop i{number} < {length}"
            else:
                yield f"loop i{number} while {place(predicate)} after"
                yield from _step_lines(plan, step.condition, "    ")
                yield "do"
            yield from _step_lines(plan, step.body, "  ")
        case Branch(index=index, branches=branches):
            for number, branch in enumerate(branches):
                yield f"case {number} of {place(index)}"
                yield from _step_lines(plan, branch, "  ")
