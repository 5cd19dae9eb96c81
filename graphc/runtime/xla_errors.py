"""What XLA says about StableHLO text, said about the graph it was emitted from."""

from __future__ import annotations

import re

from graphc.codegen.stablehlo import StableHLO
from graphc.ir.errors import CompileError
from graphc.ir.graph import Graph, Node

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
    node, rule = None, words.strip().split("\n\n")[0]
    if complaint := _COMPLAINT.search(words):
        rule = complaint["rule"]
        node = _find_node(module, complaint)
    place = "" if node is None else f" at {_label(node)}"
    return CompileError(
        f"XLA refused graph @{graph.name}{place}",
        received=rule[:_MESSAGE_LIMIT],
        location=None if node is None else node.location,
        hint="GRAPHC_DUMP=<directory> keeps the graph and its StableHLO",
    )


def _find_node(module: StableHLO, complaint: re.Match[str]) -> Node | None:
    line = int(complaint["line"])
    if complaint["file"] == _TEXT:
        return module.nodes[line - 1] if 0 < line <= len(module.nodes) else None
    place = (complaint["file"], line, int(complaint["column"]))
    operation = _OPERATION.search(complaint["rule"])
    found: Node | None = None
    for node, text in zip(module.nodes, module.text.split("\n"), strict=False):
        location = None if node is None else node.location
        if location is None or place != (location.file, location.line, location.column):
            continue
        # Several nodes may come from one place of the user's program: prefer the
        # operation that the message names.
        if operation is None or re.search(rf"{re.escape(operation[0])}\b", text):
            return node
        found = found or node
    return found


def _label(node: Node) -> str:
    names = ", ".join(f"%{r.name}" for r in node.results if r.name is not None)
    return f"{names} = {node.op.name}" if names else node.op.name
