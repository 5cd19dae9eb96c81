"""Kinds of damage done to several valid graphs: each is refused, naming node and rule.

A kind is a function that breaks one rule of a graph wherever it finds the means to. It
returns the node that the error must name, or None where no single node is to blame.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.ir import OPS, Graph, GraphError, Literal, Value, building, dtype, parse
from graphc.ir.graph import Node
from graphc.ir.types import TensorType
from graphc.ir.values import is_name

CALLS = """\
graph @main(%x: f32[B,4] {role="input"}, %w: f32[4]) -> (f32[B,4], f32[4]) \
where B in 1..256 {kind="sample"} {
  %a = negate(%x) : f32[B,4]  loc("mlp" model.py:12:9)
  %0 = add(%a, %x) : f32[B,4]  loc("mlp" model.py:13:9)
  %c = call(%w) {graph="callee"} : f32[4]
  %k = constant() {name="table"} : f32[4]
  %s = subtract(%c, %k) : f32[4]
  %2, %n = optimization_barrier(%0, %s) : f32[B,4], f32[4]
  return %2, %n
}
graph @callee(%v: f32[4]) -> (f32[4]) {
  %0 = multiply(%v, 2.0) : f32[4]
  %1 = call(%0) {graph="inner"} : f32[4]
  return %1
}
graph @inner(%v: f32[4]) -> (f32[4]) {
  %0 = reverse(%v) {axes=[0]} : f32[4]
  return %0
}
const @table: f32[4] = "AAAAAAAAAAAAAAAAAAAAAA=="
"""

STEP = """\
graph @step(%x: f32[B,3], %y: i32[B], %w: f32[3,2] {role="state"}) -> (f32[], f32[3,2]) \
where B in 1..64 {
  %loss, %dw = value_and_gradient(%w, %x, %y) {graph="loss", wrt=[0]} : f32[], f32[3,2]
  %mean = constant() {name="mean"} : f32[3,2]
  %0 = subtract(%dw, %mean) : f32[3,2]
  %1 = multiply(%0, 0.1) : f32[3,2]  loc("sgd" model.py:20:5)
  %2 = subtract(%w, %1) : f32[3,2]
  %3, %4 = optimization_barrier(%loss, %2) : f32[], f32[3,2]
  return %3, %4
}
graph @loss(%w: f32[3,2], %x: f32[B,3], %y: i32[B]) -> (f32[]) where B in 1..64 {
  %z = call(%x, %w) {graph="dense"} : f32[B,2]
  %h = softmax(%z) {axis=1} : f32[B,2]
  %t = one_hot(%y) {depth=2, dtype="f32"} : f32[B,2]
  %p = multiply(%h, %t) : f32[B,2]
  %s = reduce_sum(%p) {axes=[0,1]} : f32[]
  return %s
}
graph @dense(%x: f32[B,3], %w: f32[3,2]) -> (f32[B,2]) where B in 1..64 {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[B,2]
  %1 = negate(%0) : f32[B,2]
  return %1
}
const @mean: f32[3,2] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""

LOOPS = """\
graph @loops(%x: f32[T,3], %h: f32[3], %n: i32[]) -> (f32[3], f32[T,3], i32[]) where T in 1..9 {
  %0, %1 = scan(%h, %x) {body="step", carries=1, length="T", sequences=1} : f32[3], f32[T,3]
  %2 = add(%n, 1:i32) : i32[]
  %i, %3 = while(%2, %0) {body="body", cond="more"} : i32[], f32[3]
  %b = compare(%i, 3:i32) {direction="LT"} : bool[]
  %4 = cond(%b, %3) {branches=["body_of_one","other"]} : f32[3]
  %k = constant() {name="bias"} : f32[3]
  %5 = add(%4, %k) : f32[3]
  return %5, %1, %i
}
graph @step(%h: f32[3], %x: f32[3]) -> (f32[3], f32[3]) {
  %0 = add(%h, %x) : f32[3]
  %1 = tanh(%0) : f32[3]
  return %1, %0
}
graph @body(%i: i32[], %h: f32[3]) -> (i32[], f32[3]) {
  %0 = add(%i, 1:i32) : i32[]
  %1 = negate(%h) : f32[3]
  return %0, %1
}
graph @more(%i: i32[], %h: f32[3]) -> (bool[]) {
  %0 = compare(%i, 5:i32) {direction="LT"} : bool[]
  return %0
}
graph @body_of_one(%h: f32[3]) -> (f32[3]) {
  %0 = negate(%h) : f32[3]
  return %0
}
graph @other(%h: f32[3]) -> (f32[3]) {
  %0 = tanh(%h) : f32[3]
  return %0
}
const @bias: f32[3] = "AAAAAAAAAAAAAAAA"
"""

