"""A training loop by hand, as Keras has it on JAX: state goes in, new state comes out.

The code is that of Keras's guide, with graphc's `value_and_grad` and `jit` in the place
of jax's. Each step is one compiled graph.
"""

import numpy as np

import graphc as keras
from graphc import layers

x = np.random.default_rng(0).normal(size=(512, 16)).astype("float32")
y = x[:, :4].argmax(axis=1)

model = keras.Sequential(
    [
        keras.Input((16,)),
        layers.Dense(32, activation="relu"),
        layers.BatchNormalization(),
        layers.Dense(4),
    ]
)
loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
optimizer = keras.optimizers.Adam(1e-2)
accuracy = keras.metrics.SparseCategoricalAccuracy()
optimizer.build(model.trainable_variables)


def compute_loss(trainable, non_trainable, metric_state, x, y):
    """The loss of a batch, and the state that its computation changes."""
    y_pred, non_trainable = model.stateless_call(
        trainable, non_trainable, x, training=True
    )
    metric_state = accuracy.stateless_update_state(metric_state, y, y_pred)
    return loss_fn(y, y_pred), (non_trainable, metric_state)


gradient = keras.value_and_grad(compute_loss, has_aux=True)


@keras.jit
def train_step(state, x, y):
    """The loss of a batch, and the state after the update."""
    trainable, non_trainable, optimizer_state, metric_state = state
    (loss, (non_trainable, metric_state)), gradients = gradient(
        trainable, non_trainable, metric_state, x, y
    )
    trainable, optimizer_state = optimizer.stateless_apply(
        optimizer_state, gradients, trainable
    )
    return loss, (trainable, non_trainable, optimizer_state, metric_state)


groups = [
    model.trainable_variables,
    model.non_trainable_variables,
    optimizer.variables,
    accuracy.variables,
]
state = tuple([variable.value for variable in group] for group in groups)
for epoch in range(5):
    state = (*state[:3], accuracy.stateless_reset_state())
    for start in range(0, len(x), 64):
        rows = slice(start, start + 64)
        loss, state = train_step(state, x[rows], y[rows])
    result = accuracy.stateless_result(state[3])
    print(f"epoch {epoch}: loss {float(loss):.4f}, accuracy {float(result):.4f}")

for group, values in zip(groups, state, strict=True):
    for variable, value in zip(group, values, strict=True):
        variable.assign(value)
print(model.predict(x[:2], verbose=0).shape)
