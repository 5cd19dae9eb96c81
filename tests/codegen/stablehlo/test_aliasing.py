from graphc.codegen.stablehlo import emit_stablehlo
from graphc.codegen.stablehlo.aliasing import with_aliases
from graphc.ir import parse

GRAPH = """
graph @program(%x: f32[2], %w: f32[3]) -> (f32[2], f32[3]) {
  %0 = add(%w, %w) : f32[3]
  return %x, %0
}
"""
ENTRY = """\
module @program {
  func.func public @main(%0: tensor<2xf32>, %1: tensor<3xf32> {tf.aliasing_output = 1 : i32}) -> (tensor<2xf32>, tensor<3xf32>) {
    %r:2 = func.call @program_1(%0, %1) : (tensor<2xf32>, tensor<3xf32>) -> (tensor<2xf32>, tensor<3xf32>)
    return %r#0, %r#1 : tensor<2xf32>, tensor<3xf32>
  }
  func.func private @program_1(%x: tensor<2xf32>, %w: tensor<3xf32>) -> (tensor<2xf32>, tensor<3xf32>) {
"""  # noqa: E501


def test_a_function_of_its_own_says_what_takes_whose_memory():
    graph = parse(GRAPH)
    text = emit_stablehlo(graph)
    changed = with_aliases(text, graph, {1: 1})
    assert changed.startswith(ENTRY)
    assert changed.removeprefix(ENTRY) == "".join(text.splitlines(keepends=True)[2:])


def test_without_aliases_nothing_changes():
    graph = parse(GRAPH)
    text = emit_stablehlo(graph)
    assert with_aliases(text, graph, {}) == text
