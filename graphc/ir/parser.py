"""Text to graphs: the inverse of `graphc.ir.printer`, for text of any origin."""

from __future__ import annotations

import base64
import difflib
import gc
import json
import math
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote

import numpy as np

from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph, Module, Node
from graphc.ir.lexer import Tokens
from graphc.ir.location import Location
from graphc.ir.opdef import OpDef
from graphc.ir.ops import OPS
from graphc.ir.types import BOOL, F32, I4, DType, TensorType, dtype, tensor_type
from graphc.ir.values import Attributes, Literal, Operand, Value, is_name
from graphc.ir.verifier import Verifier

T = TypeVar("T")

MAX_NUMBER = 400
"""How many characters a number may have."""

_INTEGER = re.compile("-?[0-9]+")
_WORDS = ("true", "false", "nan", "inf")
_PARTS = ("path", "file", "line", "column", "origin")


def parse(text: str) -> Graph:
    """The first graph of `text`, with the others and the constants in its module.

    The graphs are verified: what parses is well formed and well typed.

    Raises:
        ParseError: With line, column and what was expected, for text that is not one
            or more valid graphs.
    """
    if not isinstance(text, str):
        raise GraphError("parse: expected text", received=type(text).__name__)
    with _no_collection():
        return _Parser(text).parse()


