"""Uses of ops that call graphs: calls, gradients, branches, loops, combiners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from graphc.fuzz.gradients import gradient_of
from graphc.fuzz.growth import Growth, literal_of
from graphc.fuzz.inputs import HIGH, LOW, Array
from graphc.fuzz.operands import operand
from graphc.ir.dims import Dim
from graphc.ir.graph import Graph
from graphc.ir.opdef import FLOAT, OpDef
from graphc.ir.ops import (
    add,
    call,
    compare,
    cond,
    convert,
    cosine,
    custom_gradient,
    dot_general,
    iota,
    maximum,
    minimum,
    multiply,
    reduce,
    reduce_sum,
    reduce_window,
    scan,
    tanh,
    value_and_gradient,
    while_,
)
from graphc.ir.types import BOOL, F32, I32, TensorType
from graphc.ir.values import Literal, Operand, Value

Recipe = Callable[[Growth], Value | None]
"""Adds a use of an op; returns a result, or None if there was nothing to use it on."""

MOST_STEPS = 4
"""The steps of the longest loop."""


# -- graphs that are called ------------------------------------------------------------


def callee(
    growth: Growth, types: Sequence[TensorType], arrays: Sequence[Array], nodes: int
) -> Growth:
    """A grown graph of the same module.

    Args:
        growth: The graph that will call it.
        types: The types of its parameters, in which symbols stand bare.
        arrays: What its parameters are, for example.
        nodes: How many nodes to grow.
    """
    module = growth.graph.module
    graph = Graph(module.fresh_name("g"), module)
    bare = _bare_symbols(types)
    graph.ranges = {s: r for s, r in growth.graph.ranges.items() if s in bare}
    inner = Growth(graph, growth.scope, growth.depth + 1)
    for type, array in zip(types, arrays, strict=True):
        inner.bound_parameter(array, type)
    growth.scope.grow(inner, nodes)
    return inner


def callee_of(growth: Growth, values: Sequence[Value]) -> Growth:
    """A grown graph that takes these values."""
    arrays = [growth.arrays[value] for value in values]
    nodes = growth.choices.integer(1, 8)
    return callee(growth, [value.type for value in values], arrays, nodes)


def arguments_of(growth: Growth, least: int = 1) -> list[Value] | None:
    """Some values to call a graph with; None if no graph can take them."""
    choices = growth.choices
    if growth.depth > 1:
        return None
    found = [choices.recent(growth.values) for _ in range(choices.integer(least, 3))]
    return found if _are_bare([value.type for value in found]) else None


def _bare_symbols(types: Sequence[TensorType]) -> set[str]:
    return {str(d) for type in types for d in type.shape if str(d).isidentifier()}


def _are_bare(types: Sequence[TensorType]) -> bool:
    named = set[str]().union(*(type.symbols for type in types))
    return named <= _bare_symbols(types)


def _fitting(growth: Growth, types: Sequence[TensorType]) -> list[Operand] | None:
    """Tame operands of given types, made of what there is."""
    found = [operand(growth, type, LOW, HIGH, True) for type in types]
    return [o for o in found if o is not None] if None not in found else None


# -- calls -----------------------------------------------------------------------------


def call_any(growth: Growth) -> Value | None:
    """A call of a new graph; sometimes another one of the same."""
    choices = growth.choices
    arguments = arguments_of(growth)
    if arguments is None:
        return None
    inner = callee_of(growth, arguments)
    inner.graph.results = _some_values(inner)
    made = growth.apply(call, *arguments, graph=inner.graph)
    if made is not None and choices.chance(30):
        growth.apply(call, *arguments, graph=inner.graph)
    return made


def stack_any(growth: Growth) -> Value | None:
    """Blocks that do the same, each on the last one's result and a matrix of its own."""
    choices = growth.choices
    rows = [v for v in growth.values if v.dtype is F32 and v.type.rank]
    rows = [v for v in rows if isinstance(v.shape[-1], int)]
    if not rows:
        return None
    made: Value | None = choices.recent(rows)
    matrix = TensorType((made.shape[-1],) * 2, F32)
    weights = _fitting(growth, [matrix] * choices.integer(2, 4))
    if weights is None or not _are_bare([made.type]):
        return None
    examples = [growth.arrays[made], growth.arrays[cast(Value, weights[0])]]
    inner = callee(growth, [made.type, matrix], examples, 0)
    x, weight = inner.graph.parameters
    product = inner.apply(dot_general, x, weight, contract=[[x.type.rank - 1], [0]])
    growth.scope.grow(inner, choices.integer(1, 6))
    others = _fitting(inner, [made.type])
    if product is None or others is None:
        return None
    total = inner.apply(add, product, *others)
    result = None if total is None else inner.apply(tanh, total)
    if result is None:
        return None
    inner.graph.results = [result]
    for each in weights:
        following = growth.apply(call, made, each, graph=inner.graph)
        if following is None:
            break
        made = following
    return made


