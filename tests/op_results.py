"""Results and gradients of single ops for given arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir import Graph, TensorType, building, dtype, evaluate
from graphc.ir.body import as_tuple, body_graph
from graphc.ir.differentiate import differentiate
from graphc.ir.evaluate import evaluate_op
from graphc.ir.ops import OPS
from graphc.testing.op_gradients import weighted_sum

Array = np.ndarray[Any, Any]

run = evaluate_op
"""The results of one op: ``run("softmax", x, axis=1)``."""


def body(name: str, x: Array, **attributes: Any) -> Array:
    """The result of a composite by its body, which is what backends compute."""
    op = OPS[name]
    type = TensorType(x.shape, dtype(x.dtype))
    return evaluate(body_graph(op, [type], op.encode(attributes)), x)[0]


def gradients(
    name: str,
    arrays: Sequence[Any],
    cotangents: Sequence[Any] | None = None,
    **attributes: Any,
) -> list[Array]:
    """The gradients of one op with respect to its float operands.

    `cotangents` weight the elements of its results; they are 1 unless given.
    """
    graph = Graph(name)
    operands = [np.asarray(array) for array in arrays]
    values = [
        graph.add_parameter(TensorType(a.shape, dtype(a.dtype))) for a in operands
    ]
    with building(graph):
        results = as_tuple(OPS[name](*values, **attributes))
        weights = [graph.add_parameter(result.type) for result in results]
        graph.results = [weighted_sum(results, weights)]
    if cotangents is None:
        cotangents = [np.ones(w.type.static_shape) for w in weights]
    given = [
        np.asarray(c).astype(w.dtype.numpy)
        for c, w in zip(cotangents, weights, strict=True)
    ]
    wrt = [v.index for v in values if v.dtype.is_float]
    return list(evaluate(differentiate(graph, wrt), *operands, *given)[1:])