GRAPHS = {"calls": CALLS, "step": STEP, "loops": LOOPS}

Damage = Callable[[Graph], Node | None]
DAMAGES: list[Any] = []


class InapplicableError(Exception):
    """The graph has nothing that could be damaged in this way."""


def damage(message: str) -> Callable[[Damage], Damage]:
    """Registers a kind of damage and a part of the message that it must give."""

    def register(function: Damage) -> Damage:
        DAMAGES.append(pytest.param(function, message, id=function.__name__))
        return function

    return register


# -- where to do damage --------------------------------------------------------------------


def nodes(graph: Graph) -> list[Node]:
    return list(graph.nodes)


def node_where(graph: Graph, wanted: Callable[[Node], object]) -> Node:
    """The last node that is as wanted, in this graph or one that it calls."""
    for each in graph.reachable():
        for node in each.reversed_nodes():
            if wanted(node):
                return node
    raise InapplicableError


def reader(graph: Graph) -> tuple[Node, int, Node]:
    """A node that reads the result of another: reader, position, the other."""
    for node in graph.reversed_nodes():
        for position, operand in enumerate(node.operands):
            if isinstance(operand, Value) and operand.node is not None:
                return node, position, operand.node
    raise InapplicableError


def caller(graph: Graph) -> tuple[Node, Graph]:
    """A node that calls a graph, and that graph."""
    node = node_where(graph, lambda node: node.op.graph_names(node))
    return node, node.graph.module.graphs[node.op.graph_names(node)[0]]


def unary(graph: Graph) -> Node:
    """A node of one operand and one float result."""
    return node_where(
        graph,
        lambda n: (
            not n.op.calls_graphs
            and len(n.results) == len(n.operands) == 1
            and n.result.dtype is dtype("f32")
        ),
    )


def attributed(graph: Graph, wanted: Callable[[Any], object]) -> tuple[Node, str]:
    """A node with an attribute whose value is as wanted."""
    node = node_where(graph, lambda n: any(map(wanted, n.attributes.values())))
    return node, next(k for k, v in node.attributes.items() if wanted(v))


def change_attribute(node: Node, name: str, value: Any) -> Node:
    node.attributes = node.attributes | {name: value}
    return node


def constant_name(graph: Graph) -> tuple[Node, str]:
    node = node_where(graph, lambda n: n.op.constant_names(n))
    return node, node.op.constant_names(node)[0]


def is_ints(value: Any) -> bool:
    return (
        isinstance(value, list) and all(type(v) is int for v in value) and value != []
    )


# -- result types --------------------------------------------------------------------------


@damage("the declared result types differ from the inferred ones")
def result_of_another_dtype(graph: Graph) -> Node:
    node = unary(graph)
    node.result.type = node.result.type.with_dtype(dtype("f64"))
    return node


@damage("the declared result types differ from the inferred ones")
def result_of_another_size(graph: Graph) -> Node:
    node = node_where(graph, lambda n: n.results[0].shape and not n.op.calls_graphs)
    result = node.results[0]
    result.type = result.type.with_shape((*result.shape[:-1], result.shape[-1] + 1))
    return node


