"""How a function of tensors runs: traced, recorded symbolically, or eagerly."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from graphc.frontend import trees
from graphc.frontend.execution import eager_executable
from graphc.frontend.keras_tensor import KerasTensor, record
from graphc.frontend.program import (
    Program,
    Slot,
    array_type,
    is_array,
    raw,
    run_program,
    trace_program,
    wrap,
)
from graphc.frontend.tracing import current_trace

Function = TypeVar("Function", bound=Callable[..., Any])


def op(function: Function) -> Function:
    """Makes a function that builds graph nodes callable with any kind of tensor.

    Inside a trace the function runs as it is. A symbolic tensor among its arguments
    records the call for the functional API. Otherwise it is traced once per types of
    its arguments, and the graph is run on the arrays. A call with functions among its
    arguments is traced each time: what they close over may have changed.
    """

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if current_trace() is not None:
            return function(*arguments, **keywords)
        leaves, structure = trees.flatten((arguments, keywords))
        if any(isinstance(leaf, KerasTensor) for leaf in leaves):
            name = function.__name__
            return record(call, arguments, keywords, name, function)
        return _eager(function, leaves, structure)

    return call  # type: ignore[return-value]


_PROGRAMS: dict[Any, tuple[Program, Callable[..., Sequence[Any]]]] = {}
"""Stateless programs by function, types and static arguments, the oldest first."""

MAX_PROGRAMS = 4096


def _eager(function: Callable[..., Any], leaves: list[Any], structure: Any) -> Any:
    arrays: list[Any] = []
    parts: list[Any] = []
    for leaf in leaves:
        if is_array(leaf) and not isinstance(leaf, np.generic):
            array = raw(leaf)
            if array.dtype == np.float64 and isinstance(leaf, np.ndarray):
                # NumPy's default, not a choice; an Array of float64 is one.
                array = array.astype(np.float32)
            arrays.append(array)
            parts.append((array.dtype, array.shape))
        elif isinstance(leaf, slice):  # which cannot be hashed before Python 3.12
            parts.append((slice, leaf.start, leaf.stop, leaf.step))
        else:
            # 1, 1.0 and True are equal, but mean different dtypes.
            parts.append((type(leaf), leaf))
    key = (function, structure, *parts)
    try:
        known = _PROGRAMS.get(key)
    except TypeError:  # an unhashable static argument
        key, known = None, None
    if any(callable(leaf) and not isinstance(leaf, type) for leaf in leaves):
        key, known = None, None
    if known is not None:
        program, run = known
        return wrap(program.structure, run(*arrays))
    program = _trace(function, leaves, structure, arrays)
    if key is not None and not program.state and not program.written:
        if len(_PROGRAMS) >= MAX_PROGRAMS:
            del _PROGRAMS[next(iter(_PROGRAMS))]
        run = eager_executable(program.graph)
        _PROGRAMS[key] = program, run
        return wrap(program.structure, run(*arrays))
    return wrap(program.structure, run_program(program, arrays))


def _trace(
    function: Callable[..., Any], leaves: list[Any], structure: Any, arrays: list[Any]
) -> Program:
    """The program of a call with `arrays` in the place of the arrays of `leaves`."""
    numbers = itertools.count()
    slots = [
        Slot(next(numbers))
        if is_array(leaf) and not isinstance(leaf, np.generic)
        else leaf
        for leaf in leaves
    ]
    return trace_program(
        function.__name__,
        functools.partial(_apply, function),
        trees.unflatten(structure, slots),
        [array_type(array) for array in arrays],
    )


def _apply(function: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
    return function(*arguments, **keywords)