@contextmanager
def _no_collection() -> Generator[None, None, None]:
    """Keeps the garbage collector from walking over a growing graph; halves the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Parser:
    """Recursive descent, which never recurses: the text does not nest.

    Graphs are built with the types that the text declares, and verified in the end,
    when all callees are there.
    """

    def __init__(self, text: str) -> None:
        self.tokens = Tokens(text)
        self.module = Module()
        self.places: dict[Node, int] = {}
        self.graph_places: dict[str, int] = {}
        # What the text repeats is made once.
        self.types: dict[str, TensorType] = {}
        self.literals: dict[tuple[str, str], Literal] = {}
        self.locations: dict[str, Location] = {}
        self.values: dict[str, Value] = {}

    def parse(self) -> Graph:
        tokens = self.tokens
        entry = self.graph()
        while tokens.token == "graph":
            self.graph()
        while tokens.token == "const":
            self.constant()
        if tokens.kind != "end":
            tokens.fail_expected("'graph', 'const' or the end of the text")
        verifier = Verifier(entry)
        try:
            verifier.run(self.module.graphs.values())
        except GraphError as error:
            place = self.graph_places[verifier.graph.name]
            if verifier.node is not None:
                place = self.places[verifier.node]
            self.fail(error, place)
        return entry

    # -- graphs and constants --------------------------------------------------------

    def graph(self) -> Graph:
        tokens = self.tokens
        tokens.expect("graph")
        place = tokens.start
        graph = self.attempt(place, Graph, self.global_name(), self.module)
        self.graph_places[graph.name] = place
        self.values = {}
        tokens.expect("(")
        graph.parameters = tuple(self.listed(")", lambda: self.parameter(graph)))
        for index, parameter in enumerate(graph.parameters):
            parameter.index = index
        tokens.expect("->")
        tokens.expect("(")
        place = tokens.start
        declared = self.listed(")", self.type)
        if tokens.accept("where"):
            self.ranges(graph)
        if tokens.starts_attributes():
            graph.attributes = self.attributes()
        self.body(graph)
        returned = [result.type for result in graph.results]
        if returned != declared:
            received = f"returned {_text(returned)}, declared {_text(declared)}"
            tokens.fail(
                f"graph @{graph.name}: the result types differ; {received}", place
            )
        return graph

    def parameter(self, graph: Graph) -> Value:
        tokens = self.tokens
        place = tokens.start
        name = tokens.take("value", "a parameter")
        tokens.expect(":")
        value = Value(self.type(), graph, None, 0)
        if tokens.token == "{":
            value.attributes = self.attributes()
        self.define(name, value, place)
        return value

    def ranges(self, graph: Graph) -> None:
        tokens = self.tokens
        while True:
            place = tokens.start
            symbol = tokens.take("name", "a dimension symbol")
            if symbol in graph.ranges:
                tokens.fail(f"the range of {symbol} stands twice", place)
            tokens.expect("in")
            low = self.integer()
            tokens.expect("..")
            graph.ranges[symbol] = low, self.integer()
            if not tokens.accept(","):
                return

    def integer(self) -> int:
        place = self.tokens.start
        text = self.tokens.take("number", "an integer")
        if not _INTEGER.fullmatch(text) or len(text) > MAX_NUMBER:
            self.tokens.fail(f"{text[:40]} is not an integer", place)
        return int(text)

    def body(self, graph: Graph) -> None:
        tokens = self.tokens
        tokens.expect("{")
        while tokens.kind == "value":
            self.node(graph)
        self.places[graph.return_node] = tokens.start
        if not tokens.accept("return"):
            tokens.fail_expected("a node or 'return'")
        graph.results = self.listed("}", self.operand)

    def constant(self) -> None:
        tokens = self.tokens
        tokens.expect("const")
        place = tokens.start
        name = self.global_name()
        if name in self.module.constants:
            tokens.fail(f"constant @{name} is defined twice", place)
        tokens.expect(":")
        type = self.type()
        tokens.expect("=")
        place = tokens.start
        data = tokens.take("string", "a string of base64")
        self.module.constants[name] = self.attempt(place, _array, type, data[1:-1])

    def global_name(self) -> str:
        place = self.tokens.start
        name = self.tokens.take("symbol", "a name such as @main")[1:]
        if not is_name(name):
            self.tokens.fail(f"{name[:40]!r} is not an identifier", place)
        return name

    # -- nodes -------------------------------------------------------------------------

    def node(self, graph: Graph) -> None:
        tokens = self.tokens
        names = [(tokens.start, tokens.take("value", "a result"))]
        while tokens.accept(","):
            names.append((tokens.start, tokens.take("value", "a result")))
        tokens.expect("=")
        place = tokens.start
        op = self.op()
        tokens.expect("(")
        operands = self.listed(")", self.operand)
        attributes = self.attributes() if tokens.token == "{" else {}
        encoded = self.attempt(place, op.encode, attributes)
        tokens.expect(":")
        types = [self.type()]
        while tokens.accept(","):
            types.append(self.type())
        if len(types) != len(names):
            tokens.fail(f"{len(names)} results but {len(types)} types", place)
        node = Node(op, operands, encoded, types, self.location())
        graph.insert(node)
        self.places[node] = place
        for (start, name), result in zip(names, node.results, strict=True):
            self.define(name, result, start)

    def define(self, name: str, value: Value, place: int) -> None:
        """Gives a value its name; a number is no name, printing numbers anew."""
        if name in self.values:
            self.tokens.fail(f"{name[:80]} is defined twice", place)
        self.values[name] = value
        if not name[1:].isdigit():
            self.attempt(place, setattr, value, "name", name[1:])

    def op(self) -> OpDef:
        place = self.tokens.start
        name = self.tokens.take("name", "an op")
        if name not in OPS:
            near = difflib.get_close_matches(name[:40], OPS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.tokens.fail(f"unknown op {name[:40]!r}{hint}", place)
        return OPS[name]

    def operand(self) -> Operand:
        tokens = self.tokens
        if tokens.kind == "value":
            value = self.values.get(tokens.token)
            if value is None:
                tokens.fail(f"{tokens.token[:80]} is not defined before it is used")
            tokens.advance()
            return value
        if tokens.kind != "number" and tokens.token not in _WORDS:
            tokens.fail_expected("a value or a number")
        place, text, suffix = tokens.start, tokens.token, ""
        tokens.advance()
        if tokens.accept(":"):
            suffix = tokens.take("name", "a dtype")
        literal = self.literals.get((text, suffix))
        if literal is None:
            literal = self.attempt(place, read_literal, text, suffix)
            self.literals[text, suffix] = literal
        return literal

    def attributes(self) -> Attributes:
        tokens = self.tokens
        tokens.expect("{")
        attributes: Attributes = {}
        while True:
            place = tokens.start
            key = tokens.take("name", "an attribute")
            if key in attributes:
                tokens.fail(f"attribute {key[:40]!r} stands twice", place)
            if tokens.token != "=":
                tokens.fail_expected("'='")
            attributes[key] = tokens.take_json()
            if tokens.accept("}"):
                return attributes
            if not tokens.accept(","):
                tokens.fail_expected("',' or '}'")

    def type(self) -> TensorType:
        place, text = self.tokens.start, self.tokens.token
        known = self.types.get(text)
        if known is not None:
            self.tokens.advance()
            return known
        self.tokens.take("type", "a type such as f32[2,3]")
        self.types[text] = type = self.attempt(place, tensor_type, text)
        return type

    def location(self) -> Location | None:
        tokens = self.tokens
        if tokens.kind != "location":
            if tokens.token == "loc":
                tokens.fail_expected('loc("layer" file:line:column from "origin")')
            return None
        text = tokens.token
        if text not in self.locations:
            try:
                self.locations[text] = _location(*tokens.match.group(*_PARTS))
            except ValueError as error:
                tokens.fail(f"invalid text in a location: {error}")
        tokens.advance()
        return self.locations[text]

    # -- shared ------------------------------------------------------------------------

    def listed(self, closing: str, item: Callable[[], T]) -> list[T]:
        """The items, separated by commas, up to the mark that closes their list."""
        tokens = self.tokens
        if tokens.accept(closing):
            return []
        items = [item()]
        while not tokens.accept(closing):
            if not tokens.accept(","):
                tokens.fail_expected(f"',' or {closing!r}")
            items.append(item())
        return items

    def attempt(self, place: int, function: Callable[..., T], *arguments: Any) -> T:
        """The result of `function`, whose `GraphError` is one of the text's."""
        try:
            return function(*arguments)
        except GraphError as error:
            self.fail(error, place)

    def fail(self, error: GraphError, place: int) -> NoReturn:
        """Raises `error` as a `ParseError`."""
        parts = [error.message]
        if error.received is not None:
            parts.append(f"received {error.received[:400]}")
        if error.hint is not None:
            parts.append(error.hint)
        self.tokens.fail("; ".join(parts), place)


