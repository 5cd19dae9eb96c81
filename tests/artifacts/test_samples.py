"""Artifacts of every version of the format load, whatever is written today.

A sample is never changed: a new version of the format gets one of its own, from
``python -m tests.artifacts.test_samples FILE``.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.artifacts import contents, load, loading
from graphc.files.container import MANIFEST
from graphc.ir.errors import LoadError
from tests.artifacts.forgery import ArtifactForger
from tests.artifacts.machine_code import MachineCode
from tests.closeness import assert_close

SAMPLES = Path(__file__).with_name("samples")
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def write_sample(path: Path) -> None:
    """Writes an artifact with everything in it."""
    inputs = layers.Input((4,), name="x")
    hidden = layers.Dense(5, "tanh", kernel_initializer=numbers, name="hidden")(inputs)
    outputs = layers.Dense(2, kernel_initializer=numbers, name="scores")(hidden)
    model = graphc.Model(inputs, outputs, name="sample")
    with pytest.MonkeyPatch.context() as monkeypatch:
        MachineCode().install(monkeypatch)
        model.export(path, "predict", ["xla:cpu", "triton:sm_90"], batch=[1, 3])


def numbers(shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
    return np.sin(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)


def expected(x: np.ndarray) -> np.ndarray:
    return np.tanh(x @ numbers((4, 5))) @ numbers((5, 2))


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.gcx")), ids=lambda p: p.stem)
def test_samples_load(path: Path):
    program = load(path, "xla:cpu")
    assert program.contents.targets == ["xla:cpu", "triton:sm_90"]
    for x in (X, X[:1]):
        assert_close(np.asarray(program(x)), expected(x))
    assert_close(np.asarray(load(path, "numpy")(X)), expected(X))
    assert load(path, "xla:cpu", trust="code")(X).shape == (3, 2)


def test_there_is_a_sample_of_each_version():
    found = {
        json.loads(ArtifactForger(path.read_bytes()).members[MANIFEST])[
            "format_version"
        ]
        for path in SAMPLES.glob("*.gcx")
    }
    oldest, newest = contents.FORMAT.oldest, contents.FORMAT.version
    assert found == set(range(oldest, newest + 1))


def test_the_next_version_reads_this_one(monkeypatch: pytest.MonkeyPatch):
    (path,) = SAMPLES.glob("version_1.gcx")
    newer = replace(contents.FORMAT, version=2)
    monkeypatch.setattr(loading, "FORMAT", newer)
    assert_close(np.asarray(load(path, "numpy")(X)), expected(X))
    monkeypatch.setattr(loading, "FORMAT", replace(newer, oldest=2))
    with pytest.raises(LoadError, match="format version of at least 2"):
        load(path)


if __name__ == "__main__":
    write_sample(Path(sys.argv[1]))
