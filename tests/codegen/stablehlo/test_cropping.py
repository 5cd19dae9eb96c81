"""What is cut off before windows are laid."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from graphc.codegen.stablehlo.cropping import Cropping
from graphc.ir import evaluate, parse
from graphc.runtime.compile import compile_graph


def window_graph(padding: str, result: str) -> str:
    attributes = f"padding={padding}, strides=[1,1], window=[1,1]"
    return f"""
        graph @f(%x: f32[5,4]) -> (f32[{result}]) {{
          %y = reduce_window_sum(%x) {{{attributes}}} : f32[{result}]
          return %y
        }}"""


def test_only_what_takes_away_on_both_sides_is_cropped():
    cropping = Cropping([[0, -1], [-2, -1], [1, -1], [2, 0], [0, 0]])
    assert cropping.padding == ((0, 0), (0, 0), (1, -1), (2, 0), (0, 0))


@pytest.mark.parametrize(
    ("padding", "result", "pad"),
    [
        ("[[0,-1],[0,0]]", "4,4", "low = [0, 0], high = [-1, 0], interior = [0, 0]"),
        ("[[-2,0],[-1,-1]]", "3,2", "low = [-2, -1], high = [0, -1]"),
    ],
)
def test_windows_of_what_is_left(padding: str, result: str, pad: str):
    graph = parse(window_graph(padding, result))
    text = graphc.emit(graph)
    assert f"%cropped = stablehlo.pad %x, %c, {pad}" in text
    assert "padding = dense<[[0, 0], [0, 0]]>" in text
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    (found,) = compile_graph(graph)(x)
    np.testing.assert_array_equal(np.asarray(found), evaluate(graph, x)[0])


def test_nothing_is_written_where_nothing_is_taken_away():
    assert "stablehlo.pad" not in graphc.emit(
        parse(window_graph("[[1,0],[2,2]]", "6,8"))
    )
