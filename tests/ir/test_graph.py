"""Graphs as data structures: nodes, uses, insertion, removal, copies, equality."""

import numpy as np
import pytest

import graphc.ir
from graphc.ir import (
    OPS,
    Graph,
    GraphError,
    Literal,
    Location,
    Module,
    SymbolicDim,
    building,
    evaluate,
    inline,
    parse,
    tensor_type,
)

add, negate, multiply, call = (OPS[n] for n in ("add", "negate", "multiply", "call"))

TEXT = """\
graph @f(%x: f32[B,4], %w: f32[4]) -> (f32[B,4], f32[4]) where B in 2..8 {a=1} {
  %a = negate(%x) : f32[B,4]  loc("mlp" model.py:12:9)
  %0 = add(%a, %x) : f32[B,4]
  %1 = call(%w) {graph="g"} : f32[4]
  return %0, %1
}
graph @g(%v: f32[4]) -> (f32[4]) {
  %0 = multiply(%v, 2.0) : f32[4]
  return %0
}
"""


@pytest.fixture
def graph() -> Graph:
    return parse(TEXT)


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


# -- nodes and uses ----------------------------------------------------------------------


def test_values_know_their_uses(graph: Graph):
    x, w = graph.parameters
    first, second, third = graph.nodes
    assert list(x.uses) == [(first, 0), (second, 1)]
    assert x.users == [first, second]
    assert list(second.result.uses) == [(graph.return_node, 0)]
    assert w.users == [third]


def test_a_value_read_twice_by_a_node_has_one_user():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[]"))
    with building(graph):
        y = add(x, x)
    assert len(x.uses) == 2
    assert x.users == [y.node]


def test_replace_uses(graph: Graph):
    x, _ = graph.parameters
    first, second, _ = graph.nodes
    first.result.replace_uses(x)
    assert second.operands == (x, x)
    assert not first.result.uses
    second.result.replace_uses(first.result)
    assert graph.results[0] is first.result
    x.replace_uses(Literal(1.0))
    assert first.operands == (Literal(1.0),)
    assert not x.uses


def test_remove_needs_a_node_without_uses(graph: Graph):
    first, second, _ = graph.nodes
    with pytest.raises(GraphError, match="a result of negate is still used"):
        graph.remove(first)
    first.result.replace_uses(graph.parameters[0])
    graph.remove(first)
    assert names(graph) == ["add", "call"]
    assert (first.graph, first.result.graph, first.operands) == (None, None, ())
    assert second.previous is None
    graph.verify()


def test_remove_parameter(graph: Graph):
    x, w = graph.parameters
    with pytest.raises(GraphError, match="parameter %x is still used"):
        graph.remove_parameter(x)
    x.replace_uses(graph.add_parameter(x.type))
    graph.remove_parameter(x)
    assert [(p.name, p.index) for p in graph.parameters] == [("w", 0), (None, 1)]
    assert x.graph is None
    assert w.index == 0
    graph.verify()


def test_insertion_order(graph: Graph):
    first, second, third = graph.nodes
    with building(graph, before=second):
        between = negate(graph.parameters[0]).node
    with building(graph, before=first):
        start = negate(graph.parameters[0]).node
    with building(graph, before=graph.return_node):
        end = negate(graph.parameters[0]).node
    order = [start, first, between, second, third, end]
    assert list(graph.nodes) == order
    assert list(graph.reversed_nodes()) == order[::-1]
    assert graph.last is end
    assert len(graph) == 6
    assert [n.next for n in order] == [*order[1:], None]
    assert [n.previous for n in order] == [None, *order[:-1]]
    graph.verify()


def test_move(graph: Graph):
    _, _, third = graph.nodes
    first = next(graph.nodes)
    graph.move(third, first)
    assert names(graph) == ["call", "negate", "add"]
    graph.move(third, None)
    assert names(graph) == ["negate", "add", "call"]
    graph.verify()


def test_nodes_may_be_removed_while_iterating(graph: Graph):
    graph.results = [graph.parameters[1]]
    for node in graph.reversed_nodes():
        graph.remove(node)
    assert (len(graph), list(graph.nodes), graph.last) == (0, [], None)
    graph.verify()
    again = parse(TEXT)
    for node in again.nodes:
        for result in node.results:
            result.replace_uses(again.parameters[0])
        again.remove(node)
    assert len(again) == 0


def test_result_of_a_node_with_several(graph: Graph):
    with building(graph):
        values = OPS["optimization_barrier"](*graph.parameters)
    assert [v.index for v in values] == [0, 1]
    with pytest.raises(ValueError, match="too many values"):
        _ = values[0].node.result


# -- calls and modules ---------------------------------------------------------------------


def test_callees(graph: Graph):
    callee = graph.module.graphs["g"]
    assert graph.callees() == [callee]
    assert graph.reachable() == [graph, callee]
    assert callee.callees() == []
    graph.module.remove(callee)
    assert graph.callees() == []


