"""Rules for ops that call graphs: these get the sizes, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.ir.body import as_tuple
from graphc.ir.build import building, inline
from graphc.ir.graph import Graph
from graphc.ir.opdef import OpDef
from graphc.ir.ops import (
    call,
    compare,
    cond,
    iota,
    scan,
    select,
    while_,
)
from graphc.ir.types import BOOL, I32, TensorType
from graphc.ir.values import Operand
from graphc.passes.padding.axes import PaddedAxis, State, varies
from graphc.passes.padding.step import Rule, Step


def _call(step: Step) -> list[State]:
    callee, found = step.callee(step.node.attributes["graph"], step.read)
    sizes = step.sizes
    step.rewrite("call", lambda: call(*step.bound.operands, *sizes, graph=callee))
    return found


def _cond(step: Step) -> list[State]:
    made = [
        step.callee(name, step.read[1:]) for name in step.node.attributes["branches"]
    ]
    branches = [callee for callee, _ in made]
    operands = [*step.bound.operands, *step.sizes]
    step.rewrite("call", lambda: cond(*operands, branches=branches))
    return [
        step.joined_all(states)
        for states in zip(*(found for _, found in made), strict=True)
    ]


def _settled(
    step: Step,
    start: Sequence[State],
    made: Callable[[Sequence[State]], tuple[Graph, list[State]]],
) -> tuple[Graph, list[State]]:
    """A body whose carries are padded after a step as they are before it."""
    before = list(start)
    while True:
        callee, found = made(before)
        after = [
            step.joined_all(pair)
            for pair in zip(before, found[: len(before)], strict=True)
        ]
        if after == before:
            return callee, found
        before = after


def _while(step: Step) -> list[State]:
    names = step.node.attributes
    body, found = _settled(
        step, step.read, lambda before: step.callee(names["body"], before)
    )
    test, _ = step.callee(names["cond"], found)
    count = len(step.sizes)
    body.results = (*body.results, *body.parameters[-count:])
    operands = [*step.bound.operands, *step.sizes]
    step.rewrite(
        "loop", lambda: as_tuple(while_(*operands, cond=test, body=body))[:-count]
    )
    return found


def _scan(step: Step) -> list[State]:
    attributes = step.attributes
    length, carries = attributes["length"], attributes["carries"]
    first = carries + attributes["sequences"]
    ends = varies(length, step.symbols)
    for number in range(carries, first):
        if 0 in step.read[number]:
            step.prefix(number, 0)
    elements = [_shifted(state, -1) for state in step.read[carries:first]]
    invariants = step.read[first:]
    body, found = _settled(
        step,
        step.read[:carries],
        lambda before: step.callee(
            step.node.attributes["body"], [*before, *elements, *invariants]
        ),
    )
    operands = list(step.bound.operands)
    if ends:
        body = _while_inside(body, carries, first)
    given = {
        **step.bound.attributes,
        "body": body.name,
        "sequences": attributes["sequences"] + ends,
    }

    def made() -> Any:
        inside: list[Operand] = []
        if ends:
            line = iota(shape=(step.bind(length),), axis=0, dtype=I32)
            inside.append(compare(line, step.amount(length), direction="LT"))
        return scan(*operands[:first], *inside, *operands[first:], *step.sizes, **given)

    step.rewrite("loop", made)
    outputs = [_shifted(state, 1) for state in found[carries:]]
    if ends:
        outputs = [{0: PaddedAxis((length,)), **state} for state in outputs]
    return [*found[:carries], *outputs]


def _shifted(state: State, by: int) -> dict[int, PaddedAxis]:
    return {axis + by: found for axis, found in state.items() if axis + by >= 0}


def _while_inside(body: Graph, carries: int, first: int) -> Graph:
    """A body that keeps its carries where its element is padding.

    Behind the elements it takes whether they are inside.
    """
    result = Graph(body.module.fresh_name(f"{body.name}_inside"), body.module)
    values = [
        result.add_parameter(p.type, p.name, p.attributes)
        for p in body.parameters[:first]
    ]
    inside = result.add_parameter(TensorType((), BOOL), "inside")
    values += [
        result.add_parameter(p.type, p.name, p.attributes)
        for p in body.parameters[first:]
    ]
    with building(result):
        found = inline(body, values)
        kept = [
            select(inside, new, old)
            for new, old in zip(found[:carries], values, strict=False)
        ]
        result.results = [*kept, *found[carries:]]
    return result


LOOP_RULES: Mapping[OpDef, Rule] = {
    call: _call,
    cond: _cond,
    scan: _scan,
    while_: _while,
}
"""The ops that have a rule here."""