@damage("the declared result types differ from the inferred ones")
def result_of_another_rank(graph: Graph) -> Node:
    node = unary(graph)
    node.result.type = node.result.type.with_shape((*node.result.shape, 1))
    return node


@damage("the declared result types differ from the inferred ones")
def result_with_another_symbol(graph: Graph) -> Node:
    node = node_where(graph, lambda n: n.op.calls_graphs and n.results[0].shape)
    result = node.results[0]
    node.graph.ranges = node.graph.ranges | {"Z": (1, 2)}
    result.type = parse("graph @f(%z: f32[Z]) -> (f32[Z]) where Z in 1..2 {return %z}")
    result.type = result.type.parameters[0].type
    return node


@damage("the declared result types differ from the inferred ones")
def one_result_too_many(graph: Graph) -> Node:
    node = unary(graph)
    node.results = (*node.results, Value(node.result.type, node.graph, node, 1))
    return node


@damage("the declared result types differ from the inferred ones")
def one_result_too_few(graph: Graph) -> Node:
    node = node_where(graph, lambda n: len(n.results) > 1)
    last = node.results[-1]
    for user, position in list(last.uses):
        user.set_operand(position, node.results[0])
    node.results = node.results[:-1]
    return node


@damage("the declared result types differ from the inferred ones")
def no_result_at_all(graph: Graph) -> Node:
    node = unary(graph)
    node.result.replace_uses(node.operands[0])
    node.results = ()
    return node


@damage("a type is no tensor type")
def result_without_a_type(graph: Graph) -> Node:
    node = unary(graph)
    node.result.type = None  # type: ignore[assignment]
    return node


@damage("a type is no tensor type")
def parameter_without_a_type(graph: Graph) -> None:
    graph.parameters[0].type = "f32[3]"  # type: ignore[assignment]


@damage("a type is no tensor type")
def dtype_by_name(graph: Graph) -> None:
    shape = graph.parameters[0].shape
    graph.parameters[0].type = TensorType(shape, "f32")  # type: ignore[arg-type]


@damage("a type is no tensor type")
def shape_in_a_list(graph: Graph) -> None:
    of = graph.parameters[0].type
    graph.parameters[0].type = TensorType(list(of.shape), of.dtype)  # type: ignore[arg-type]


@damage("a dimension is negative")
def negative_size(graph: Graph) -> None:
    graph.parameters[0].type = TensorType((-1,), dtype("f32"))


@damage("a dimension is neither an int nor an expression")
def size_of_numpy(graph: Graph) -> None:
    graph.parameters[0].type = TensorType((np.int64(3),), dtype("f32"))  # type: ignore[arg-type]


@damage("a dimension is neither an int nor an expression")
def size_that_is_a_float(graph: Graph) -> None:
    graph.parameters[0].type = TensorType((3.0,), dtype("f32"))  # type: ignore[arg-type]


@damage("a dimension is neither an int nor an expression")
def size_that_is_a_bool(graph: Graph) -> None:
    graph.parameters[0].type = TensorType((True,), dtype("f32"))


@damage("too large to address")
def parameter_beyond_all_memory(graph: Graph) -> None:
    graph.parameters[0].type = TensorType((2**40, 2**40), dtype("f32"))


@damage("is above the limit of")
def rank_beyond_all_use(graph: Graph) -> None:
    graph.parameters[0].type = TensorType((1,) * 65, dtype("f32"))


@damage("")
def parameter_of_another_dtype(graph: Graph) -> Node:
    node, _ = caller(graph)
    parameter = next(o for o in node.operands if isinstance(o, Value))
    parameter.type = parameter.type.with_dtype(dtype("i8"))
    if parameter.node is not None:
        return parameter.node
    return next(iter(parameter.users))


# -- operands ------------------------------------------------------------------------------


@damage("is used before its definition")
def use_before_definition(graph: Graph) -> Node:
    _, _, producer = reader(graph)
    graph.move(producer, None)
    return next(n for n in graph.nodes if producer in (o.node for o in values_of(n)))


