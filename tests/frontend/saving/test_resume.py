"""Training goes on, bit for bit, in a process that has none of the users' classes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optree
import pytest

import graphc
from tests.frontend.saving import zoo
from tests.frontend.saving.conftest import assert_same_outputs, state_of

CHILD = Path(__file__).with_name("resume_child.py")
ROOT = Path(__file__).parents[3]
STEPS = 3


def _train(model: Any, name: str, steps: int = STEPS) -> None:
    x, y = zoo.batch(name)
    for _ in range(steps):
        model.train_on_batch(x, y)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """For each model what six straight steps and a prediction after three give; and
    what a fresh process makes of the file that was saved after three steps."""
    folder = tmp_path_factory.mktemp("resume")
    # Names that are made up after it draw as if they were the first of their kind.
    graphc.layers.Dropout(0.5)
    graphc.utils.set_random_seed(7)
    wanted: dict[str, Any] = {}
    for name, build in zoo.MODELS.items():
        model = build()
        _train(model, name)
        model.save(folder / f"{name}.graphc")
        x, y = zoo.batch(name)
        inputs = x if isinstance(x, list) else [x]
        arrays = {f"x_{i}": array for i, array in enumerate(inputs)}
        targets = y if isinstance(y, dict) else {"0": y}
        arrays |= {f"y_{key}": array for key, array in targets.items()}
        np.savez(folder / f"{name}.batch.npz", **arrays)
        outputs = model.predict(x, batch_size=zoo.BATCH, verbose=0)
        _train(model, name)
        wanted[name] = outputs, state_of(model)
    subprocess.run(
        [sys.executable, CHILD, folder],
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    found = {}
    for name in zoo.MODELS:
        with np.load(folder / f"{name}.result.npz") as stored:
            found[name] = dict(stored)
    return {name: (wanted[name], found[name]) for name in zoo.MODELS}


@pytest.mark.parametrize("name", zoo.MODELS)
def test_a_process_without_the_classes_predicts_the_same(straight: Any, name: str):
    (outputs, _), found = straight[name]
    for index, output in enumerate(optree.tree_leaves(outputs)):
        np.testing.assert_array_equal(found[f"output/{index}"], output)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_three_steps_here_and_three_there_are_six(straight: Any, name: str):
    (_, wanted), found = straight[name]
    found = {key: x for key, x in found.items() if not key.startswith("output/")}
    assert len(found) > 3
    # A variable that several layers reach has several paths, and graphs have fewer.
    assert found.keys() <= wanted.keys() or name == "outside_state"
    for key in found.keys() & wanted.keys():
        np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)
    if name == "outside_state":
        (extra,) = found.keys() - wanted.keys()
        calls = 2 * STEPS + 1  # the steps here and there, and a prediction there
        assert float(found[extra]) == 2 * calls  # two layers count in one variable


@pytest.mark.parametrize("name", zoo.MODELS)
def test_a_loaded_model_saves_to_the_same_file(name: str, tmp_path: Path):
    model = zoo.MODELS[name]()
    _train(model, name, 1)
    model.save(tmp_path / "a.graphc")
    model.save(tmp_path / "again.graphc")
    first = (tmp_path / "a.graphc").read_bytes()
    assert (tmp_path / "again.graphc").read_bytes() == first
    loaded = graphc.load_model(tmp_path / "a.graphc")
    loaded.save(tmp_path / "b.graphc")
    if name == "tied":  # the graph of the layer that shares is no path to the weights
        twice = graphc.load_model(tmp_path / "b.graphc")
        x, _ = zoo.batch(name)
        assert_same_outputs(twice.predict(x, verbose=0), model.predict(x, verbose=0))
    else:
        assert (tmp_path / "b.graphc").read_bytes() == first


def test_resuming_on_xla(tmp_path: Path):
    x, y = zoo.batch("functional")
    model = zoo.functional()
    model.compile("adam", loss="mse")
    _train(model, "functional")
    model.save(tmp_path / "m.graphc")
    loaded = graphc.load_model(tmp_path / "m.graphc")
    _train(model, "functional")
    _train(loaded, "functional")
    wanted, found = state_of(model), state_of(loaded)
    assert found.keys() == wanted.keys()
    for key in wanted:
        np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)
    assert_same_outputs(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert np.shape(y) == (zoo.BATCH, 2)
