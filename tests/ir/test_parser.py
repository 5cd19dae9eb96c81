"""Parsing: the grammar's freedoms, every error with its place, hostile text."""

import json
import random
import re

import numpy as np
import pytest

from graphc.ir import OPS, Graph, GraphError, ParseError, building, parse, tensor_type
from graphc.ir.parser import read_literal
from graphc.ir.printer import print_graph

MAIN = """\
graph @main(%x: f32[B,4] {role="input"}, %w: f32[4], %0: i32[]) -> (f32[B,4], i32[]) \
where B in 1..256, T in 0..9 {kind="train", order=[1,{"a":null}]} {
  %h = negate(%x) : f32[B,4]  loc("mlp/hidden" model.py:12:9)
  %1 = add(%h, 0.1) : f32[B,4]  loc(a%20b.py:3:4 from "gradient of %h")
  %2 = compare(%1, %x) {direction="LT"} : bool[B,4]
  %3 = select(%2, %1, %h) : f32[B,4]
  %4 = call(%3) {graph="tail"} : f32[B,4]
  %5, %6 = optimization_barrier(%4, %0) : f32[B,4], i32[]  // two results
  %7 = add(%6, -3:i32) : i32[]
  return %5, %7
}
graph @tail(%x: f32[B,4]) -> (f32[B,4]) where B in 1..256 {
  %0 = multiply(%x, -inf) : f32[B,4]
  return %0
}
"""


def one(body: str, *, results: str = "f32[3]", head: str = "") -> str:
    """A graph of a parameter %x: f32[3] with this body."""
    return f"graph @f(%x: f32[3]) -> ({results}){head} {{\n{body}\n}}\n"


def test_a_graph_with_everything_reads_back():
    graph = parse(MAIN)
    expected = re.sub(r"  // .*", "", MAIN)
    assert str(graph).replace("%0: i32", "%0: i32") == expected
    assert parse(str(graph)) == graph
    assert graph.module.graphs["tail"].module is graph.module
    assert graph.ranges == {"B": (1, 256), "T": (0, 9)}
    assert graph.attributes == {"kind": "train", "order": [1, {"a": None}]}
    assert graph.parameters[0].attributes == {"role": "input"}
    assert [p.name for p in graph.parameters] == ["x", "w", None]


def test_space_and_comments_may_stand_anywhere():
    tokens = re.findall(
        r'loc\([^)]*\)|(?<==)\[.*\]|"(?:[^"\\]|\\.)*"|->|\.\.|[%@]?[\w.]+\[[^\]]*\]|'
        r"-?\d+(?:\.\d+)?|-?[%@]?[A-Za-z_][\w.]*|%\d+|\S",
        re.sub(r"//.*", "", MAIN),
    )
    loose = " // comment %x {\n\t".join(["", *tokens, ""])
    assert parse(loose) == parse(MAIN)
    dense = re.sub(r"  //.*", "", MAIN)
    for mark in ("{", "}", "(", ")", ",", "=", ":", "->"):
        dense = dense.replace(f" {mark}", mark).replace(f"{mark} ", mark)
    assert parse(dense) == parse(MAIN)
    assert parse(MAIN.replace("\n", "\r\n")) == parse(MAIN)


def test_comments_end_with_the_line_and_floor_division_is_none():
    text = "graph @f(%x: f32[(H-1)//2+1]) -> (f32[(H-1)//2+1]) where H in 1..9 { // c\n"
    assert str(parse(text + "return %x } // end")).count("//2+1") == 2


def test_equal_dims_need_not_be_spelled_alike():
    graph = parse(
        "graph @f(%x: f32[B*2+B,2*2]) -> (f32[3*B,4]) where B in 1..8 {"
        "%y = negate(%x) : f32[ 3*B , 4 ] return %y }"
    )
    assert str(graph).count("f32[3*B,4]") == 3


def test_numbers_are_no_names():
    graph = parse(one("%7 = negate(%x) : f32[3] %07 = negate(%7) : f32[3] return %07"))
    assert [node.result.name for node in graph.nodes] == [None, None]
    assert "%1 = negate(%0)" in str(graph)


def test_attributes_are_made_canonical():
    text = one(
        '%y = convert(%x) {dtype="bfloat16"} : bf16[3]\nreturn %y', results="bf16[3]"
    )
    assert '{dtype="bf16"}' in str(parse(text))