def values_of(node: Node) -> list[Value]:
    return [o for o in node.operands if isinstance(o, Value)]


@damage("is used before its definition")
def own_result_as_operand(graph: Graph) -> Node:
    node = unary(graph)
    node.set_operand(0, node.result)
    return node


@damage("is a value of another graph or removed node")
def value_of_a_called_graph(graph: Graph) -> Node:
    node, _, _ = reader(graph)
    node.set_operand(0, graph.callees()[0].parameters[0])
    return node


@damage("is a value of another graph or removed node")
def value_of_another_module(graph: Graph) -> Node:
    node, position, _ = reader(graph)
    node.set_operand(position, graph.copy().parameters[0])
    return node


@damage("is a value of another graph or removed node")
def value_of_a_removed_node(graph: Graph) -> Node:
    node, position, producer = reader(graph)
    with building(graph, before=producer):
        stray = OPS["negate"](Literal(1.0))
    graph.remove(stray.node)
    node.set_operand(position, stray)
    return node


@damage("is no value or literal")
def number_as_operand(graph: Graph) -> Node:
    node = unary(graph)
    node.operands = (1.0,)  # type: ignore[assignment]
    return node


@damage("is no value or literal")
def nothing_as_operand(graph: Graph) -> Node:
    node = unary(graph)
    node.operands = (None,)  # type: ignore[assignment]
    return node


@damage("the operands are no tuple")
def operands_in_a_list(graph: Graph) -> Node:
    node = unary(graph)
    node.operands = list(node.operands)  # type: ignore[assignment]
    return node


@damage("takes 1 operands")
def one_operand_too_many(graph: Graph) -> Node:
    node = unary(graph)
    node.operands = (*node.operands, Literal(1.0))
    return node


@damage("takes 1 operands")
def one_operand_too_few(graph: Graph) -> Node:
    node = unary(graph)
    del node.operands[0].uses[node, 0]
    node.operands = ()
    return node


@damage("the same dtype")
def literal_of_another_dtype(graph: Graph) -> Node:
    node = node_where(graph, lambda n: n.op.name in ("add", "multiply", "subtract"))
    node.set_operand(1, Literal(1, dtype("i8")))
    return node


@damage("is no literal of its dtype")
def literal_that_its_dtype_cannot_hold(graph: Graph) -> Node:
    node = node_where(graph, lambda n: n.op.name in ("add", "multiply", "subtract"))
    literal = Literal(1, node.operands[0].dtype)
    literal.value = 2**70 if literal.dtype.is_integer else 0.1
    node.set_operand(1, literal)
    return node


@damage("is no literal of its dtype")
def literal_with_a_shape(graph: Graph) -> Node:
    node = node_where(graph, lambda n: n.op.name in ("add", "multiply", "subtract"))
    literal = Literal(1, node.operands[0].dtype)
    literal.type = node.operands[0].type.with_shape((1, *node.operands[0].type.shape))
    node.set_operand(1, literal)
    return node


@damage("")
def swapped_operands(graph: Graph) -> Node:
    node = node_where(
        graph,
        lambda n: len(n.operands) > 1 and n.operands[0].type != n.operands[-1].type,
    )
    first, last = node.operands[0], node.operands[-1]
    node.set_operand(0, last)
    node.set_operand(len(node.operands) - 1, first)
    return node


# -- attributes ----------------------------------------------------------------------------


@damage("unknown attribute 'colour'")
def unknown_attribute(graph: Graph) -> Node:
    return change_attribute(unary(graph), "colour", 1)


@damage("is missing")
def missing_attribute(graph: Graph) -> Node:
    node, _ = caller(graph)
    node.attributes = {}
    return node


@damage("must be of kind")
def attribute_of_another_kind(graph: Graph) -> Node:
    node, name = attributed(graph, lambda value: isinstance(value, (list, int)))
    return change_attribute(node, name, "text")