def read_literal(text: str, suffix: str = "") -> Literal:
    """The literal that a number or word with a dtype behind it, or none, spells.

    Raises:
        GraphError: If the dtype has no such number.
    """
    if len(text) > MAX_NUMBER:
        raise GraphError(f"a number of {len(text)} characters is too long")
    of = dtype(suffix) if suffix else BOOL if text in ("true", "false") else F32
    if of is BOOL:
        if text not in ("true", "false"):
            raise GraphError("a bool is true or false", received=text)
        return Literal(text == "true", BOOL)
    if of.is_integer:
        if not _INTEGER.fullmatch(text):
            raise GraphError("not an integer", received=f"{text}:{of}")
        return Literal(int(text), of)
    return _float_literal(text, of)


def _float_literal(text: str, of: DType) -> Literal:
    try:
        number = float.fromhex(text) if "x" in text.lower() else float(text)
    except (ValueError, OverflowError):
        raise GraphError("not a number of its dtype", received=f"{text}:{of}") from None
    literal = Literal(number, of)
    word = text[-3:] if text[-3:] in ("inf", "nan") else "finite"
    if _class_of(literal.value) != word:
        raise GraphError(f"out of the range of {of}", received=text)
    return literal


def _class_of(value: float) -> str:
    if math.isnan(value):
        return "nan"
    return "inf" if math.isinf(value) else "finite"


def _location(
    path: str | None, file: str, line: str, column: str, origin: str | None
) -> Location:
    return Location(
        unquote(file, errors="surrogatepass"),
        int(line),
        int(column),
        None if path is None else json.loads(path),
        None if origin is None else json.loads(origin),
    )


def _array(type: TensorType, text: str) -> np.ndarray[Any, Any]:
    """The array of a constant whose little-endian bytes are `text` in base64."""
    if type.symbols:
        raise GraphError("a constant's shape must be static", received=str(type))
    element = type.dtype.numpy
    try:
        data = base64.b64decode(text, validate=True)
        array = np.ndarray(type.static_shape, element, buffer=data)
    except (TypeError, ValueError) as error:
        raise GraphError(f"invalid constant: {error}", received=str(type)) from None
    if array.nbytes != len(data):
        raise GraphError(
            f"a constant of {type} has {array.nbytes} bytes", received=f"{len(data)}"
        )
    array = array if sys.byteorder == "little" else array.byteswap()
    if type.dtype in (BOOL, I4):
        canonical = array.astype(np.int8).astype(element)
        if canonical.tobytes() != data:
            raise GraphError(f"invalid constant: bytes that are no {type.dtype}")
    return array


def _text(types: list[TensorType]) -> str:
    shown = ", ".join(map(str, types[:20])) or "none"
    return shown if len(types) <= 20 else f"{shown} and {len(types) - 20} more"
