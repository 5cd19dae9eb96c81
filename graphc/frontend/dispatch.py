"""How a function of tensors runs: traced, recorded symbolically, or eagerly."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import optree

from graphc.frontend.execution import run_once
from graphc.frontend.keras_tensor import KerasTensor, record
from graphc.frontend.program import (
    Program,
    Slot,
    array_type,
    is_array,
    raw,
    trace_program,
    wrap,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import current_trace
from graphc.frontend.variables import Variable
from graphc.ir import TensorType

Function = TypeVar("Function", bound=Callable[..., Any])


def op(function: Function) -> Function:
    """Makes a function that builds graph nodes callable with any kind of tensor.

    Inside a trace the function runs as it is. A symbolic tensor among its arguments
    records the call for the functional API. Otherwise it is traced once per types of
    its arguments, and the graph is run on the arrays.
    """

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if current_trace() is not None:
            return function(*arguments, **keywords)
        leaves, structure = optree.tree_flatten((arguments, keywords))
        if any(isinstance(leaf, KerasTensor) for leaf in leaves):
            name = function.__name__
            return record(call, arguments, keywords, name, function)
        return _eager(function, leaves, structure)

    return call  # type: ignore[return-value]


_PROGRAMS: dict[Any, Program] = {}


def _eager(function: Callable[..., Any], leaves: list[Any], structure: Any) -> Any:
    arrays: list[Any] = []
    slots: list[Any] = []
    static: list[Any] = []
    types: list[TensorType] = []
    for leaf in leaves:
        if is_array(leaf):
            slots.append(Slot(len(arrays)))
            static.append(Slot)
            arrays.append(raw(leaf))
            types.append(array_type(leaf))
        else:
            slots.append(leaf)
            # 1, 1.0 and True are equal, but mean different dtypes.
            static.append((type(leaf), leaf))
    key = (function, structure, tuple(static), tuple(types))
    try:
        program = _PROGRAMS.get(key)
    except TypeError:  # an unhashable static argument
        key, program = None, None
    if program is None:
        filled, keywords = optree.tree_unflatten(structure, slots)
        program = trace_program(
            function.__name__,
            functools.partial(_apply, function),
            (filled, keywords),
            types,
        )
        if key is not None and not program.state:
            _PROGRAMS[key] = program
    return wrap(program.structure, run_program(program, arrays))


def _apply(function: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
    return function(*arguments, **keywords)


def run_program(program: Program, arrays: list[Any]) -> Any:
    """Runs an eager program: on the evaluator where that is cheaper than compiling."""
    if program.state or program.written:
        state = [v.array() for v in program.state]
        results = run_once(program.graph, [*arrays, *state])
        count = len(results) - len(program.written)
        for variable, array in zip(program.written, results[count:], strict=True):
            variable.assign(array)
        return results[:count]
    return run_once(program.graph, arrays)


def concrete(x: Any) -> bool:
    """Whether `x` has a value: an array or a variable outside of tracing."""
    return isinstance(x, Variable) or is_array(x) or not isinstance(x, Tensor)
