"""CallbackList: order of calls, logs, and whether batch hooks matter."""

import keras
import numpy as np
import pytest

from graphc.frontend.callbacks import (
    Callback,
    CallbackList,
    EarlyStopping,
    History,
    LambdaCallback,
    ModelCheckpoint,
    ProgbarLogger,
    TerminateOnNaN,
)

HOOKS = sorted(name for name in vars(Callback) if name.startswith("on_"))


class Scalar:
    """A number on a device: counts how often it is waited for."""

    def __init__(self, value):
        self.value, self.reads = value, 0

    def __array__(self, dtype=None, copy=None):
        self.reads += 1
        return np.asarray(self.value, np.float32)


def test_hooks_are_those_of_keras():
    assert len(HOOKS) == 16
    theirs = [name for name in dir(keras.callbacks.Callback) if name.startswith("on_")]
    assert sorted(theirs) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_reaches_every_callback(hook):
    calls = []

    def noting(name):
        return LambdaCallback(**{hook: lambda *a: calls.append((name, len(a)))})

    callbacks = CallbackList([noting("first"), [noting("second")]])
    arguments = (3, {}) if "batch" in hook or "epoch" in hook else ({},)
    getattr(callbacks, hook)(*arguments)
    assert calls == [("first", len(arguments)), ("second", len(arguments))]


def test_model_and_params(model):
    callback = Callback()
    callbacks = CallbackList(callback, model=model, verbose=0, epochs=3, steps=None)
    assert callback.model is callbacks.model is model
    assert callback.params == {"verbose": 0, "epochs": 3, "steps": None}


def test_defaults_come_last_and_are_not_added_twice():
    callback = Callback()
    added = CallbackList([callback], add_history=True, add_progbar=True).callbacks
    assert [type(c) for c in added] == [Callback, ProgbarLogger, History]
    history = History()
    given = CallbackList(history, add_history=True)
    assert given.callbacks == [history]
    assert given.history is history
    assert CallbackList(given).callbacks == [history]
    with pytest.raises(LookupError, match="Expected a History"):
        _ = CallbackList().history


def test_batch_logs_are_fetched_when_read():
    seen = []
    read = LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(logs["loss"]))
    blind = LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(len(logs)))
    loss, accuracy = Scalar(0.5), Scalar(1)
    CallbackList([blind]).on_train_batch_end(0, {"loss": loss})
    assert (seen, loss.reads) == ([1], 0)
    CallbackList([read, read]).on_train_batch_end(0, {"loss": loss, "acc": accuracy})
    assert seen == [1, 0.5, 0.5]
    assert type(seen[1]) is float
    assert (loss.reads, accuracy.reads) == (1, 0)


def test_batch_logs_are_a_mapping():
    def check(batch, logs):
        assert dict(logs) == logs.copy() == {"loss": 0.5, "acc": 1.0}
        assert repr(logs) == "{'loss': 0.5, 'acc': 1.0}"
        assert logs.get("mae") is None
        assert list(logs.items()) == [("loss", 0.5), ("acc", 1.0)]
        logs["extra"] = 1
        del logs["loss"]
        assert list(logs) == ["acc", "extra"]

    callbacks = CallbackList(LambdaCallback(on_test_batch_end=check))
    callbacks.on_test_batch_end(0, {"loss": Scalar(0.5), "acc": Scalar(1)})


def test_predictions_stay_arrays():
    seen = []
    hook = LambdaCallback(on_predict_batch_end=lambda b, logs: seen.append(logs))
    CallbackList(hook).on_predict_batch_end(0, {"outputs": np.zeros((4, 2))})
    assert seen[0]["outputs"].shape == (4, 2)


def test_epoch_logs_are_floats_that_callbacks_can_add_to(model):
    def add(epoch, logs):
        assert {key: np.array(value).tolist() for key, value in logs.items()} == {
            "loss": 0.5,
            "f1": [1.0, 1.0],
        }
        assert type(logs["loss"]) is float
        logs["learning_rate"] = 0.1

    callbacks = CallbackList(
        LambdaCallback(on_epoch_end=add), add_history=True, model=model
    )
    callbacks.on_train_begin()
    callbacks.on_epoch_end(4, {"loss": Scalar(0.5), "f1": np.ones(2)})
    assert callbacks.history.epoch == [4]
    assert callbacks.history.history["learning_rate"] == [0.1]
    assert model.history is callbacks.history


class PerBatch(Callback):
    """Overrides a batch hook."""

    def on_train_batch_end(self, batch, logs=None):
        pass


class OldStyle(Callback):
    """Overrides a batch hook by its other name."""

    def on_batch_begin(self, batch, logs=None):
        pass


@pytest.mark.parametrize(
    ("callbacks", "used", "every"),
    [
        ([], False, False),
        ([EarlyStopping(), History(), ModelCheckpoint("a.graphc")], False, False),
        ([ProgbarLogger()], True, False),
        ([TerminateOnNaN(), ProgbarLogger()], True, False),
        ([PerBatch(), ProgbarLogger()], True, True),
        ([OldStyle()], True, True),
        ([ModelCheckpoint("a.graphc", save_freq=5)], True, True),
        ([LambdaCallback(on_train_batch_begin=print)], True, True),
        ([LambdaCallback(on_test_batch_begin=print)], False, False),
        ([keras.callbacks.Callback()], True, True),
    ],
)
def test_whether_batch_hooks_matter(callbacks, used, every):
    callbacks = CallbackList(callbacks)
    assert callbacks.uses_batch_hooks("train") is used
    assert callbacks.needs_every_batch("train") is every
    assert callbacks.needs_every_batch("predict") is (
        any(not isinstance(c, Callback) for c in callbacks.callbacks)
    )


def test_callbacks_made_for_keras_work(model):
    class Noting(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.seen = (epoch, logs, self.model)

    noting = Noting()
    callbacks = CallbackList(noting, model=model)
    callbacks.on_train_batch_end(0, {})
    callbacks.on_epoch_end(1, {"loss": Scalar(2)})
    assert noting.seen == (1, {"loss": 2.0}, model)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (History, "History'>, a class: call it"),
        (5, "Received: 5"),
        (["callback"], "Received: 'callback'"),
    ],
)
def test_what_is_no_callback(callback, message):
    with pytest.raises(TypeError, match="Expected callbacks to be") as error:
        CallbackList(callback)
    assert str(error.value).endswith(message)
