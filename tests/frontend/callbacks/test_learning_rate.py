"""LearningRateScheduler and ReduceLROnPlateau, with Keras as the judge."""

import keras
import numpy as np
import pytest

from graphc.frontend.callbacks import LearningRateScheduler, ReduceLROnPlateau
from tests.closeness import assert_close


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"patience": 2, "factor": 0.5, "cooldown": 2},
        {"patience": 1, "min_delta": 0.3, "cooldown": 1},
        {"patience": 1, "mode": "max", "min_lr": 0.05},
    ],
)
def test_plateau_reduces_when_keras_does(options, rng, train, model):
    options = {"mode": "min"} | options
    rates = set()
    for _ in range(10):
        epochs = [{"val_loss": round(v, 1)} for v in rng.uniform(0, 1, 12)]
        ours = ReduceLROnPlateau(**options)
        theirs = keras.callbacks.ReduceLROnPlateau(**options)
        model.optimizer.learning_rate = 1.0
        seen = train(ours, epochs)
        model.optimizer.learning_rate = 1.0
        expected = train(theirs, epochs)
        assert_close(
            [logs["learning_rate"] for logs in seen],
            [logs["learning_rate"] for logs in expected],
        )
        assert ours.best == theirs.best
        assert ours.wait == theirs.wait
        assert ours.cooldown_counter == theirs.cooldown_counter
        rates.add(seen[-1]["learning_rate"])
    assert min(rates) < 1.0


def test_plateau_stops_at_the_least_rate_as_float32_rounds_it(train, model, capsys):
    callback = ReduceLROnPlateau("loss", factor=0.1, patience=1, min_lr=0.1, verbose=1)

    class Optimizer:
        learning_rate = np.float32(1.0)

        def __setattr__(self, name, value):
            super().__setattr__(name, np.float32(value))

    model.optimizer = Optimizer()
    train(callback, [{"loss": 1.0}] * 5)
    assert model.optimizer.learning_rate == np.float32(0.1)
    assert capsys.readouterr().out == (
        "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.1.\n"
    )


def test_plateau_errors(train):
    with pytest.raises(ValueError, match="Received: factor=1"):
        ReduceLROnPlateau(factor=1.0)
    with pytest.warns(UserWarning, match="ReduceLROnPlateau is conditioned") as record:
        seen = train(ReduceLROnPlateau(), [{"loss": 1.0}] * 3)
    assert len(record) == 1
    assert seen[0]["learning_rate"] == 1.0


@pytest.mark.parametrize(
    "schedule",
    [
        lambda epoch: 0.5 ** (epoch + 1),
        lambda epoch, lr: lr / 2,
        lambda epoch, lr=None: np.float32(lr) / 2,
        lambda *arguments: arguments[1] / 2,
    ],
)
def test_scheduler_sets_and_logs_the_rate(schedule, train, model):
    seen = train(LearningRateScheduler(schedule), [{"loss": 1.0}] * 3)
    assert [logs["learning_rate"] for logs in seen] == [0.5, 0.25, 0.125]
    assert model.optimizer.learning_rate == 0.125


def test_scheduler_message_and_errors(train, capsys):
    train(LearningRateScheduler(lambda epoch: 0.25, verbose=1), [{}])
    assert capsys.readouterr().out == (
        "Epoch 1: LearningRateScheduler setting learning rate to 0.25.\n"
    )
    with pytest.raises(ValueError, match=r"to be a float\. Received: 'fast'"):
        train(LearningRateScheduler(lambda epoch: "fast"), [{}])

    def broken(epoch, lr):
        raise TypeError("a mistake in the schedule")

    with pytest.raises(TypeError, match="a mistake in the schedule"):
        train(LearningRateScheduler(broken), [{}])