def test_modules_hold_names_once():
    module = Module()
    graph = Graph("f", module)
    assert graph.module is module
    with pytest.raises(GraphError, match="already has a graph @f"):
        Graph("f", module)
    assert module.fresh_name("f") == "f_1"
    Graph("f_1", module)
    assert module.fresh_name("f") == "f_2"
    assert module.fresh_name("g") == "g"
    module.remove(graph)
    assert module.fresh_name("f") == "f"


def test_constants_are_stored_once():
    module = Module()
    array = np.zeros(3)
    assert module.add_constant(array) == "c"
    assert module.add_constant(array) == "c"
    assert module.add_constant(np.zeros(3)) == "c_1"
    assert module.add_constant(np.ones(2), "w") == "w"


def test_constants_are_kept_in_native_byte_order():
    graph = Graph("f")
    array = np.array([1.5, -2.0], np.dtype(np.float32).newbyteorder())
    name = graph.module.add_constant(array)
    assert graph.module.constants[name].dtype == np.float32
    with building(graph):
        graph.results = [OPS["constant"](name=name)]
    assert parse(str(graph)) == graph
    (found,) = evaluate(graph)
    assert found.tolist() == [1.5, -2.0]


@pytest.mark.parametrize("array", [np.array([1j]), np.array([None]), np.array(["a"])])
def test_constants_have_a_dtype_of_the_ir(array: np.ndarray):
    with pytest.raises(GraphError, match="unknown dtype"):
        Module().add_constant(array)


@pytest.mark.parametrize("name", ["", "<lambda>", "a b", "1a", "é", "x" * 3 + "\n"])
def test_graphs_and_constants_have_names_that_print(name: str):
    with pytest.raises(GraphError, match="a graph's name must be an identifier"):
        Graph(name)
    with pytest.raises(GraphError, match="a constant's name must be an identifier"):
        Module().add_constant(np.zeros(3), name)


# -- copies and equality -----------------------------------------------------------------------


def test_a_copy_is_equal_and_apart(graph: Graph):
    copy = graph.copy()
    assert copy == graph
    assert str(copy) == TEXT
    assert list(copy.module.graphs) == ["f", "g"]
    copy.verify()
    first = next(copy.nodes)
    copy.move(first, None)
    assert str(graph) == TEXT
    assert copy != graph


def test_a_copy_takes_its_constants_along(extra_ops: None):
    graph = Graph("f")
    used = graph.module.add_constant(np.arange(3.0))
    graph.module.add_constant(np.arange(4.0), "unused")
    with building(graph):
        graph.results = [OPS["stored"](value=used)]
    copy = graph.copy()
    assert list(copy.module.constants) == [used]
    assert copy == graph
    copy.module.constants[used] = np.arange(3.0) + 1
    assert copy != graph
    copy.module.constants[used] = np.arange(3, dtype=np.int64)
    assert copy != graph


def test_binding_symbols(graph: Graph, extra_ops: None):
    with building(graph):
        OPS["attributed"](shape=["2*B", 3])
    bound = graph.bind(B=3)
    assert bound.parameters[0].type == tensor_type("f32[3,4]")
    assert bound.last.attributes == {"shape": [6, 3]}
    assert bound.ranges == {}
    bound.verify()
    assert graph.ranges == {"B": (2, 8)}
    assert graph.symbols == {"B"}
    for size in (1, 9):
        with pytest.raises(
            GraphError, match=r"graph @f: B must be in 2\.\.8"
        ) as raised:
            graph.bind(B=size)
        assert raised.value.received == f"B={size}"


def test_sizes_that_make_a_dimension_negative_are_refused():
    graph = parse("""
        graph @f(%x: f32[B]) -> (f32[B-2]) where B in 1..8 {
          %y = reduce_window_sum(%x) {padding=[[0,0]], strides=[1], window=[3]} : f32[B-2]
          return %y
        }""")
    assert graph.bind(B=2).results[0].type == tensor_type("f32[0]")
    with pytest.raises(GraphError, match="with B=1 a dimension of reduce_window_sum"):
        graph.bind(B=1)


def test_a_symbol_may_be_bound_to_an_expression(graph: Graph):
    doubled = graph.copy({"B": SymbolicDim.symbol("T") * 2})
    assert str(doubled.parameters[0].type) == "f32[2*T,4]"