def test_attribute_values_may_hold_what_looks_like_the_text():
    value = 'a } , %x = f(%y) // "\\" loc(a:1:1)\n\u2028'
    graph = parse(one("return %x", head=f" {{note={json.dumps(value)}}}"))
    assert graph.attributes == {"note": value}
    assert parse(str(graph)) == graph


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("3", "3.0"),
        ("-3", "-3.0"),
        ("1.", "1.0"),
        ("1e3", "1000.0"),
        ("2E-3", "0.002"),
        ("0x1.8p1", "3.0"),
        ("-0x1p-149", "-1e-45"),
        ("0X.8", "0.5"),
        ("0x0.8P0", "0.5"),
        ("-0", "-0.0"),
        ("1e-60", "0.0"),
        ("0.1:f32", "0.1"),
        ("0.1:f64", "0.1:f64"),
        ("0x1.999999999999ap-4:f64", "0.1:f64"),
        ("nan", "nan"),
        ("nan:bf16", "nan:bf16"),
        ("-inf:f16", "-inf:f16"),
        ("true", "true"),
        ("false:bool", "false"),
        ("007:i8", "7:i8"),
        ("-128:i8", "-128:i8"),
        ("1:float16", "1.0:f16"),
        ("1 : f16", "1.0:f16"),
    ],
)
def test_literals(text: str, printed: str):
    source = "graph @f() -> ({}) {{ return {} }}"
    of = "bool" if printed in ("true", "false") else printed.partition(":")[2] or "f32"
    assert f"return {printed}\n" in str(parse(source.format(f"{of}[]", text)))


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        ("1e39", "", "out of the range of f32"),
        ("-1e400", "f64", "out of the range of f64"),
        ("70000", "f16", "out of the range of f16"),
        ("1000", "f8e4m3fn", "out of the range of f8e4m3fn"),
        ("inf", "f8e4m3fn", "out of the range of f8e4m3fn"),
        ("0x1p99999", "", "not a number of its dtype"),
        ("0x", "", "not a number of its dtype"),
        ("true", "f32", "not a number of its dtype"),
        ("128", "i8", "128 is out of range for i8"),
        ("-1", "u64", "-1 is out of range for u64"),
        ("8", "i4", "8 is out of range for i4"),
        ("1.5", "i32", "not an integer"),
        ("1e3", "i32", "not an integer"),
        ("nan", "i32", "not an integer"),
        ("true", "i32", "not an integer"),
        ("1", "bool", "a bool is true or false"),
        ("1", "f33", "unknown dtype"),
        ("1" * 5000, "", "5000 characters is too long"),
        ("1" * 5000, "i32", "5000 characters is too long"),
    ],
)
def test_literals_a_dtype_does_not_have(text: str, suffix: str, message: str):
    with pytest.raises(GraphError, match=message):
        read_literal(text, suffix)
    written = f"{text}:{suffix}" if suffix else text
    with pytest.raises(ParseError, match=message) as raised:
        parse(f"graph @f() -> (f32[]) {{\n  return {written}\n}}")
    assert (raised.value.line, raised.value.column) == (2, 10)


# -- errors: a text with | where the error must point, and a part of the message ---------

CONST = one("return %x") + "const @c: "

