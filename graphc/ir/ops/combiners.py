"""Primitives that combine elements by a graph of two elements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph
from graphc.ir.opdef import Arg, IllTyped, IntLists, Ints, Kind, Sample, Trait
from graphc.ir.ops.combiner_gradient import reduce_pullback, reduce_window_pullback
from graphc.ir.ops.control import call
from graphc.ir.ops.shape import pad_array
from graphc.ir.ops.window import dilated_size, window_count, window_type
from graphc.ir.register import primitive
from graphc.ir.typerules import reduced, require, types_text
from graphc.ir.types import TensorType


def _checked_combiner(name: str, operands: Sequence[TensorType], graph: Graph) -> int:
    """How many tensors are combined, after checking that `graph` combines them.

    Raises:
        GraphError: If the operands are not tensors of one shape followed by as many
            scalars of their dtypes, or if the graph does not take two elements of each
            and return one, or if it is made of more than elementwise ops.
    """
    count = len(operands) // 2
    tensors, starts = operands[:count], operands[count:]
    elements = [tensor.with_shape(()) for tensor in tensors]
    require(
        list(starts) == elements and len({t.shape for t in tensors}) == 1,
        f"{name}: takes tensors of one shape, then for each of them a scalar to start"
        " with",
        *operands,
    )
    taken = [p.type for p in graph.parameters]
    returned = [result.type for result in graph.results]
    if taken != [*elements, *elements] or returned != elements:
        raise GraphError(
            f"{name}: graph @{graph.name} must combine ({types_text(elements)}) and"
            " another one of these",
            received=f"({types_text(taken)}) -> ({types_text(returned)})",
        )
    _require_elementwise(name, graph)
    return count


def _require_elementwise(name: str, graph: Graph) -> None:
    for node in graph.nodes:
        if node.op is call:
            for callee in node.op.graph_names(node):
                _require_elementwise(name, graph.module.graphs[callee])
        elif node.op.kind is not Kind.ELEMENTWISE:
            raise GraphError(
                f"{name}: graph @{graph.name} must be made of elementwise ops",
                received=f"{node.op.name}, which is of kind {node.op.kind.value}",
            )


def _as_list(results: Sequence[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)


# -- reductions ------------------------------------------------------------------------


def _reduce_reference(
    *operands: Any, graph: Graph, axes: Any, run: Callable[..., Any]
) -> Any:
    count = len(operands) // 2
    starts = operands[count:]
    kept = [d for d in range(operands[0].ndim) if d not in axes]
    left = [operands[0].shape[d] for d in kept]
    elements = math.prod(operands[0].shape[d] for d in axes)
    lined = [
        np.transpose(x, [*kept, *axes]).reshape(*left, elements)
        for x in operands[:count]
    ]
    shape = lined[0].shape[:-1]
    total = [np.broadcast_to(start, shape) for start in starts]
    # Neighbours are combined, then neighbouring pairs: order does not change.
    while lined[0].shape[-1] > 1:
        even = lined[0].shape[-1] // 2 * 2
        pairs = [x[..., side:even:2] for side in (0, 1) for x in lined]
        rest = [x[..., even:] for x in lined]
        both = zip(run(graph, *pairs), rest, strict=True)
        lined = [np.concatenate(parts, axis=-1) for parts in both]
    if lined[0].shape[-1]:
        total = run(graph, *total, *(x[..., 0] for x in lined))
    return _as_list([np.array(x) for x in total])


def _positive(type: str) -> Arg:
    return Arg(type, 0.1, 2.0)


_ZERO, _LARGE = Arg("f32[]", 0, 0), Arg("f32[]", 9, 9)
"""Neutral elements of the graphs that samples combine by."""


@primitive(
    Kind.REDUCTION,
    _reduce_reference,
    pullback=reduce_pullback,
    traits=[Trait.COMBINES],
    samples=(
        Sample((_positive("f32[3,4]"), _ZERO), {"graph": "sample_norm", "axes": [1]}),
        Sample(
            (_positive("f32[2,3,4]"), _ZERO), {"graph": "sample_norm", "axes": [0, 2]}
        ),
        Sample((_positive("f32[5]"), 0.0), {"graph": "sample_norm", "axes": [0]}),
        Sample((_positive("f32[1]"), 0.0), {"graph": "sample_norm", "axes": []}),
        Sample((_positive("f32[0,2]"), _ZERO), {"graph": "sample_norm", "axes": [0]}),
        Sample(
            ("f32[3,4]", "i32[3,4]", _LARGE, "i32[]"),
            {"graph": "sample_smaller", "axes": [1]},
        ),
        Sample((_positive("f32[B,3]"), _ZERO), {"graph": "sample_norm", "axes": [0]}),
    ),
    errors=(
        IllTyped(
            ("f32[3]",), "a scalar to start", {"graph": "sample_norm", "axes": []}
        ),
        IllTyped(
            ("f32[3]", "i32[]"),
            "a scalar to start",
            {"graph": "sample_norm", "axes": [0]},
        ),
        IllTyped(
            ("f32[3]", "f32[]"), "must combine (f32[])", {"graph": "sample", "axes": []}
        ),
        IllTyped(
            ("f32[3]", "f32[]"),
            "within 0..0",
            {"graph": "sample_norm", "axes": [1]},
        ),
        IllTyped(
            ("f32[3]", "f32[]"),
            "must be made of elementwise ops",
            {"graph": "sample_wide", "axes": [0]},
        ),
    ),
    ulp=4,
    numerics="elements are combined in any grouping, so the graph must be associative,"
    " and in any order on some backends, so better commutative; the start must be"
    " neutral",
)
def reduce(
    x: TensorType, *more: TensorType, graph: Graph, axes: Ints
) -> tuple[TensorType, ...]:
    """Tensors combined over `axes` by a graph, which starts with given scalars.

    The operands are tensors of one shape, then a scalar for each. The graph takes an
    element of each tensor, then another one of each, and returns their combination.
    """
    operands = (x, *more)
    count = _checked_combiner("reduce", operands, graph)
    return tuple(reduced("reduce", tensor, axes) for tensor in operands[:count])


# -- reductions of windows -------------------------------------------------------------


def _window_reference(
    *operands: Any,
    graph: Graph,
    window: Any,
    strides: Any,
    padding: Any,
    dilation: Any,
    run: Callable[..., Any],
) -> Any:
    count = len(operands) // 2
    tensors, starts = operands[:count], operands[count:]
    low, high = zip(*padding, strict=True) if padding else ((), ())
    padded = [
        pad_array(x, start, low, high) for x, start in zip(tensors, starts, strict=True)
    ]
    spread = dilation or (1,) * len(window)
    shape: Any = tuple(
        window_count(size, dilated_size(width, holes), stride)
        for size, width, holes, stride in zip(
            padded[0].shape, window, spread, strides, strict=True
        )
    )
    total = [np.broadcast_to(start, shape) for start in starts]
    for place in itertools.product(*map(range, window)) if 0 not in shape else ():
        taken = tuple(
            slice(p * holes, p * holes + (number - 1) * stride + 1, stride)
            for p, holes, number, stride in zip(
                place, spread, shape, strides, strict=True
            )
        )
        total = run(graph, *total, *(x[taken] for x in padded))
    return _as_list([np.array(x) for x in total])


_WINDOW = {
    "graph": "sample_norm",
    "window": [3],
    "strides": [2],
    "padding": [[1, 1]],
}


@primitive(
    Kind.OPAQUE,
    _window_reference,
    pullback=reduce_window_pullback,
    traits=[Trait.COMBINES],
    samples=(
        Sample((_positive("f32[7]"), 0.0), _WINDOW, smooth=False),
        Sample((_positive("f32[7]"), 0.0), {**_WINDOW, "padding": [[0, 0]]}),
        Sample(
            (_positive("f32[5,6]"), _ZERO),
            {
                "graph": "sample_norm",
                "window": [2, 3],
                "strides": [1, 2],
                "padding": [[1, 0], [-1, 2]],
                "dilation": [2, 1],
            },
            smooth=False,  # the root of the squares of padding has no slope
        ),
        Sample(
            ("f32[7]", "i32[7]", _LARGE, "i32[]"),
            {**_WINDOW, "graph": "sample_smaller"},
        ),
        Sample((_positive("f32[1]"), _ZERO), {**_WINDOW, "padding": [[0, 0]]}),
        Sample(
            (_positive("f32[5]"), _ZERO),
            {**_WINDOW, "window": [1], "strides": [1], "padding": [[-1, -1]]},
        ),
        Sample(
            (_positive("f32[]"), _ZERO),
            {"graph": "sample_norm", "window": [], "strides": [], "padding": []},
        ),
        Sample((_positive("f32[B]"), _ZERO), _WINDOW, smooth=False),
    ),
    errors=(
        IllTyped(("f32[3]",), "a scalar to start", _WINDOW),
        IllTyped(("f32[3]", "f32[]"), "must combine", {**_WINDOW, "graph": "sample"}),
        IllTyped(("f32[3]", "f32[]"), "must be positive", {**_WINDOW, "strides": [0]}),
    ),
    ulp=4,
    numerics="padding counts as the start, which must be neutral; as in reduce the graph"
    " must be associative",
)
def reduce_window(
    x: TensorType,
    *more: TensorType,
    graph: Graph,
    window: Ints,
    strides: Ints,
    padding: IntLists,
    dilation: Ints | None = None,
) -> tuple[TensorType, ...]:
    """Tensors combined under each window by a graph; operands as those of `reduce`."""
    operands, name = (x, *more), "reduce_window"
    count = _checked_combiner(name, operands, graph)
    return tuple(
        window_type(name, tensor, window, strides, padding, dilation)
        for tensor in operands[:count]
    )
