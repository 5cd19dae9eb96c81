"""Loops and branches: what their gradients keep, compute and leave behind.

Values and gradients are compared with jax in `tests.frontend.ops.test_control_flow`.
"""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import Graph, GraphError, Module, ParseError, evaluate, parse
from graphc.ir.cost import graph_cost
from graphc.ir.differentiate import differentiate
from graphc.ir.ops import OPS

RECURRENT = """
graph @loss(%w: f32[3,3], %b: f32[3], %x: f32[T,2,3], %h: f32[2,3]) -> (f32[]) where T in 1..9 {
  %last, %ys = scan(%h, %x, %w, %b) {OPTIONS} : f32[2,3], f32[T,2,3]
  %0 = reduce_sum(%ys) {axes=[0,1,2]} : f32[]
  return %0
}
graph @step(%h: f32[2,3], %x: f32[2,3], %w: f32[3,3], %b: f32[3]) -> (f32[2,3], f32[2,3]) {
  %0 = dot_general(%h, %w) {contract=[[1],[0]]} : f32[2,3]
  %scale = exponential(%b) : f32[3]
  %1 = broadcast_in_dim(%scale) {dims=[1], shape=[2,3]} : f32[2,3]
  %2 = add(%0, %x) : f32[2,3]
  %3 = multiply(%2, %1) : f32[2,3]
  %4 = tanh(%3) : f32[2,3]
  return %4, %4
}
"""


def recurrent(recompute: bool = False) -> Graph:
    """The sum of the outputs of a small recurrent cell."""
    options = 'body="step", carries=1, length="T", sequences=1'
    if recompute:
        options = options.replace("sequences", "recompute=true, sequences")
    return parse(RECURRENT.replace("OPTIONS", options))


def nodes_of(graph: Graph, op: str) -> list[object]:
    """The nodes of an op in a graph, not in those it calls."""
    return [node for node in graph.nodes if node.op.name == op]


def loops_of(graph: Graph) -> list[tuple[Graph, list[str]]]:
    """For each loop of a graph its body and the types of its results."""
    bodies = [
        graph.module.graphs[n.attributes["body"]] for n in nodes_of(graph, "scan")
    ]
    results = [[str(r.type) for r in n.results] for n in nodes_of(graph, "scan")]
    return list(zip(bodies, results, strict=True))


def test_a_gradient_runs_the_forward_loop_once_and_multiplies_weights_after_it():
    graph = differentiate(recurrent(), [0, 1, 2, 3])
    graph.verify()
    (forward, kept), (backward, summed) = loops_of(graph)
    # The outputs are there already; besides them the carry and one sum are kept.
    assert kept == ["f32[2,3]", *["f32[T,2,3]"] * 3]
    assert len(forward.results) == 4
    # One product for the carry; that for the weights is outside, over all steps.
    assert len(nodes_of(backward, "dot_general")) == 1
    assert len(nodes_of(graph, "dot_general")) == 1
    assert "f32[3,3]" not in summed
    assert "f32[3]" in summed


def test_recomputing_keeps_the_carries_alone():
    graph = differentiate(recurrent(recompute=True), [0, 1, 2, 3])
    graph.verify()
    (_, kept), (backward, summed) = loops_of(graph)
    assert kept == ["f32[2,3]", "f32[T,2,3]", "f32[T,2,3]"]
    assert nodes_of(backward, "tanh")
    assert "f32[3,3]" in summed


def test_only_wanted_gradients_are_computed():
    graph = differentiate(recurrent(), [3])
    (_, kept), (backward, summed) = loops_of(graph)
    assert kept == ["f32[2,3]", "f32[T,2,3]"]
    assert summed == ["f32[2,3]"]
    assert len(nodes_of(backward, "dot_general")) == 1
    # What no step changes is not kept for each, but computed again.
    assert nodes_of(backward, "exponential")


def test_a_carry_on_which_nothing_depends_has_no_cotangent():
    graph = parse("""
graph @f(%a: f32[], %b: f32[]) -> (f32[]) {
  %0, %1 = scan(%a, %b) {body="step", carries=2, length=3} : f32[], f32[]
  return %0
}
graph @step(%a: f32[], %b: f32[]) -> (f32[], f32[]) {
  %0 = multiply(%a, %a) : f32[]
  %1 = multiply(%a, %b) : f32[]
  return %0, %1
}
""")
    gradient = differentiate(graph, [0, 1])
    (_, _), (_, summed) = loops_of(gradient)
    assert summed == ["f32[]"]
    _, by_a, by_b = evaluate(gradient, np.float32(1.5), np.float32(2))
    assert (by_a, by_b) == (np.float32(8 * 1.5**7), 0)


