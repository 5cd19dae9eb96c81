"""Recurrent layers and their wrappers against Keras on the same weights."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers, ops
from tests.closeness import Comparison, assert_close
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

F32 = "float32"
X = np.random.default_rng(5).normal(size=(3, 5, 2)).astype(F32)
MASK = np.array([
    [True, True, True, True, True],
    [True, True, False, False, False],
    [False, True, False, True, False],
])  # fmt: skip
STATE = np.random.default_rng(6).normal(size=(3, 4)).astype(F32)


def _cells(K: Any) -> list[Any]:
    return [K.layers.LSTMCell(4), K.layers.SimpleRNNCell(3), K.layers.GRUCell(4)]


ALL = {"return_sequences": True, "return_state": True}
CASES: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "simple": (lambda K: K.layers.SimpleRNN(4), {}),
    "simple_all": (lambda K: K.layers.SimpleRNN(4, **ALL), {}),
    "lstm": (lambda K: K.layers.LSTM(4), {}),
    "lstm_all": (lambda K: K.layers.LSTM(4, **ALL), {}),
    "lstm_masked": (lambda K: K.layers.LSTM(4, **ALL), {"mask": MASK}),
    "lstm_backwards": (
        lambda K: K.layers.LSTM(4, go_backwards=True, **ALL),
        {"mask": MASK},
    ),
    "lstm_zeros": (
        lambda K: K.layers.LSTM(4, zero_output_for_mask=True, return_sequences=True),
        {"mask": MASK},
    ),
    "lstm_no_bias": (lambda K: K.layers.LSTM(4, use_bias=False), {}),
    "lstm_relu": (
        lambda K: K.layers.LSTM(4, "relu", "hard_sigmoid", unit_forget_bias=False),
        {},
    ),
    "lstm_from": (lambda K: K.layers.LSTM(4), {"initial_state": [STATE, 2 * STATE]}),
    "gru": (lambda K: K.layers.GRU(4), {"mask": MASK}),
    "gru_all": (lambda K: K.layers.GRU(4, **ALL), {"initial_state": STATE}),
    "gru_before": (lambda K: K.layers.GRU(4, reset_after=False), {}),
    "gru_unrolled": (
        lambda K: K.layers.GRU(4, unroll=True, go_backwards=True),
        {"mask": MASK},
    ),
    "stacked": (lambda K: K.layers.RNN(_cells(K), return_sequences=True), {}),
    "stacked_masked": (
        lambda K: K.layers.RNN(_cells(K), return_sequences=True),
        {"mask": MASK},
    ),
    "bidirectional": (lambda K: K.layers.Bidirectional(K.layers.LSTM(3)), {}),
    "bidirectional_masked": (
        lambda K: K.layers.Bidirectional(K.layers.GRU(3, **ALL), merge_mode="sum"),
        {"mask": MASK},
    ),
    "bidirectional_both": (
        lambda K: K.layers.Bidirectional(
            K.layers.SimpleRNN(3, return_sequences=True), merge_mode=None
        ),
        {},
    ),
    "distributed": (lambda K: K.layers.TimeDistributed(K.layers.Dense(4)), {}),
    "distributed_steps": (
        lambda K: K.layers.TimeDistributed(K.layers.BatchNormalization()),
        {"training": True},
    ),
}


def flat(outputs: Any) -> list[Any]:
    """The outputs of a layer as a list."""
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def without_numbers(path: str) -> str:
    """A path without the numbers of made-up names."""
    return re.sub(r"_\d+", "", path)


def paths_below(layer: Any) -> list[str]:
    """The paths of a layer's weights, without the layer's own name."""
    return [without_numbers(w.path.partition("/")[2]) for w in layer.weights]


def keras_results(layer: Any, weights: Any, options: Any) -> dict[str, Any]:
    """Outputs, new state, losses and gradients of a layer, by Keras and jax."""
    jax = pytest.importorskip("jax")
    k = pytest.importorskip("keras").ops
    layer(X)
    layer.set_weights(weights)
    frozen = [v.value for v in layer.non_trainable_variables]

    def loss(values: Any, x: Any) -> Any:
        found, state, losses = layer.stateless_call(
            values, frozen, x, return_losses=True, **options
        )
        total = sum(k.sum(k.sin(y) * 0.5 + y) for y in flat(found)) + sum(losses)
        return total, (flat(found), state)

    trained = [v.value for v in layer.trainable_variables]
    (by_weight, by_input), (outputs, state) = jax.jit(
        jax.grad(loss, argnums=(0, 1), has_aux=True)
    )(trained, X)
    return {
        "weights": [w.path.partition("/")[2] for w in layer.weights],
        "outputs": outputs,
        "state": [s for s in state if s.dtype == F32],
        "gradients": [by_input, *by_weight],
    }


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_kerass(
    case: str, keras: Any, recorded: Any, rng: Any
) -> None:
    make, options = CASES[case]
    layer = make(graphc)
    layer(X)
    weights = [rng.uniform(-0.8, 0.8, w.shape).astype(F32) for w in layer.weights]
    layer.set_weights(weights)
    wanted = recorded(lambda: keras_results(make(keras), weights, options))
    assert paths_below(layer) == [without_numbers(w) for w in wanted["weights"]]

    def loss(x: Any) -> Any:
        outputs = flat(layer(x, **options))
        total = sum(ops.sum(ops.sin(y) * 0.5 + y) for y in outputs) + sum(layer.losses)
        return total, outputs

    (_, outputs), by_input = graphc.value_and_grad(loss, has_aux=True)(X)
    state = layer.non_trainable_weights
    layer.set_weights(weights)
    _, by_weight = graphc.value_and_grad(
        lambda: loss(X)[0], variables=layer.trainable_variables
    )()
    for ours, theirs in zip(outputs, wanted["outputs"], strict=True):
        assert_close(ours, theirs, Comparison.FRAMEWORK)
    for ours, theirs in zip([by_input, *by_weight], wanted["gradients"], strict=True):
        assert_close(ours, theirs, Comparison.FRAMEWORK)
    for ours, theirs in zip(state, wanted["state"], strict=True):
        assert_close(ours, theirs, Comparison.FRAMEWORK)


@pytest.mark.parametrize("case", CASES)
def test_config_round_trip(case: str, rng: Any) -> None:
    make, options = CASES[case]
    layer = make(graphc)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    wanted = flat(layer(X, **options))
    again(X)
    again.set_weights(layer.get_weights())
    if case != "distributed_steps":  # its moving averages have moved
        for ours, theirs in zip(flat(again(X, **options)), wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_symbolic_shapes_are_the_eager_ones(case: str) -> None:
    make, options = CASES[case]
    if options:
        return
    eager = flat(make(graphc)(X))
    for time in (None, 5):
        symbolic = flat(make(graphc)(graphc.Input((time, 2))))
        for ours, theirs in zip(symbolic, eager, strict=True):
            wanted = [None, *theirs.shape[1:]]
            if time is None and len(theirs.shape) == 3:
                wanted[1] = None
            assert (list(ours.shape), ours.dtype) == (wanted, theirs.dtype)


CONVOLUTIONAL: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("ConvLSTM1D", (2, 3, 5, 2), {"kernel_size": 2, "return_state": True}),
    (
        "ConvLSTM2D",
        (2, 3, 5, 4, 2),
        {
            "kernel_size": (3, 2),
            "strides": (2, 1),
            "padding": "same",
            "return_sequences": True,
            "go_backwards": True,
        },
    ),
    ("ConvLSTM2D", (2, 3, 5, 5, 2), {"kernel_size": 2, "dilation_rate": 2}),
    ("ConvLSTM3D", (1, 2, 3, 3, 2, 2), {"kernel_size": 2, "return_sequences": True}),
]


@pytest.mark.parametrize(("name", "shape", "options"), CONVOLUTIONAL)
def test_convolutional_recurrence_is_kerass(
    name: str, shape: Any, options: dict, keras: Any, recorded: Any, rng: Any
) -> None:
    x = rng.normal(size=shape).astype(F32)
    layer = getattr(layers, name)(2, **options)
    layer(x)
    weights = [rng.uniform(-1, 1, w.shape).astype(F32) for w in layer.weights]
    layer.set_weights(weights)

    def theirs() -> Any:
        twin = getattr(keras.layers, name)(2, **options)
        twin.build(shape)
        twin.set_weights(weights)
        return [w.name for w in twin.weights], twin(x)

    names, wanted = recorded(theirs)
    assert [w.name for w in layer.weights] == names
    assert_close(layer(x), wanted)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    first = type(layer)(2, data_format="channels_first", **options)
    moved = np.moveaxis(x, -1, 2)
    first(moved)
    first.set_weights(weights)
    outputs = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    found = first(moved)
    found = found if isinstance(found, (list, tuple)) else [found]
    for ours, other in zip(found, outputs, strict=True):
        axis = 2 if other.ndim == len(shape) else 1
        assert_close(np.moveaxis(ours, axis, -1), other)


def test_convolutional_recurrence_drops_and_keeps_states(rng: Any) -> None:
    x = rng.normal(size=(2, 3, 4, 4, 1)).astype(F32)
    layer = layers.ConvLSTM2D(2, 2, dropout=0.5, recurrent_dropout=0.5)
    found = np.asarray(layer(x, training=True))
    assert not np.array_equal(found, layer(x))
    keeps = layers.ConvLSTM2D(2, 2, stateful=True)
    assert not np.array_equal(keeps(x), keeps(x))
    with pytest.raises(ValueError, match="inputs of a known size"):
        layers.ConvLSTM2D(2, 2)(graphc.Input((3, None, 4, 1)))


def test_a_model_with_states_keeps_them_between_batches() -> None:
    x = np.random.default_rng(1).normal(size=(4, 3, 2)).astype(F32)
    states = [
        layers.LSTM(2, stateful=True, return_sequences=True),
        layers.GRU(3, stateful=True),
    ]
    model = graphc.Sequential([graphc.Input(batch_shape=(2, 3, 2)), *states])
    model.compile("sgd", "mse", target="numpy")
    found = model.predict(x, batch_size=2, verbose=0)
    for layer in states:
        layer.reset_state()
    assert_close(found, np.concatenate([model(x[:2]), model(x[2:])]))


def test_stateful_layers_go_on_where_they_ended(keras: Any, recorded: Any) -> None:
    weights = [np.full(s, 0.3, F32) for s in ((2, 12), (4, 12), (2, 12))]

    def results(K: Any) -> list[Any]:
        layer = K.layers.GRU(4, stateful=True, return_sequences=True)
        layer.build(X.shape)
        layer.set_weights(weights)
        found = [np.asarray(layer(X)), np.asarray(layer(X))]
        layer.reset_state()
        return [*found, np.asarray(layer(X))]

    ours = results(graphc)
    for mine, theirs in zip(ours, recorded(lambda: results(keras)), strict=True):
        assert_close(mine, theirs)
    np.testing.assert_array_equal(ours[0], ours[2])
    with pytest.raises(ValueError, match="batch size must be fixed"):
        layers.LSTM(2, stateful=True)(graphc.Input((5, 2)))


@pytest.mark.parametrize(
    ("kind", "rates"),
    [("SimpleRNN", (0.5, 0.0)), ("GRU", (0.0, 0.5)), ("LSTM", (0.5, 0.5))],
)
def test_all_steps_drop_the_same_elements(
    kind: str, rates: tuple[float, float]
) -> None:
    layer = getattr(layers, kind)(
        16, dropout=rates[0], recurrent_dropout=rates[1], return_sequences=True
    )
    x = np.ones((2, 6, 8), F32)
    plain = layer(x).numpy()
    np.testing.assert_array_equal(layer(x, training=False), plain)
    cell = layer.cell
    drawn: list[Any] = []

    @graphc.jit
    def masks(batch: Any) -> Any:
        with cell.drawn_masks(graphc.ops.shape(batch)[0], 8, True):
            with cell.drawn_masks(graphc.ops.shape(batch)[0], 8, True):
                drawn.append(cell._masks)
            return [m for m in trees_of(cell._masks) if m is not None]

    found = masks(x)
    per_gate = cell.gates if rates[1] and cell.gates > 1 else 1
    assert len(found) == per_gate * sum(rate > 0 for rate in rates)
    for mask in found:
        assert set(np.unique(mask)) == {0.0, 2.0}
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert not np.array_equal(first, plain)
    assert not np.array_equal(first, second)


def trees_of(masks: Any) -> list[Any]:
    """The masks of inputs and states as one list."""
    return [m for part in masks for m in (part if isinstance(part, list) else [part])]


def test_dropped_inputs_stay_dropped() -> None:
    layer = layers.SimpleRNN(
        8,
        activation=None,
        use_bias=False,
        dropout=0.5,
        kernel_initializer="identity",
        recurrent_initializer="zeros",
        return_sequences=True,
    )
    steps = layer(np.ones((4, 6, 8), F32), training=True).numpy()
    np.testing.assert_array_equal(steps, np.broadcast_to(steps[:, :1], steps.shape))
    assert set(np.unique(steps)) == {0.0, 2.0}


class Decay:
    """A cell that is no layer."""

    state_size = 2

    def call(self, inputs: Any, states: Any) -> Any:
        state = states[0] * 0.5 + inputs
        return state, [state]


class NoisyCell(layers.Layer):
    """A cell with a layer that draws random numbers."""

    state_size = 3
    output_size = 3

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.dense = layers.Dense(3)
        self.dropout = layers.Dropout(0.5)

    def build(self, input_shape: Any) -> None:
        self.dense.build((input_shape[0], input_shape[1] + 3))

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        joined = ops.concatenate([inputs, states[0]], axis=-1)
        state = self.dropout(self.dense(joined), training=training)
        return state, [state]


def test_cells_of_ones_own() -> None:
    outputs = layers.RNN(Decay(), return_sequences=True)(X).numpy()
    state = np.zeros((3, 2), F32)
    for step in range(5):
        state = state * 0.5 + X[:, step]
        assert_close(outputs[:, step], state)
    noisy = layers.RNN(NoisyCell(), return_sequences=True)
    assert noisy(X).shape == (3, 5, 3)
    dropped = noisy(X, training=True).numpy() == 0
    assert dropped.any()
    assert not dropped.all()
    assert len(noisy.weights) == 2


def test_an_encoder_and_a_decoder(rng: Any) -> None:
    source, target = graphc.Input((None, 2)), graphc.Input((None, 3))
    _, hidden, carry = layers.LSTM(4, return_state=True, name="encoder")(source)
    decoder = layers.LSTM(4, return_sequences=True, name="decoder")
    outputs = layers.TimeDistributed(layers.Dense(3))(
        decoder(target, initial_state=[hidden, carry])
    )
    model = graphc.Model([source, target], outputs)
    y = rng.normal(size=(3, 7, 3)).astype(F32)
    first = model([X, y]).numpy()
    assert first.shape == (3, 7, 3)
    assert not np.array_equal(model([2 * X, y]), first)
    model.compile("adam", "mse", target="numpy")
    before = model.evaluate([X, y], y, verbose=0)
    model.fit([X, y], y, epochs=3, batch_size=3, verbose=0)
    assert model.evaluate([X, y], y, verbose=0) < before


def _classifier(K: Any) -> Any:
    inputs = K.Input((6,), dtype="int32")
    x = K.layers.Embedding(10, 4, mask_zero=True, name="embedding")(inputs)
    x = K.layers.Bidirectional(K.layers.LSTM(3, return_sequences=True), name="both")(x)
    x = K.layers.GRU(4, name="gru")(x)
    return K.Model(inputs, K.layers.Dense(1, name="dense")(x))


def test_training_on_masked_text_is_kerass(keras: Any, recorded: Any, rng: Any) -> None:
    tokens = rng.integers(1, 10, (8, 6)).astype("int32")
    tokens[:4, 3:] = 0
    labels = rng.integers(0, 2, (8, 1)).astype(F32)
    ours = _classifier(graphc)
    weights = [rng.normal(size=w.shape).astype(F32) * 0.4 for w in ours.weights]

    def results(K: Any, model: Any, **options: Any) -> list[Any]:
        model.set_weights(weights)
        loss = K.losses.BinaryCrossentropy(from_logits=True)
        model.compile(K.optimizers.SGD(0.5), loss, **options)
        losses = [float(model.train_on_batch(tokens, labels)) for _ in range(4)]
        weights_now = [w.value for w in model.weights]
        return [losses, [np.asarray(w) for w in weights_now]]

    wanted = recorded(lambda: results(keras, _classifier(keras)))
    losses, trained = results(graphc, ours, target="numpy")
    assert_close(losses, wanted[0])
    for mine, theirs in zip(trained, wanted[1], strict=True):
        assert_close(mine, theirs)


def test_saved_models_run_the_same(tmp_path: Any) -> None:
    inputs = graphc.Input((5, 2))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(inputs)
    x = layers.TimeDistributed(layers.Dense(4, activation="relu"))(x)
    x = layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(2)])(x)
    model = graphc.Model(inputs, x)
    path = tmp_path / "model.graphc"
    model.save(path)
    loaded = graphc.models.load_model(path)
    np.testing.assert_array_equal(loaded(X), model(X))
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]


def test_time_distributed_layers_see_one_batch_or_steps(rng: Any) -> None:
    frames = rng.normal(size=(2, 3, 6, 6, 1)).astype(F32)
    inner = graphc.Sequential([layers.Conv2D(2, 3), layers.Flatten()])
    outer = layers.TimeDistributed(inner)
    together = outer(frames).numpy()
    for step in range(3):
        assert_close(together[:, step], inner(frames[:, step]))

    # Keras leaves the penalty out: each step has its mean over the batch.
    dense = layers.Dense(
        1,
        use_bias=False,
        kernel_initializer="ones",
        activity_regularizer=lambda y: ops.sum(y),
    )
    penalized = layers.TimeDistributed(dense)
    penalized(X)
    assert_close(sum(penalized.losses), X.sum() / 3)

    class Centred(layers.Layer):
        def call(self, x: Any) -> Any:
            return x - ops.mean(x, axis=0, keepdims=True)

    centred = layers.TimeDistributed(Centred())(X).numpy()
    assert_close(centred, X - X.mean(0, keepdims=True))


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="`state_size` attribute"):
        layers.RNN(layers.Dense(3))
    with pytest.raises(ValueError, match="only unroll a fixed number of steps"):
        layers.LSTM(3, unroll=True)(graphc.Input((None, 2)))
    with pytest.raises(ValueError, match=r"has 2 states. .*with 1 tensors"):
        layers.LSTM(4)(X, initial_state=[STATE])
    with pytest.raises(ValueError, match=r"merge_mode='max'"):
        layers.Bidirectional(layers.LSTM(3), merge_mode="max")
    with pytest.raises(ValueError, match=r"needs a layer\. Received: layer=3"):
        layers.Bidirectional(3)
    with pytest.raises(ValueError, match="One of the two layers must go backwards"):
        layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(3))
    with pytest.raises(ValueError, match="must have the same `return_sequences`"):
        layers.Bidirectional(
            layers.LSTM(3),
            backward_layer=layers.LSTM(3, go_backwards=True, return_sequences=True),
        )
    with pytest.raises(ValueError, match="at least 3"):
        layers.TimeDistributed(layers.Dense(3))(np.ones((2, 3), F32))
    with pytest.raises(ValueError, match=r"first two axes of the mask"):
        layers.TimeDistributed(layers.Dense(3))(X, mask=MASK[:, :2])
    with pytest.raises(ValueError, match="`units`"):
        layers.LSTM(0)
    with pytest.raises(ValueError, match=r"passed to LSTMCell: .*recurrent_dropout"):
        layers.LSTM(3, recurent_dropout=0.1)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_mixed_precision(kind: str) -> None:
    layer = getattr(layers, kind)(4, dtype="mixed_bfloat16", return_state=True)
    output, *states = layer(X)
    assert {t.dtype for t in (output, *states)} == {"bfloat16"}
    assert {w.dtype for w in layer.weights} == {"float32"}


def test_a_bidirectional_layer_made_again_has_the_same_weights():
    def weights() -> list[np.ndarray]:
        graphc.utils.set_random_seed(5)
        layer = layers.Bidirectional(layers.GRU(3))
        layer.build((None, 4, 2))
        return [np.asarray(weight) for weight in layer.weights]

    for first, second in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(first, second)
