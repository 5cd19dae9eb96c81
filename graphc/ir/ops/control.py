"""Ops that call graphs by name, and ops that steer differentiation and effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphc.ir.body import as_tuple
from graphc.ir.build import building, inline
from graphc.ir.differentiate import check_differentiable, differentiate, sweep, zeros
from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import (
    ANY,
    BOOLEAN,
    OPS,
    Arg,
    Graphs,
    IllTyped,
    Ints,
    Kind,
    Sample,
    Trait,
)
from graphc.ir.register import composite, primitive
from graphc.ir.typerules import require, types_text
from graphc.ir.types import BOOL, I32, TensorType
from graphc.ir.values import Operand

_NO_GRAPH = (IllTyped(("f32[3]",), "attribute 'graph' is missing"),)


def called_types(
    name: str, graph: Graph, operands: Sequence[TensorType]
) -> tuple[TensorType, ...]:
    """The result types of a graph that the op `name` calls with `operands`.

    Raises:
        GraphError: If the graph takes others.
    """
    wanted = [p.type for p in graph.parameters]
    if list(operands) != wanted:
        raise GraphError(
            f"{name}: graph @{graph.name} takes ({types_text(wanted)})",
            received=types_text(operands),
        )
    return tuple([r.type for r in graph.results])


def _call_types(*operands: TensorType, graph: Graph) -> tuple[TensorType, ...]:
    return called_types("call", graph, operands)


@composite(
    Kind.OPAQUE,
    infer=_call_types,
    reference=lambda *operands, graph, run: run(graph, *operands),
    samples=(Sample(("f32[3]",), {"graph": "sample"}),),
    errors=_NO_GRAPH,
)
def call(*operands: Any, graph: Graph) -> Any:
    """The results of another graph of the module."""
    return inline(graph, operands)


def _gradient_types(
    *operands: TensorType, graph: Graph, wrt: Ints
) -> tuple[TensorType, ...]:
    results = _call_types(*operands, graph=graph)
    check_differentiable(graph, wrt)
    return (*results, *(operands[i] for i in wrt))


@composite(
    Kind.OPAQUE,
    infer=_gradient_types,
    samples=(Sample(("f32[3]",), {"graph": "sample", "wrt": [0]}),),
    errors=(IllTyped(("f32[3]",), "attribute 'graph' is missing", {"wrt": [0]}),),
)
def value_and_gradient(*operands: Any, graph: Graph, wrt: Ints) -> Any:
    """The results of a graph, then gradients of its first result.

    `wrt` lists the operands to differentiate with respect to.
    """
    expanded = differentiate(graph, wrt)
    try:
        return inline(expanded, operands)
    finally:
        graph.module.remove(expanded)


# -- cond ------------------------------------------------------------------------------


def _cond_reference(index: Any, *operands: Any, branches: Graphs, run: Any) -> Any:
    return run(branches[min(max(int(index), 0), len(branches) - 1)], *operands)


def _cond_pullback(
    node: Node, cotangents: Sequence[Operand | None], wanted: Sequence[bool]
) -> list[Operand | None]:
    """A cond of the branches' pullbacks, which run their branch again."""
    assert node.graph is not None
    module = node.graph.module
    index, *operands = node.operands
    branches: Graphs = node.op.decode(node.attributes, module)["branches"]
    flows = [g is not None for g in cotangents]
    swept = [sweep(branch, flows, wanted[1:]) for branch in branches]
    gradients = [each.gradients for each in swept]
    reached = [i for i, g in enumerate(zip(*gradients, strict=True)) if any(g)]
    for each in swept:
        with building(each.graph):
            found = [each.gradients[i] or zeros(operands[i].type) for i in reached]
        each.graph.results = found
        each.graph.remove_unread()
    if not reached:
        for each in swept:
            module.remove(each.graph)
        return [None] * len(node.operands)
    given = [g for g in cotangents if g is not None]
    names = [each.graph for each in swept]
    results = as_tuple(OPS["cond"](index, *operands, *given, branches=names))
    by_operand = dict(zip(reached, results, strict=True))
    return [None, *(by_operand.get(i) for i in range(len(operands)))]


_BRANCHES = {"branches": ["sample_branch", "sample_map"]}


@primitive(
    Kind.OPAQUE,
    _cond_reference,
    pullback=_cond_pullback,
    dtypes=(BOOLEAN | {I32}, ANY),
    samples=(
        Sample(("bool[]", "f32[3]"), _BRANCHES),
        Sample((Arg("i32[]", -2, 4), "f32[3]"), _BRANCHES),
        Sample((1, "f32[3]"), {"branches": ["sample"] * 3}),
    ),
    errors=(
        IllTyped(("bool[]", "f32[3]"), "attribute 'branches' is missing"),
        IllTyped(("bool[]", "f32[3]"), "at least one branch", {"branches": []}),
        IllTyped(("bool[3]", "f32[3]"), "index must be of rank 0", _BRANCHES),
        IllTyped(("f32[]", "f32[3]"), "index must be one of", _BRANCHES),
        IllTyped(("bool[]", "f32[4]"), "takes (f32[3])", _BRANCHES),
        IllTyped(
            ("bool[]", "f32[3]"),
            "@sample_map returns other types than @sample",
            {"branches": ["sample", "sample_map"]},
        ),
        IllTyped(
            ("bool[]", "f32[3]"),
            "false and true choose between two branches",
            {"branches": ["sample"] * 3},
        ),
    ),
)
def cond(
    index: TensorType, *operands: TensorType, branches: Graphs
) -> tuple[TensorType, ...]:
    """The results of the one of the `branches` that `index` numbers.

    An i32 index that numbers none means the nearest; a bool one is 0 if it is false, 1
    if it is true.
    """
    require(len(branches) > 0, "cond: there must be at least one branch")
    require(not index.shape, "cond: index must be of rank 0", index)
    require(
        index.dtype is not BOOL or len(branches) == 2,
        f"cond: false and true choose between two branches, not {len(branches)}",
    )
    first, *others = [called_types("cond", branch, operands) for branch in branches]
    for branch, types in zip(branches[1:], others, strict=True):
        if types != first:
            raise GraphError(
                f"cond: graph @{branch.name} returns other types than"
                f" @{branches[0].name}, which returns ({types_text(first)})",
                received=types_text(types),
            )
    return first


