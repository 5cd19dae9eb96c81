"""The one format of error messages."""

import pytest

from graphc.ir import (
    CompileError,
    GraphcError,
    GraphError,
    LoadError,
    Location,
    ParseError,
    PassError,
    TargetError,
    UnsupportedError,
    building,
    parse,
    tensor_type,
)
from graphc.ir.graph import Graph
from graphc.ir.ops import OPS


def test_all_parts_in_order():
    error = GraphError(
        "add: operands must have the same type",
        received="f32[32,128], f32[128]",
        location=Location("model.py", 12, 9, "hidden"),
        hint="broadcast the second operand",
    )
    assert str(error) == (
        "add: operands must have the same type\n"
        "  received: f32[32,128], f32[128]\n"
        "  at model.py:12:9, in layer 'hidden'\n"
        "  hint: broadcast the second operand"
    )


def test_a_message_alone():
    assert str(GraphcError("too bad")) == "too bad"


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (GraphError, ValueError),
        (ParseError, ValueError),
        (PassError, GraphcError),
        (UnsupportedError, NotImplementedError),
        (TargetError, ValueError),
        (CompileError, RuntimeError),
        (LoadError, ValueError),
    ],
)
def test_errors_are_also_what_python_calls_them(error: type, base: type):
    assert issubclass(error, GraphcError)
    assert issubclass(error, base)


def test_a_parse_error_shows_the_place():
    error = ParseError("expected ')'", line=3, column=5, source="a\tb (c")
    assert str(error) == "line 3, column 5: expected ')'\n    a b (c\n        ^"
    assert (error.line, error.column, error.source) == (3, 5, "a\tb (c")


def test_a_parse_error_shows_a_part_of_a_long_line():
    source = "x" * 5_000_000 + "!" + "y" * 5_000_000
    error = ParseError("unexpected '!'", line=1, column=5_000_001, source=source)
    _, shown, caret = str(error).splitlines()
    assert len(shown) < 130
    assert shown[caret.index("^")] == "!"


def test_building_an_ill_typed_node_names_the_users_line():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"))
    y = graph.add_parameter(tensor_type("i32[3]"))
    with building(graph), pytest.raises(GraphError) as raised:
        OPS["add"](x, y)
    assert str(raised.value).splitlines() == [
        "add: operands must have the same dtype",
        "  received: f32[3], i32[3]",
        *str(raised.value).splitlines()[2:],
    ]
    assert "test_errors.py" in str(raised.value)
    assert 'OPS["add"](x, y)' in str(raised.value)


def test_the_parser_names_line_and_column():
    with pytest.raises(ParseError) as raised:
        parse("graph @f(%x: f32[3]) -> (f32[3]) {\n  return %y\n}")
    assert str(raised.value) == (
        "line 2, column 10: %y is not defined before it is used\n"
        "      return %y\n"
        "             ^"
    )
