"""Voting names the executor that is wrong and the node at which it is."""

import dataclasses
from typing import Any, ClassVar, final

import numpy as np
import pytest

from graphc import passes
from graphc.codegen.spellings import SPELLINGS, Spelling
from graphc.codegen.stablehlo.control import comparison
from graphc.codegen.stablehlo.module import LOWERINGS
from graphc.ir import OPS, CompileError, Graph, GraphError, TargetError, parse
from graphc.ir.random_inputs import random_inputs
from graphc.passes import PASSES, PIPELINES, GraphPass, Rewriter
from graphc.runtime.ballots import NodeStandard, outvoted
from graphc.runtime.compile import compile_graph
from graphc.runtime.vote import BODY, CHUNK, INTERPRETED, vote, voters
from tests.closeness import assert_close

TEXT = """\
graph @main(%x: f32[3,3], %w: f32[3,3] {role="state"}, %n: i32[3]) -> (f32[], f32[3,3], i32[]) {
  %loss, %dw = value_and_gradient(%w, %x) {graph="loss", wrt=[0]} : f32[], f32[3,3]
  %total = reduce_sum(%n) {axes=[0]} : i32[]
  return %loss, %dw, %total
}
graph @loss(%w: f32[3,3], %x: f32[3,3]) -> (f32[]) {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[3,3]
  %1 = tanh(%0) : f32[3,3]  loc("act" model.py:12:9)
  %2 = relu(%1) : f32[3,3]  loc("act" model.py:13:9)
  %3 = reduce_sum(%2) {axes=[0]} : f32[3]
  %4 = reduce_max(%3) {axes=[0]} : f32[]
  return %4
}
"""
XLA = ("xla",)


def held(text: str = TEXT, **options: object):
    graph = parse(text)
    return vote(graph, random_inputs(graph), **({"targets": XLA} | options))


def test_executors_agree_on_a_right_graph():
    verdict = held()
    assert verdict.executors == ("numpy", "xla")
    assert verdict.nodes > 10
    assert (verdict.disputes, verdict.refusals) == ([], [])


def test_the_evaluator_agrees_with_itself():
    assert held(targets=["numpy"]).disputes == []


def test_each_device_votes_once():
    small = set(voters(parse(TEXT)))
    assert "numpy" not in small
    assert not {"xla", "xla:cpu"} <= small
    text = WINDOWS.replace("i32[4]", f"i32[{INTERPRETED}]")
    large = set(voters(parse(text)))
    assert small - large <= {"triton:interpreter"}
    assert "triton:interpreter" not in large


def test_a_wrong_spelling_is_found_at_its_node(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SPELLINGS, "tanh", Spelling("sine"))
    (dispute,) = held().disputes
    assert "= tanh(" in dispute.line
    assert (dispute.location.file, dispute.location.line) == ("model.py", 12)
    assert dispute.alone
    assert dispute.odd is None  # one against one
    assert [opinion.executor for opinion in dispute.opinions] == ["numpy", "xla"]
    right, wrong = dispute.opinions
    assert right.ulp < 8 < 1e4 < wrong.ulp
    assert_close(wrong.value, np.sin(np.arctanh(dispute.exact)))
    assert_close(abs(wrong.value - dispute.exact), wrong.absolute)
    assert dispute.operands[0].startswith("float32[3, 3] in ")


def test_the_nodes_behind_a_wrong_one_are_not_accused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SPELLINGS, "tanh", Spelling("sine"))
    disputes = held(every=True).disputes
    assert disputes
    assert all("= tanh(" in dispute.line for dispute in disputes)


ALIKE = """\
graph @f(%x: f32[2], %y: f32[2], %z: f32[2]) -> (f32[2], f32[2], f32[2]) {
  %a = sign(%x) : f32[2]
  %b = sign(%y) : f32[2]
  %p = print(%b) {format="b = {}"} : f32[2]
  %c = sign(%z) : f32[2]
  return %a, %p, %c
}
"""


def test_nodes_that_are_alike_are_voted_on_one_by_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(SPELLINGS, "sign", Spelling("tanh"))
    arrays = [np.float32(pair) for pair in ([0, 20], [-20, 0], [20, 0.5])]
    (dispute,) = vote(parse(ALIKE), arrays, XLA, every=True).disputes
    assert dispute.line == "%c = sign(%z) : f32[2]"
    assert (dispute.count, dispute.index) == (1, (1,))
    assert capsys.readouterr().out == ""  # effects are left out


def test_a_wrong_axis_is_found(monkeypatch: pytest.MonkeyPatch):
    lower = LOWERINGS["reduce_sum"]

    def other_axis(writer, node, *, axes, **attributes):
        shape = node.operands[0].type.shape
        lower(writer, node, axes=[len(shape) - 1 - a for a in axes], **attributes)

    monkeypatch.setitem(LOWERINGS, "reduce_sum", other_axis)
    (dispute,) = held().disputes
    assert "= reduce_sum(" in dispute.line
    assert dispute.type.shape == (3,)
    assert dispute.count == 3


