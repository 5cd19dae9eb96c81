"""Exported functions made from text, quickly or by exporting a placeholder."""

import jax
import numpy as np
import pytest

from graphc.runtime import xla_export
from graphc.runtime.xla_export import Spec, exported

TEXT = """
module @f {
  func.func public @main(%x: tensor<3xf32>, %n: tensor<i32>)
      -> (tensor<i32>, tensor<3xf32>, tensor<3xf32>) {
    %0 = stablehlo.add %x, %x : tensor<3xf32>
    return %n, %0, %x : tensor<i32>, tensor<3xf32>, tensor<3xf32>
  }
}
"""
PARAMETERS = [Spec((3,), np.float32), Spec((), np.int32)]
RESULTS = [Spec((), np.int32), Spec((3,), np.float32), Spec((3,), np.float32)]


def test_this_jax_needs_no_placeholder():
    assert xla_export._probe("cpu")


@pytest.mark.parametrize("quick", [True, False])
def test_the_text_is_what_runs(quick: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(xla_export, "_probe", lambda platform: quick)
    function = exported(TEXT, "f", PARAMETERS, RESULTS, "cpu")
    assert function.fun_name == "f"
    n, y, x = jax.jit(function.call)(np.arange(3, dtype=np.float32), np.int32(7))
    assert int(n) == 7
    np.testing.assert_array_equal(y, [0, 2, 4])
    np.testing.assert_array_equal(x, [0, 1, 2])


def test_an_export_can_be_saved():
    function = exported(TEXT, "f", PARAMETERS, RESULTS, "cpu")
    loaded = jax.export.deserialize(function.serialize())
    assert loaded.in_avals == function.in_avals
    results = loaded.call(np.ones(3, np.float32), np.int32(1))
    np.testing.assert_array_equal(results[1], [2, 2, 2])


def test_a_module_that_is_none_is_refused():
    with pytest.raises(jax.errors.JaxRuntimeError, match="error:"):
        exported("module @f { nonsense }", "f", PARAMETERS, RESULTS, "cpu")


def test_a_jax_that_changed_is_noticed(monkeypatch: pytest.MonkeyPatch):
    xla_export._probe.cache_clear()
    monkeypatch.setattr(xla_export, "_aval", lambda base, spec: base.in_avals[0])
    assert not xla_export._probe("cpu")
    xla_export._probe.cache_clear()
