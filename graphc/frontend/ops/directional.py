"""Directional derivatives of functions of tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from graphc.frontend import trees
from graphc.frontend.dispatch import op
from graphc.frontend.ops import creation, elementwise, reduction
from graphc.frontend.ops.operands import read
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor
from graphc.frontend.transforms import grad

__all__ = ["jvp"]


@op
def jvp(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> Any:
    """The results of a function, and how they change along a direction.

    The gradients of a function are linear in the weights of its results; the gradient
    of that by the weights is the derivative along a direction.

    Args:
        fun: A function of tensors that returns tensors.
        primals: Its arguments, floats.
        tangents: The direction: for each argument its change, of the same shape.
        has_aux: Whether `fun` returns a pair of results and something else.

    Returns:
        The results and their changes; with `has_aux` also the something else.

    Example:
        >>> import graphc
        >>> value, change = graphc.ops.jvp(graphc.ops.square, (3.0,), (1.0,))
        >>> float(value), float(change)
        (9.0, 6.0)
    """
    point = trees.map_leaves(lambda x: tensor(read(x)), tuple(primals))
    directions = trees.leaves(tuple(tangents))
    returned = fun(*point)
    results, aux = returned if has_aux else (returned, None)
    flat, structure = trees.flatten(results)

    def weighed(weights: Sequence[Tensor], *given: Any) -> Tensor:
        found = fun(*given)
        return _products(trees.leaves(found[0] if has_aux else found), weights)

    def along(weights: Sequence[Tensor]) -> Tensor:
        positions = list(range(1, 1 + len(point)))
        gradients = grad(weighed, positions)(weights, *point)
        return _products(trees.leaves(gradients), directions)

    zeros = [creation.zeros_like(x) for x in flat]
    changes = trees.unflatten(structure, list(grad(along)(zeros)))
    return (results, changes, aux) if has_aux else (results, changes)


def _products(xs: Sequence[Any], weights: Sequence[Any]) -> Tensor:
    """The sum of all elements of the tensors, each times its weight."""
    terms = [
        reduction.sum(elementwise.multiply(x, w))
        for x, w in zip(xs, weights, strict=True)
    ]
    return functools.reduce(elementwise.add, terms)
