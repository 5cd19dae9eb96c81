"""EarlyStopping, with Keras as the judge."""

import itertools
import warnings

import keras
import numpy as np
import pytest

from graphc.frontend.callbacks import EarlyStopping

OPTIONS = [
    {},
    {"patience": 2},
    {"patience": 1, "min_delta": 0.15},
    {"patience": 2, "mode": "max"},
    {"patience": 1, "mode": "max", "min_delta": -0.15},
    {"patience": 2, "baseline": 0.5},
    {"patience": 3, "mode": "max", "baseline": 0.5},
    {"patience": 1, "restore_best_weights": True},
    {"patience": 2, "restore_best_weights": True, "baseline": 0.1},
    {"patience": 1, "start_from_epoch": 3, "restore_best_weights": True},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_stops_when_keras_does(options, rng, train, model):
    options = {"mode": "min"} | options
    stopped = set()
    for _ in range(20):
        epochs = [{"val_loss": round(v, 1)} for v in rng.uniform(0, 1, 8)]
        ours, theirs = (
            EarlyStopping(**options),
            keras.callbacks.EarlyStopping(**options),
        )
        seen, weights = len(train(ours, epochs)), model.get_weights()
        assert seen == len(train(theirs, epochs))
        assert weights == model.get_weights()
        assert ours.stopped_epoch == theirs.stopped_epoch
        assert ours.best == theirs.best
        assert ours.best_epoch == theirs.best_epoch
        assert ours.wait == theirs.wait
        stopped.add(seen)
    assert len(stopped) > 1


def test_restores_the_weights_of_the_best_epoch(train, model):
    losses = [3.0, 1.0, 2.0, 2.0, 2.0]
    callback = EarlyStopping("loss", patience=2, restore_best_weights=True)
    assert len(train(callback, [{"loss": v} for v in losses])) == 4
    assert model.weights == [1.0]
    # A second training starts from scratch.
    train(callback, [{"loss": 9.0}])
    assert model.weights == [0.0]
    assert callback.best == 9.0


def test_nan_is_no_improvement_and_no_best(train):
    callback = EarlyStopping("loss", patience=2)
    losses = [np.nan, 2.0, 1.0, np.nan, np.nan, 0.5]
    assert len(train(callback, [{"loss": v} for v in losses])) == 5
    assert callback.best == 1.0


def test_messages(train, capsys):
    callback = EarlyStopping("loss", verbose=1, restore_best_weights=True)
    train(callback, [{"loss": 1.0}, {"loss": 2.0}])
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 2: early stopping",
        "Restoring model weights from the end of the best epoch: 1.",
    ]


def test_a_missing_metric_is_warned_of_once_per_training(train):
    callback = EarlyStopping()
    epochs = [{"loss": 1.0, "mae": 2.0}] * 3
    for _ in range(2):
        with pytest.warns(UserWarning, match="metric `val_loss`") as record:
            assert len(train(callback, epochs)) == 3
        assert [str(w.message) for w in record] == [
            "EarlyStopping is conditioned on metric `val_loss` which is not available. "
            "Available metrics are: loss,mae"
        ]


@pytest.mark.parametrize(
    ("monitor", "direction"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("val_accuracy", "max"),
        ("out_acc", "max"),
        ("val_auc_1", "max"),
        ("mean_absolute_error", "min"),
        ("sparse_categorical_crossentropy", "min"),
        ("accuracy_loss", "min"),
        ("mean_io_u", "max"),
        ("false_positives", "min"),
    ],
)
def test_direction_by_name(monitor, direction, train):
    callback = EarlyStopping(monitor)
    values = [1.0, 2.0] if direction == "min" else [2.0, 1.0]
    train(callback, [{monitor: v} for v in values])
    assert callback.stopped_epoch == 1
    assert callback.best == values[0]


def test_direction_of_the_models_metric(train, model):
    metric = keras.metrics.MeanSquaredError(name="my_accuracy")
    model.metrics = [metric]
    callback = EarlyStopping("val_my_accuracy")
    train(callback, [{"val_my_accuracy": v} for v in (1.0, 2.0)])
    assert callback.best == 1.0


def test_errors(train):
    with pytest.raises(ValueError, match="Received: mode='up'"):
        EarlyStopping(mode="up")
    with pytest.raises(
        ValueError, match="cannot tell whether 'sum' is to be maximized"
    ):
        train(EarlyStopping("sum"), [{"sum": 1.0}])
    with pytest.raises(ValueError, match="'auc' to be one number"):
        train(EarlyStopping("auc"), [{"auc": np.zeros(3)}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(EarlyStopping("loss"), list(itertools.repeat({"loss": 1.0}, 1)))
