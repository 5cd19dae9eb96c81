"""What XLA says about StableHLO text, said about the graph it was emitted from."""

from __future__ import annotations

import re

from graphc.codegen.stablehlo import StableHLO
from graphc.ir.errors import CompileError
from graphc.ir.graph import Graph, Node
from graphc.ir.printer import value_names

_COMPLAINT = re.compile(
    r"^(?:[A-Z_]+: )?(?P<file>.+):(?P<line>\d+):(?P<column>\d+): error: (?P<rule>.*)$",
    re.MULTILINE,
)
"""One diagnostic of MLIR: ``model.py:12:9: error: 'stablehlo.add' op requires ...``."""

_TEXT = "-"
"""The file name that MLIR gives the text itself."""

_OPERATION = re.compile(r"stablehlo\.\w+")

_MESSAGE_LIMIT = 500


def compile_error(error: Exception, graph: Graph, module: StableHLO) -> CompileError:
    """`error`, which XLA raised for `module`, naming node, layer and the user's line.

    Args:
        error: What XLA raised.
        graph: The graph that the module was emitted from.
        module: The emitted module.
    """
    words = str(error)
    complaint = _COMPLAINT.search(words)
    if complaint is None:
        rule, nodes = words.strip().split("\n\n")[0], []
    else:
        rule, nodes = complaint["rule"], _find_nodes(module, complaint, words)
    location = nodes[0].location if nodes else None
    # Of several nodes that the complaint may be about none is named.
    place = f" at {_label(nodes[0])}" if len(nodes) == 1 else ""
    return CompileError(
        f"XLA refused graph @{graph.name}{place}",
        received=rule[:_MESSAGE_LIMIT],
        location=location,
        hint="GRAPHC_DUMP=<directory> keeps the graph and its StableHLO",
    )


def _find_nodes(module: StableHLO, complaint: re.Match[str], words: str) -> list[Node]:
    """The nodes that a complaint may be about."""
    line = int(complaint["line"])
    if complaint["file"] == _TEXT:
        found = module.nodes[line - 1 : line] if line > 0 else ()
        return [node for node in found if node is not None]
    place = (complaint["file"], line, int(complaint["column"]))
    operation = _OPERATION.search(words)
    there: dict[Node, None] = {}
    named: dict[Node, None] = {}
    for node, text in zip(module.nodes, module.text.splitlines(), strict=True):
        location = None if node is None else node.location
        if node is None or location is None:
            continue
        if place != (location.file, location.line, location.column):
            continue
        there[node] = None
        if operation is not None and re.search(rf"{re.escape(operation[0])}\b", text):
            named[node] = None
    return list(named or there)


def _label(node: Node) -> str:
    assert node.graph is not None
    names = value_names(node.graph, node.graph.nodes)
    return f"{', '.join(names[result] for result in node.results)} = {node.op.name}"
