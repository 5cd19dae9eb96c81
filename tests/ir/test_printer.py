"""Printing: names, literals, attributes, locations, constants, callees."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.ir import (
    OPS,
    Graph,
    Literal,
    Location,
    Module,
    building,
    dtype,
    parse,
    sanitize_name,
    tensor_type,
)
from graphc.ir.parser import read_literal
from graphc.ir.printer import (
    attributes_text,
    literal_text,
    location_text,
    print_module,
)
from graphc.ir.types import DTYPES
from graphc.ir.values import is_name

FLOATS = [d for d in DTYPES.values() if d.is_float]


def identity(type: str = "f32[3]", name: str = "f") -> Graph:
    graph = Graph(name)
    graph.results = [graph.add_parameter(tensor_type(type))]
    return graph


# -- literals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "of", "text"),
    [
        (0.1, "f32", "0.1"),
        (2.0, "f32", "2.0"),
        (-0.0, "f32", "-0.0"),
        (1e20, "f32", "1e+20"),
        (1 / 3, "f32", "0.33333334"),
        (math.nan, "f32", "nan"),
        (-math.inf, "f32", "-inf"),
        (0.1, "f64", "0.1:f64"),
        (1 / 3, "f64", "0.3333333333333333:f64"),
        (0.1, "f16", "0.1:f16"),
        (0.1, "bf16", "0.1:bf16"),
        (1 / 3, "bf16", "0.334:bf16"),
        (-0.0, "bf16", "-0.0:bf16"),
        (256.0, "bf16", "256.0:bf16"),
        (448.0, "f8e4m3fn", "448.0:f8e4m3fn"),
        (1000.0, "bf16", "1000.0:bf16"),
        (2e6, "bf16", "2e+06:bf16"),
        (math.inf, "f8e5m2", "inf:f8e5m2"),
        (math.nan, "f8e4m3fn", "nan:f8e4m3fn"),
        (3, "i32", "3:i32"),
        (-8, "i4", "-8:i4"),
        (2**64 - 1, "u64", "18446744073709551615:u64"),
        (True, "bool", "true"),
        (False, "bool", "false"),
    ],
)
def test_literals(value: float, of: str, text: str):
    literal = Literal(value, dtype(of))
    assert literal_text(literal) == text
    number, _, suffix = text.partition(":")
    assert read_literal(number, suffix) == literal


@pytest.mark.parametrize("of", FLOATS, ids=str)
@given(value=st.floats(allow_nan=True))
def test_floats_read_back_exactly(of, value: float):
    literal = Literal(value, of)
    number, _, suffix = literal_text(literal).partition(":")
    assert read_literal(number, suffix) == literal
    assert math.copysign(1, read_literal(number, suffix).value) == math.copysign(
        1, literal.value
    )


@pytest.mark.parametrize("of", [d for d in FLOATS if d.bits == 8], ids=str)
def test_every_narrow_float_reads_back(of):
    for value in np.arange(256, dtype=np.uint8).view(of.numpy).astype(float):
        number, _, suffix = literal_text(Literal(value, of)).partition(":")
        assert read_literal(number, suffix) == Literal(value, of)


def test_a_float32_whose_shortest_decimal_rounds_twice():
    # The nearest float64 of 7.038531e-26 lies on the other side of a midpoint.
    value = np.float32("7.038531e-26")
    text = literal_text(Literal(value))
    assert read_literal(text).value == Literal(value).value


def test_one_nan():
    assert Literal(-math.nan) == Literal(math.nan)
    assert literal_text(Literal(-math.nan)) == "nan"


# -- attributes and locations -------------------------------------------------------------


def test_attributes():
    attributes = {
        "shape": ["B", 10],
        "contract": [[1], [0]],
        "text": 'a "b"\n\\ é \u2028',
        "nothing": None,
        "flag": True,
        "rate": 1.0,
        "deep": {"b": 1, "a": [{}]},
    }
    assert attributes_text(attributes) == (
        '{contract=[[1],[0]], deep={"a":[{}],"b":1}, flag=true, nothing=null, '
        'rate=1.0, shape=["B",10], text="a \\"b\\"\\n\\\\ é \u2028"}'
    )


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (Location("f.py", 1, 2), "loc(f.py:1:2)"),
        (Location("f.py", 1, 2, "a/b"), 'loc("a/b" f.py:1:2)'),
        (Location("f.py", 1, 2, None, "x"), 'loc(f.py:1:2 from "x")'),
        (Location("f.py", 0, 0, "", ""), 'loc("" f.py:0:0 from "")'),
        (Location("", 1, 1), "loc(:1:1)"),
        (Location("C:\\a b.py", 1, 1), "loc(C%3A%5Ca%20b.py:1:1)"),
        (Location("/a//b%20c.py", 1, 1), "loc(/a//b%2520c.py:1:1)"),
        (Location("<ipython-input-1>", 1, 1), "loc(<ipython-input-1>:1:1)"),
        (Location("modèle/層.py", 1, 1), "loc(modèle/層.py:1:1)"),
        (Location('(").py', 1, 1), "loc(%28%22%29.py:1:1)"),
        (Location("a\ud800\n.py", 1, 1), "loc(a%ED%A0%80%0A.py:1:1)"),
        (Location("f.py", 1, 1, "a\udcff\t"), 'loc("a\\udcff\\t" f.py:1:1)'),
    ],
)
def test_locations(location: Location, text: str):
    assert location_text(location) == text
    graph = identity()
    with building(graph, location=location):
        graph.results = [OPS["negate"](graph.parameters[0])]
    assert text in str(graph)
    assert parse(str(graph)) == graph
    assert next(parse(str(graph)).nodes).location == location


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_any_location_reads_back(file: str, path: str, origin: str):
    graph = identity()
    with building(graph, location=Location(file, 3, 4, path, origin)):
        graph.results = [OPS["negate"](graph.parameters[0])]
    assert parse(str(graph)) == graph


# -- names -------------------------------------------------------------------------------


def test_values_without_a_name_are_numbered_in_order():
    graph = Graph("f")
    graph.add_parameter(tensor_type("f32[]"))
    x = graph.add_parameter(tensor_type("f32[]"), "x")
    with building(graph):
        y = OPS["negate"](x)
        z = OPS["negate"](y)
        graph.results = [OPS["add"](z, y)]
    z.name = "z.1"
    assert str(graph) == (
        "graph @f(%0: f32[], %x: f32[]) -> (f32[]) {\n"
        "  %1 = negate(%x) : f32[]\n"
        "  %z.1 = negate(%1) : f32[]\n"
        "  %2 = add(%z.1, %1) : f32[]\n"
        "  return %2\n"
        "}\n"
    )
    assert parse(str(graph)) == graph


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("kernel", "kernel"),
        ("block_1.mlp", "block_1.mlp"),
        ("block 1/mlp", "block_1_mlp"),
        ("1x", "_1x"),
        ("", "_"),
        (".x", "_.x"),
        ("größe", "gr__e"),
        ("%\n", "__"),
    ],
)
def test_sanitized_names(text: str, name: str):
    assert sanitize_name(text) == name
    assert is_name(name)


@given(st.text())
def test_sanitized_names_are_names(text: str):
    assert is_name(sanitize_name(text))
    assert sanitize_name(sanitize_name(text)) == sanitize_name(text)


# -- whole graphs --------------------------------------------------------------------------


def test_a_graph_without_nodes():
    assert str(identity()) == "graph @f(%0: f32[3]) -> (f32[3]) {\n  return %0\n}\n"
    assert parse(str(identity())) == identity()


def test_a_graph_under_construction_prints():
    assert str(Graph("f")) == "graph @f() -> () {\n  return\n}\n"


def test_ranges_attributes_and_roles():
    graph = identity("f32[T,B]")
    graph.ranges = {"T": (8, 64), "B": (1, 256)}
    graph.attributes = {"role": "train", "b": [1, None]}
    graph.parameters[0].attributes = {"sharding": {"axes": ["x"]}, "role": "state"}
    assert str(graph).splitlines()[0] == (
        'graph @f(%0: f32[T,B] {role="state", sharding={"axes":["x"]}}) -> (f32[T,B])'
        ' where B in 1..256, T in 8..64 {b=[1,null], role="train"} {'
    )
    assert parse(str(graph)) == graph


def calling(module: Module, name: str, *callees: str) -> Graph:
    graph = Graph(name, module)
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    with building(graph):
        for callee in callees:
            x = OPS["call"](x, graph=callee)
    graph.results = [x]
    return graph


def test_callees_follow_in_order_of_first_use():
    module = Module()
    calling(module, "unused")
    calling(module, "c")
    calling(module, "d")
    calling(module, "b", "d")
    main = calling(module, "main", "b", "c", "b")
    heads = [line for line in str(main).splitlines() if line.startswith("graph")]
    assert [head.split("(")[0] for head in heads] == [
        *("graph @main", "graph @b", "graph @c", "graph @d")
    ]
    assert parse(str(main)) == main
    assert list(parse(str(main)).module.graphs) == ["main", "b", "c", "d"]


def test_a_graph_whose_callee_is_missing_prints():
    module = Module()
    callee = calling(module, "callee")
    main = calling(module, "main", "callee")
    module.remove(callee)
    assert 'call(%x) {graph="callee"} : f32[3]' in str(main)


@pytest.mark.parametrize("element", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 2)], ids=str)
def test_constants(element, shape, rng: np.random.Generator, extra_ops: None):
    array = (rng.normal(size=shape) * 3).astype(element.numpy)
    graph = Graph("f")
    name = graph.module.add_constant(array, "w.1")
    graph.module.add_constant(np.zeros(3), "unused")
    with building(graph):
        graph.results = [OPS["stored"](value=name)]
    text = str(graph)
    assert text.count("const @w.1: ") == 1
    assert "unused" not in text
    parsed = parse(text)
    assert parsed == graph
    read = parsed.module.constants["w.1"]
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert read.tobytes() == array.tobytes()


def test_constants_are_little_endian_and_in_row_order(extra_ops: None):
    graph = Graph("f")
    array = np.array([[1, 2], [3, 4]], np.int16).T
    name = graph.module.add_constant(array)
    with building(graph):
        value = OPS["stored"](value=name)
        graph.results = [value, OPS["stored"](value=name)]
    assert str(graph).endswith('}\nconst @c: i16[2,2] = "AQADAAIABAA="\n')
    assert parse(str(graph)) == graph


def test_constants_with_special_values_keep_their_bytes(extra_ops: None):
    graph = Graph("f")
    bits = np.array([0x7FC00001, 0xFFC00000, 0x80000000, 0x7F800000], np.uint32)
    name = graph.module.add_constant(bits.view(np.float32))
    with building(graph):
        graph.results = [OPS["stored"](value=name)]
    read = parse(str(graph)).module.constants[name]
    assert read.tobytes() == bits.tobytes()


def test_every_kind_of_attribute_reads_back(extra_ops: None):
    graph = Graph("f")
    graph.ranges = {"B": (1, 8), "H": (4, 64)}
    x = graph.add_parameter(tensor_type("f32[B]"), "x")
    with building(graph):
        value = OPS["attributed"](
            x,
            count=-(2**62),
            rate=1e-7,
            flag=True,
            text='"\\/\u0000é😀',
            axes=[0, 2],
            padding=[(1, -1)],
            shape=[x.shape[0] * 2, 3, "(H-1)//2+1"],
            to="bfloat16",
        )
    graph.results = [value, Literal(0.5), x]
    assert str(graph).splitlines()[1] == (
        "  %0 = attributed(%x) {axes=[0,2], count=-4611686018427387904, flag=true, "
        'padding=[[1,-1]], rate=1e-07, shape=["2*B",3,"(H-1)//2+1"], '
        'text="\\"\\\\/\\u0000é😀", to="bf16"} : bf16[2*B,3,(H-1)//2+1]'
    )
    assert parse(str(graph)) == graph


def test_a_module_prints_all_its_graphs():
    text = (
        "graph @f(%x: f32[2]) -> (f32[2]) {\n"
        '  %0 = constant() {name="c"} : f32[2]\n'
        "  return %0\n}\n"
        "graph @g(%x: f32[2]) -> (f32[2]) {\n  return %x\n}\n"
        'const @c: f32[2] = "AACAPwAAAEA="\n'
    )
    assert print_module(parse(text).module) == text