def test_sums_over_steps_of_narrow_floats_are_kept_wide():
    graph = parse(
        """
graph @f(%w: bf16[], %x: bf16[512]) -> (bf16[]) {
  %0, %1 = scan(0.0:bf16, %x, %w) {OPTIONS} : bf16[], bf16[512]
  return %0
}
graph @step(%c: bf16[], %x: bf16[], %w: bf16[]) -> (bf16[], bf16[]) {
  %0 = multiply(%x, %w) : bf16[]
  %1 = maximum(%c, %0) : bf16[]
  %2 = add(%0, %1) : bf16[]
  return %0, %2
}
""".replace("OPTIONS", 'body="step", carries=1, length=512, sequences=1')
    )
    gradient = differentiate(graph, [0])
    gradient.verify()
    for body, _ in loops_of(gradient)[1:]:
        sums = [p for p in body.parameters if p.dtype.name == "f32"]
        assert len(sums) == 1


def test_products_in_wider_dtypes_pass_through_conversions():
    graph = parse("""
graph @f(%w: f32[3,3], %x: bf16[4,2,3]) -> (f32[]) {
  %0 = scan(%x, %w) {body="step", length=4, sequences=1} : f32[4,2,3]
  %1 = reduce_sum(%0) {axes=[0,1,2]} : f32[]
  return %1
}
graph @step(%x: bf16[2,3], %w: f32[3,3]) -> (f32[2,3]) {
  %0 = convert(%w) {dtype="bf16"} : bf16[3,3]
  %1 = dot_general(%x, %0) {contract=[[1],[0]], dtype="f32"} : f32[2,3]
  %2 = tanh(%1) : f32[2,3]
  return %2
}
""")
    gradient = differentiate(graph, [0])
    gradient.verify()
    (_, (backward, summed)) = loops_of(gradient)
    assert not nodes_of(backward, "dot_general")
    assert summed == ["bf16[4,2,3]"]
    assert len(nodes_of(gradient, "dot_general")) == 1


@pytest.mark.parametrize("recompute", ["false", "true"])
def test_a_gradient_does_not_repeat_the_effects_of_a_loop(
    recompute: str, capsys: pytest.CaptureFixture[str]
):
    graph = parse(f"""
graph @f(%x: f32[], %w: f32[]) -> (f32[]) {{
  %0 = scan(%x, %w) {{body="step", carries=1, length=3, recompute={recompute}}} : f32[]
  return %0
}}
graph @step(%x: f32[], %w: f32[]) -> (f32[]) {{
  %0 = print(%w) {{format="w is {{}}"}} : f32[]
  %1 = print(%x) {{format="x is {{}}"}} : f32[]
  %2 = multiply(%1, %0) : f32[]
  return %2
}}
""")
    gradient = differentiate(graph, [0, 1])
    gradient.verify()
    found = evaluate(gradient, np.float32(2), np.float32(3))
    assert [float(a) for a in found] == [54, 27, 54]
    printed = capsys.readouterr().out.split("\n")
    assert sum(line.startswith("w is 3") for line in printed) == 3
    assert [line for line in printed if line.startswith("x")] == [
        "x is 2.0",
        "x is 6.0",
        "x is 18.0",
    ]


def test_a_branch_has_the_cotangents_that_any_branch_has():
    graph = parse("""
graph @f(%i: i32[], %x: f32[3], %y: f32[3], %z: f32[3]) -> (f32[]) {
  %0 = cond(%i, %x, %y, %z) {branches=["a","b","c"]} : f32[]
  return %0
}
graph @a(%x: f32[3], %y: f32[3], %z: f32[3]) -> (f32[]) {
  %0 = reduce_sum(%x) {axes=[0]} : f32[]
  return %0
}
graph @b(%x: f32[3], %y: f32[3], %z: f32[3]) -> (f32[]) {
  %0 = multiply(%y, %y) : f32[3]
  %1 = reduce_sum(%0) {axes=[0]} : f32[]
  return %1
}
graph @c(%x: f32[3], %y: f32[3], %z: f32[3]) -> (f32[]) {
  return 1.0
}
""")
    gradient = differentiate(graph, [1, 2, 3])
    gradient.verify()
    assert gradient.results[3].type.shape == (3,)
    _, pulled = nodes_of(gradient, "cond")
    assert len(pulled.results) == 2
    x, y, z = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    expected = {0: (x * 0 + 1, y * 0), 1: (x * 0, 2 * y), 2: (x * 0, y * 0)}
    for index, (by_x, by_y) in expected.items():
        found = evaluate(gradient, np.int32(index), x, y, z)
        np.testing.assert_array_equal(found[1:], [by_x, by_y, z * 0])