# -- gradients that are given ----------------------------------------------------------


def _given_pullback(
    node: Node, cotangents: Sequence[Operand | None], wanted: Sequence[bool]
) -> list[Operand | None]:
    """A call of the given pullback; what it reads of the graph has its own gradient."""
    assert node.graph is not None
    given = node.op.decode(node.attributes, node.graph.module)
    count: int = given["outputs"]
    found: list[Operand | None] = [None] * len(node.operands)
    if any(g is not None for g in cotangents[:count]):
        floats = [i for i in range(count) if node.results[i].dtype.is_float]
        seeds = [cotangents[i] or zeros(node.results[i].type) for i in floats]
        kept = node.results[count:]
        called = as_tuple(call(*seeds, *kept, graph=given["pullback"]))
        places = (i for i, o in enumerate(node.operands) if o.type.dtype.is_float)
        found = _placed(dict(zip(places, called, strict=False)), wanted)
    if any(g is not None for g in cotangents[count:]):
        flows = [i >= count and g is not None for i, g in enumerate(cotangents)]
        swept = sweep(given["graph"], flows, wanted)
        reached = [i for i, g in enumerate(swept.gradients) if g is not None]
        swept.graph.results = [g for g in swept.gradients if g is not None]
        swept.graph.remove_unread()
        later = [g for g in cotangents[count:] if g is not None]
        if not reached:
            node.graph.module.remove(swept.graph)
            return found
        added = as_tuple(call(*node.operands, *later, graph=swept.graph))
        for i, g in zip(reached, added, strict=True):
            known = found[i]
            found[i] = g if known is None else OPS["add"](known, g)
    return found


def _placed(
    cotangents: Mapping[int, Operand], wanted: Sequence[bool]
) -> list[Operand | None]:
    return [cotangents.get(i) if flag else None for i, flag in enumerate(wanted)]


@primitive(
    Kind.OPAQUE,
    lambda *operands, graph, pullback, outputs, run: run(graph, *operands),
    pullback=_given_pullback,
    samples=(
        Sample(
            ("f32[3]",),
            {"graph": "sample_kept", "pullback": "sample_pullback", "outputs": 1},
        ),
    ),
    errors=(
        IllTyped(("f32[3]",), "attribute 'graph' is missing", {"outputs": 1}),
        IllTyped(
            ("f32[3]",),
            "outputs must be within 1..2",
            {"graph": "sample_kept", "pullback": "sample_pullback", "outputs": 3},
        ),
        IllTyped(
            ("f32[3]",),
            "graph @sample takes (f32[3])",
            {"graph": "sample_kept", "pullback": "sample", "outputs": 1},
        ),
        IllTyped(
            ("f32[3]",),
            "pullback must return cotangents of the float operands: (f32[3])",
            {"graph": "sample_map", "pullback": "sample_lost", "outputs": 1},
        ),
    ),
)
def custom_gradient(
    *operands: TensorType, graph: Graph, pullback: Graph, outputs: int
) -> tuple[TensorType, ...]:
    """The results of a graph whose gradient is given by another graph.

    The first results are the `outputs`; the others are for the pullback. That takes
    the cotangent of each float output, then the others, and returns the cotangents of
    the float operands, or of the first of them: none flows to the rest.
    """
    results = called_types("custom_gradient", graph, operands)
    require(
        1 <= outputs <= len(results),
        f"custom_gradient: outputs must be within 1..{len(results)}",
    )
    seeds = [type for type in results[:outputs] if type.dtype.is_float]
    found = called_types("custom_gradient", pullback, [*seeds, *results[outputs:]])
    wanted = [type for type in operands if type.dtype.is_float]
    if list(found) != wanted[: len(found)]:
        raise GraphError(
            "custom_gradient: pullback must return cotangents of the float operands:"
            f" ({types_text(wanted)})",
            received=types_text(found),
        )
    return results


# -- steering differentiation and optimization -----------------------------------------


@primitive(
    Kind.ELEMENTWISE,
    lambda x: x,
    vjp=lambda g, y, x: (None,),
    traits=[Trait.IDEMPOTENT, Trait.IDENTITY, Trait.MOVES_DATA],
    samples=(Sample(("f32[3,4]",), smooth=False), Sample(("i32[]",))),
    errors=(IllTyped((), "takes 1 operands"),),
)
def stop_gradient(x: TensorType) -> TensorType:
    """x, through which no gradient flows."""
    return x


@primitive(
    Kind.OPAQUE,
    lambda *operands: operands,
    vjp=lambda g, y, *operands: g if isinstance(g, tuple) else (g,),
    traits=[Trait.IDENTITY, Trait.MOVES_DATA],
    samples=(Sample(("f32[3]", "i32[2]")), Sample(("f32[3]",))),
    errors=(IllTyped((), "takes 1 or more operands"),),
)
def optimization_barrier(x: TensorType, *more: TensorType) -> tuple[TensorType, ...]:
    """The operands, which no optimization moves computation across."""
    return (x, *more)
