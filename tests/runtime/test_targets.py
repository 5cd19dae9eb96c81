"""The table of targets and what it says of those that are missing."""

import pytest

from graphc.ir import TargetError, UnsupportedError
from graphc.ir.parser import parse
from graphc.runtime import BACKENDS
from graphc.runtime.compile import compile_graph, emit
from graphc.runtime.targets import find_target, targets

GRAPH = parse("graph @f(%x: f32[3]) -> (f32[3]) {\n  return %x\n}\n")


def test_every_target_says_whether_it_is_available():
    known = {target.name: target for target in targets()}
    assert list(known) == [
        *("xla", "xla:cpu", "xla:cuda"),
        *("triton", "triton:interpreter"),
        *("triton:sm_80", "triton:sm_90", "triton:gfx942"),
        "numpy",
    ]
    for name in ("xla", "xla:cpu", "numpy", "triton:interpreter", "triton:sm_90"):
        assert known[name].available
        assert known[name].reason is None
    assert known["triton"].extra == "graphc[triton]"
    kinds = [target.kind for target in known.values() if target.backend == "triton"]
    assert kinds == ["device", "interpreter", *["architecture"] * 3]
    assert known["xla"].check == "graphc doctor"


def test_an_unknown_target_is_corrected():
    with pytest.raises(TargetError, match="unknown target") as caught:
        compile_graph(GRAPH, "xla:gpu")
    assert caught.value.received == "'xla:gpu'"
    assert caught.value.hint.startswith("did you mean 'xla")
    with pytest.raises(TargetError) as caught:
        find_target("0")
    assert caught.value.hint.startswith("use one of xla, xla:cpu,")


def test_a_backend_that_a_release_lacks_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(BACKENDS, "triton")
    for use in (compile_graph, emit):
        with pytest.raises(
            UnsupportedError, match="generates no Triton code"
        ) as caught:
            use(GRAPH, "triton:sm_90")
        assert caught.value.hint == "target='xla' works"


def test_a_missing_device_is_explained():
    known = {target.name: target for target in targets()}
    if known["xla:cuda"].available or known["triton"].available:
        pytest.skip("this machine has the device")
    with pytest.raises(TargetError, match="xla:cuda' is not available:") as caught:
        compile_graph(GRAPH, "xla:cuda")
    assert "pip install 'jax[cuda12]'" in caught.value.hint
    assert "graphc doctor" in caught.value.hint
    with pytest.raises(
        TargetError, match="'triton' is not available: no NVIDIA driver"
    ):
        compile_graph(GRAPH, "triton")


def test_a_missing_package_is_explained(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(BACKENDS, "xla", "graphc_without_jax")
    with pytest.raises(TargetError, match="No module named 'graphc_without_jax'"):
        find_target("xla")