@damage("must be of kind")
def name_that_is_a_number(graph: Graph) -> Node:
    return change_attribute(*attributed(graph, lambda v: isinstance(v, str)), 3)


@damage("is not JSON: a value of type tuple")
def attribute_that_is_a_tuple(graph: Graph) -> Node:
    node, name = attributed(graph, lambda value: isinstance(value, list))
    return change_attribute(node, name, tuple(node.attributes[name]))


@damage("is not JSON: a value of type int64")
def attribute_of_numpy(graph: Graph) -> Node:
    return change_attribute(unary(graph), "count", np.int64(1))


@damage("is not JSON: a key is no string")
def attribute_with_a_number_for_a_key(graph: Graph) -> Node:
    return change_attribute(unary(graph), "table", {1: 2})


@damage("is not JSON: nan is not finite")
def attribute_that_is_nan(graph: Graph) -> Node:
    return change_attribute(unary(graph), "rate", float("nan"))


@damage("is not JSON: nested deeper than")
def attribute_without_a_bottom(graph: Graph) -> Node:
    endless: list[Any] = []
    endless.append(endless)
    return change_attribute(unary(graph), "axes", endless)


@damage("is not JSON: an integer of more than 64 bits")
def attribute_of_many_bits(graph: Graph) -> Node:
    return change_attribute(unary(graph), "count", 2**64)


@damage("an attribute's name must be an identifier")
def attribute_with_a_bad_name(graph: Graph) -> Node:
    return change_attribute(unary(graph), "a b", 1)


@damage("an attribute's name must be an identifier")
def attribute_with_a_number_for_a_name(graph: Graph) -> Node:
    return change_attribute(unary(graph), 1, 1)  # type: ignore[arg-type]


@damage("attributes are no dict")
def attributes_that_are_none(graph: Graph) -> Node:
    node = unary(graph)
    node.attributes = None  # type: ignore[assignment]
    return node


@damage("attributes are no dict")
def parameter_attributes_that_are_a_list(graph: Graph) -> None:
    graph.parameters[0].attributes = ["state"]  # type: ignore[assignment]


@damage("attribute kind is not JSON")
def graph_attribute_that_is_bytes(graph: Graph) -> None:
    graph.attributes = {"kind": b"sample"}


@damage("not in canonical form")
def default_that_is_written_out(graph: Graph) -> Node:
    node = node_where(
        graph,
        lambda n: any(a.name not in n.attributes for a in n.op.attributes.values()),
    )
    left = next(a for a in node.op.attributes.values() if a.name not in node.attributes)
    return change_attribute(node, left.name, left.default)


@damage("not in canonical form")
def integers_written_as_floats(graph: Graph) -> Node:
    node, name = attributed(graph, is_integers)
    values = node.attributes[name]
    floats = [float(v) for v in values] if isinstance(values, list) else float(values)
    return change_attribute(node, name, floats)


def is_integers(value: Any) -> bool:
    return type(value) is int or is_ints(value)


@damage("")
def axis_out_of_range(graph: Graph) -> Node:
    return change_attribute(*attributed(graph, is_ints), [17])


# -- graphs and constants that are named ---------------------------------------------------


@damage("the module has no graph @")
def missing_callee(graph: Graph) -> Node:
    node, callee = caller(graph)
    graph.module.remove(callee)
    return node


@damage("has another name or module")
def renamed_callee(graph: Graph) -> Node:
    node, callee = caller(graph)
    callee.name = "renamed"
    return node


@damage("has another name or module")
def callee_of_another_module(graph: Graph) -> Node:
    node, callee = caller(graph)
    graph.module.graphs[callee.name] = callee.copy()
    return node


@damage("graphs must not call themselves")
def graph_that_calls_itself(graph: Graph) -> None:
    _, callee = caller(graph)
    with building(callee):
        OPS["call"](*callee.parameters, graph=callee.name)


