"""Bound graphs of primitives as StableHLO text."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.codegen.spellings import SPELLINGS, Signature, Spelling
from graphc.codegen.stablehlo import (
    combiners,
    contraction,
    control,
    effects,
    fourier,
    indexing,
    libraries,
    linear_algebra,
    loops,
    reduction,
    shape,
    sorting,
    window,
)
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import function_type, string_text, type_text
from graphc.ir.collection import collection_paused
from graphc.ir.errors import GraphcError, UnsupportedError
from graphc.ir.graph import Graph, Node, fresh_name
from graphc.ir.location import Location

LOWERINGS: dict[str, Lowering] = {
    **control.LOWERINGS,
    **effects.LOWERINGS,
    **loops.LOWERINGS,
    **shape.LOWERINGS,
    **reduction.LOWERINGS,
    **sorting.LOWERINGS,
    **window.LOWERINGS,
    **combiners.LOWERINGS,
    **indexing.LOWERINGS,
    **contraction.LOWERINGS,
    **linear_algebra.LOWERINGS,
    **libraries.LOWERINGS,
    **fourier.LOWERINGS,
}
"""The primitives that are more than one elementwise operation."""

MAX_POSITION = 2**31 - 1
"""The largest line or column that MLIR and XLA can hold."""


@dataclass(frozen=True, slots=True)
class StableHLO:
    """An emitted module.

    Attributes:
        text: The module's text.
        nodes: For each line of the text the node that it was written for, or None.
        host_calls: The nodes whose references are called on the host, by index.
    """

    text: str
    nodes: tuple[Node | None, ...]
    host_calls: tuple[Node, ...] = ()


def emit_stablehlo(graph: Graph, platform: str = "cpu") -> str:
    """The StableHLO text of `graph` and the graphs it calls.

    The entry graph becomes ``func.func public @main``, its callees private functions.
    Every line of a node carries the node's location.

    Args:
        graph: A graph of primitives and calls without dimension symbols.
        platform: What the text is for, ``"cpu"`` or ``"cuda"``: factorizations call
            routines of its own. All other ops have one text for all platforms.

    Raises:
        GraphError: If a dimension symbol is not bound.
        UnsupportedError: If an op has no StableHLO form: a composite that has not been
            decomposed, or a factorization on a platform whose routines are not known.
    """
    return emit_module(graph, platform).text


@collection_paused()
def emit_module(graph: Graph, platform: str = "cpu") -> StableHLO:
    """As `emit_stablehlo`, with the node that each line was written for."""
    locations = Locations()
    functions = _function_names(graph)
    lines = [f"module @{graph.name} {{"]
    nodes: list[Node | None] = [None]
    host_calls: list[Node] = []
    for each in graph.reachable():
        writer = FunctionWriter(each, functions, locations.alias, platform, host_calls)
        _emit_function(writer, "public" if each is graph else "private")
        lines += [f"  {line}" for line in writer.lines]
        nodes += writer.nodes
    lines += ["}", *locations.definitions()]
    nodes += [None] * (len(lines) - len(nodes))
    return StableHLO("\n".join(lines) + "\n", tuple(nodes), tuple(host_calls))


def _function_names(graph: Graph) -> dict[str, str]:
    names = {graph.name: "main"}
    for callee in graph.reachable()[1:]:
        names[callee.name] = fresh_name(callee.name, names.values())
    return names


def _emit_function(writer: FunctionWriter, visibility: str) -> None:
    writer.open(visibility, writer.functions[writer.graph.name])
    for node in writer.graph.nodes:
        writer.begin(node)
        try:
            _emit_node(writer, node)
        except GraphcError as error:
            error.location = error.location or node.location
            raise
    writer.close()


def _emit_node(writer: FunctionWriter, node: Node) -> None:
    name = node.op.name
    if name in SPELLINGS:
        _emit_elementwise(writer, node, SPELLINGS[name])
    elif name in LOWERINGS:
        attributes = node.op.decode(node.attributes, writer.graph.module)
        LOWERINGS[name](writer, node, **attributes)
    else:
        composite = node.op.is_composite
        raise UnsupportedError(
            f"{name} has no StableHLO form",
            received=f"a {'composite' if composite else 'primitive'} op",
            location=node.location,
            hint="run the decompose and autodiff passes first" if composite else None,
        )


def _emit_elementwise(writer: FunctionWriter, node: Node, spelling: Spelling) -> None:
    result = node.result.type
    names = [writer.stretched(o, result.shape) for o in node.operands]
    if spelling.signature is Signature.UNIFORM:
        types = type_text(result)
    else:
        operands = [o.type.with_shape(result.shape) for o in node.operands]
        types = function_type(operands, [result])
        if spelling.signature is Signature.ARROW:
            types = f"{', '.join(map(type_text, operands))} -> {type_text(result)}"
    operation = spelling.operation or f"stablehlo.{node.op.name}"
    writer.assign(node, f"{operation} {', '.join(names)} : {types}")


class Locations:
    """The location aliases of a module, numbered in order of first use."""

    def __init__(self) -> None:
        self._aliases: dict[Location, str] = {}

    def alias(self, location: Location) -> str:
        """The alias for a location: ``#loc3``."""
        return self._aliases.setdefault(location, f"#loc{len(self._aliases)}")

    def definitions(self) -> list[str]:
        """The lines that say what the aliases stand for."""
        return [f"{alias} = {location_text(of)}" for of, alias in self._aliases.items()]


def location_text(location: Location) -> str:
    """A location as MLIR writes it: ``loc("encoder/mlp"("model.py":12:9))``.

    The name is the layer path, with what the node came from in parentheses.
    """
    line, column = (min(n, MAX_POSITION) for n in (location.line, location.column))
    place = f"{string_text(location.file)}:{line}:{column}"
    name = location.path or ""
    if location.origin:
        name = f"{name} ({location.origin})".lstrip()
    return f"loc({string_text(name)}({place}))" if name else f"loc({place})"
