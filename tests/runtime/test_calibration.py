"""Rates that are measured and kept, and times of single nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphc.ir import GraphcError, LoadError, parse
from graphc.passes.cost_model import GPUS, Rates
from graphc.passes.learned_cost import FEATURES
from graphc.runtime import calibration
from graphc.runtime.calibration import (
    calibrate,
    measure_nodes,
    read_rates,
    write_rates,
)

TEXT = """
    graph @f(%x: f32[4], %y: f32[4]) -> (f32[4]) {
      %0 = add(%x, %y) : f32[4]
      %1 = add(%0, %y) : f32[4]
      %2 = multiply(%1, 2.0) : f32[4]
      %3 = call(%2) {graph="g"} : f32[4]
      return %3
    }
    graph @g(%x: f32[4]) -> (f32[4]) {
      %0 = tanh(%x) : f32[4]
      return %0
    }"""


def test_rates_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    with pytest.raises(GraphcError, match="rates of target 'xla:cpu' are not known"):
        read_rates("xla:cpu")
    assert read_rates("triton", "NVIDIA H100") is GPUS["H100"]
    rates = Rates("somewhere", 1e10, 2e10, 3e10, 1e-6)
    path = write_rates("xla:cpu", rates)
    assert read_rates("xla:cpu") == rates
    for damaged in ("nonsense", "[]", '{"name": "x", "bandwidth": NaN}', "{}"):
        path.write_text(damaged)
        with pytest.raises(LoadError):
            read_rates("xla:cpu")
    monkeypatch.setenv("GRAPHC_CACHE", "off")
    with pytest.raises(GraphcError, match="kept in the cache"):
        write_rates("xla:cpu", rates)


def test_a_target_is_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calibration, "LARGE", 1 << 12)
    monkeypatch.setattr(calibration, "SIDE", 16)
    rates = calibrate("numpy", rounds=1)
    assert min(rates.bandwidth, rates.narrow, rates.single, rates.launch) > 0


def test_alike_nodes_are_measured_once():
    found = list(measure_nodes([parse(TEXT)], "numpy", rounds=1))
    assert [node.op.name for node, _ in found] == ["add", "multiply", "tanh"]
    for _, measurement in found:
        assert measurement.seconds > 0
        assert len(measurement.features) == len(FEATURES)
    (few,) = measure_nodes([parse(TEXT)], "numpy", rounds=1, most=1)
    assert few[0].op.name in ("add", "multiply", "tanh")