@damage("graphs must not call themselves")
def graphs_that_call_each_other(graph: Graph) -> None:
    _, callee = caller(graph)
    third = Graph("third", graph.module)
    values = [third.add_parameter(p.type) for p in callee.parameters]
    third.ranges = dict(callee.ranges)
    with building(third):
        third.results = [OPS["call"](*values, graph=callee.name)][:1]
    with building(callee):
        OPS["call"](*callee.parameters, graph="third")


@damage(" takes (")
def callee_with_another_parameter(graph: Graph) -> Node:
    node, callee = caller(graph)
    callee.add_parameter(TensorType((), dtype("f32")), "more")
    return node


@damage("")
def callee_with_other_results(graph: Graph) -> Node:
    node, callee = caller(graph)
    with building(callee):
        callee.results = [OPS["negate"](Literal(1.0, dtype("f64")))]
    return node


@damage("the declared result types differ")
def damage_deep_inside(graph: Graph) -> Node:
    last = graph.reachable()[-1]
    node = next(iter(last.nodes))
    node.result.type = node.result.type.with_dtype(dtype("u16"))
    return node


@damage("the module has no constant @")
def missing_constant(graph: Graph) -> Node:
    node, name = constant_name(graph)
    del graph.module.constants[name]
    return node


@damage("the declared result types differ from the inferred ones")
def constant_of_another_shape(graph: Graph) -> Node:
    node, name = constant_name(graph)
    graph.module.constants[name] = np.zeros((7,), np.float32)
    return node


@damage("the declared result types differ from the inferred ones")
def constant_of_another_dtype(graph: Graph) -> Node:
    node, name = constant_name(graph)
    array = graph.module.constants[name]
    graph.module.constants[name] = array.astype(ml_dtypes.bfloat16)
    return node


@damage("is not an array")
def constant_that_is_a_list(graph: Graph) -> Node:
    node, name = constant_name(graph)
    graph.module.constants[name] = [0.0]  # type: ignore[assignment]
    return node


@damage("has no dtype of the IR")
def constant_of_objects(graph: Graph) -> Node:
    node, name = constant_name(graph)
    graph.module.constants[name] = np.zeros((7,), object)
    return node


@damage("has no dtype of the IR")
def constant_of_the_other_byte_order(graph: Graph) -> Node:
    node, name = constant_name(graph)
    graph.module.constants[name] = np.zeros((7,), ">f4")
    return node


@damage("a constant's name must be an identifier")
def constant_with_a_bad_name(graph: Graph) -> Node:
    node, name = constant_name(graph)
    graph.module.constants["no name"] = graph.module.constants[name]
    key = next(k for k, v in node.attributes.items() if v == name)
    return change_attribute(node, key, "no name")


# -- names ---------------------------------------------------------------------------------


@damage("is defined twice")
def two_results_of_one_name(graph: Graph) -> Node:
    first, second = nodes(graph)[:2]
    first.results[0].name = second.results[0].name = "same"
    return second


@damage("is defined twice")
def result_named_like_a_parameter(graph: Graph) -> Node:
    node = unary(graph)
    node.result.name = node.graph.parameters[0].name
    return node


@damage("is defined twice")
def two_parameters_of_one_name(graph: Graph) -> None:
    graph.parameters[1].name = graph.parameters[0].name


@damage("a value's name must be an identifier")
def value_with_a_bad_name(graph: Graph) -> Node:
    node = unary(graph)
    node.result._name = "no name"
    return node


@damage("a value's name must be an identifier")
def parameter_with_a_number_for_a_name(graph: Graph) -> None:
    graph.parameters[0]._name = 7  # type: ignore[assignment]


@damage("a graph's name must be an identifier")
def graph_with_a_bad_name(graph: Graph) -> None:
    graph.name = "no name"


@damage("the graph is not in its module under its name")
def graph_under_another_name(graph: Graph) -> None:
    graph.name = "renamed"


@damage("the graph is not in its module under its name")
def graph_that_left_its_module(graph: Graph) -> None:
    graph.module.remove(graph)


# -- links and uses ------------------------------------------------------------------------