def _some_values(growth: Growth) -> list[Value]:
    count = growth.choices.integer(1, 3)
    return [growth.choices.recent(growth.values) for _ in range(count)]


def gradient_any(growth: Growth) -> Value | None:
    """The gradient of a new graph with a scalar result."""
    choices = growth.choices
    arguments = arguments_of(growth)
    floats = [i for i, v in enumerate(arguments or []) if v.dtype in FLOAT]
    if arguments is None or not floats:
        return None
    inner = callee_of(growth, arguments)
    loss = weighted_sum(inner, choices.recent(inner.values))
    if loss is None:
        return None
    inner.graph.results = [loss]
    wrt = choices.subset(floats) or floats
    gradient = gradient_of(inner.graph, wrt)
    if gradient is None:
        return None
    gradient.module.remove(gradient)
    return growth.apply(value_and_gradient, *arguments, graph=inner.graph, wrt=wrt)


def weighted_sum(growth: Growth, value: Value) -> Value | None:
    """The sum of a value's elements, each weighted otherwise, as a float32."""
    found: Value | None = value
    if value.dtype not in FLOAT:
        found = growth.apply(convert, value, dtype=F32)
    if found is None or not found.shape:
        return _as_f32(growth, found)
    last = found.type.rank - 1
    counted = growth.apply(iota, shape=found.shape, axis=last, dtype=found.dtype)
    weights = growth.apply(cosine, counted) if counted is not None else None
    terms = growth.apply(multiply, found, weights) if weights is not None else None
    if terms is None:
        return None
    total = growth.apply(reduce_sum, terms, axes=list(range(last + 1)))
    return _as_f32(growth, total)


def _as_f32(growth: Growth, value: Value | None) -> Value | None:
    if value is None or value.dtype is F32:
        return value
    return growth.apply(convert, value, dtype=F32)


# -- branches and loops ----------------------------------------------------------------


def cond_any(growth: Growth) -> Value | None:
    """One of several new graphs with the same result types."""
    choices = growth.choices
    arguments = arguments_of(growth)
    if arguments is None:
        return None
    count = choices.integer(1, 3)
    first = callee_of(growth, arguments)
    first.graph.results = _some_values(first)
    types = [result.type for result in first.graph.results]
    branches = [first.graph]
    for _ in range(count - 1):
        other = callee_of(growth, arguments)
        results = _fitting(other, types)
        if results is None:
            return None
        other.graph.results = results
        branches.append(other.graph)
    dtype = BOOL if count == 2 and choices.chance(50) else I32
    index = operand(growth, TensorType((), dtype), -1, count + 1, True)
    return growth.apply(cond, index, *arguments, branches=branches)


def while_any(growth: Growth) -> Value | None:
    """A loop with a counter and some carries."""
    choices = growth.choices
    carries = arguments_of(growth, 0)
    if carries is None:
        return None
    counter = TensorType((), I32)
    types = [counter, *(value.type for value in carries)]
    arrays = [np.zeros((), np.int32), *(growth.arrays[value] for value in carries)]
    test = callee(growth, types, arrays, 0)
    count = test.graph.parameters[0]
    last = Literal(choices.integer(0, MOST_STEPS), I32)
    answer = test.apply(compare, count, last, direction="LT")
    body = callee(growth, types, arrays, choices.integer(1, 6))
    following = body.apply(add, body.graph.parameters[0], Literal(1, I32))
    results = _fitting(body, types[1:])
    if answer is None or following is None or results is None:
        return None
    test.graph.results = [answer]
    body.graph.results = [following, *results]
    start = Literal(0, I32)
    return growth.apply(while_, start, *carries, cond=test.graph, body=body.graph)


