"""StableHLO programs as graphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from jax.extend.mlir import ir

from graphc.importers.stablehlo import (
    chlo,
    contraction,
    control,
    elementwise,
    indexing,
    linalg,
    normalization,
    random_bits,
    reduction,
    shape,
)
from graphc.importers.stablehlo.context import new_context
from graphc.importers.stablehlo.function import BlockReader, Importer, Session
from graphc.importers.stablehlo.source import read_module
from graphc.ir import Graph, Module, sanitize_name
from graphc.ir.errors import LoadError, UnsupportedError
from graphc.ir.graph import fresh_name
from graphc.ir.opdef import OPS

MAX_OPERATIONS = 1_000_000
"""The largest number of operations in a module."""

IMPORTERS: Mapping[str, Importer] = {
    **{
        f"stablehlo.{name}": elementwise.plain
        for name, op in OPS.items()
        if elementwise.is_plain(op) and not op.is_composite
    },
    **elementwise.IMPORTERS,
    **shape.IMPORTERS,
    **contraction.IMPORTERS,
    **reduction.IMPORTERS,
    **indexing.IMPORTERS,
    **linalg.IMPORTERS,
    **normalization.IMPORTERS,
    **control.IMPORTERS,
    **chlo.IMPORTERS,
    **random_bits.IMPORTERS,
}
"""What makes nodes of each MLIR operation; the others are not supported."""

_CALLS = {"func.call": "callee", "stablehlo.composite": "decomposition"}
"""The operations that name a function, with the attribute that does."""


def from_stablehlo(source: str | bytes) -> Graph:
    """The graph of a StableHLO program, with the functions it calls in its module.

    The public function ``main``, or the only public one, becomes the graph; private
    functions, branches and loop bodies become graphs it calls. Locations stay.
    Nothing in the program is run: a program of any origin may be read.

    Args:
        source: StableHLO text, MLIR bytecode or a portable artifact. What jax lowers
            is ``jax.jit(f).lower(*arguments).as_text()``.

    Returns:
        The graph, verified.

    Raises:
        ParseError: For text that is no valid module, with line and column.
        LoadError: For damaged bytecode, or a module without an entry function.
        UnsupportedError: For an operation or a part of it that graphs cannot say; it
            names the operation, the part and the place.

    Example:
        >>> import graphc
        >>> text = '''
        ... func.func @main(%x: tensor<3xf32> loc("x")) -> tensor<3xf32> {
        ...   %0 = stablehlo.tanh %x : tensor<3xf32>
        ...   return %0 : tensor<3xf32>
        ... }'''
        >>> graph = graphc.from_stablehlo(text)
        >>> [node.op.name for node in graph.nodes]
        ['tanh']
    """
    with new_context(), ir.Location.unknown():
        module = read_module(source)
        _check_size(module)
        functions = _functions(module)
        entry = _entry(functions)
        order = _callees_first(functions, entry)
        session = Session(Module(), IMPORTERS)
        names = _graph_names(module, entry, order)
        for symbol in order:
            session.graphs[symbol] = _import(session, functions[symbol], names[symbol])
        graph = session.graphs[entry]
    graph.verify()
    return graph


def _check_size(module: ir.Module) -> None:
    for count, _ in enumerate(_operations([module.operation])):
        if count > MAX_OPERATIONS:
            raise LoadError(f"a module may have {MAX_OPERATIONS} operations")


def _operations(tops: Iterable[ir.Operation]) -> Iterator[ir.Operation]:
    """All operations within others, in no particular order."""
    pending = list(tops)
    while pending:
        for region in pending.pop().regions:
            for block in region.blocks:
                for each in block.operations:
                    yield each.operation
                    if len(each.operation.regions):
                        pending.append(each.operation)


def _functions(module: ir.Module) -> dict[str, ir.Operation]:
    found: dict[str, ir.Operation] = {}
    for each in module.body.operations:
        raw = each.operation
        if raw.name == "func.func":
            found[_symbol(raw)] = raw
        elif raw.name != "sdy.mesh":
            raise UnsupportedError(f"{raw.name}: modules may hold functions only")
    return found


def _symbol(raw: ir.Operation) -> str:
    return ir.StringAttr(raw.attributes["sym_name"]).value


def _entry(functions: Mapping[str, ir.Operation]) -> str:
    if "main" in functions:
        return "main"
    public = [
        name
        for name, raw in functions.items()
        if "sym_visibility" not in raw.attributes
        or ir.StringAttr(raw.attributes["sym_visibility"]).value == "public"
    ]
    if len(public) != 1:
        raise LoadError(
            "a module must have a function @main or one public function",
            received=", ".join(public[:8]) or "none",
        )
    return public[0]


def _callees_first(functions: Mapping[str, ir.Operation], entry: str) -> list[str]:
    """The entry and what it calls, each behind all that it calls itself."""
    order: dict[str, None] = {}
    open_: dict[str, Iterator[str]] = {entry: _callees(functions, entry)}
    while open_:
        symbol, callees = next(reversed(open_.items()))
        for callee in callees:
            if callee in open_:
                raise UnsupportedError(f"function @{callee} calls itself")
            if callee not in order:
                open_[callee] = _callees(functions, callee)
                break
        else:
            order[symbol] = None
            del open_[symbol]
    return list(order)


def _callees(functions: Mapping[str, ir.Operation], symbol: str) -> Iterator[str]:
    if symbol not in functions or not len(functions[symbol].regions[0].blocks):
        raise UnsupportedError(f"function @{symbol} has no body")
    for raw in _operations([functions[symbol]]):
        if raw.name in _CALLS:
            yield ir.FlatSymbolRefAttr(raw.attributes[_CALLS[raw.name]]).value


def _graph_names(module: ir.Module, entry: str, order: Iterable[str]) -> dict[str, str]:
    """A name for each function's graph: the module's for the entry, if it has one."""
    attributes = module.operation.attributes
    title = _symbol(module.operation) if "sym_name" in attributes else entry
    names = {entry: sanitize_name(title or entry)}
    taken = set(names.values())
    for symbol in order:
        if symbol == entry:
            continue
        names[symbol] = fresh_name(sanitize_name(symbol), taken)
        taken.add(names[symbol])
    return names


def _import(session: Session, function: ir.Operation, name: str) -> Graph:
    (block,) = function.regions[0].blocks
    graph = Graph(name, session.module)
    reader = BlockReader(session, graph)
    reader.parameters(block.arguments)
    graph.results = reader.read(block)
    return graph