@damage("does not know of its use by the node")
def lost_uses(graph: Graph) -> Node:
    node, position, _ = reader(graph)
    del node.operands[position].uses[node, position]
    return node


@damage("a value lists a use that is none")
def use_by_a_node_that_does_not_read_it(graph: Graph) -> None:
    node, _, _ = reader(graph)
    other = next(p for p in graph.parameters if p not in node.operands)
    other.uses[node, 0] = None


@damage("a value lists a use that is none")
def use_beyond_the_operands(graph: Graph) -> None:
    node, _, producer = reader(graph)
    producer.results[0].uses[node, 99] = None


@damage("a value lists a use that is none")
def use_by_a_node_of_another_graph(graph: Graph) -> None:
    other = next(iter(graph.callees()[0].nodes))
    graph.parameters[0].uses[other, 0] = None


@damage("a value lists a use that is none")
def use_by_a_node_that_is_nowhere(graph: Graph) -> None:
    value = graph.parameters[0]
    assert Node(OPS["negate"], [value], {}, [value.type]).graph is None


@damage("the node is not linked into the graph")
def broken_link_backwards(graph: Graph) -> Node:
    node = nodes(graph)[1]
    node._previous = None
    return node


@damage("the node is not linked into the graph")
def links_in_a_circle(graph: Graph) -> Node:
    first, second = nodes(graph)[:2]
    second._next = first
    return first


@damage("the node is not linked into the graph")
def node_that_is_skipped(graph: Graph) -> Node:
    listed = nodes(graph)
    listed[0]._next = listed[2]
    return listed[2]


@damage("the graph's nodes are not linked properly")
def wrong_last_node(graph: Graph) -> None:
    graph._last = nodes(graph)[0]


@damage("the graph's nodes are not linked properly")
def wrong_count(graph: Graph) -> None:
    graph._size += 1


@damage("the node is not linked into the graph")
def node_of_another_graph(graph: Graph) -> Node:
    node = nodes(graph)[0]
    node.graph = graph.callees()[0]
    return node


@damage("the node is not linked into the graph")
def node_in_two_graphs(graph: Graph) -> Node:
    node = nodes(graph)[0]
    graph.callees()[0].insert(node)
    return node


@damage("a value belongs to another node or graph")
def result_of_another_node(graph: Graph) -> Node:
    first, second = nodes(graph)[:2]
    first.results[0].node = second
    return first


@damage("a value belongs to another node or graph")
def result_of_another_graph(graph: Graph) -> Node:
    node = nodes(graph)[0]
    node.results[0].graph = graph.callees()[0]
    return node


@damage("a value is not at its position")
def result_at_another_index(graph: Graph) -> Node:
    node = nodes(graph)[0]
    node.results[0].index = 5
    return node


@damage("a value is not at its position")
def results_in_another_order(graph: Graph) -> Node:
    node = node_where(graph, lambda n: len(n.results) > 1)
    node.results = node.results[::-1]
    return node


@damage("a value is not at its position")
def result_that_is_listed_twice(graph: Graph) -> Node:
    node = node_where(graph, lambda n: len(n.results) > 1)
    node.results[0].name = None
    node.results = (node.results[0], node.results[0])
    return node


@damage("a value belongs to another node or graph")
def parameter_of_another_graph(graph: Graph) -> None:
    graph.parameters[0].graph = graph.callees()[0]


@damage("a value is not at its position")
def parameters_in_another_order(graph: Graph) -> None:
    graph.parameters = graph.parameters[::-1]


@damage("a value belongs to another node or graph")
def parameter_that_a_node_defines(graph: Graph) -> None:
    graph.parameters[0].node = nodes(graph)[0]


@damage("is used before its definition")
def parameter_that_is_gone(graph: Graph) -> Node:
    value = next(p for p in reversed(graph.parameters) if p.uses)
    graph.parameters = tuple(p for p in graph.parameters if p is not value)
    for index, parameter in enumerate(graph.parameters):
        parameter.index = index
    return next(iter(value.users))


