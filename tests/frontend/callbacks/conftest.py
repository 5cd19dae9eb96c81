"""A model that callbacks cannot tell from a real one."""

from types import SimpleNamespace

import numpy as np
import pytest


class FakeModel:
    """What callbacks use of a model. Its one weight is the number of the epoch."""

    def __init__(self):
        self.optimizer = SimpleNamespace(learning_rate=1.0, use_ema=True)
        self.optimizer.finalize_variable_values = self.average
        self.stop_training = False
        self.metrics = []
        self.trainable_variables = ["kernel"]
        self.weights = [np.zeros(1)]
        self.saved = []
        self.history = None

    def get_weights(self):
        return [w.copy() for w in self.weights]

    def set_weights(self, weights):
        self.weights = [w.copy() for w in weights]

    def average(self, variables):
        assert variables == ["kernel"]
        self.weights = [np.full(1, -1.0)]

    def save(self, path, overwrite=True):
        self.saved.append(("model", path))

    def save_weights(self, path, overwrite=True):
        self.saved.append(("weights", path))


@pytest.fixture
def model():
    return FakeModel()


@pytest.fixture
def train(model):
    """Runs callbacks through epochs of given logs; returns those of each epoch."""

    def run(callback, epochs, model=model):
        model.stop_training = False
        callback.set_model(model)
        callback.set_params({"verbose": 0, "epochs": len(epochs), "steps": 1})
        callback.on_train_begin({})
        seen = []
        for epoch, logs in enumerate(epochs):
            callback.on_epoch_begin(epoch, {})
            model.weights = [np.full(1, float(epoch))]
            logs = dict(logs)
            callback.on_epoch_end(epoch, logs)
            seen.append(logs)
            if model.stop_training:
                break
        callback.on_train_end({})
        return seen

    return run
