"""Functions that give their gradient themselves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from graphc.frontend import trees
from graphc.frontend.callees import captured_operands, outline, traced_callee
from graphc.frontend.dispatch import op
from graphc.frontend.ops.control_flow import filled, wrapped
from graphc.frontend.ops.operands import refuse
from graphc.frontend.tensor import TracedTensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import ops as ir_ops
from graphc.ir.body import as_tuple
from graphc.ir.differentiate import zeros

__all__ = ["custom_gradient"]


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function like `f` whose gradient `f` gives itself.

    Args:
        f: Takes tensors; returns a pair: its output, a nested structure of tensors, and
            a function from the gradient with respect to the output, in the same
            structure, to those with respect to each argument, a tuple unless there is
            one. That function may read what `f` has computed.

    Returns:
        A function that returns the output. No gradient flows to what `f` reads besides
        its arguments.

    Example:
        >>> import graphc
        >>> from graphc import ops
        >>> @ops.custom_gradient
        ... def log1pexp(x):
        ...     e = ops.exp(x)
        ...     return ops.log(1.0 + e), lambda upstream: upstream * (1.0 - 1.0 / (1.0 + e))
        >>> float(graphc.grad(log1pexp)(100.0))
        1.0
    """

    @functools.wraps(f)
    def function(*arguments: Any) -> Any:
        return _with_gradient(f, *arguments)

    return function


@op
def _with_gradient(f: Callable[..., Any], *arguments: Any) -> Any:
    leaves, structure = trees.flatten(arguments)
    operands = [value(leaf) for leaf in leaves]
    gradients: list[Callable[[Any], Any]] = []

    @functools.wraps(f)
    def forward(*inputs: Any) -> Any:
        found = f(*inputs)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            refuse("custom_gradient: the function must return (output, gradient)")
        gradients.append(found[1])
        return found[0]

    types = [operand.type for operand in operands]
    callee = traced_callee(forward, "forward", filled(structure), types)
    floats = [r.type for r in callee.results if r.type.dtype.is_float]

    def upstream(given: list[TracedTensor]) -> Sequence[Any]:
        left = iter(given)
        tensors = [
            next(left) if type.dtype.is_float else tensor(zeros(type))
            for type in callee.types
        ]
        return (trees.unflatten(callee.structure, tensors),)

    pullback = traced_callee(
        gradients[0], "pullback", upstream, floats, inside=callee.trace
    )
    if callee.written or pullback.written:
        refuse("custom_gradient: the functions must not assign to variables")
    found = pullback.results
    if len(found) == len(types):
        both = zip(found, types, strict=True)
        found = [g for g, type in both if type.dtype.is_float]
    if [g.type for g in found] != [type for type in types if type.dtype.is_float]:
        refuse(
            "custom_gradient: the gradient must have one tensor like each argument",
            received=f"{pullback.outline()} for {outline(structure, types)}",
        )
    pullback.graph.results = found
    kept = captured_operands(pullback)
    callee.graph.results = [*callee.results, *kept]
    results = as_tuple(
        ir_ops.custom_gradient(
            *operands,
            *captured_operands(callee),
            graph=callee.graph,
            pullback=pullback.graph,
            outputs=len(callee.results),
        )
    )
    return wrapped(callee.structure, results[: len(callee.results)])
