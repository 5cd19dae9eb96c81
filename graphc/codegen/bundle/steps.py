"""The steps of a launch plan as the statements of a C function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from graphc.codegen.bundle.names import comment
from graphc.codegen.triton.plan import (
    Address,
    Branch,
    Copy,
    Fill,
    HostCall,
    Launch,
    Limit,
    Loop,
    Plan,
    Step,
    Term,
)
from graphc.ir.errors import UnsupportedError
from graphc.ir.types import BOOL, TensorType


@dataclass(frozen=True)
class Statements:
    """Writes the steps of a plan.

    Attributes:
        plan: The plan.
        kernels: The number that the bundle has for each of its kernels.
    """

    plan: Plan
    kernels: Sequence[int]

    def function(self, name: str) -> str:
        """The C function that does what the plan says."""
        head = f"static int {name}(Runner *r, const Address *at)"
        body = [*self._statements(self.plan.steps), "return OK;"]
        return "\n".join([head, "{", *_indented(body), "}", ""])

    def _statements(self, steps: Sequence[Step]) -> Iterator[str]:
        for step in steps:
            yield from self._statement(step)

    def _statement(self, step: Step) -> Iterator[str]:
        match step:
            case Launch():
                yield from self._launch(step)
            case Copy(source=source, target=target, bytes=size):
                yield f"TRY(copy(r, {_place(target)}, {_place(source)}, {size}));"
            case Fill(target=target, bytes=size):
                yield f"TRY(zero(r, {_place(target)}, {size}));"
            case HostCall(op=op):
                raise UnsupportedError(
                    f"{op} runs on the host, which in a C program has no graphc",
                    hint="leave it out of the model",
                )
            case Loop(length=None):
                yield from self._while(step)
            case Loop():
                yield from self._count(step)
            case Branch():
                yield from self._branch(step)

    def _launch(self, step: Launch) -> Iterator[str]:
        places = ", ".join(map(_place, step.arguments)) or "0"
        number, count = self.kernels[step.kernel], len(step.arguments)
        yield f"/* {comment(self.plan.kernels[step.kernel].name)} */"
        yield f"TRY(launch(r, {number}, {count}, (const Address[]){{{places}}}));"

    def _while(self, loop: Loop) -> Iterator[str]:
        assert loop.predicate is not None
        yield "for (;;) {"
        yield from _indented(self._statements(loop.condition))
        yield from _indented(_read(loop.predicate, TensorType((), BOOL), "goes_on"))
        yield from _indented(["if (!goes_on) break;"])
        yield from _indented(self._statements(loop.body))
        yield "}"

    def _count(self, loop: Loop) -> Iterator[str]:
        index, length = f"i{loop.number}", str(loop.length)
        yield "{"
        if isinstance(loop.length, Limit):
            limit = Address(loop.length.parameter)
            type = self.plan.parameters[loop.length.parameter]
            yield from _indented(_read(limit, type, f"n{loop.number}"))
            length = f"n{loop.number} - ({loop.length.start})"
        head = f"for (int64_t {index} = 0; {index} < {length}; {index}++) {{"
        body = _indented(self._statements(loop.body))
        yield from _indented([head, *body, "}"])
        yield "}"

    def _branch(self, step: Branch) -> Iterator[str]:
        """The branch that an index names, or the nearest one."""
        yield "{"
        yield from _indented(_read(step.index, step.type, "branch"))
        for number, statements in enumerate(step.branches):
            last = number == len(step.branches) - 1
            test = "1" if last else f"branch <= {number}"
            word = "if" if number == 0 else "} else if"
            yield from _indented([f"{word} ({test}) {{"])
            yield from _indented(_indented(self._statements(statements)))
        yield from _indented(["}"])
        yield "}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _read(place: Address, type: TensorType, name: str) -> Iterator[str]:
    """Declares a number that lies on the GPU."""
    size = max(1, type.dtype.bits // 8)
    signed = int(type.dtype.kind == "int")
    yield f"int64_t {name};"
    yield f"TRY(read_number(r, {_place(place)}, {size}, {signed}, &{name}));"


def _place(address: Address) -> str:
    start = f"at[{address.region}]"
    moved = [str(address.offset)] if address.offset else []
    if not address.terms:
        return " + ".join([start, *moved])
    return f"{start} + (Address)({' + '.join([*moved, *map(_moved, address.terms)])})"


def _moved(term: Term) -> str:
    number = f"i{term.loop}"
    if term.phase:
        number = f"({number} + {term.phase})"
    if term.period:
        number = f"({number} % {term.period})"
    return f"{number}*({term.stride})"