def test_a_wrong_rule_for_equal_elements_is_found(monkeypatch: pytest.MonkeyPatch):
    lower, text = LOWERINGS["compare"], TEXT.replace("relu(%1)", "sign(%1)")
    behind = '%5 = compare(%2, %1) {direction="LT"} : bool[3,3]\n  %3'
    text = text.replace("%3", behind, 1)

    def or_equal(writer, node, *, direction, **attributes):
        lower(writer, node, direction=direction.replace("T", "E"), **attributes)

    monkeypatch.setitem(LOWERINGS, "compare", or_equal)
    (dispute,) = held(text, every=True).disputes
    assert "= compare(" in dispute.line
    assert dispute.alone


WINDOWS = """\
graph @f(%x: f32[4,6], %y: f32[3,5], %n: i32[4]) -> (f32[4,6], i32[4]) {
  %0 = select_and_scatter_add(%x, %y)
    {padding=[[0,0],[0,0]], strides=[1,1], window=[2,2]} : f32[4,6]
  %1 = shift_right_arithmetic(%n, 1:i32) : i32[4]
  return %0, %1
}
"""


def test_another_choice_of_equal_elements_is_found(monkeypatch: pytest.MonkeyPatch):
    lower = LOWERINGS["select_and_scatter_add"]

    def the_last(writer, node, **attributes):
        lower(writer, node, **attributes)
        writer.lines[:] = [line.replace(" GE,", " GT,") for line in writer.lines]

    monkeypatch.setitem(LOWERINGS, "select_and_scatter_add", the_last)
    (dispute,) = held(WINDOWS).disputes
    assert "= select_and_scatter_add(" in dispute.line


def test_what_is_wrong_for_other_integers_is_found(monkeypatch: pytest.MonkeyPatch):
    other = Spelling("shift_right_logical")
    monkeypatch.setitem(SPELLINGS, "shift_right_arithmetic", other)
    (dispute,) = held(WINDOWS).disputes  # the inputs are not negative
    assert "= shift_right_arithmetic(" in dispute.line


def test_a_node_that_a_target_fails_at_is_named(monkeypatch: pytest.MonkeyPatch):
    def failing(graph, *options, **keywords):
        if any(node.op.name == "tanh" for node in graph.nodes):
            raise CompileError("no tanh today")
        return compile_graph(graph, *options, **keywords)

    monkeypatch.setattr("graphc.runtime.vote.compile_graph", failing)
    with pytest.raises(
        CompileError, match=r"xla fails at this node: .*= tanh"
    ) as error:
        held()
    assert error.value.received == "no tanh today"
    assert error.value.location.file == "model.py"


def test_wrong_integers_are_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SPELLINGS, "negate", Spelling("abs"))
    text = TEXT.replace("reduce_sum(%n) {axes=[0]} : i32[]", "negate(%n) : i32[3]")
    graph = parse(text.replace("f32[3,3], i32[])", "f32[3,3], i32[3])"))
    x, w, _ = random_inputs(graph)
    (dispute,) = vote(graph, [x, w, np.int32([0, 3, -4])], XLA).disputes
    assert dispute.line.startswith("%total = negate(%n)")
    assert (dispute.count, dispute.index, dispute.exact) == (1, (1,), -3)
    assert [opinion.value for opinion in dispute.opinions] == [-3, 3]


def test_a_wrong_reference_of_a_composite_is_outvoted(monkeypatch: pytest.MonkeyPatch):
    wrong = dataclasses.replace(OPS["relu"], reference=lambda x: np.abs(x))
    monkeypatch.setitem(OPS, "relu", wrong)
    (dispute,) = held().disputes
    assert "= relu(" in dispute.line
    assert dispute.odd == "numpy"
    assert [o.executor for o in dispute.opinions] == ["numpy", BODY, "xla"]


def test_a_wrong_reference_of_a_primitive_is_a_dispute(monkeypatch: pytest.MonkeyPatch):
    wrong = dataclasses.replace(OPS["tanh"], reference=lambda x: np.sin(x))
    monkeypatch.setitem(OPS, "tanh", wrong)
    (dispute,) = held().disputes
    assert "= tanh(" in dispute.line


@final
@dataclasses.dataclass(frozen=True)
class SwapsTanh(GraphPass):
    """A wrong pass."""

    name: ClassVar[str] = "swaps_tanh"

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        changed = False
        for node in [node for node in graph.nodes if node.op.name == "tanh"]:
            x = node.operands[0]
            changed |= rewriter.rewrite(node, lambda x=x: ("swap", [OPS["sine"](x)]))
        return changed


