"""ProgbarLogger: what a training prints where lines cannot be overwritten."""

import re

from graphc.frontend.callbacks import CallbackList, ProgbarLogger


def without_times(text):
    return re.sub(r"\d+s \d+[mu]?s/step|\d+s - \d+[mu]?s/step", "TIME", text)


def run(model, verbose, epochs=2, steps=3, validate=True):
    callbacks = CallbackList(
        ProgbarLogger(), model=model, verbose=verbose, epochs=epochs, steps=steps
    )
    callbacks.on_train_begin()
    for epoch in range(epochs):
        callbacks.on_epoch_begin(epoch)
        for batch in range(3):
            callbacks.on_train_batch_begin(batch)
            callbacks.on_train_batch_end(batch, {"loss": 9.0})
        if validate:
            callbacks.on_test_begin()
            callbacks.on_test_batch_end(0, {"loss": 8.0})
            callbacks.on_test_end({"loss": 8.0})
        callbacks.on_epoch_end(epoch, {"loss": 0.5, "val_loss": 8.0})
    callbacks.on_train_end()


def test_one_line_per_epoch_in_a_log_file(model, capsys):
    run(model, verbose=1)
    line = "3/3 ━━━━━━━━━━━━━━━━━━━━ TIME - loss: 0.5000 - val_loss: 8.0000"
    assert without_times(capsys.readouterr().out).splitlines() == [
        *("Epoch 1/2", line, "Epoch 2/2", line)
    ]


def test_verbose_2(model, capsys):
    run(model, verbose=2, epochs=1)
    assert without_times(capsys.readouterr().out) == (
        "3/3 - TIME - loss: 0.5000 - val_loss: 8.0000\n"
    )


def test_silence(model, capsys):
    run(model, verbose=0)
    assert capsys.readouterr().out == ""


def test_steps_are_known_after_the_first_epoch(model, capsys):
    callbacks = CallbackList(
        ProgbarLogger(), model=model, verbose=1, epochs=1, steps=None
    )
    for epoch, steps in enumerate((3, 1)):  # the second one is cut short
        callbacks.on_epoch_begin(epoch)
        for batch in range(steps):
            callbacks.on_train_batch_end(batch, {})
        callbacks.on_epoch_end(epoch, {})
    assert without_times(capsys.readouterr().out).splitlines() == [
        "3/3 ━━━━━━━━━━━━━━━━━━━━ TIME",
        "1/3 ━━━━━━────────────── TIME",
    ]


def test_evaluate_and_predict(model, capsys):
    for kind, logs in (("test", {"loss": 0.25}), ("predict", {"outputs": [1, 2]})):
        callbacks = CallbackList(
            add_progbar=True, model=model, verbose=1, epochs=1, steps=2
        )
        getattr(callbacks, f"on_{kind}_begin")()
        for batch in range(2):
            getattr(callbacks, f"on_{kind}_batch_end")(batch, logs)
        getattr(callbacks, f"on_{kind}_end")(logs)
    assert without_times(capsys.readouterr().out).splitlines() == [
        "2/2 ━━━━━━━━━━━━━━━━━━━━ TIME - loss: 0.2500",
        "2/2 ━━━━━━━━━━━━━━━━━━━━ TIME",
    ]
