"""A model with its own training step: gradients, optimizer and metrics by hand.

The whole step is traced into one graph, as the default one is.
"""

import numpy as np

import graphc as keras
from graphc import layers, ops


class Autoencoder(keras.Model):
    """Reconstructs its input from a narrow code, with a penalty on the code."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.encoder = layers.Dense(code, activation="tanh")
        self.decoder = layers.Dense(width)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.penalty_tracker = keras.metrics.Mean(name="penalty")

    def call(self, x):
        return self.decoder(self.encoder(x))

    def train_step(self, data):
        x = data[0] if isinstance(data, tuple) else data

        def loss():
            code = self.encoder(x)
            penalty = 1e-3 * ops.mean(ops.abs(code))
            error = ops.mean(ops.square(self.decoder(code) - x))
            return error + penalty, penalty

        variables = self.trainable_variables
        (total, penalty), gradients = keras.value_and_grad(
            loss, has_aux=True, variables=variables
        )()
        self.optimizer.apply(gradients, variables)
        self.loss_tracker.update_state(total)
        self.penalty_tracker.update_state(penalty)
        return {metric.name: metric.result() for metric in self.metrics}


x = np.random.default_rng(0).normal(size=(512, 16)).astype("float32")
x[:, 8:] = x[:, :8] * 0.5
model = Autoencoder(16, 8)
model.compile(optimizer=keras.optimizers.Adam(1e-2))
model.fit(x, batch_size=64, epochs=5)