@pytest.fixture
def wrong_pass(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(PASSES, "swaps_tanh", SwapsTanh)
    return "swaps_tanh"


def test_what_only_the_whole_program_gets_wrong(
    wrong_pass: str, monkeypatch: pytest.MonkeyPatch
):
    for name in ("xla", "xla:cpu"):
        monkeypatch.setitem(PIPELINES, name, f"{PIPELINES[name]},{wrong_pass}")
    (dispute,) = held().disputes
    assert not dispute.alone
    assert "= tanh(" in dispute.line


def test_passes_that_change_the_results_are_found(wrong_pass: str):
    (dispute,) = held(pipeline=f"autodiff,inline,{wrong_pass}").disputes
    assert dispute.line == "result 0 of @main"
    assert [o.executor for o in dispute.opinions] == ["numpy", "after the passes"]


def test_what_a_target_does_not_serve_is_listed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(LOWERINGS, "reduce_max")
    verdict = held()
    assert verdict.disputes == []
    first, last = verdict.refusals
    assert "= reduce_max(" in first
    assert "reduce_max has no StableHLO form" in first
    assert last.startswith("xla: the whole graph")


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_rules_for_ties_are_voted_on_whatever_the_scale(
    scale: float, monkeypatch: pytest.MonkeyPatch
):
    graph = parse("""
    graph @f(%x: f32[2,6,6,3], %s: f32[2,3,3,3]) -> (f32[2,6,6,3]) {
      %0 = select_and_scatter_add(%x, %s)
        {window=[1,2,2,1], strides=[1,2,2,1], padding=[[0,0],[0,0],[0,0],[0,0]]}
        : f32[2,6,6,3]
      return %0
    }""")
    arrays = [array * np.float32(scale) for array in random_inputs(graph)]
    assert vote(graph, arrays, XLA).disputes == []

    def last(direction: str, *rest: Any) -> str:
        return comparison("GT" if direction == "GE" else direction, *rest)

    monkeypatch.setattr("graphc.codegen.stablehlo.window.comparison", last)
    (dispute,) = vote(graph, arrays, XLA).disputes
    assert "= select_and_scatter_add(" in dispute.line


LONG = "".join(f"  %{i + 1} = negate(%{i}) : f32[2]\n" for i in range(CHUNK + 3))


@pytest.mark.slow
def test_graphs_longer_than_a_chunk_are_voted_on_whole(monkeypatch: pytest.MonkeyPatch):
    last = CHUNK + 3
    text = f"graph @f(%0: f32[2]) -> (f32[2]) {{\n{LONG}  %t = tanh(%{last}) : f32[2]\n"
    text += "  return %t\n}\n"
    assert held(text).disputes == []
    monkeypatch.setitem(SPELLINGS, "tanh", Spelling("sine"))
    (dispute,) = held(text).disputes
    assert dispute.line.startswith("%t = tanh")


def test_what_does_not_fit_is_refused():
    graph = parse(TEXT)
    with pytest.raises(GraphError, match="takes 3 arrays"):
        vote(graph, [])
    with pytest.raises(GraphError, match=r"parameter %n is i32\[3\]"):
        vote(graph, [*random_inputs(graph)[:2], np.zeros(3)])
    with pytest.raises(TargetError, match="unknown target"):
        vote(graph, random_inputs(graph), ["tpu"])
    symbolic = parse(
        "graph @f(%x: f32[B]) -> (f32[B]) where B in 1..4 {\n"
        "  %0 = tanh(%x) : f32[B]\n  return %0\n}\n"
    )
    with pytest.raises(GraphError, match="has dimension symbols"):
        vote(symbolic, [np.zeros(3, np.float32)])


# -- standards -----------------------------------------------------------------------------


def standard(exact: object, by_element: bool = True) -> NodeStandard:
    wide = np.asarray(exact, np.float64)
    rounded = wide.astype(np.float32)
    type = passes.run(parse("graph @f(%x: f32[3]) -> (f32[3]) {\n  return %x\n}\n"), "")
    return NodeStandard(type.parameters[0].type, wide, rounded, wide, 0.0, by_element)


def test_small_elements_are_judged_by_themselves():
    judge = standard([1e-8, 1.0, 1e8])
    found = np.float32([1.1e-8, 1.0, 1e8])
    assert judge.wrong(found).tolist() == [True, False, False]
    assert not standard([1e-8, 1.0, 1e8], by_element=False).wrong(found).any()


def test_infinities_and_nan_are_values():
    judge = standard([np.nan, np.inf, 1.0])
    assert not judge.wrong(np.float32([np.nan, np.inf, 1.0])).any()
    assert judge.wrong(np.float32([1.0, -np.inf, np.nan])).all()
    assert judge.wrong(np.float32([1.0, 2.0])).all()


def test_the_one_that_all_others_contradict_is_outvoted():
    judge = standard([1.0, 2.0, 3.0])
    right, wrong = np.float32([1, 2, 3]), np.float32([1, 2, 4])
    assert outvoted(judge, {"a": right, "b": wrong, "c": right}) == "b"
    assert outvoted(judge, {"a": right, "b": wrong}) is None
    assert outvoted(judge, {"a": right, "b": wrong, "c": -right}) is None
    assert outvoted(judge, {"a": right, "b": right, "c": wrong, "d": wrong}) is None
