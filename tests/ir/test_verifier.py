"""Verification: each rule, broken on purpose, is named with graph, node and place."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir import (
    OPS,
    Graph,
    GraphError,
    Literal,
    Module,
    TensorType,
    building,
    dtype,
    parse,
    tensor_type,
    verify,
)
from graphc.ir.graph import Node
from graphc.ir.verifier import json_problem

TEXT = """\
graph @main(%x: f32[B,4], %w: f32[4]) -> (f32[B,4], f32[4]) where B in 1..256 {
  %a = negate(%x) : f32[B,4]  loc("mlp" model.py:12:9)
  %0 = add(%a, %x) : f32[B,4]  loc("mlp" model.py:13:9)
  %1 = call(%w) {graph="callee"} : f32[4]
  %2, %n = optimization_barrier(%0, %1) : f32[B,4], f32[4]
  return %2, %n
}
graph @callee(%v: f32[4]) -> (f32[4]) {
  %0 = multiply(%v, 2.0) : f32[4]
  return %0
}
"""

Damage = Callable[[Graph], object]


def nodes(graph: Graph) -> list[Node]:
    return list(graph.nodes)


def callee(graph: Graph) -> Graph:
    return graph.module.graphs["callee"]


# Damages: how a graph may break, and what the verifier says.


def use_before_definition(graph: Graph) -> None:
    first, second = nodes(graph)[:2]
    graph.move(first, None)
    assert second.operands[0] is first.result


def value_of_another_graph(graph: Graph) -> None:
    nodes(graph)[0].set_operand(0, callee(graph).parameters[0])


def value_of_a_removed_node(graph: Graph) -> None:
    first, second = nodes(graph)[:2]
    second.set_operand(0, graph.parameters[0])
    graph.remove(first)
    second.set_operand(0, first.result)


def value_of_a_removed_parameter(graph: Graph) -> None:
    graph.parameters = graph.parameters[:1]


def lost_use(graph: Graph) -> None:
    graph.parameters[0].uses.clear()


def invented_use(graph: Graph) -> None:
    graph.parameters[1].uses[nodes(graph)[0], 0] = None


def use_beyond_the_operands(graph: Graph) -> None:
    graph.parameters[0].uses[nodes(graph)[0], 7] = None


def use_by_a_removed_node(graph: Graph) -> None:
    stray = Node(OPS["negate"], [graph.parameters[1]], {}, [graph.parameters[1].type])
    assert stray.graph is None


def number_for_an_operand(graph: Graph) -> None:
    nodes(graph)[0].operands = (1.0,)  # type: ignore[assignment]


def wrong_result_type(graph: Graph) -> None:
    nodes(graph)[1].result.type = tensor_type("f32[B,5]")


def wrong_literal_dtype(graph: Graph) -> None:
    nodes(graph)[1].set_operand(1, Literal(1, dtype("i32")))


def too_many_operands(graph: Graph) -> None:
    node = nodes(graph)[0]
    node.operands = (*node.operands, Literal(1.0))


def unknown_attribute(graph: Graph) -> None:
    nodes(graph)[0].attributes = {"axis": 1}


def missing_attribute(graph: Graph) -> None:
    nodes(graph)[2].attributes = {}


def attribute_of_the_wrong_kind(graph: Graph) -> None:
    nodes(graph)[2].attributes = {"graph": 3}


def attribute_that_is_no_json(graph: Graph) -> None:
    nodes(graph)[2].attributes = {"graph": b"callee"}


def attribute_that_is_infinite(graph: Graph) -> None:
    graph.attributes = {"rate": [float("inf")]}


def parameter_attribute_that_is_no_json(graph: Graph) -> None:
    graph.parameters[0].attributes = {"axes": (1, 2)}


def attribute_with_a_bad_name(graph: Graph) -> None:
    graph.attributes = {"a b": 1}


def missing_callee(graph: Graph) -> None:
    graph.module.remove(callee(graph))


def renamed_callee(graph: Graph) -> None:
    callee(graph).name = "other"


def callee_of_another_module(graph: Graph) -> None:
    graph.module.graphs["callee"] = callee(graph).copy()


def renamed_graph(graph: Graph) -> None:
    graph.name = "other"


def graph_with_a_bad_name(graph: Graph) -> None:
    graph.name = "no name"


def graph_that_left_its_module(graph: Graph) -> None:
    graph.module.remove(graph)


def damaged_callee(graph: Graph) -> None:
    nodes(callee(graph))[0].result.type = tensor_type("f32[5]")


def callee_with_another_type(graph: Graph) -> None:
    inner = callee(graph)
    inner.parameters[0].type = nodes(inner)[0].result.type = tensor_type("f32[5]")


def recursion(graph: Graph) -> None:
    nodes(callee(graph))
    with building(callee(graph)):
        OPS["call"](callee(graph).parameters[0], graph="callee")


def mutual_recursion(graph: Graph) -> None:
    inner = callee(graph)
    third = Graph("third", graph.module)
    value = third.add_parameter(inner.parameters[0].type)
    with building(third):
        third.results = [OPS["call"](value, graph="callee")]
    with building(inner):
        OPS["call"](inner.parameters[0], graph="third")


def duplicate_names(graph: Graph) -> None:
    nodes(graph)[1].result.name = "x"


def duplicate_parameter_names(graph: Graph) -> None:
    graph.parameters[1].name = "x"


def undeclared_symbol_of_a_parameter(graph: Graph) -> None:
    graph.ranges = {}


def undeclared_symbol_of_a_result(graph: Graph) -> None:
    callee(graph).parameters[0].type = tensor_type("f32[T]")


def bad_symbol(graph: Graph) -> None:
    graph.ranges = graph.ranges | {"1B": (1, 2)}


def empty_range(graph: Graph) -> None:
    graph.ranges = {"B": (5, 4)}


def range_of_floats(graph: Graph) -> None:
    graph.ranges = {"B": (1, 4.0)}  # type: ignore[dict-item]


def no_results(graph: Graph) -> None:
    graph.results = []


def results_of_another_graph(graph: Graph) -> None:
    graph.results = [callee(graph).parameters[0]]


def negative_dim(graph: Graph) -> None:
    graph.parameters[1].type = TensorType((-4,), dtype("f32"))


def dim_of_numpy(graph: Graph) -> None:
    graph.parameters[1].type = TensorType((np.int64(4),), dtype("f32"))  # type: ignore[arg-type]


def foreign_op(graph: Graph) -> None:
    nodes(graph)[0].op = graph.return_node.op


def broken_links(graph: Graph) -> None:
    nodes(graph)[1]._previous = None


def circular_links(graph: Graph) -> None:
    nodes(graph)[1]._next = nodes(graph)[0]


def skipped_node(graph: Graph) -> None:
    list_ = nodes(graph)
    list_[1]._next, list_[3]._previous = list_[3], list_[1]
    list_[3].set_operand(1, graph.parameters[1])


def lost_end(graph: Graph) -> None:
    nodes(graph)[-1]._next = None
    graph._last = nodes(graph)[0]


def node_of_another_graph(graph: Graph) -> None:
    nodes(graph)[0].graph = callee(graph)


def result_of_another_node(graph: Graph) -> None:
    nodes(graph)[0].result.node = nodes(graph)[1]


def swapped_results(graph: Graph) -> None:
    node = nodes(graph)[3]
    node.results = node.results[::-1]


def result_listed_twice(graph: Graph) -> None:
    node = nodes(graph)[3]
    node.results = (node.results[0], node.results[0])


def parameter_of_another_graph(graph: Graph) -> None:
    graph.parameters[0].graph = callee(graph)


def parameter_at_another_index(graph: Graph) -> None:
    graph.parameters[0].index = 1


def terminator_of_another_graph(graph: Graph) -> None:
    graph.return_node.graph = callee(graph)


DAMAGES: list[tuple[Damage, str]] = [
    (use_before_definition, "%0 = add: operand 0 is used before its definition"),
    (value_of_another_graph, "%a = negate: operand 0 is a value of another graph"),
    (value_of_a_removed_node, "operand 0 is a value of another graph or removed node"),
    (value_of_a_removed_parameter, "%1 = call: operand 0 is used before its def"),
    (lost_use, "%a = negate: operand 0 does not know of its use by the node"),
    (invented_use, "a value lists a use that is none\n  received: %w"),
    (use_beyond_the_operands, "a value lists a use that is none\n  received: %x"),
    (use_by_a_removed_node, "a value lists a use that is none\n  received: %w"),
    (number_for_an_operand, "operand 0 is no value or literal\n  received: 1.0"),
    (wrong_result_type, "received: declared f32[B,5], inferred f32[B,4]"),
    (wrong_literal_dtype, "%0 = add: operands must have the same dtype"),
    (too_many_operands, "%a = negate: takes 1 operands"),
    (unknown_attribute, "%a = negate: unknown attribute 'axis'"),
    (missing_attribute, "%1 = call: attribute 'graph' is missing"),
    (attribute_of_the_wrong_kind, "%1 = call: attribute 'graph' must be of kind"),
    (attribute_that_is_no_json, "attribute graph is not JSON: a value of type bytes"),
    (attribute_that_is_infinite, "attribute rate is not JSON: inf is not finite"),
    (parameter_attribute_that_is_no_json, "axes is not JSON: a value of type tuple"),
    (attribute_with_a_bad_name, "an attribute's name must be an identifier"),
    (missing_callee, "graph @main: %1 = call: the module has no graph @callee"),
    (renamed_callee, "the module's graph @callee has another name or module"),
    (callee_of_another_module, "graph @callee has another name or module"),
    (renamed_graph, "the graph is not in its module under its name"),
    (graph_with_a_bad_name, "a graph's name must be an identifier"),
    (graph_that_left_its_module, "graph @main: the graph is not in its module"),
    (damaged_callee, "graph @callee: %0 = multiply: the declared result types"),
    (callee_with_another_type, "%1 = call: graph @callee takes (f32[5])"),
    (recursion, "must not call themselves\n  received: @callee -> @callee"),
    (mutual_recursion, "received: @callee -> @third -> @callee"),
    (duplicate_names, "%x = add: the name %x is defined twice"),
    (duplicate_parameter_names, "graph @main: the name %x is defined twice"),
    (undeclared_symbol_of_a_parameter, "the dimension symbol B has no range"),
    (undeclared_symbol_of_a_result, "graph @callee: the dimension symbol T has no"),
    (bad_symbol, "a dimension symbol must be an identifier\n  received: '1B'"),
    (empty_range, "the range of B must be 0 <= low <= high\n  received: (5, 4)"),
    (range_of_floats, "the range of B must be"),
    (no_results, "graph @main: return: the graph has no results"),
    (results_of_another_graph, "graph @main: return: operand 0 is a value of anoth"),
    (negative_dim, "a dimension is negative\n  received: f32[-4]"),
    (dim_of_numpy, "a dimension is neither an int nor an expression"),
    (foreign_op, "%a = return: the op is not in the op table"),
    (broken_links, "%0 = add: the node is not linked into the graph"),
    (circular_links, "%a = negate: the node is not linked into the graph"),
    (skipped_node, "the graph's nodes are not linked properly"),
    (lost_end, "the graph's nodes are not linked properly"),
    (node_of_another_graph, "%a = negate: the node is not linked into the graph"),
    (result_of_another_node, "%a = negate: a value belongs to another node or graph"),
    (swapped_results, "%n, %2 = optimization_barrier: a value is not at its position"),
    (result_listed_twice, "optimization_barrier: a value is not at its position"),
    (parameter_of_another_graph, "a value belongs to another node or graph"),
    (parameter_at_another_index, "graph @main: a value is not at its position"),
    (terminator_of_another_graph, "the terminator belongs to another graph"),
]


def test_the_graph_is_valid_before_it_is_damaged():
    graph = parse(TEXT)
    verify(graph)
    assert str(graph) == TEXT


@pytest.mark.parametrize(
    ("damage", "message"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES]
)
def test_damage(damage: Damage, message: str):
    graph = parse(TEXT)
    damage(graph)
    with pytest.raises(GraphError) as raised:
        graph.verify()
    assert message in str(raised.value)
    assert str(raised.value).startswith("graph @")


def test_an_error_names_the_nodes_place():
    graph = parse(TEXT)
    wrong_result_type(graph)
    with pytest.raises(GraphError) as raised:
        verify(graph)
    assert str(raised.value) == (
        "graph @main: %0 = add: the declared result types differ from the inferred ones\n"
        "  received: declared f32[B,5], inferred f32[B,4]\n"
        "  at model.py:13:9, in layer 'mlp'"
    )


def test_an_error_keeps_the_hint_of_the_type_rule():
    graph = parse(TEXT)
    nodes(graph)[1].set_operand(1, graph.parameters[1])
    with pytest.raises(GraphError) as raised:
        verify(graph)
    assert "only rank-0 operands stretch" in raised.value.hint
    assert raised.value.__cause__ is not None


def test_a_value_refuses_what_is_no_name():
    value = parse(TEXT).parameters[0]
    for name in ("", "1", "a b", "%x", "x\n", ".x", "é", 3):
        with pytest.raises(GraphError, match="name must be an identifier"):
            value.name = name
    value.name = None


def test_graphs_that_are_not_called_are_not_checked():
    graph = parse(TEXT)
    wrong_result_type(graph)
    callee(graph).verify()


def test_shared_callees_are_checked_once(monkeypatch: pytest.MonkeyPatch):
    module = Module()
    below = None
    for level in range(40):  # 2**40 paths lead to the last
        graph = Graph(f"g{level}", module)
        x = graph.add_parameter(tensor_type("f32[3]"))
        with building(graph):
            for _ in range(2 if below else 0):
                x = OPS["call"](x, graph=below)
        graph.results = [x]
        below = graph.name
    module.graphs["g39"].verify()


# -- constants, symbols in attributes, failing type rules --------------------------------


def constant_graph(array: object, name: str = "c") -> Graph:
    graph = Graph("f")
    graph.module.constants["c"] = np.zeros(3, np.float32)
    with building(graph):
        graph.results = [OPS["stored"](value="c")]
    graph.module.constants[name] = array  # type: ignore[assignment]
    return graph


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([0.0] * 3, "constant @c is not an array\n  received: list"),
        (np.zeros(3, object), "constant @c has no dtype of the IR\n  received: object"),
        (np.zeros(3, ">f4"), "constant @c has no dtype of the IR\n  received: >f4"),
        (np.zeros(4, np.float32), "declared f32[3], inferred f32[4]"),
    ],
    ids=["list", "object", "big-endian", "shape"],
)
def test_bad_constants(array: object, message: str, extra_ops: None):
    with pytest.raises(GraphError) as raised:
        constant_graph(array).verify()
    assert message in str(raised.value)


def test_missing_and_ill_named_constants(extra_ops: None):
    graph = constant_graph(np.zeros(3, np.float32), "no name")
    graph.verify()
    next(graph.nodes).attributes = {"value": "no name"}
    with pytest.raises(GraphError, match="a constant's name must be an identifier"):
        graph.verify()
    next(graph.nodes).attributes = {"value": "d"}
    with pytest.raises(GraphError, match="%0 = stored: the module has no constant @d"):
        graph.verify()


def test_attributes_are_canonical_and_their_symbols_declared(extra_ops: None):
    graph = Graph("f")
    with building(graph):
        value = OPS["attributed"](shape=["T*2", 3])
    graph.results = [value]
    with pytest.raises(GraphError, match="the dimension symbol T has no range"):
        graph.verify()
    graph.ranges = {"T": (1, 2)}
    graph.verify()
    for attributes in (
        {"shape": ["T*2", 3]},
        {"shape": ["2*T", 3], "count": 0},
        {"shape": ("2*T", 3)},
        {"shape": ["T+T", 3]},
    ):
        value.node.attributes = attributes
        with pytest.raises(GraphError, match=r"canonical form|is not JSON") as raised:
            graph.verify()
        assert "%0 = attributed" in str(raised.value)


def test_a_type_rule_that_fails_is_reported(
    extra_ops: None, monkeypatch: pytest.MonkeyPatch
):
    graph = Graph("f")
    with building(graph):
        graph.results = [OPS["attributed"](shape=[3])]
    graph.results[0].node.attributes = {"shape": [3], "axes": [1]}
    object.__setattr__(OPS["attributed"], "infer", lambda **attributes: [][1])
    with pytest.raises(GraphError) as raised:
        graph.verify()
    assert str(raised.value) == (
        "graph @f: %0 = attributed: the op's type rule fails\n"
        "  received: IndexError: list index out of range"
    )
    assert isinstance(raised.value.__cause__.__cause__, IndexError)


@pytest.mark.parametrize(
    "value",
    [None, True, -1, 2**64 - 1, 0.5, "é\ud800", [], {}, [[{"a b": [1]}]]],
    ids=repr,
)
def test_json(value: object):
    assert json_problem(value) is None


@pytest.mark.parametrize(
    "value",
    [
        *(2**64, float("nan"), np.float32(1), np.int32(1), np.bool_(True)),
        *((1,), {1}, b"x", {1: 2}, {"a": [object()]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_json(value: object):
    assert json_problem(value)


def test_json_that_contains_itself():
    value: list[object] = []
    value.append(value)
    assert json_problem(value) == "nested deeper than 32"


def test_verifying_takes_linear_time():
    graph = Graph("f")
    x = y = graph.add_parameter(tensor_type("f32[3]"))
    with building(graph):
        for _ in range(20_000):
            y = OPS["add"](y, x)
    graph.results = [y]
    start = time.perf_counter()
    graph.verify()
    assert time.perf_counter() - start < 5  # 0.2 s on an idle machine
