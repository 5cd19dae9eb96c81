"""TerminateOnNaN."""

import numpy as np
import pytest

from graphc.frontend.callbacks import TerminateOnNaN


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_stops_at_a_loss_that_is_no_number(loss, model, capsys):
    callback = TerminateOnNaN()
    callback.set_model(model)
    callback.on_train_batch_end(0, {"loss": 1e30})
    callback.on_train_batch_end(1, {})
    assert not model.stop_training
    callback.on_train_batch_end(2, {"loss": loss})
    assert model.stop_training
    said = capsys.readouterr().out
    assert said.startswith("Batch 2: Invalid loss, terminating training. model.find_")


def test_raises_on_request(model):
    callback = TerminateOnNaN(raise_error=True)
    callback.set_model(model)
    with pytest.raises(RuntimeError, match="Received: loss=nan at batch 3"):
        callback.on_train_batch_end(3, {"loss": np.nan})
