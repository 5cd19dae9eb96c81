"""What XLA does with dtypes, constants, hostile names and programs written in jax."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from graphc.ir import Graph, Location, TensorType, building, tensor_type
from graphc.ir.ops import add, constant, multiply
from graphc.ir.types import DTYPES, DType
from graphc.runtime.compile import compile_graph
from graphc.testing.equivalence import special_array

each_dtype = pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)


def identity(type: TensorType) -> Graph:
    graph = Graph("identity")
    graph.results = [graph.add_parameter(type, "x")]
    return graph


@each_dtype
def test_every_dtype_passes_through(dtype: DType, rng: np.random.Generator):
    type = TensorType((5, 3), dtype)
    executable = compile_graph(identity(type))
    array = odd_array(type, rng)
    (result,) = executable(array)
    assert (result.shape, result.dtype) == (array.shape, array.dtype)
    assert np.asarray(result).tobytes() == array.tobytes()
    (again,) = executable(result)
    assert np.asarray(again).tobytes() == array.tobytes()


@each_dtype
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (7, 9)])
def test_constants_are_exact(
    dtype: DType, shape: tuple[int, ...], rng: np.random.Generator
):
    array = odd_array(TensorType(shape, dtype), rng)
    graph = Graph("f")
    with building(graph):
        graph.results = [constant(name=graph.module.add_constant(array))]
    (result,) = compile_graph(graph, pipeline="")()
    assert (result.shape, result.dtype) == (array.shape, array.dtype)
    assert np.asarray(result).tobytes() == array.tobytes()


def odd_array(type: TensorType, rng: np.random.Generator) -> np.ndarray:
    """An array with limits, infinities and signed zeros; one kind of nan only."""
    if type.dtype.name == "f8e4m3fn":  # has no infinities
        return rng.normal(size=type.shape).astype(type.dtype.numpy)
    return special_array(type, rng)


def test_64_bit_numbers_are_exact_and_jax_stays_as_it_is():
    graph = Graph("f")
    a = graph.add_parameter(tensor_type("f64[2]"), "a")
    n = graph.add_parameter(tensor_type("u64[2]"), "n")
    s = graph.add_parameter(tensor_type("f32[]"), "s")
    with building(graph):
        graph.results = [add(a, 1e-9), multiply(n, n), s]
    executable = compile_graph(graph)
    array, whole = np.array([1 / 3, 2.0]), np.array([2**63 + 1, 3], np.uint64)
    x, m, _ = executable(array, whole, np.float32(1))
    np.testing.assert_array_equal(x, array + 1e-9)
    np.testing.assert_array_equal(m, np.array([1, 9], np.uint64))
    again, _, _ = executable(x, m, np.float32(1))
    np.testing.assert_array_equal(again, array + 1e-9 + 1e-9)
    assert not jax.config.jax_enable_x64
    assert jnp.asarray(1.5).dtype == jnp.float32


def test_32_bit_graphs_run_whatever_the_mode():
    executable = compile_graph(identity(tensor_type("f32[2]")))
    array = np.array([1, 2], np.float32)
    with jax.enable_x64(True):
        (result,) = executable(array)
        (other,) = compile_graph(identity(tensor_type("f32[2]")))(array)
    assert result.dtype == other.dtype == np.float32


def test_a_program_can_be_called_from_jax():
    graph = Graph("square")
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    with building(graph):
        graph.results = [multiply(x, x)]
    square = compile_graph(graph).program.jitted

    @jax.jit
    def shifted(x: jax.Array) -> jax.Array:
        return square(x + 1)[0] - 1

    np.testing.assert_array_equal(shifted(jnp.arange(3.0)), [0, 3, 8])


@pytest.mark.parametrize("text", ['x") loc("y', "a\x00b", "\udc80", "é" * 300, "\\"])
def test_hostile_locations_compile(text: str):
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    with building(graph, location=Location(text, 10**20, 10**20, text, text)):
        graph.results = [add(x, 1.0)]
    (result,) = compile_graph(graph)(np.zeros(3, np.float32))
    np.testing.assert_array_equal(result, np.ones(3))


def test_layers_reach_the_compiled_program():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    with building(graph, location=Location("model.py", 12, 5, "encoder/mlp")):
        graph.results = [multiply(x, x)]
    text = compile_graph(graph).program.compiled.as_text()
    assert "encoder/mlp" in text
    assert "model.py" in text
