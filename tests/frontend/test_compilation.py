"""Compiling functions and graphs ahead of their first call."""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc import TensorSpec
from graphc.errors import GraphError
from graphc.frontend import ops

F32 = np.float32


def affine(x: Any) -> Any:
    return x * 2.0 + 1.0


@pytest.mark.parametrize("target", ["numpy", "xla"])
def test_function(target: str) -> None:
    executable = graphc.compile(affine, TensorSpec((3,)), target=target)
    assert len(executable.executables) == 1
    found = executable(np.arange(3, dtype=F32))
    assert isinstance(found.numpy(), np.ndarray)
    np.testing.assert_array_equal(found, [1, 3, 5])
    np.testing.assert_array_equal(executable([0.0, 1.0, 2.0]), [1, 3, 5])
    assert repr(executable) == f"<Executable @affine for {target}>"
    wanted = {"numpy": "graph @affine(", "xla": "module @affine"}[target]
    assert executable.text.startswith(wanted)
    assert "passes" in executable.compile_seconds


def test_symbols_are_bound_by_calls() -> None:
    executable = graphc.compile(affine, TensorSpec((None, 2)), target="numpy")
    assert executable.executables == []
    with pytest.raises(GraphError, match="has not been compiled yet"):
        _ = executable.text
    for size in (1, 3, 1):
        assert executable(np.ones((size, 2), F32)).shape == (size, 2)
    assert len(executable.executables) == 2
    causes = [(c.bindings, c.cause) for c in executable.program.compiles]
    assert causes == [({"B": 1}, "first call"), ({"B": 3}, "new shape B=3")]


def test_equal_symbols_need_equal_sizes() -> None:
    executable = graphc.compile(
        ops.add, TensorSpec(("B", 2)), TensorSpec(("B", 2)), target="numpy"
    )
    with pytest.raises(GraphError, match=r"received: an array of shape \(3, 2\)"):
        executable(np.ones((2, 2), F32), np.ones((3, 2), F32))


def test_graph_with_several_results_and_state() -> None:
    v = graphc.Variable(np.ones(2, F32), name="v")
    graph = graphc.trace(lambda x: (x + v, x * v), TensorSpec((2,)))
    executable = graphc.compile(graph, target="numpy")
    total, product = executable([1.0, 2.0], [3.0, 4.0])
    np.testing.assert_array_equal(total, [4, 6])
    np.testing.assert_array_equal(product, [3, 8])
    with_state = graphc.compile(
        lambda x: v.assign_add(x), TensorSpec((2,)), target="numpy"
    )
    with_state([1.0, 1.0])
    np.testing.assert_array_equal(v, [2, 2])


def test_structures_and_dtypes() -> None:
    executable = graphc.compile(
        lambda tree: {"sum": tree["a"] + ops.cast(tree["n"], "float32")},
        {"a": TensorSpec((2,)), "n": TensorSpec((2,), "int32")},
        target="numpy",
    )
    found = executable({"a": np.ones(2), "n": np.arange(2)})
    np.testing.assert_array_equal(found["sum"], [1, 2])


def test_wrong_arrays() -> None:
    executable = graphc.compile(affine, TensorSpec((3,)), target="numpy")
    with pytest.raises(GraphError, match="takes 1 arrays\n  received: 2"):
        executable(np.ones(3, F32), np.ones(3, F32))
    with pytest.raises(
        GraphError, match=r"input 0 is f32\[3\]\n  received: .* i32\[3\]"
    ):
        executable(np.ones(3, np.int32))
    with pytest.raises(
        GraphError, match=r"f32\[3\]\n  received: an array of shape \(4,\)"
    ):
        executable(np.ones(4, F32))
    with pytest.raises(TypeError, match="A graph has its types"):
        graphc.compile(graphc.trace(affine, TensorSpec((3,))), TensorSpec((3,)))


def test_passes_emit_and_targets() -> None:
    graph = graphc.trace(affine, TensorSpec((3,)))
    assert graphc.emit(graph).startswith("module @affine")
    simplified = graphc.passes.run(
        graphc.trace(lambda x: ops.transpose(ops.transpose(x)), TensorSpec((2, 3))),
        "canonicalize,dce",
    )
    assert [n.op.name for n in simplified.nodes] == []
    executable = graphc.compile(affine, TensorSpec((3,)), passes="dce")
    np.testing.assert_array_equal(executable(np.zeros(3, F32)), [1, 1, 1])
    names = [target.name for target in graphc.targets()]
    assert {"xla", "xla:cpu", "numpy", "triton"} <= set(names)