@damage("the op is not in the op table")
def op_of_nowhere(graph: Graph) -> Node:
    node = unary(graph)
    node.op = node.graph.return_node.op
    return node


@damage("the location is none")
def location_that_is_text(graph: Graph) -> Node:
    node = unary(graph)
    node.location = "model.py:3:1"  # type: ignore[assignment]
    return node


# -- the terminator ------------------------------------------------------------------------


@damage("the graph has no results")
def no_results(graph: Graph) -> Node:
    graph.results = []
    return graph.return_node


@damage("is a value of another graph or removed node")
def results_of_another_graph(graph: Graph) -> Node:
    graph.results = [graph.callees()[0].parameters[0]]
    return graph.return_node


@damage("is no value or literal")
def result_that_is_a_number(graph: Graph) -> Node:
    graph.return_node.operands = (1.0,)  # type: ignore[assignment]
    return graph.return_node


@damage("the terminator belongs to another graph")
def terminator_of_another_graph(graph: Graph) -> Node:
    graph.return_node.graph = graph.callees()[0]
    return graph.return_node


# -- symbols -------------------------------------------------------------------------------


@damage("has no range")
def undeclared_symbols(graph: Graph) -> None:
    graph.ranges = {}


@damage("a dimension symbol must be an identifier")
def symbol_with_a_bad_name(graph: Graph) -> None:
    graph.ranges = graph.ranges | {"1B": (1, 2)}


@damage("a dimension symbol must be an identifier")
def symbol_with_a_number_for_a_name(graph: Graph) -> None:
    graph.ranges = graph.ranges | {7: (1, 2)}  # type: ignore[dict-item]


def ranged(graph: Graph, limits: Any) -> None:
    graph.ranges = dict.fromkeys(graph.ranges, limits)


@damage("must be 0 <= low <= high")
def empty_range(graph: Graph) -> None:
    ranged(graph, (5, 4))


@damage("must be 0 <= low <= high")
def negative_range(graph: Graph) -> None:
    ranged(graph, (-1, 4))


@damage("must be 0 <= low <= high")
def range_of_floats(graph: Graph) -> None:
    ranged(graph, (1, 4.0))


@damage("must be 0 <= low <= high")
def range_of_bools(graph: Graph) -> None:
    ranged(graph, (False, True))


@damage("must be 0 <= low <= high")
def range_beyond_64_bits(graph: Graph) -> None:
    ranged(graph, (1, 2**70))


@damage("must be 0 <= low <= high")
def range_of_three(graph: Graph) -> None:
    ranged(graph, (1, 2, 3))


@damage("must be 0 <= low <= high")
def range_of_nothing(graph: Graph) -> None:
    ranged(graph, None)


# -- the test ------------------------------------------------------------------------------


@functools.cache
def undamaged(name: str) -> Graph:
    graph = parse(GRAPHS[name])
    graph.verify()
    return graph


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_valid_before_they_are_damaged(name: str):
    assert parse(str(undamaged(name))) == undamaged(name)


@pytest.mark.parametrize(("do", "message"), DAMAGES)
def test_damage_is_refused(do: Damage, message: str):
    damaged = 0
    for name in GRAPHS:
        graph = undamaged(name).copy()
        try:
            culprit = do(graph)
        except InapplicableError:
            continue
        damaged += 1
        with pytest.raises(GraphError) as raised:
            graph.verify()
        rule, *_ = str(raised.value).splitlines()
        assert rule.startswith("graph @"), rule
        assert message in str(raised.value)
        if culprit is not None:
            label = "return" if culprit is graph.return_node else f"= {culprit.op.name}"
            assert f"{label}: " in rule
        else:
            assert (
                is_name(rule.removeprefix("graph @").partition(":")[0])
                or "name" in rule
            )
    assert damaged >= 2, "damages too few of the graphs"


def test_there_are_kinds_enough():
    assert len(DAMAGES) >= 60
