"""Loops: ops that run a graph of the module again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph
from graphc.ir.opdef import IllTyped, Kind, Sample
from graphc.ir.ops.control import called_types
from graphc.ir.ops.scan_gradient import scan_pullback
from graphc.ir.register import primitive
from graphc.ir.typerules import require, shaped, types_text
from graphc.ir.types import BOOL, TensorType

# -- while -----------------------------------------------------------------------------


def _while_reference(*carries: Any, cond: Graph, body: Graph, run: Any) -> Any:
    while run(cond, *carries)[0]:
        carries = run(body, *carries)
    return tuple(carries)


@primitive(
    Kind.OPAQUE,
    _while_reference,
    vjp="the number of steps is not known; use scan, or fori_loop with bounds that are"
    " Python integers",
    samples=(
        Sample(("i32[]", "f32[3]"), {"cond": "sample_cond", "body": "sample_body"}),
    ),
    errors=(
        IllTyped((), "takes 1 or more", {"cond": "sample_cond", "body": "sample_body"}),
        IllTyped(("f32[3]",), "attribute 'cond' is missing", {"body": "sample"}),
        IllTyped(
            ("f32[3]",),
            "cond must return one bool[]",
            {"cond": "sample", "body": "sample"},
        ),
        IllTyped(
            ("i32[]", "f32[3]"),
            "body must return what it takes",
            {"cond": "sample_cond", "body": "sample_cond"},
        ),
    ),
)
def while_(
    carry: TensorType, *carries: TensorType, cond: Graph, body: Graph
) -> tuple[TensorType, ...]:
    """The carries after running `body` on them while `cond` of them is true."""
    types = (carry, *carries)
    answer = called_types("while", cond, types)
    require(
        [t.dtype for t in answer] == [BOOL] and not answer[0].shape,
        "while: cond must return one bool[]",
        *answer,
    )
    _check_carries("while", types, called_types("while", body, types))
    return types


def _check_carries(
    name: str, carries: Sequence[TensorType], results: Sequence[TensorType]
) -> None:
    if list(carries) != list(results):
        raise GraphError(
            f"{name}: body must return what it takes: ({types_text(carries)})",
            received=types_text(results),
        )


# -- scan ------------------------------------------------------------------------------


def _scan_reference(
    *operands: Any,
    body: Graph,
    length: int,
    carries: int,
    sequences: int,
    reverse: bool,
    recompute: bool,
    run: Any,
) -> Any:
    state, rest = operands[:carries], operands[carries:]
    elements, invariants = rest[:sequences], rest[sequences:]
    rows: list[Any] = [()] * length
    for step in reversed(range(length)) if reverse else range(length):
        found = run(body, *state, *(x[step] for x in elements), *invariants)
        state, rows[step] = found[:carries], found[carries:]
    if not length:  # the shapes are those of a step that does not happen
        blanks = [np.zeros(x.shape[1:], x.dtype) for x in elements]
        found = run(body, *state, *blanks, *invariants)
        return *state, *(np.zeros((0, *y.shape), y.dtype) for y in found[carries:])
    return *state, *(np.stack(column) for column in zip(*rows, strict=True))


_STEP = {"body": "sample_step", "length": "T", "carries": 1, "sequences": 1}
_OPERANDS = ("f32[3]", "f32[T,3]", "f32[3,3]")


@primitive(
    Kind.OPAQUE,
    _scan_reference,
    pullback=scan_pullback,
    trips=lambda length, **attributes: length,
    samples=(
        Sample(_OPERANDS, _STEP),
        Sample(_OPERANDS, {**_STEP, "reverse": True, "recompute": True}),
        Sample(("f32[3]", "f32[0,3]", "f32[3,3]"), {**_STEP, "length": 0}),
        Sample(("f32[3]",), {"body": "sample_map", "length": 4}),
    ),
    errors=(
        IllTyped(("f32[3]",), "attribute 'body' is missing", {"length": 3}),
        IllTyped(("f32[4]", *_OPERANDS[1:]), "takes (f32[3], f32[3], f32[3,3])", _STEP),
        IllTyped(_OPERANDS, "at least 0", {**_STEP, "length": -1}),
        IllTyped(
            _OPERANDS, "leading dimension must be T+1", {**_STEP, "length": "T+1"}
        ),
        IllTyped(("f32[3]",), "3 operands", {**_STEP, "length": 3, "carries": 2}),
        IllTyped(
            ("f32[3]",),
            "must return what it takes",
            {"body": "sample", "length": 4, "carries": 1},
        ),
    ),
)
def scan(
    *operands: TensorType,
    body: Graph,
    length: Dim,
    carries: int = 0,
    sequences: int = 0,
    reverse: bool = False,
    recompute: bool = False,
) -> tuple[TensorType, ...]:
    """Runs `body` `length` times, carrying values from step to step.

    The operands are the carries at the start, then the sequences, of which each step
    gets one element of the leading dimension, then values that are the same at all
    steps. The body takes all three and returns the carries and outputs. The results
    are the carries at the end, then each output of all steps, stacked.

    A `reverse` loop goes from the last element to the first; its outputs still stand
    where their elements do. A gradient needs values of the body at each step: they are
    kept, or, with `recompute`, computed again from the carries.
    """
    _check_scan(operands, length, carries, sequences)
    state, rest = operands[:carries], operands[carries:]
    elements = [type.with_shape(type.shape[1:]) for type in rest[:sequences]]
    results = called_types("scan", body, [*state, *elements, *rest[sequences:]])
    _check_carries("scan", state, results[:carries])
    return (
        *state,
        *(shaped(type, (length, *type.shape)) for type in results[carries:]),
    )


def _check_scan(
    operands: Sequence[TensorType], length: Dim, carries: int, sequences: int
) -> None:
    require(
        min(carries, sequences) >= 0 and (not isinstance(length, int) or length >= 0),
        "scan: length, carries and sequences must be at least 0",
    )
    require(
        len(operands) >= carries + sequences,
        f"scan: {carries} carries and {sequences} sequences are"
        f" {carries + sequences} operands",
        *operands,
    )
    for type in operands[carries : carries + sequences]:
        require(
            type.shape[:1] == (length,),
            f"scan: a sequence's leading dimension must be {length}, the length",
            type,
        )
