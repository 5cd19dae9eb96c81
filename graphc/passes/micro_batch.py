"""Micro-batches: a training step whose gradient is summed over parts of the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.ir.body import as_tuple
from graphc.ir.build import building, current_builder
from graphc.ir.dims import SymbolicDim
from graphc.ir.errors import UnsupportedError
from graphc.ir.graph import Graph, Node
from graphc.ir.ops import (
    add,
    broadcast_in_dim,
    call,
    convert,
    multiply,
    reshape,
    scan,
    value_and_gradient,
)
from graphc.ir.ops.along_axes import in_dtype, wide_dtype
from graphc.ir.types import TensorType
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.batch_roles import Alone, BatchRoles, Mean, Role, Rows, batch_roles
from graphc.passes.ledger import Ledger
from graphc.passes.rewrite import Proposal, Rewriter


@dataclass(frozen=True, slots=True)
class _Divisible:
    """A function of a batch that can run on its parts.

    Attributes:
        graph: From the function's parameters, then one for each result of `draws`, to
            its results.
        draws: From the function's parameters to what has to be drawn for the whole
            batch; None if nothing has.
        given: How each parameter of `graph` depends on the batch.
        results: How each result of `graph` does.
    """

    graph: Graph
    draws: Graph | None
    given: Sequence[Role]
    results: Sequence[Role]


class MicroBatches:
    """Copies of a graph that take gradients of parts of the batch in turn.

    A loop calls each function whose gradient is taken on one part after the other, and
    sums what is a mean or a sum over the batch. Random numbers for the batch, such as
    dropout's masks, are drawn before the loop. Results are the same but for rounding.

    Args:
        graph: A graph whose batch size is a dimension symbol.
        bindings: The sizes of its symbols.
    """

    def __init__(self, graph: Graph, bindings: Mapping[str, int]) -> None:
        self._graph = graph
        self._bindings = bindings
        self._divisible: dict[str, _Divisible] = {}

    def __call__(self, count: int) -> Graph:
        """A bound copy that runs `count` micro-batches.

        Raises:
            UnsupportedError: If there is no gradient of a batch, the parts would not
                be of one size, or something depends on examples of other parts; says
                what.
        """
        symbols = filter(None, map(_batch_symbol, _gradients(self._graph)))
        symbol = next(symbols, None)
        if symbol is None:
            raise UnsupportedError(
                "no gradient of a batch whose size is a symbol is taken"
            )
        size = self._bindings[symbol]
        if size % count:
            raise UnsupportedError(
                f"{size} examples do not make {count} parts of one size"
            )
        outer = self._graph.copy({symbol: count * SymbolicDim.symbol(symbol)})
        rewriter = Rewriter(Ledger(), "micro_batch", required=True)
        for node in _gradients(outer):
            self._replace(node, symbol, count, rewriter)
        return outer.copy({**self._bindings, symbol: size // count})

    def _replace(self, node: Node, symbol: str, count: int, rewriter: Rewriter) -> None:
        """Puts a loop over micro-batches for a gradient of the whole batch."""
        inner = self._graph.module.graphs[node.attributes["graph"]]
        wrt: Sequence[int] = node.attributes["wrt"]
        if inner.name not in self._divisible:
            found = _divide(inner, wrt, symbol, self._bindings)
            self._divisible[inner.name] = found
        divisible = self._divisible[inner.name]

        def attempt() -> Proposal:
            return "loop", _loop(node, divisible, symbol, count)

        rewriter.rewrite(node, attempt)


def _divide(
    inner: Graph, wrt: Sequence[int], symbol: str, bindings: Mapping[str, int]
) -> _Divisible:
    """How a function whose gradient is taken can run on parts of a batch."""
    given: list[Role] = [
        Rows(0) if symbol in p.type.symbols else Alone(0) for p in inner.parameters
    ]
    if any(isinstance(given[i], Rows) for i in wrt):
        raise UnsupportedError("a gradient with respect to the batch is taken")
    if any(
        symbol in p.type.with_shape(p.type.shape[1:]).symbols for p in inner.parameters
    ):
        raise UnsupportedError("an input has examples along another axis than 0")
    graph, draws = inner, None
    found = batch_roles(graph, given, symbol, bindings, wrt)
    while found.opened:
        graph = _opened(graph, found)
        found = batch_roles(graph, given, symbol, bindings, wrt)
    if found.drawn:
        graph, draws = _drawn_before(graph, found)
        given += [
            Rows(0) if symbol in result.type.symbols else Alone(0)
            for result in draws.results
        ]
        others = [r.type.with_shape(r.type.shape[1:]) for r in draws.results]
        if any(symbol in type.symbols for type in others):
            raise UnsupportedError("random numbers are drawn along another axis than 0")
        found = batch_roles(graph, given, symbol, bindings, wrt)
    results = found.results
    if not isinstance(results[0], Mean):
        raise UnsupportedError("the loss is no mean or sum over the batch")
    for result, role in zip(graph.results, results, strict=True):
        others = result.type.shape[1 if isinstance(role, Rows) else 0 :]
        if symbol in result.type.with_shape(others).symbols:
            raise UnsupportedError("a result has examples along another axis than 0")
    return _Divisible(graph, draws, given, results)


def _opened(graph: Graph, found: BatchRoles) -> Graph:
    """A copy with the bodies of the composites that draw for the batch."""
    copy = graph.copy()
    rewriter = Rewriter(Ledger(), "micro_batch", required=True)
    nodes = list(copy.nodes)
    for position in sorted(found.opened):
        rewriter.expand(nodes[position], "open")
    return copy


def _drawn_before(graph: Graph, found: BatchRoles) -> tuple[Graph, Graph]:
    """A copy that is given what is drawn for the batch, and a graph that draws it."""
    copy, draws = graph.copy(), graph.copy()
    rewriter = Rewriter(Ledger(), "micro_batch", required=True)
    nodes, drawing = list(copy.nodes), list(draws.nodes)
    drawn = {nodes[position] for position in found.drawn}
    read: list[Value] = []
    for position in sorted(found.drawn):
        node = nodes[position]
        if all(user in drawn for result in node.results for user in result.users):
            continue
        given = [copy.add_parameter(result.type) for result in node.results]
        read += drawing[position].results
        rewriter.replace(node, given, "draw")
    for position in sorted(found.drawn, reverse=True):
        if nodes[position].graph is copy:
            rewriter.erase(nodes[position])
    draws.results = read
    draws.remove_unread()
    return copy, draws


def _gradients(graph: Graph) -> list[Node]:
    """The nodes of `graph` and those it calls that take gradients."""
    return [
        node
        for each in graph.reachable()
        for node in each.nodes
        if node.op is value_and_gradient
    ]


def _batch_symbol(node: Node) -> str | None:
    """The symbol of the first dimension of an operand, if one is a symbol."""
    for operand in node.operands:
        first = operand.type.shape[0] if operand.type.shape else 0
        if isinstance(first, SymbolicDim) and len(first.symbols()) == 1:
            return next(iter(first.symbols()))
    return None


def _loop(node: Node, divisible: _Divisible, symbol: str, count: int) -> list[Operand]:
    """What stands for the results of `node`: those of a loop."""
    assert node.graph is not None
    module = node.graph.module
    operands = list(node.operands)
    if divisible.draws is not None:
        larger = {symbol: count * SymbolicDim.symbol(symbol)}
        draws = module.include(divisible.draws, larger)
        operands += as_tuple(call(*operands, graph=draws))
    cut = [isinstance(role, Rows) for role in divisible.given]
    results = divisible.results
    roles = [*results, *(results[0] for _ in node.attributes["wrt"])]
    part = module.include(divisible.graph)
    types = [*(r.type for r in part.results)]
    types += [part.parameters[i].type for i in node.attributes["wrt"]]
    sums = [i for i, role in enumerate(roles) if not isinstance(role, Rows)]
    rows = [i for i, role in enumerate(roles) if isinstance(role, Rows)]
    starts = [_zeros(_summed(types[i], roles[i])) for i in sums]
    sequences = [_cut(o, count) for o, flag in zip(operands, cut, strict=True) if flag]
    same = [o for o, flag in zip(operands, cut, strict=True) if not flag]
    body = Graph(module.fresh_name(f"{part.name}_micro_batch"), module)
    carried = [body.add_parameter(start.type) for start in starts]
    elements = [
        body.add_parameter(s.type.with_shape(s.type.shape[1:])) for s in sequences
    ]
    fixed = [body.add_parameter(o.type) for o in same]
    left, right = iter(elements), iter(fixed)
    read = [next(left) if flag else next(right) for flag in cut]
    with building(body):
        current_builder().location = node.location
        attributes = {"graph": part, "wrt": node.attributes["wrt"]}
        found = as_tuple(value_and_gradient(*read, **attributes))
        after = [
            add(total, in_dtype(found[i], total.type.dtype))
            if isinstance(roles[i], Mean)
            else found[i]
            for i, total in zip(sums, carried, strict=True)
        ]
        body.results = [*after, *(found[i] for i in rows)]
    body.ranges = dict(part.ranges)
    looped = as_tuple(
        scan(
            *(*starts, *sequences, *same),
            body=body,
            length=count,
            carries=len(starts),
            sequences=len(sequences),
        )
    )
    by_result = dict(zip([*sums, *rows], looped, strict=True))
    return [
        _joined(by_result[i], roles[i], node.results[i].type, count)
        for i in range(len(roles))
    ]


def _summed(type: TensorType, role: Role) -> TensorType:
    """The type in which a result is summed up, or handed on."""
    return type.with_dtype(wide_dtype(type.dtype)) if isinstance(role, Mean) else type


def _zeros(type: TensorType) -> Any:
    return broadcast_in_dim(Literal(0, type.dtype), shape=type.shape, dims=())


def _cut(operand: Operand, count: int) -> Value:
    """Rows as parts: the loop gets one after the other."""
    first, *rest = operand.type.shape
    return reshape(operand, shape=(count, first // count, *rest))


def _joined(found: Operand, role: Role, type: TensorType, count: int) -> Operand:
    """The result for the whole batch from that of the loop."""
    if isinstance(role, Rows):
        return reshape(found, shape=type.shape)
    scale = float(count) ** role.degree
    if isinstance(role, Mean):
        scale /= count
    if scale == 1:
        return in_dtype(found, type.dtype)
    if not type.dtype.is_float:
        return convert(multiply(found, int(scale)), dtype=type.dtype)
    return in_dtype(multiply(found, scale), type.dtype)
