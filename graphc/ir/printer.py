"""Graphs as text, which `graphc.ir.parser` reads back to equal graphs."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from graphc.ir.location import Location
from graphc.ir.types import BOOL, F32, F64, DType, TensorType, dtype
from graphc.ir.values import Attributes, Literal, Operand, Value

if TYPE_CHECKING:
    from graphc.ir.graph import Graph, Module, Node


def print_graph(graph: Graph) -> str:
    """The text of `graph`, the graphs it calls and the constants they read.

    A graph that does not verify prints too, though what prints may not parse.
    """
    return _text(graph.reachable(), graph.module)


def print_module(module: Module) -> str:
    """The text of all graphs of a module, in its order, and the constants they read."""
    return _text(module.graphs.values(), module)


def program_text(graph: Graph) -> str:
    """The text of a graph without what does not change what it computes.

    That are the names of values, and where nodes are from.
    """
    plain = graph.copy()
    for each in plain.reachable():
        for value in (*each.parameters, *(v for n in each.nodes for v in n.results)):
            value.name = None
        for node in each.nodes:
            node.location = None
    return print_graph(plain)


def program_digest(graph: Graph) -> str:
    """The same for graphs that compute the same in the same order.

    What graphs, values and layers are called does not matter, but for the names of
    graphs that are called.
    """
    own = program_text(graph).partition("(")[2]
    return hashlib.sha256(own.encode()).hexdigest()[:16]


def _text(graphs: Iterable[Graph], module: Module) -> str:
    constants: dict[str, None] = {}
    parts: list[str] = []
    for each in graphs:
        parts.append(_graph_text(each))
        for node in each.nodes:
            constants.update(dict.fromkeys(node.op.constant_names(node)))
    for name in constants:
        if name in module.constants:
            parts.append(_constant_text(name, module.constants[name]))
    return "".join(parts)


def print_node(node: Node) -> str:
    """The line of `node` in the text of its graph."""
    assert node.graph is not None
    return _node_text(node, value_names(node.graph, node.graph.nodes), {}).strip()


def value_names(graph: Graph, nodes: Iterable[Node]) -> dict[Value, str]:
    """The name that each parameter of `graph` and result of its `nodes` prints with.

    That is its own name, or a number if it has none.
    """
    names: dict[Value, str] = {}
    number = 0
    results = (result for node in nodes for result in node.results)
    for value in chain(graph.parameters, results):
        if value.name is None:
            names[value] = f"%{number}"
            number += 1
        else:
            names[value] = f"%{value.name}"
    return names


def literal_text(literal: Literal) -> str:
    """The text of a literal: ``0.5``, ``3:i32``, ``true``, ``-inf:bf16``."""
    value, dtype = literal.value, literal.dtype
    if dtype is BOOL:
        return "true" if value else "false"
    text = _float_text(float(value), dtype) if dtype.is_float else str(value)
    return text if dtype is F32 else f"{text}:{dtype.name}"


def location_text(location: Location) -> str:
    """The text of a location: ``loc("layer/path" file.py:12:5 from "origin")``."""
    # Read the place first: a captured location is resolved by that.
    text = f"{_file_text(location.file)}:{location.line}:{location.column}"
    if location.path is not None:
        text = f"{json_text(location.path)} {text}"
    if location.origin is not None:
        text = f"{text} from {json_text(location.origin)}"
    return f"loc({text})"


def attributes_text(attributes: Attributes) -> str:
    """The text of attributes, keys sorted: ``{contract=[[1],[0]]}``."""
    items = (f"{key}={json_text(attributes[key])}" for key in sorted(attributes))
    return f"{{{', '.join(items)}}}"


def json_text(value: Any) -> str:
    """Compact JSON with sorted keys; what JSON cannot hold prints as its repr."""
    text = json.dumps(
        value,
        separators=(",", ":"),
        sort_keys=True,
        ensure_ascii=False,
        default=repr,
    )
    # Unpaired surrogates, which file names may hold, cannot be written as UTF-8.
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_IN_FILE_NAMES = re.compile(r"[^\w./+@~<>=,-]")


def _graph_text(graph: Graph) -> str:
    names = value_names(graph, graph.nodes)
    lines = [_header_text(graph, names)]
    types: dict[TensorType, str] = {}
    lines += [_node_text(node, names, types) for node in graph.nodes]
    results = operands_text(graph.results, names)
    lines.append(f"  return {results}".rstrip())
    return "\n".join(lines) + "\n}\n"


def _header_text(graph: Graph, names: dict[Value, str]) -> str:
    parameters: list[str] = []
    for value in graph.parameters:
        text = f"{names[value]}: {value.type}"
        if value.attributes:
            text += f" {attributes_text(value.attributes)}"
        parameters.append(text)
    results = ", ".join(str(result.type) for result in graph.results)
    text = f"graph @{graph.name}({', '.join(parameters)}) -> ({results})"
    if graph.ranges:
        ranges = sorted(graph.ranges.items())
        text += f" where {', '.join(f'{s} in {a}..{b}' for s, (a, b) in ranges)}"
    if graph.attributes:
        text += f" {attributes_text(graph.attributes)}"
    return text + " {"


def _node_text(
    node: Node, names: dict[Value, str], types: dict[TensorType, str]
) -> str:
    text = f"  {statement_text(node, names, types)}"
    if node.location is not None:
        text += f"  {location_text(node.location)}"
    return text


def statement_text(
    node: Node,
    names: dict[Value, str],
    types: dict[TensorType, str] | None = None,
) -> str:
    """The text of `node` without its location.

    Args:
        node: The node.
        names: What each value prints with.
        types: The texts of types, if a caller keeps them for the next node.
    """
    types = {} if types is None else types
    results = ", ".join([names[result] for result in node.results])
    text = f"{results} = {node.op.name}({operands_text(node.operands, names)})"
    if node.attributes:
        text += f" {attributes_text(node.attributes)}"
    declared: list[str] = []
    for result in node.results:
        type_text = types.get(result.type)
        if type_text is None:
            type_text = types[result.type] = str(result.type)
        declared.append(type_text)
    return f"{text} : {', '.join(declared)}"


def operands_text(operands: Iterable[Operand], names: dict[Value, str]) -> str:
    """The text of operands, between commas."""
    # A value from elsewhere, which the verifier refuses, prints as %?.
    return ", ".join(
        [
            literal_text(operand)
            if isinstance(operand, Literal)
            else names.get(operand, "%?")
            for operand in operands
        ]
    )


def _float_text(value: float, dtype: DType) -> str:
    """The shortest decimal that reads back as `value` in `dtype`."""
    if not math.isfinite(value):
        return str(value)
    if dtype is F64 or (dtype.bits <= 16 and value.is_integer() and abs(value) < 1e6):
        return repr(value)
    if dtype is F32:
        candidates = [str(np.float32(value))]
    else:
        candidates = [f"{value:.{digits}g}" for digits in range(1, 9)]
    for text in candidates:
        # Reading rounds twice, to float64 and then to the dtype: see that it fits.
        if Literal(float(text), dtype).value == value:
            return text if "." in text or "e" in text else f"{text}.0"
    return repr(value)


def _file_text(file: str) -> str:
    return _NOT_IN_FILE_NAMES.sub(
        lambda match: quote(match[0], safe="", errors="surrogatepass"), file
    )


def _constant_text(name: str, array: np.ndarray[Any, Any]) -> str:
    type = TensorType(array.shape, dtype(array.dtype))
    # Little-endian in the text: the dtypes of the IR are in the machine's order.
    stored = array if sys.byteorder == "little" else array.byteswap()
    data = base64.b64encode(stored.tobytes()).decode("ascii")
    return f'const @{name}: {type} = "{data}"\n'
