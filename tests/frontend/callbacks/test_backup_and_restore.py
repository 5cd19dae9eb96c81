"""Training that was interrupted goes on as if it had not been."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.ir.errors import LoadError

X = np.linspace(-1, 1, 40, dtype="float32").reshape(10, 4)
Y = X.sum(1, keepdims=True)


def make(units: int = 3) -> graphc.Model:
    graphc.utils.clear_session()
    graphc.utils.set_random_seed(1)
    model = graphc.Sequential(
        [
            graphc.Input((4,)),
            layers.Dense(units),
            layers.Dropout(0.5),
            layers.Dense(1),
        ]
    )
    model.compile(graphc.optimizers.Adam(0.1), "mse", run_eagerly=True)
    return model


class Interrupt(graphc.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


def fit(model: graphc.Model, folder: Path, *more: Any, **options: Any) -> Any:
    backup = graphc.callbacks.BackupAndRestore(folder, **options)
    return model.fit(X, Y, batch_size=4, epochs=4, verbose=0, callbacks=[*more, backup])


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    straight = make()
    straight.fit(X, Y, batch_size=4, epochs=4, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        fit(make(), tmp_path / "backup", Interrupt())
    again = make()
    history = fit(again, tmp_path / "backup")
    assert history.epoch == [2, 3]
    for ours, wanted in zip(again.get_weights(), straight.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    assert not list((tmp_path / "backup").iterdir())


def test_the_state_may_stay(tmp_path: Path) -> None:
    fit(make(), tmp_path, delete_checkpoint=False)
    assert fit(make(), tmp_path).epoch == []


def test_the_state_of_another_model_is_refused(tmp_path: Path) -> None:
    fit(make(), tmp_path, delete_checkpoint=False)
    other = make(units=5)
    before = other.get_weights()
    with pytest.raises(LoadError, match="state of another model") as caught:
        fit(other, tmp_path)
    assert "model/dense/bias" in str(caught.value)
    for ours, wanted in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, wanted)
    (saved,) = tmp_path.iterdir()
    data = saved.read_bytes()
    saved.write_bytes(data[:-3] + b"abc")
    with pytest.raises(LoadError, match="damaged"):
        fit(make(), tmp_path)


def test_a_model_without_weights_cannot_go_on(tmp_path: Path) -> None:
    fit(make(), tmp_path, delete_checkpoint=False)
    model = graphc.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="has no weights yet"):
        fit(model, tmp_path)
    with pytest.raises(ValueError, match="`save_freq` to be 'epoch'"):
        graphc.callbacks.BackupAndRestore(tmp_path, save_freq=3)
