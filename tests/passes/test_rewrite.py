"""The rewriter and its ledger."""

from __future__ import annotations

import pytest

from graphc.ir import Graph, Literal, Node, PassError, building, parse
from graphc.ir.ops import add, multiply, negate
from graphc.passes import Ledger, Rewriter

CHAIN = """
    graph @f(%x: f32[4], %s: f32[]) -> (f32[4]) {
      %h = negate(%x) : f32[4]  loc("enc" m.py:1:2)
      %y = abs(%h) : f32[4]  loc("enc/abs" m.py:3:4)
      %z = tanh(%y) : f32[4]
      return %z
    }"""


@pytest.fixture
def graph() -> Graph:
    return parse(CHAIN)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def rewriter(ledger: Ledger) -> Rewriter:
    return Rewriter(ledger, "test")


def node(graph: Graph, name: str) -> Node:
    return next(n for n in graph.nodes if n.results[0].name == name)


def body(graph: Graph) -> str:
    graph.verify()
    return str(graph).partition("{\n")[2].removesuffix("}\n")


def test_replace_puts_operands_and_keeps_a_record(graph, rewriter, ledger):
    y = node(graph, "y")
    assert rewriter.replace(y, y.operands, "skip")
    assert "abs" not in body(graph)
    (rewrite,) = ledger.rewrites
    assert (rewrite.number, rewrite.nodes_before, rewrite.nodes_after) == (1, 3, 2)
    assert str(rewrite).splitlines()[:2] == [
        "#1 test/skip in @f: abs(%h: f32[4]) : f32[4] -> %h: f32[4]",
        "  at m.py:3:4, in layer 'enc/abs'",
    ]


def test_replace_by_a_literal_broadcasts_it(graph, rewriter):
    rewriter.replace(node(graph, "y"), [Literal(2.0)], "fold")
    assert "%y = broadcast_in_dim(2.0) {dims=[], shape=[4]} : f32[4]" in body(graph)


def test_rewrite_builds_before_the_node_and_keeps_its_name(graph, rewriter):
    h, s = node(graph, "h"), graph.parameters[1]

    def attempt():
        return "scale", (multiply(add(h.operands[0], s), 2.0),)

    assert rewriter.rewrite(h, attempt)
    origin = 'loc("enc" m.py:1:2 from "rewritten by test")'
    assert body(graph).splitlines()[:2] == [
        f"  %0 = add(%x, %s) : f32[4]  {origin}",
        f"  %h = multiply(%0, 2.0) : f32[4]  {origin}",
    ]


def test_origins_add_up_but_do_not_repeat(graph, ledger):
    for name in ("one", "two", "two"):
        h = node(graph, "h")
        attempt = lambda h=h: ("again", (negate(*h.operands),))  # noqa: E731
        Rewriter(ledger, name).rewrite(h, attempt)
    location = node(graph, "h").location
    assert location is not None
    assert location.origin == "rewritten by one, rewritten by two"


def test_what_comes_of_nothing_is_removed(graph, rewriter, ledger):
    before = str(graph)
    assert not rewriter.rewrite(node(graph, "y"), lambda: negate(1.0) and None)
    assert str(graph) == before
    assert ledger.count == 0


@pytest.mark.parametrize(
    "operands",
    [
        (
            Literal(
                1,
                parse("graph @g(%x: i32[]) -> (i32[]) { return %x }")
                .parameters[0]
                .dtype,
            ),
        ),
        (),
    ],
)
def test_types_may_not_change(graph, rewriter, operands):
    with pytest.raises(PassError, match="rule wrong changes the types of abs"):
        rewriter.replace(node(graph, "y"), operands, "wrong")


def test_the_listener_hears_of_neighbours_and_new_nodes(graph, rewriter):
    heard: list[str] = []
    rewriter.listener = lambda node: heard.append(node.op.name)
    y = node(graph, "y")
    rewriter.rewrite(y, lambda: ("r", (add(y.operands[0], 1.0),)))
    assert heard == ["add", "negate", "tanh"]