ERRORS = [
    # the frame
    ("|", "expected 'graph', found the end of the text"),
    (" // only a comment\n|", "expected 'graph'"),
    ("|graphs @f", "expected 'graph', found 'graphs'"),
    ('|const @c: f32[] = "AAAAAA=="', "expected 'graph', found 'const'"),
    ("graph |f() -> () {}", "expected a name such as @main, found 'f'"),
    ("graph |@1f() -> () {}", "'1f' is not an identifier"),
    ("graph |@.f() -> () {}", "'.f' is not an identifier"),
    ("graph @f|{", "expected '(', found '{'"),
    ("graph @f|\x00", "unexpected '\\x00'"),
    ("graph @f|;", "unexpected ';'"),
    (one("return %x") + "|}", "expected 'graph', 'const' or the end of the text"),
    (one("return %x") + "|x", "found 'x'"),
    (one("return %x") + CONST.replace("@f", "|@f"), "already has a graph @f"),
    ("graph @f(%x: f32[3]|", "expected ',' or ')', found the end of the text"),
    # parameters and results
    ("graph @f(|x: f32[3])", "expected a parameter, found 'x'"),
    ("graph @f(%x |f32[3])", "expected ':'"),
    ("graph @f(%x: |f32)", "expected a type such as f32[2,3], found 'f32'"),
    ("graph @f(%x: |f31[3])", "unknown dtype"),
    ("graph @f(%x: |f32[3)", "expected a type"),
    ("graph @f(%x: |f32[3,])", "is not a dimension expression"),
    ("graph @f(%x: |f32[B//0])", "division of a dimension by zero"),
    ("graph @f(%x: |f32[99999999999,99999999999])", "too large to address"),
    ("graph @f(%x: f32[3] |%y: f32[3])", "expected ',' or ')', found '%y'"),
    ("graph @f(%x: f32[3], |%x: f32[3])", "%x is defined twice"),
    ("graph @f(|%1x: f32[3])", "must be an identifier"),
    ("graph @f(|%.x: f32[3])", "must be an identifier"),
    ("graph @f(|%: f32[3])", "unexpected '%'"),
    ("graph @f(%x: f32[3]) |{", "expected '->'"),
    ("graph @f(%x: f32[3]) -> |f32[3] {", "expected '('"),
    ("graph @f(%x: f32[3]) -> (|3) {", "expected a type"),
    (
        "graph @f(%x: f32[3]) -> (|f32[4]) { return %x }",
        "returned f32[3], declared f32[4]",
    ),
    ("graph @f(%x: f32[3]) -> (|) { return %x }", "declared none"),
    ("graph @f() -> () { |return }", "the graph has no results"),
    ("graph |@f(%x: f32[B]) -> (f32[B]) { return %x }", "symbol B has no range"),
    # ranges
    (one("", head=" where |{"), "expected a dimension symbol"),
    (one("", head=" where B |1..2"), "expected 'in'"),
    (one("", head=" where B in |x"), "expected an integer"),
    (one("", head=" where B in |1.5..2"), "1.5 is not an integer"),
    ("graph @f() -> () where B in 1 |{", "expected '..'"),
    ("graph @f() -> () where B in 1.. |{", "expected an integer"),
    (one("", head=" where B in 1..2, |B in 1..2"), "the range of B stands twice"),
    (one("", head=" where B in |" + "1" * 5000), "is not an integer"),
    (
        one("return %x", head=" where B in 3..2").replace("@", "|@"),
        "range of B must be 0 <= low <= h",
    ),
    (
        one("return %x", head=" where B in -1..2").replace("@", "|@"),
        "range of B must be",
    ),
    (
        one("return %x", head=f" where B in 1..{2**62}").replace("@", "|@"),
        "range of B must be",
    ),
    (
        one("return %x", head=" where B.x in 1..2").replace("@", "|@"),
        "must be an identifier",
    ),
    # attributes
    (one("return %x", head=" {a=|}"), "invalid JSON: Expecting value"),
    (one("return %x", head=" {a=[1,|]}"), "invalid JSON: Expecting value"),
    (one("return %x", head=" {a=|NaN}"), "invalid JSON: NaN is not JSON"),
    (one("return %x", head=" {a=|-Infinity}"), "invalid JSON"),
    (one("return %x", head=" {a=|1e999}"), "inf is not finite"),
    (one("return %x", head=f" {{a=|{'1' * 5000}}}"), "invalid JSON"),
    (one("return %x", head=f" {{a=|{2**64}}}"), "more than 64 bits"),
    (one("return %x", head=' {a=|{"k":1,"k":2}}'), "the key 'k' stands twice"),
    (one("return %x", head=' {a=|[{"b":{"k":1,"k":2}}]}'), "the key 'k' stands twice"),
    (one("return %x", head=" {a=|" + "[" * 40 + "]" * 40 + "}"), "nested deeper than"),
    (one("return %x", head=' {a="|\t"}'), "invalid JSON: Invalid control character"),
    (one("return %x", head=' {a="|\\x"}'), "invalid JSON"),
    ('graph @f() -> () {a="b|\n"}', "invalid JSON: Invalid control character"),
    (one("return %x", head=" {a=1, |a=2}"), "attribute 'a' stands twice"),
    (one("return %x", head=" {a=1 |b=2}"), "expected ',' or '}'"),
    (one("return %x", head=" {a=1, |}"), "expected an attribute"),
    ("graph @f(%x: f32[3] {|}) -> (f32[3]) { return %x }", "expected an attribute"),
    ("graph @f(%x: f32[3] {a|:1}) -> (f32[3]) { return %x }", "expected '='"),
    (one("%y = negate(%x) {|} : f32[3]"), "expected an attribute"),
    (one("%y = |negate(%x) {a=1} : f32[3]"), "unknown attribute 'a'; negate has none"),
    (one("%y = |compare(%x, %x) : bool[3]"), "attribute 'direction' is missing"),
    (one("%y = |call(%x) {graph=3} : f32[3]"), "attribute 'graph' must be of kind"),
    (one(f"%y = |call(%x) {{graph={'9' * 400}}} : f32[3]").replace("|", ""), "64 bits"),
    # nodes
    (one("|}")[:-2], "expected a node or 'return', found '}'"),
    (one("%y |negate(%x)"), "expected '=', found 'negate'"),
    (one("%y, |= negate(%x)"), "expected a result"),
    (one("%y = |%x"), "expected an op, found '%x'"),
    (one("%y = |negat(%x) : f32[3]"), "unknown op 'negat'; did you mean 'negate'?"),
    (one("%y = |" + "q" * 500 + "(%x) : f32[3]"), f"unknown op '{'q' * 40}'"),
    (one("%y = negate|: f32[3]"), "expected '('"),
    (one("%y = negate(|y) : f32[3]"), "expected a value or a number, found 'y'"),
    (one("%y = negate(%x|; %x)"), "unexpected ';'"),
    (one("%y = negate(%x |%x)"), "expected ',' or ')'"),
    (one("%y = negate(%x,|)"), "expected a value or a number"),
    (one("%y = negate(%x) |f32[3]"), "expected ':'"),
    (one("%y = negate(%x) : |negate"), "expected a type"),
    (one("%y = negate(|%y) : f32[3]"), "%y is not defined before it is used"),
    (one("%y = negate(|%q) : f32[3]"), "%q is not defined"),
    (one("%y = negate(|%0) : f32[3]"), "%0 is not defined"),
    (one("|%x = negate(%x) : f32[3]"), "%x is defined twice"),
    (one("%0 = negate(%x) : f32[3] |%0 = negate(%x) : f32[3]"), "%0 is defined twice"),
    (one("%y, |%y = optimization_barrier(%x, %x) : f32[3], f32[3]"), "%y is defined"),
    (one("%y = |negate(%x) : f32[3], f32[3]"), "1 results but 2 types"),
    (one("%y, %z = |negate(%x) : f32[3]"), "2 results but 1 types"),
    (
        one("%y = |negate(%x) : f32[4]\nreturn %x"),
        "%y = negate: the declared result types differ from the inferred ones; "
        "received declared f32[4], inferred f32[3]",
    ),
    (one("%y = |negate(%x, %x) : f32[3]\nreturn %x"), "takes 1 operands"),
    (one("%y, %z = |negate(%x) : f32[3], f32[3]\nreturn %x"), "inferred f32[3]"),
    (one("%y = |add(%x, 1:i32) : f32[3]\nreturn %x"), "must have the same dtype"),
    (one('%y = |call(%x) {graph="g"} : f32[3]\nreturn %x'), "has no graph @g"),
    (one('%y = |call(%x) {graph="\\ud800"} : f32[3]\nreturn %x'), "has no graph"),
    (
        one('%y = call(%x) {graph="f"} : f32[3]\nreturn %x').replace("@", "|@"),
        "graphs must not call themselves; received @f -> @f",
    ),
    # locations
    (one("%y = negate(%x) : f32[3] |loc"), 'expected loc("layer" file:line:column'),
    (one("%y = negate(%x) : f32[3] |loc(f.py:1)"), "found 'loc'"),
    (one("%y = negate(%x) : f32[3] |loc(f.py:1:x)"), "found 'loc'"),
    (one("%y = negate(%x) : f32[3] |loc(f.py:1:9999999999)"), "found 'loc'"),
    (one("%y = negate(%x) : f32[3] |loc(a b.py:1:1)"), "found 'loc'"),
    (one('%y = negate(%x) : f32[3] |loc(f.py:1:1 form "a")'), "found 'loc'"),
    (one("%y = negate(%x) : f32[3] |loc(f%FF.py:1:1)"), "invalid text in a location"),
    (one('%y = negate(%x) : f32[3] |loc("\\x" f:1:1)'), "invalid text in a location"),
    (one('%y = negate(%x) : f32[3] |loc("\t" f:1:1)'), "invalid text in a location"),
    # returns
    (one("return |y"), "expected a value or a number"),
    (one("return %x |%x"), "expected ',' or '}'"),
    (one("return |%y"), "%y is not defined"),
    (one("return 1:|2"), "expected a dtype"),
    # constants
    (one("return %x") + "const |c", "expected a name such as @main"),
    (one("return %x") + "const |@1", "'1' is not an identifier"),
    (CONST + "|3", "expected a type"),
    (CONST + "f32[] |", "expected '='"),
    (CONST + "f32[] = |AAAAAA==", "expected a string of base64"),
    (CONST + 'f32[] = |"AAAA"', "buffer is too small"),
    (CONST + 'f32[] = |"AAAAAAAA"', "a constant of f32[] has 4 bytes; received 6"),
    (CONST + 'f32[] = |"AAAAAA="', "Incorrect padding"),
    (CONST + 'f32[] = |"AAA\\AA=="', "invalid constant"),
    (CONST + 'f32[] = |"AAAéAA=="', "invalid constant"),
    (CONST + 'f32[B] = |"AAAAAA=="', "a constant's shape must be static"),
    (CONST + 'f32[1000000000000] = |"AAAAAA=="', "invalid constant"),
    (CONST + 'bool[1] = |"Ag=="', "bytes that are no bool"),
    (CONST + 'i4[1] = |"fw=="', "bytes that are no i4"),
    (
        CONST + 'f32[] = "AAAAAA=="\nconst |@c: f32[] = "AAAAAA=="',
        "@c is defined twice",
    ),
    (CONST + 'f32[] = "AAAAAA=="\n|graph @g', "expected 'graph', 'const' or the end"),
]


