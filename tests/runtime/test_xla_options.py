import numpy as np
import pytest

from graphc.ir import Graph, parse
from graphc.ir.types import F32, I32, TensorType
from graphc.runtime.compile import compile_graph, emit
from graphc.runtime.xla_options import aliases, compiler_options

A, B = TensorType((2,), F32), TensorType((2,), I32)
HOISTING = "small-while-loop-hoisting"


def test_memory_goes_to_the_first_free_result_of_the_type():
    assert aliases((1, 2), [A, B, A, B], [B, A, B, A]) == {1: 0, 2: 1}
    assert aliases((0, 1), [A, A], [B, A]) == {0: 1}
    assert aliases((), [A], [A]) == {}


def test_barriers_stay_on_cpus():
    text = "stablehlo.optimization_barrier"
    assert "cse_barrier_expander" in compiler_options(text, "cpu").values()
    assert compiler_options(text, "cuda") == compiler_options("", "cpu") == {}


def loop(before: str = "%y = negate(%x)", inside: str = "%b = negate(%a)") -> Graph:
    """A small loop, with one more function called in its body."""
    return parse(f"""
    graph @f(%x: f32[4]) -> (f32[4]) {{
      {before} : f32[4]
      %r, %j = while(%y, 0:i32) {{cond="more", body="step"}} : f32[4], i32[]
      return %r
    }}
    graph @more(%a: f32[4], %i: i32[]) -> (bool[]) {{
      %0 = compare(%i, 3:i32) {{direction="LT"}} : bool[]
      return %0
    }}
    graph @step(%a: f32[4], %i: i32[]) -> (f32[4], i32[]) {{
      %0 = call(%a) {{graph="inner"}} : f32[4]
      %1 = add(%i, 1:i32) : i32[]
      return %0, %1
    }}
    graph @inner(%a: f32[4]) -> (f32[4]) {{
      {inside} : f32[4]
      %0 = add(%b, 1.0) : f32[4]
      return %0
    }}""")


@pytest.mark.parametrize(
    "inside",
    [
        "%b = optimization_barrier(%a)",
        "%b, %1 = optimization_barrier(%a, 2.0) : f32[4], f32[]\n %2 = negate(%a)",
    ],
)
def test_barriers_in_small_loops(inside: str):
    # XLA aborts at barriers in the kernels that it makes of small loops.
    graph = loop(inside=inside)
    (option,) = compiler_options(emit(graph, "xla:cpu"), "cpu").values()
    assert HOISTING in option
    found = compile_graph(graph, "xla:cpu")(np.ones(4, np.float32))[0]
    assert np.array_equal(np.asarray(found), np.full(4, 2.0, np.float32))


def test_small_loops_without_barriers_stay_kernels():
    graph = loop(before="%y = optimization_barrier(%x)")
    (option,) = compiler_options(emit(graph, "xla:cpu"), "cpu").values()
    assert HOISTING not in option