def test_evaluating_a_gradient_leaves_the_module_as_it_was():
    outer = parse(
        """
graph @train(%w: f32[3,3], %b: f32[3], %x: f32[4,2,3], %h: f32[2,3]) -> (f32[], f32[3,3]) {
  %0, %1 = value_and_gradient(%w, %b, %x, %h) {graph="loss", wrt=[0]} : f32[], f32[3,3]
  return %0, %1
}
"""
        + str(recurrent().bind(T=4)).lstrip()
    )
    names = list(outer.module.graphs)
    arrays = [np.full(p.type.static_shape, 0.1, np.float32) for p in outer.parameters]
    evaluate(outer, *arrays)
    assert list(outer.module.graphs) == names


def test_a_gradient_that_fails_leaves_the_module_as_it_was():
    graph = parse("""
graph @f(%x: f32[]) -> (f32[]) {
  %0 = scan(%x) {body="step", carries=1, length=3} : f32[]
  return %0
}
graph @step(%x: f32[]) -> (f32[]) {
  %0 = while(%x) {body="double", cond="small"} : f32[]
  return %0
}
graph @small(%x: f32[]) -> (bool[]) {
  %0 = compare(%x, 9.0) {direction="LT"} : bool[]
  return %0
}
graph @double(%x: f32[]) -> (f32[]) {
  %0 = add(%x, %x) : f32[]
  return %0
}
""")
    names = list(graph.module.graphs)
    with pytest.raises(GraphError, match="while has no gradient: the number of steps"):
        differentiate(graph, [0])
    assert list(graph.module.graphs) == names


@pytest.mark.parametrize("name", ["cond", "scan", "while"])
def test_graphs_may_not_call_themselves(name: str):
    attributes = {
        "cond": '{branches=["f","f"]}',
        "scan": '{body="f", carries=2, length=3}',
        "while": '{body="f", cond="f"}',
    }[name]
    text = f"""
graph @f(%p: bool[], %x: f32[]) -> (bool[], f32[]) {{
  %0, %1 = {name}(%p, %x) {attributes} : bool[], f32[]
  return %0, %1
}}
"""
    with pytest.raises(ParseError, match="graphs must not call themselves"):
        parse(text)


def test_the_verifier_names_the_node_whose_callee_changed():
    graph = recurrent()
    step = graph.module.graphs["step"]
    step.results = [step.results[0], step.parameters[3]]
    with pytest.raises(GraphError) as caught:
        graph.verify()
    message = str(caught.value)
    assert "graph @loss: %last, %ys = scan: the declared result types differ" in message
    step.results = [step.parameters[3], step.parameters[3]]
    with pytest.raises(GraphError, match="body must return what it takes"):
        graph.verify()


def test_branches_are_renamed_where_a_name_is_taken():
    text = """
graph @f(%p: bool[], %x: f32[]) -> (f32[]) {
  %0 = cond(%p, %x) {branches=["a","b"]} : f32[]
  return %0
}
graph @a(%x: f32[]) -> (f32[]) {
  return %x
}
graph @b(%x: f32[]) -> (f32[]) {
  return 1.0
}
"""
    module = Module()
    module.include(parse(text))
    again = module.include(parse(text))
    (node,) = again.nodes
    assert node.attributes["branches"] == ["a_1", "b_1"]
    again.verify()


def test_symbols_in_loops_are_bound():
    bound = recurrent().bind(T=4)
    bound.verify()
    (node,) = nodes_of(bound, "scan")
    assert node.attributes["length"] == 4


def test_a_loop_costs_its_steps():
    graph = recurrent()
    step = graph.module.graphs["step"]
    loop = graph.bind(T=5)
    sums = 5 * 2 * 3
    assert graph_cost(loop).flops == 5 * graph_cost(step).flops + sums


def test_graph_names_are_found_in_lists():
    assert OPS["cond"].calls_graphs
    assert OPS["scan"].calls_graphs
    assert not OPS["add"].calls_graphs