def scan_any(growth: Growth) -> Value | None:
    """A loop over the leading dimension of some values."""
    choices = growth.choices
    given = arguments_of(growth)
    if given is None:
        return None
    lengths = [v.shape[0] for v in growth.values if v.shape]
    length: Dim = choices.integer(0, MOST_STEPS)
    if lengths and choices.chance(80):
        length = choices.recent(lengths)
    fits = [v for v in growth.values if v.shape[:1] == (length,)]
    sequences = (
        [choices.recent(fits) for _ in range(choices.integer(0, 2))] if fits else []
    )
    cut = choices.integer(0, len(given))
    carries, others = given[:cut], given[cut:]
    elements = [v.type.with_shape(v.shape[1:]) for v in sequences]
    types = [*(v.type for v in carries), *elements, *(v.type for v in others)]
    if not _are_bare(types):
        return None
    arrays = [
        *(growth.arrays[v] for v in carries),
        *(_first_of(growth.arrays[v]) for v in sequences),
        *(growth.arrays[v] for v in others),
    ]
    body = callee(growth, types, arrays, choices.integer(1, 6))
    results = _fitting(body, types[:cut])
    if results is None:
        return None
    body.graph.results = [*results, *_some_values(body)]
    return growth.apply(
        scan,
        *(*carries, *sequences, *others),
        body=body.graph,
        length=length,
        carries=len(carries),
        sequences=len(sequences),
        reverse=choices.chance(30),
        recompute=choices.chance(30),
    )


def _first_of(array: Array) -> Array:
    return array[0] if len(array) else np.zeros(array.shape[1:], array.dtype)


# -- given gradients -------------------------------------------------------------------


def custom_any(growth: Growth) -> Value | None:
    """A new graph whose gradient is any other new graph."""
    choices = growth.choices
    arguments = arguments_of(growth)
    if arguments is None:
        return None
    forward = callee_of(growth, arguments)
    results = _some_values(forward)
    forward.graph.results = results
    outputs = choices.integer(1, len(results))
    read = [v for v in results[:outputs] if v.dtype.is_float] + results[outputs:]
    types = [v.type for v in read]
    wanted = [v.type for v in arguments if v.dtype.is_float]
    symbols = set[str]().union(*(type.symbols for type in [*types, *wanted]))
    if not symbols <= _bare_symbols(types):
        return None
    pullback = callee(growth, types, [forward.arrays[v] for v in read], 0)
    cotangents = _fitting(pullback, wanted)
    if not cotangents:
        return None
    pullback.graph.results = cotangents
    return growth.apply(
        custom_gradient,
        *arguments,
        graph=forward.graph,
        pullback=pullback.graph,
        outputs=outputs,
    )


# -- combiners -------------------------------------------------------------------------

_COMBINERS: list[tuple[OpDef, float]] = [
    (add, 0),
    (multiply, 1),
    (maximum, -(2.0**64)),
    (minimum, 2.0**64),
]
"""Associative ops with their neutral elements, or what is one for tame values.

Integers, all of which are tame, take the limit of their dtype instead.
"""


def reduce_any(growth: Growth) -> Value | None:
    """Tensors reduced by a new graph."""
    operands, graph = _combined(growth)
    if graph is None:
        return None
    axes = growth.choices.subset(range(operands[0].type.rank))
    return growth.apply(reduce, *operands, graph=graph, axes=axes)


def reduce_window_any(growth: Growth) -> Value | None:
    """Windows of tensors reduced by a new graph."""
    operands, graph = _combined(growth)
    if graph is None:
        return None
    choices, rank = growth.choices, operands[0].type.rank
    return growth.apply(
        reduce_window,
        *operands,
        graph=graph,
        window=[choices.integer(1, 3) for _ in range(rank)],
        strides=[choices.integer(1, 2) for _ in range(rank)],
        padding=[[choices.integer(0, 1), choices.integer(0, 1)] for _ in range(rank)],
    )


def _combined(growth: Growth) -> tuple[list[Operand], Graph | None]:
    """Operands and graph of a reduction that treats each tensor by itself."""
    choices = growth.choices
    x = choices.recent(growth.values)
    same = [v for v in growth.values if v.shape == x.shape]
    tensors = [x, choices.recent(same)][: choices.integer(1, 2)]
    if growth.depth > 1 or any(v.dtype not in add.dtypes[0] for v in tensors):
        return [], None
    pairs = [choices.pick(_COMBINERS) for _ in tensors]
    starts = [
        literal_of(neutral, value.dtype)
        for (_, neutral), value in zip(pairs, tensors, strict=True)
    ]
    scalars = [TensorType((), value.dtype) for value in tensors] * 2
    inner = callee(growth, scalars, [start.numpy() for start in starts] * 2, 0)
    count, read = len(tensors), inner.graph.parameters
    results = [
        inner.apply(op, read[i], read[i + count]) for i, (op, _) in enumerate(pairs)
    ]
    found = [value for value in results if value is not None]
    inner.graph.results = found
    return [*tensors, *starts], inner.graph if len(found) == count else None


CALLING: dict[OpDef, Recipe] = {
    call: call_any,
    value_and_gradient: gradient_any,
    cond: cond_any,
    while_: while_any,
    scan: scan_any,
    custom_gradient: custom_any,
    reduce: reduce_any,
    reduce_window: reduce_window_any,
}
"""What to do for the ops that call graphs."""
