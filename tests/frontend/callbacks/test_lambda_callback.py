"""LambdaCallback."""

import pytest

from graphc.frontend.callbacks import LambdaCallback


def test_functions_become_hooks(train):
    calls = []
    callback = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: calls.append(("epoch", epoch)),
        on_train_end=lambda logs: calls.append(("end", logs)),
        on_test_begin=lambda logs: calls.append(("test", logs)),
    )
    train(callback, [{}, {}])
    callback.on_test_begin({})
    assert calls == [("epoch", 0), ("epoch", 1), ("end", {}), ("test", {})]
    assert not callback.uses_batch_hooks("train")
    assert LambdaCallback(on_batch_end=print).uses_batch_hooks("train")


def test_unknown_hooks():
    with pytest.raises(ValueError, match="Received: 'on_epoch_ends'"):
        LambdaCallback(on_epoch_ends=print)
