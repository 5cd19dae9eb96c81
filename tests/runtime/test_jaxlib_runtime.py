"""XLA through jaxlib alone gives the bits that it gives through jax."""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import numpy as np
import pytest

from graphc.ir import parse
from graphc.ir.errors import GraphcError, GraphError, UnsupportedError
from graphc.ir.random_inputs import random_inputs
from graphc.ir.types import F32, TensorType
from graphc.runtime import jaxlib_runtime
from graphc.runtime.backend import Packed
from graphc.runtime.calling import CallableProgram
from graphc.runtime.compile import compile_graph
from graphc.runtime.host_arrays import ALIGNMENT, ArrayForm, HostArray, aligned
from graphc.runtime.targets import without_jax

TYPES = """
graph @f(%x: f32[8,4], %w: f32[4,4], %b: bf16[3], %i: i64[2], %p: bool[2], %e: f32[0])
    -> (f32[8,4], f32[4,4], bf16[3], i64[2], bool[2], f32[0]) {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,4]
  %1 = softmax(%0) {axis=1} : f32[8,4]
  %2 = add(%w, 1.0) : f32[4,4]
  %3 = add(%b, %b) : bf16[3]
  %4 = add(%i, %i) : i64[2]
  %5 = not(%p) : bool[2]
  return %1, %2, %3, %4, %5, %e
}
"""
FACTOR = """
graph @f(%x: f32[3,3]) -> (f32[3], f32[3,3]) {
  %0, %1 = eigh(%x) : f32[3], f32[3,3]
  return %0, %1
}
"""


def program(text: str, donate: tuple[int, ...] = ()) -> CallableProgram[Any]:
    found = compile_graph(parse(text), "jaxlib", donate=donate)
    assert isinstance(found.program, jaxlib_runtime.HostProgram)
    return found


def test_results_are_those_through_jax():
    graph = parse(TYPES)
    arrays = [np.asarray(array) for array in random_inputs(graph, 0)]
    wanted = compile_graph(graph, "xla:cpu")(*arrays)
    for donate in ((), (1, 2, 3)):
        found = program(TYPES, donate)(*arrays)
        for got, want in zip(found, wanted, strict=True):
            assert (got.shape, got.dtype) == (want.shape, want.dtype)
            assert got.view().tobytes() == np.asarray(want).tobytes()


def test_state_stays_in_place_and_outputs_outlive_the_program():
    graph = parse(TYPES)
    arrays = [np.asarray(array) for array in random_inputs(graph, 0)]
    made = program(TYPES, (1,))
    weights = made.program.place(arrays[1])
    before = np.asarray(weights)
    outputs = []
    for _ in range(3):
        output, weights, *_ = made(arrays[0], weights, *arrays[2:])
        outputs.append(output.view())
    assert np.array_equal(np.asarray(weights), arrays[1] + 3)
    assert np.array_equal(before, arrays[1])
    assert "tf.aliasing_output = 1" in made.program.text
    wanted = [each.copy() for each in outputs]
    del made, output
    gc.collect()
    np.ones(1 << 20)
    assert all(map(np.array_equal, outputs, wanted))
    assert not outputs[0].flags.writeable


@pytest.mark.parametrize("size", [5, 20_000, 1_100_000])
def test_runs_at_once_have_memory_of_their_own_for_arguments(size: int):
    made = program(
        "graph @f(%x: f32[N], %y: f32[N]) -> (f32[N], f32[N]) {\n"
        "  %0 = add(%x, %y) : f32[N]\n  return %x, %0\n}\n".replace("N", str(size))
    )
    y = np.arange(2 * size, dtype=np.float32)[::2]

    def run(number: int) -> list[Any]:
        x = np.full(size + 1, number, np.float32)[number % 2 :][:size]
        found = made(x, y)
        x[:] = -1.0
        return [each.view() for each in found]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(run, range(100 if size < 10 else 12)))
    for number, (same, total) in enumerate(found):
        assert np.array_equal(same, np.full(size, number))
        assert np.array_equal(total, y + number)


def test_arrays_that_do_not_fit_are_named():
    made = program(TYPES)
    arrays = [np.asarray(array) for array in random_inputs(made.graph, 0)]
    with pytest.raises(GraphError, match="takes 6 arrays"):
        made(*arrays[:3])
    with pytest.raises(GraphError, match=r"%w is f32\[4,4\]"):
        made(arrays[0], arrays[1].astype(np.int32), *arrays[2:])
    placed = made.program.place(arrays[0])
    with pytest.raises(GraphError, match=r"%w is f32\[4,4\]"):
        made(arrays[0], placed, *arrays[2:])


def test_what_is_packed_runs_again():
    made = program(TYPES)
    arrays = [np.asarray(array) for array in random_inputs(made.graph, 0)]
    packed = made.program.pack()
    again = jaxlib_runtime.unpack(packed, made.graph, "cpu", ())
    assert again is not None
    for got, want in zip(again.run(*arrays), made(*arrays), strict=True):
        assert got.view().tobytes() == want.view().tobytes()


@pytest.mark.parametrize(
    ("facts", "files"),
    [
        ({"maker": "another"}, {}),
        ({"platform": "cuda"}, {}),
        ({}, {"executable_0": b"x"}),
        ({}, {"executable_1": b"x"}),
        ({}, {"module.mlirbc": b"... custom_call ..."}),
    ],
)
def test_what_is_not_for_jaxlib_alone_is_left_to_jax(facts: Any, files: Any):
    made = program(TYPES)
    packed = made.program.pack()
    changed = Packed({**packed.facts, **facts}, {**packed.files, **files})
    assert jaxlib_runtime.unpack(changed, made.graph, "cpu", ()) is None
    other = parse(
        TYPES.replace("%e: f32[0]", "%e: f32[9]").replace("f32[0])", "f32[9])")
    )
    assert jaxlib_runtime.unpack(packed, other, "cpu", ()) is None


def test_what_needs_jax_is_refused():
    with pytest.raises(UnsupportedError, match="needs jax"):
        program(FACTOR)


def test_alignment():
    array = np.arange(64, dtype=np.float32)[1:].reshape(7, 9)
    found = aligned(array.T)
    assert found.ctypes.data % ALIGNMENT == 0
    assert np.array_equal(found, array.T)
    assert aligned(found) is found


def test_an_array_of_the_host_is_copied():
    source = np.arange(3, dtype=np.float32)
    array = HostArray(None, ArrayForm.of(TensorType((3,), F32)), source)
    assert np.asarray(array) is not source
    assert np.array_equal(np.asarray(array), source)
    assert (array.shape, array.dtype) == ((3,), np.float32)
    assert repr(array) == "HostArray(float32[3])"
    with pytest.raises(ValueError, match="copied"):
        np.array(array, copy=False)


def test_jaxlib_alone_is_for_processes_without_jax(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jax", sys)
    assert not without_jax("xla:cpu")
    monkeypatch.delitem(sys.modules, "jax")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    names = ("xla:cpu", "xla", "xla:cuda", "numpy")
    assert [without_jax(name) for name in names] == [True, False, False, False]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert [without_jax(name) for name in names] == [True, True, False, False]
    monkeypatch.setattr(jaxlib_runtime, "_host", broken)
    assert not without_jax("xla")


def test_another_interface_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jaxlib_runtime, "_USED", ("Client.read_thoughts",))
    with pytest.raises(GraphcError, match=r"jaxlib .* is not known: .*read_thoughts"):
        jaxlib_runtime._host.__wrapped__()


def broken() -> NoReturn:
    raise GraphcError("jaxlib has another interface")