CHANGES = {
    "graph name": ("@f", "@h"),
    "parameter name": ("%w", "%v"),
    "value name": ("%a", "%b"),
    "lost name": ("%a", "%9"),
    "type": ("f32[4]", "f32[5]"),
    "dtype": ("f32[4]", "f16[4]"),
    "range": ("2..8", "2..9"),
    "graph attribute": ("{a=1}", "{a=2}"),
    "parameter attribute": ("%w: f32[4]", '%w: f32[4] {role="state"}'),
    "op": ("add(", "subtract("),
    "operand": ("add(%a, %x)", "add(%x, %a)"),
    "layer": ('"mlp"', '"mlq"'),
    "line": (":12:9", ":13:9"),
    "no location": ('  loc("mlp" model.py:12:9)', ""),
    "results": ("return %0,", "return %a,"),
    "callee's name": ('"g"', '"h"'),
    "literal": ("2.0", "3.0"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_graphs_that_differ(graph: Graph, name: str):
    before, after = CHANGES[name]
    text = TEXT.replace(before, after)
    if name == "callee's name":
        text = text.replace("@g", "@h")
    if name == "dtype":
        text = text.replace("2.0", "2.0:f16")
    other = parse(text)
    assert text != TEXT
    assert other != graph
    assert other == parse(text)


def test_graphs_of_other_lengths_differ(graph: Graph):
    longer = graph.copy()
    with building(longer):
        negate(longer.parameters[0])
    assert longer != graph
    assert longer.copy() == longer
    assert graph != "text"
    with pytest.raises(TypeError, match="unhashable"):
        hash(graph)


# -- building ------------------------------------------------------------------------------------


def test_numbers_become_literals_of_the_operands_dtype():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("bf16[3]"))
    i = graph.add_parameter(tensor_type("i8[3]"))
    with building(graph):
        assert add(x, 0.1).node.operands[1] == Literal(0.1, x.dtype)
        assert multiply(2, i).node.operands[0] == Literal(2, i.dtype)
        with pytest.raises(GraphError, match="300 is out of range for i8"):
            add(i, 300)
        with pytest.raises(GraphError, match="operands must be values, literals"):
            add(x, "1")


def test_ops_need_a_graph():
    with pytest.raises(GraphError, match="negate: no graph is being built"):
        negate(Literal(1.0))
    with pytest.raises(GraphError, match="no graph is being built"):
        inline(Graph("f"), [])


def test_inline_copies_the_nodes(graph: Graph):
    target = Graph("h", graph.module)
    target.ranges = {"B": (2, 8)}
    x, w = (target.add_parameter(p.type) for p in graph.parameters)
    with building(target, location=Location("here.py", 1, 1)):
        target.results = inline(graph, [x, w])
    target.verify()
    assert names(target) == names(graph)
    assert [n.location for n in target.nodes] == [
        Location("model.py", 12, 9, "mlp"),
        Location("here.py", 1, 1),
        Location("here.py", 1, 1),
    ]
    assert all(r.name is None for n in target.nodes for r in n.results)
    arrays = np.ones((2, 4), np.float32), np.ones(4, np.float32)
    for left, right in zip(
        evaluate(target, *arrays), evaluate(graph, *arrays), strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_short_representations(graph: Graph):
    first = next(graph.nodes)
    assert repr(graph) == "<Graph @f: 3 nodes>"
    assert repr(first) == "<Node negate : f32[B,4]>"
    assert repr(first.result) == "<Value %a : f32[B,4]>"
    assert repr(Literal(2.0)) == "Literal(2.0, f32)"


def test_the_public_names():
    assert {name for name in graphc.ir.__all__ if not hasattr(graphc.ir, name)} == set()
    assert graphc.ir.evaluate is evaluate
    assert callable(graphc.ir.evaluate)


# -- graphs of other modules -------------------------------------------------------------

OTHER = """\
graph @f(%x: f32[N,2]) -> (f32[N,2]) where N in 0..9 {
  %0 = call(%x) {graph="g"} : f32[N,2]
  %1 = constant() {name="c"} : f32[2]
  %2 = broadcast_in_dim(%1) {dims=[1], shape=["N",2]} : f32[N,2]
  %3 = add(%0, %2) : f32[N,2]
  return %3
}
graph @g(%v: f32[N,2]) -> (f32[N,2]) where N in 0..9 {
  %0 = negate(%v) : f32[N,2]
  return %0
}
const @c: f32[2] = "AACAPwAAAEA="
"""


def test_including_a_graph_renames_what_is_taken(graph: Graph):
    other = parse(OTHER)
    graph.module.constants["c"] = np.zeros(3, np.float32)
    before = str(other)
    included = graph.module.include(other)
    assert list(graph.module.graphs) == ["f", "g", "f_1", "g_1"]
    assert included is graph.module.graphs["f_1"]
    assert [n.attributes for n in included.nodes][:2] == [
        {"graph": "g_1"}, {"name": "c_1"}
    ]  # fmt: skip
    included.verify()
    assert str(other) == before
    x = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(evaluate(included, x)[0], evaluate(other, x)[0])


def test_including_a_graph_binds_symbols(graph: Graph):
    included = graph.module.include(parse(OTHER), {"N": SymbolicDim.symbol("B") * 2})
    assert [str(p.type) for p in included.parameters] == ["f32[2*B,2]"]
    assert str(included.results[0].type) == "f32[2*B,2]"
    assert included.ranges == {}


def test_a_constant_is_included_once(graph: Graph):
    other = parse(OTHER)
    for _ in range(2):
        graph.module.include(other)
    assert list(graph.module.constants) == ["c"]