@pytest.mark.parametrize(("text", "message"), ERRORS, ids=range(len(ERRORS)))
def test_errors(text: str, message: str):
    before, mark, after = text.partition("|")
    with pytest.raises(ParseError) as raised:
        parse(before + after)
    assert message in raised.value.message
    assert message in str(raised.value)
    if mark:
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        assert (raised.value.line, raised.value.column) == (line, column)
        assert (before + after).split("\n")[line - 1] == raised.value.source


def test_the_caret_stands_below_the_place_in_windows_text():
    with pytest.raises(ParseError) as raised:
        parse("graph @f() -> () {\r\n  retrun 1.0\r\n}")
    assert str(raised.value).splitlines()[1:] == ["      retrun 1.0", "      ^"]


# -- hostile text ----------------------------------------------------------------------

BIG = 100_000
HOSTILE = {
    "JSON nesting": one("return %x", head=" {a=" + "[" * BIG + "]" * BIG + "}"),
    "JSON objects": one("return %x", head=" {a=" + '{"a":' * BIG + "}"),
    "parentheses": "(" * BIG,
    "braces": one("{" * BIG),
    "dim nesting": f"graph @f(%x: f32[{'(' * BIG}1{')' * BIG}])",
    "dim minus": f"graph @f(%x: f32[{'-' * BIG}1])",
    "dim sum": f"graph @f(%x: f32[{'+'.join(['B'] * BIG)}])",
    "rank": f"graph @f(%x: f32[{','.join(['1'] * BIG)}])",
    "huge dim": f"graph @f(%x: f32[{'9' * BIG}])",
    "types never closed": f"graph @f(%x: {'f32[' * BIG}",
    "number": one("return " + "1" * BIG),
    "exponent": one("return 1e" + "9" * BIG),
    "hex": one("return 0x" + "f" * BIG),
    "name": one("return %" + "a" * BIG),
    "op": one("%y = " + "a" * BIG + "(%x) : f32[3]"),
    "JSON number": one("return %x", head=" {a=" + "1" * BIG + "}"),
    "JSON string": one("return %x", head=' {a="' + "\\" * BIG),
    "quotes": '"' * BIG,
    "string": '"' + "a" * BIG,
    "location": one("%y = negate(%x) : f32[3] " + "loc(" * BIG),
    "location spaces": one('%y = negate(%x) : f32[3] loc("a"' + " " * BIG),
    "results": one(", ".join(f"%y{i}" for i in range(BIG)) + " = negate(%x) : f32[3]"),
    "operands": one(f"%y = negate({'%x,' * BIG}%x) : f32[3]\nreturn %y"),
    "types": one(f"%y = negate(%x) : {'f32[3],' * BIG}f32[3]\nreturn %y"),
    "returned": one("return " + "%x," * BIG + "%x"),
    "parameters": f"graph @f({','.join(f'%x{i}: f32[3]' for i in range(BIG))}) -> () {{",
    "lines": "//\n" * BIG,
    "spaces": " " * BIG * 100,
    "long line": one("return %x // " + "x" * BIG * 100 + "\n;"),
    "ranges": one("", head=" where " + ", ".join(f"B{i} in 1..2" for i in range(BIG))),
    "keys": one("return %x", head=" {a={" + '"k":1,' * BIG + '"k":1}}'),
    "constant": CONST + 'f32[4] = "' + "A" * BIG * 100 + '"',
    "surrogates": one("return %x", head=' {a="\ud800"} \udfff'),
    "control characters": one("return %x \x00\x01\x7f\x85"),
    "byte order mark": "\ufeff" + one("return %x"),
    "other digits": one("return ٣"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(name: str):
    with pytest.raises(ParseError) as raised:
        parse(HOSTILE[name])
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize("depth", [5000])
def test_long_chains_of_calls(depth: int):
    call = 'graph @g{}(%x: f32[]) -> (f32[]) {{ %y = call(%x) {{graph="g{}"}} : f32[] return %y }}'
    graphs = [call.format(i, i + 1) for i in range(depth)]
    last = f"graph @g{depth}(%x: f32[]) -> (f32[]) {{ return %x }}"
    graph = parse("\n".join([*graphs, last]))
    assert len(graph.reachable()) == depth + 1
    with pytest.raises(ParseError, match="graphs must not call themselves"):
        parse("\n".join([*graphs, call.format(depth, 0)]))


def test_large_graphs_read_back():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"))
    with building(graph):
        for _ in range(3000):
            x = OPS["add"](x, graph.parameters[0])
    graph.results = [x]
    assert parse(print_graph(graph)) == graph


def mutants(source: str, count: int) -> list[str]:
    """Texts that differ from `source` in a few characters, tokens or lines."""
    random_ = random.Random(20)
    tokens = re.findall(r"\s+|\w+|.", source)
    lines = source.splitlines(keepends=True)
    alphabet = '%@(){}[]:,=->.+*/"\\ \n0123456789abBeEinfnxp_#\x00é'
    found: list[str] = []
    for _ in range(count):
        parts = random_.choice([list(source), list(tokens), list(lines)])
        for _ in range(random_.randint(1, 3)):
            at = random_.randrange(len(parts))
            match random_.randrange(4):
                case 0:
                    del parts[at]
                case 1:
                    parts[at] = random_.choice(parts)
                case 2:
                    parts.insert(at, random_.choice(alphabet))
                case _:
                    other = random_.randrange(len(parts))
                    parts[at], parts[other] = parts[other], parts[at]
        found.append("".join(parts))
    return found


def test_mutants_parse_or_raise_a_parse_error(extra_ops: None):
    source = MAIN.replace(
        "return %5",
        '%c = stored() {value="c"} : f32[2] '
        '%a = attributed(%c) {axes=[0], padding=[[1,2]], shape=["B",3], to="i8"} : i8[B,3]'
        "\n  return %5",
    )
    source += 'const @c: f32[2] = "AACAPwAAAEA="\n'
    parse(source)
    outcomes = [read(text) for text in mutants(source, 2000)]
    errors = [str(error) for error in outcomes if isinstance(error, ParseError)]
    graphs = [graph for graph in outcomes if isinstance(graph, Graph)]
    assert not [error for error in errors if "type rule fails" in error]
    for graph in graphs:
        graph.verify()
        printed = print_graph(graph)
        assert parse(printed) == graph
        assert print_graph(parse(printed)) == printed
    assert 50 < len(graphs) < 1000  # the mutants are neither all broken nor harmless


def read(text: str) -> Graph | ParseError:
    try:
        return parse(text)
    except ParseError as error:
        return error


def test_constants_are_read(extra_ops: None):
    text = (
        'graph @f() -> (i16[2,2]) { %0 = stored() {value="w"} : i16[2,2] return %0 }\n'
        'const @w: i16[2,2] = "AQADAAIABAA="\nconst @unused: f32[0] = ""'
    )
    graph = parse(text)
    np.testing.assert_array_equal(graph.module.constants["w"], [[1, 3], [2, 4]])
    assert graph.module.constants["unused"].shape == (0,)
    with pytest.raises(ParseError, match="the module has no constant @w"):
        parse(text.replace("const @w", "const @v"))
    with pytest.raises(ParseError, match=r"declared i16\[2,2\], inferred i16\[4\]"):
        parse(text.replace("@w: i16[2,2]", "@w: i16[4]"))
