"""Rematerialization that users ask for: `remat` and `RematScope`, as in Keras."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from graphc.frontend import trees
from graphc.frontend.arguments import one_of
from graphc.frontend.callees import Callee, captured_operands, traced_callee
from graphc.frontend.dispatch import op
from graphc.frontend.ops.control_flow import filled, wrapped
from graphc.frontend.tracing import current_trace, tensor, value
from graphc.ir import Graph, TensorType, building
from graphc.ir import ops as ir_ops
from graphc.ir.body import as_tuple
from graphc.ir.build import inline
from graphc.ir.differentiate import sweep, zeros

F = TypeVar("F", bound=Callable[..., Any])

MODES = ("full", "activations", "larger_than", "list_of_layers", None)

_SCOPES: ContextVar[tuple[RematScope, ...]] = ContextVar("scopes", default=())


class RematScope:
    """Layers that are constructed while it is open compute their values again.

    Only what goes into such a layer is kept for the backward part of a training step;
    what it computes inside is computed again there. Results stay the same.

    Args:
        mode: ``"full"`` for all layers, ``"activations"`` for the activation function
            of layers that have one, ``"larger_than"`` for layers whose outputs have
            more than `output_size_threshold` elements, ``"list_of_layers"`` for those
            whose names are in `layer_names`, None for no layer.
        output_size_threshold: The number of elements; dimensions that are not known
            count as 1.
        layer_names: The names.

    Raises:
        ValueError: For an unknown mode.

    Example:
        >>> import graphc
        >>> with graphc.RematScope(mode="full"):
        ...     hidden = graphc.layers.Dense(8, activation="gelu")
    """

    def __init__(
        self,
        mode: str | None = "full",
        output_size_threshold: int = 1024,
        layer_names: Sequence[str] | None = None,
    ) -> None:
        self.mode = one_of("mode", mode, MODES)
        self.output_size_threshold = output_size_threshold
        self.layer_names = tuple(layer_names or ())
        self._tokens: list[Token[tuple[RematScope, ...]]] = []

    def __enter__(self) -> RematScope:
        self._tokens.append(_SCOPES.set((*_SCOPES.get(), self)))
        return self

    def __exit__(self, *error: object) -> None:
        _SCOPES.reset(self._tokens.pop())


def current_scope() -> RematScope | None:
    """The innermost open scope, if there is one that rematerializes anything."""
    scopes = _SCOPES.get()
    return scopes[-1] if scopes and scopes[-1].mode is not None else None


def remat(f: F) -> F:
    """A function that computes what `f` computes, and again for its gradient.

    What `f` computes on the way to its results is not kept for the gradient; only its
    arguments and what else it reads are.

    Args:
        f: Takes and returns nested structures of tensors; may read variables and
            tensors around it, and assign to variables.

    Example:
        >>> import graphc
        >>> from graphc import ops
        >>> f = graphc.remat(lambda x: ops.sum(ops.sin(ops.exp(x))))
        >>> round(float(graphc.grad(f)(0.0)), 6)
        0.540302
    """
    return _recomputing(f, 0)


def _recomputing(f: F, threshold: int) -> F:
    """`remat` of a function if its results have more elements than a threshold."""

    @functools.wraps(f)
    def function(*arguments: Any, **keywords: Any) -> Any:
        given = functools.partial(f, **keywords) if keywords else f
        return _rematerialized(given, threshold, *arguments)

    return function  # type: ignore[return-value]


@op
def _rematerialized(f: Callable[..., Any], threshold: int, *arguments: Any) -> Any:
    leaves, structure = trees.flatten(arguments)
    places = [i for i, leaf in enumerate(leaves) if _is_tensor(leaf)]
    operands = [value(leaves[i]) for i in places]

    def given(tensors: list[Any]) -> Any:
        filling = dict(zip(places, tensors, strict=True))
        mixed = [filling.get(i, leaf) for i, leaf in enumerate(leaves)]
        return filled(structure)(mixed)

    types = [operand.type for operand in operands]
    callee = traced_callee(f, "recomputed", given, types)
    written = callee.written
    callee.graph.results = [*callee.results, *callee.read(written)]
    operands += captured_operands(callee)
    outputs = len(callee.graph.results)
    if not outputs:
        return trees.unflatten(callee.structure, [])
    if sum(map(_elements, callee.types)) <= threshold:
        results = as_tuple(ir_ops.call(*operands, graph=callee.graph))
    else:
        pullback = _pullback(callee)
        callee.graph.results = [*callee.graph.results, *callee.graph.parameters]
        attributes = {"graph": callee.graph, "pullback": pullback, "outputs": outputs}
        results = as_tuple(ir_ops.custom_gradient(*operands, **attributes))
    outer = current_trace()
    assert outer is not None
    count = len(callee.results)
    for variable, result in zip(written, results[count:outputs], strict=True):
        outer.write(variable, tensor(result))
    return wrapped(callee.structure, results[:count])


def _pullback(callee: Callee) -> Graph:
    """From cotangents of float results and all parameters to those of float ones."""
    graph = callee.graph
    flows = [result.type.dtype.is_float for result in graph.results]
    wanted = [parameter.dtype.is_float for parameter in graph.parameters]
    swept = sweep(graph, flows, wanted)
    swept.graph.results = [
        g for g, flag in zip(swept.gradients, wanted, strict=True) if g and flag
    ]
    swept.graph.remove_unread()
    module = graph.module
    pullback = Graph(module.fresh_name(f"{graph.name}_again"), module)
    floats = [r.type for r in graph.results if r.type.dtype.is_float]
    seeds = [pullback.add_parameter(type) for type in floats]
    kept = [pullback.add_parameter(p.type) for p in graph.parameters]
    with building(pullback):
        # What comes behind the barrier is not merged with what was computed before.
        barred = as_tuple(ir_ops.optimization_barrier(*kept, *seeds))
        found = iter(inline(swept.graph, barred))
        pullback.results = [
            next(found) if gradient else zeros(parameter.type)
            for gradient, parameter in zip(
                swept.gradients, graph.parameters, strict=True
            )
            if parameter.dtype.is_float
        ]
    module.remove(swept.graph)
    return pullback


def _is_tensor(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def _elements(type: TensorType) -> int:
    """The elements of a tensor, dimensions that are not known counted as 1."""
    return math.prod(dim for dim in type.shape if isinstance(dim, int))


def apply_in_scope(call: Callable[[Any], Any], layer: Any, arguments: Any) -> Any:
    """The outputs of a layer, computed again for gradients as its scope says.

    Args:
        call: Takes the arguments.
        layer: The layer, which knows the scope that it was constructed in.
        arguments: A nested structure.
    """
    scope: RematScope | None = layer.remat_scope
    if scope is None or current_trace() is None:
        return call(arguments)
    if scope.mode == "activations":
        return _with_activation(call, layer, arguments)
    if scope.mode == "larger_than":
        return _recomputing(call, scope.output_size_threshold)(arguments)
    if scope.mode == "full" or layer.name in scope.layer_names:
        return remat(call)(arguments)
    return call(arguments)


def _with_activation(call: Callable[[Any], Any], layer: Any, arguments: Any) -> Any:
    """The outputs of a layer whose activation function is computed again."""
    plain = getattr(layer, "activation", None)
    if plain is None:
        return call(arguments)
    vars(layer)["activation"] = remat(plain)
    try:
        return call(arguments)
    finally:
        vars(layer)["activation"] = plain
