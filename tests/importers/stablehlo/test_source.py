"""Text and bytecode of any origin: what is read, and how the rest is refused."""

import io
import random
import sys

import numpy as np
import pytest
from jax.extend.mlir import ir, serialize_portable_artifact
from jax.extend.mlir.dialects import stablehlo

import graphc
from graphc.importers.stablehlo import source
from graphc.importers.stablehlo.context import new_context
from graphc.ir import GraphcError, LoadError, ParseError, evaluate

TANH = """
module @tanh {
  func.func public @main(%x: tensor<3xf32>) -> tensor<3xf32> {
    %0 = stablehlo.tanh %x : tensor<3xf32>
    return %0 : tensor<3xf32>
  }
}
"""
LOOP = """
func.func @main(%n: tensor<i32>, %x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %0:2 = stablehlo.while(%i = %zero, %y = %x) : tensor<i32>, tensor<2x3xf32>
    cond {
    %1 = stablehlo.compare LT, %i, %n, SIGNED
      : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %1 = stablehlo.add %i, %one : tensor<i32>
    %2 = stablehlo.add %y, %y : tensor<2x3xf32>
    stablehlo.return %1, %2 : tensor<i32>, tensor<2x3xf32>
  }
  %c = stablehlo.constant dense<"0x0000803F00000040"> : tensor<2xf32>
  %3 = stablehlo.broadcast_in_dim %c, dims = [0] : (tensor<2xf32>) -> tensor<2x3xf32>
  %4 = stablehlo.multiply %0#1, %3 : tensor<2x3xf32>
  return %4 : tensor<2x3xf32>
}
"""


def test_a_syntax_error_has_its_line_and_column():
    with pytest.raises(ParseError) as caught:
        graphc.from_stablehlo(TANH.replace("tanh %x", "tan %x +"))
    assert (caught.value.line, caught.value.column) == (4, 26)
    assert "stablehlo.tan %x +" in str(caught.value)


def test_an_ill_typed_operation_has_its_line():
    with pytest.raises(ParseError, match="4xf32") as caught:
        graphc.from_stablehlo(TANH.replace("-> tensor<3xf32>", "-> tensor<4xf32>"))
    assert caught.value.line == 5


def test_an_ill_typed_operation_of_another_file_names_that():
    text = TANH.replace("%0 : tensor<3xf32>", '%0 : tensor<3xf32> loc("model.py":7:3)')
    text = text.replace("-> tensor<3xf32>", "-> tensor<4xf32>")
    with pytest.raises(LoadError, match=r"model\.py:7:3"):
        graphc.from_stablehlo(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("module {" + "(" * 1000, "nest deeper than 128"),
        ("module attributes {a = " + "[" * 200 + "]" * 200 + "} {}", "nest deeper"),
        # MLIR ends the process when Python asks for such a name.
        (TANH.replace("@main", r'@"\FF"'), "a string must be UTF-8"),
        (TANH.replace("tanh %x", r'tanh %x loc("\C3")'), "a string must be UTF-8"),
    ],
    ids=["open", "closed", "name", "location"],
)
def test_what_would_end_the_process_is_refused(text: str, message: str):
    with pytest.raises(ParseError, match=message):
        graphc.from_stablehlo(text)


def test_brackets_in_strings_and_comments_do_not_nest():
    many = "[" * 500
    text = TANH.replace("{\n    %0", "{\n    // " + many + "\n    %0", 1)
    text = text.replace(
        "module @tanh", f'module @tanh attributes {{mhlo.x = "{many}"}}'
    )
    assert len(graphc.from_stablehlo(text)) == 1


def test_an_escaped_string_is_read():
    text = TANH.replace(
        "tensor<3xf32>\n    return", 'tensor<3xf32> loc("\\C3\\A9":1:2)\n    return'
    )
    (node,) = graphc.from_stablehlo(text).nodes
    assert node.location is not None
    assert node.location.file == "é"


@pytest.mark.parametrize("given", [b"\xff\xfe", "\ud800", b"ML\xef"])
def test_what_is_no_text_is_refused(given: str | bytes):
    with pytest.raises(LoadError, match="text"):
        graphc.from_stablehlo(given)


def test_large_modules_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source, "MAX_BYTES", 20)
    with pytest.raises(LoadError, match=f"received: {len(TANH)} bytes"):
        graphc.from_stablehlo(TANH)


def test_modules_of_many_operations_are_refused(monkeypatch: pytest.MonkeyPatch):
    importing = sys.modules["graphc.importers.stablehlo.importing"]
    monkeypatch.setattr(importing, "MAX_OPERATIONS", 2)
    with pytest.raises(LoadError, match="may have 2 operations"):
        graphc.from_stablehlo(LOOP)


def test_a_huge_splat_costs_nothing():
    size = 10**12
    graph = graphc.from_stablehlo(
        f"func.func @main() -> tensor<{size}xf32> {{\n"
        f"  %0 = stablehlo.constant dense<1.0> : tensor<{size}xf32>\n"
        f"  return %0 : tensor<{size}xf32>\n}}"
    )
    assert str(graph.results[0].type) == f"f32[{size}]"


def test_text_as_bytes():
    assert graphc.from_stablehlo(TANH.encode()) == graphc.from_stablehlo(TANH)


def test_bytecode():
    with new_context():
        written = io.BytesIO()
        ir.Module.parse(LOOP).operation.write_bytecode(written)
    graph = graphc.from_stablehlo(written.getvalue())
    x = np.ones((2, 3), np.float32)
    (found,) = evaluate(graph, np.int32(2), x)
    np.testing.assert_array_equal(found, [[4] * 3, [8] * 3])


def test_a_portable_artifact():
    version = stablehlo.get_current_version()
    artifact = serialize_portable_artifact(TANH, version, True)
    assert [n.op.name for n in graphc.from_stablehlo(artifact).nodes] == ["tanh"]


def test_damaged_bytecode_does_not_end_the_process():
    with pytest.raises(LoadError, match="damaged MLIR bytecode"):
        graphc.from_stablehlo(b"ML\xefR" + bytes(range(60)))


PIECES = (
    "0",
    "-1",
    "?",
    "tensor<",
    "x",
    "i1",
    "%0",
    "}",
    "{",
    "(",
    ")",
    '"',
    "\0",
    "é",
)


def mutated(text: str, choices: random.Random) -> str:
    """The text with a few pieces put in, taken out or exchanged."""
    for _ in range(choices.choice((1, 1, 2, 5))):
        place = choices.randrange(len(text))
        end = place + choices.randrange(4)
        text = text[:place] + choices.choice((*PIECES, "")) + text[end:]
    return text


@pytest.mark.parametrize("seed", range(4))
def test_damaged_text_is_refused_by_one_family_of_errors(seed: int):
    choices = random.Random(seed)
    read = 0
    for _ in range(60):
        try:
            graphc.from_stablehlo(mutated(choices.choice((TANH, LOOP)), choices))
            read += 1
        except GraphcError:
            continue
    assert read < 60
