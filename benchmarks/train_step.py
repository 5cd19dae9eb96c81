"""What does a training step cost beside the same step in plain jax and in Keras?

    KERAS_BACKEND=jax taskset -c 0 python benchmarks/train_step.py

An MLP 784-128-10 with Adam on batches of 32. All contestants start from the same
weights and see the same batch; the losses of the first five steps must agree before
anything is timed.
"""

from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
from timing import interleaved, table

import graphc


def build(framework, weights=None, steps=1):
    """The model in graphc or Keras, with the given initial weights.

    `steps` is how many steps of `fit` make a block.
    """
    layers = framework.layers
    model = framework.Sequential(
        [
            framework.Input((784,)),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )
    loss = framework.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam = framework.optimizers.Adam(1e-3)
    model.compile(adam, loss, steps_per_execution=steps)
    if weights is not None:
        model.set_weights(weights)
    return model


class PlainJax:
    """The same step written by hand: state donated, one jitted function."""

    def __init__(self, weights):
        self.state = [jnp.asarray(w) for w in weights]
        self.moments = [jnp.zeros_like(w) for w in self.state for _ in (0, 1)]
        self.count = jnp.zeros((), jnp.int32)
        self.step = jax.jit(self._step, donate_argnums=(0, 1, 2))

    @staticmethod
    def _step(state, moments, count, x, y):
        def loss(state):
            w1, b1, w2, b2 = state
            logits = jax.nn.relu(x @ w1 + b1) @ w2 + b2
            chosen = jax.nn.log_softmax(logits)[jnp.arange(len(y)), y]
            return -chosen.mean()

        value, gradients = jax.value_and_grad(loss)(state)
        count = count + 1
        t = count.astype(jnp.float32)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        new_state, new_moments = [], []
        for i, (w, g) in enumerate(zip(state, gradients, strict=True)):
            m, v = moments[2 * i], moments[2 * i + 1]
            m = m + (g - m) * (1 - 0.9)
            v = v + (g * g - v) * (1 - 0.999)
            new_state.append(w - rate * m / (jnp.sqrt(v) + 1e-7))
            new_moments += [m, v]
        return value, new_state, new_moments, count

    def __call__(self, x, y):
        value, self.state, self.moments, self.count = self.step(
            self.state, self.moments, self.count, x, y
        )
        return float(value)


def main() -> None:
    """Checks that the losses agree, then prints the table."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 784)).astype("float32")
    y = rng.integers(0, 10, 32).astype("int32")
    theirs = build(keras)
    weights = [np.asarray(w) for w in theirs.get_weights()]
    ours = build(graphc, weights)
    plain = PlainJax(weights)
    step = ours.step("train_step")

    def graphc_step():
        return float(step((x, y))["loss"])

    for _ in range(5):
        wanted = plain(x, y)
        ours.reset_metrics()
        theirs.reset_metrics()
        assert abs(graphc_step() - wanted) < 1e-4
        assert abs(theirs.train_on_batch(x, y) - wanted) < 1e-4
    contestants = {
        "plain jax.jit": lambda: plain(x, y),
        "graphc compiled step": graphc_step,
        "graphc train_on_batch": lambda: ours.train_on_batch(x, y),
        "keras (jax) train_on_batch": lambda: theirs.train_on_batch(x, y),
    }
    print(table(interleaved(contestants), "plain jax.jit"))
    data, labels = np.repeat(x, 48, axis=0), np.repeat(y, 48)
    fits = {
        f"{name} fit, 48 steps{how}": partial(model.fit, data, labels, verbose=0)
        for how, steps in (("", 1), (" by 16", 16))
        for name, model in (
            ("graphc", build(graphc, weights, steps)),
            ("keras", build(keras, weights, steps)),
        )
    }
    losses = [fit(shuffle=False).history["loss"] for fit in fits.values()]
    np.testing.assert_allclose(losses, losses[:1] * 4, rtol=1e-3)
    print(table(interleaved(fits, rounds=20, inner=1), "graphc fit, 48 steps"))


if __name__ == "__main__":
    main()