def test_erase(graph, rewriter, ledger):
    with building(graph):
        dead = negate(graph.parameters[0]).node
    heard: list[Node] = []
    rewriter.listener = heard.append
    assert rewriter.erase(dead)
    assert [str(r.node) for r in ledger.rewrites] == ["negate(%x: f32[4]) : f32[4]"]
    assert (len(graph), heard) == (3, [])


def test_changes_in_place_are_numbered(graph, rewriter, ledger):
    h, y, z = graph.nodes
    assert rewriter.set_operand(z, 0, h.result, "operand")
    assert rewriter.move(y, None, "move")
    assert rewriter.set_results(graph, [y.result], "results")
    assert body(graph).splitlines()[1:] == [
        "  %z = tanh(%h) : f32[4]",
        '  %y = abs(%h) : f32[4]  loc("enc/abs" m.py:3:4)',
        "  return %y",
    ]
    assert [r.rule for r in ledger.rewrites] == ["operand", "move", "results"]
    assert [(r.number, r.pass_name) for r in ledger.rewrites] == [
        (number, rewriter.pass_name) for number in (1, 2, 3)
    ]


def test_attributes(rewriter):
    graph = parse("""
        graph @f(%x: f32[4,4]) -> (f32[4]) {
          %0 = reduce_sum(%x) {axes=[0]} : f32[4]
          return %0
        }""")
    (sum_node,) = graph.nodes
    assert rewriter.set_attributes(sum_node, {"axes": [1]}, "axis")
    assert "axes=[1]" in body(graph)


def test_nothing_changes_once_the_limit_is_reached(graph):
    ledger = Ledger(limit=1)
    rewriter = Rewriter(ledger, "test")
    y = node(graph, "y")
    assert rewriter.replace(y, y.operands, "first")
    h, z = graph.nodes
    text = str(graph)
    assert not rewriter.replace(h, h.operands, "second")
    assert not rewriter.rewrite(z, lambda: ("third", (negate(h.result),)))
    assert not rewriter.set_operand(z, 0, graph.parameters[0], "fourth")
    assert not rewriter.move(z, h, "fifth")
    assert not rewriter.set_attributes(z, {}, "sixth")
    assert not rewriter.set_results(graph, [h.result], "seventh")
    assert rewriter.outline([h, z], "g", "eighth") is None
    assert str(graph) == text
    assert list(graph.module.graphs) == ["f"]
    assert ledger.count == 1
    assert len(ledger.refusals) == 7
    assert str(ledger.refusals[0]) == (
        "test/second in @f: negate(%x: f32[4]) : f32[4]:"
        " the limit of 1 rewrites is reached"
    )
    required = Rewriter(ledger, "needed", required=True)
    assert required.replace(h, h.operands, "goes on")
    assert ledger.by_rule() == {"test/first": 1, "needed/goes on": 1}


DIAMOND = """
    graph @f(%x: f32[4]) -> (f32[4], f32[4]) {
      %a = negate(%x) : f32[4]
      %b = abs(%a) : f32[4]
      %between = tanh(%a) : f32[4]
      %c = add(%a, %b) : f32[4]
      return %c, %between
    }"""


def test_outline_refuses_what_is_read_before_its_end(rewriter, ledger):
    graph = parse(DIAMOND)
    a, b, _, c = graph.nodes
    assert rewriter.outline([a, b, c], "g", "outline") is None
    assert ledger.refusals[0].reason == "a result is read before the last of the nodes"
    assert graph == parse(DIAMOND)


def test_outline_with_two_exits(rewriter):
    graph = parse(DIAMOND)
    a, b, *_ = graph.nodes
    callee = rewriter.outline([a, b], "g", "outline", {"fused": True})
    assert callee is graph.module.graphs["g"]
    graph.verify()
    assert str(graph) == str(
        parse("""
            graph @f(%x: f32[4]) -> (f32[4], f32[4]) {
              %a, %b = call(%x) {graph="g"} : f32[4], f32[4]
              %between = tanh(%a) : f32[4]
              %c = add(%a, %b) : f32[4]
              return %c, %between
            }
            graph @g(%x: f32[4]) -> (f32[4], f32[4]) {fused=true} {
              %a = negate(%x) : f32[4]
              %b = abs(%a) : f32[4]
              return %a, %b
            }""")
    )
