"""SwapEMAWeights; the fake model's averages are -1."""

import numpy as np
import pytest

from graphc.frontend.callbacks import SwapEMAWeights


@pytest.mark.parametrize("run", ["test", "predict"])
def test_averages_are_in_place_during_a_run(run, model):
    callback = SwapEMAWeights()
    callback.set_model(model)
    model.weights = [np.full(1, 5.0)]
    getattr(callback, f"on_{run}_begin")()
    assert model.weights == [-1.0]
    getattr(callback, f"on_{run}_end")()
    assert model.weights == [5.0]


def test_averages_from_the_end_of_an_epoch_to_the_next(model):
    callback = SwapEMAWeights(swap_on_epoch=True)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    model.weights = [np.full(1, 5.0)]
    callback.on_epoch_end(0)
    callback.on_test_begin()
    callback.on_test_end()
    assert model.weights == [-1.0]
    callback.on_epoch_begin(1)
    assert model.weights == [5.0]
    callback.on_epoch_end(1)
    callback.on_train_end()
    assert model.weights == [-1.0]
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    assert model.weights == [-1.0]


def test_an_optimizer_without_averages(model):
    model.optimizer.use_ema = False
    callback = SwapEMAWeights()
    callback.set_model(model)
    with pytest.raises(ValueError, match="Expected an optimizer with `use_ema=True`"):
        callback.on_test_begin()
