"""Layers that multiply 8-bit floats with delayed scaling.

Keras's results are recorded; see `tests.frontend.recorded`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphc
from graphc.frontend.dtype_policies import QuantizedFloat8DTypePolicy
from graphc.ir.types import BF16
from tests.closeness import assert_alike
from tests.frontend.recorded import archive, keras, recorded
from tests.frontend.twins import Twins, twins

__all__ = ["archive", "keras", "recorded", "twins"]

F32 = np.float32
LARGEST = {
    "inputs": F32(ml_dtypes.finfo("float8_e4m3fn").max),
    "kernel": F32(ml_dtypes.finfo("float8_e4m3fn").max),
    "outputs_grad": F32(ml_dtypes.finfo("float8_e5m2").max),
}
LENGTH = 4
STEPS = 7


def policy(K: Any = graphc, length: int = LENGTH) -> Any:
    return K.dtype_policies.QuantizedFloat8DTypePolicy(
        "float8", "float32", amax_history_length=length
    )


def network(K: Any = graphc, dtype: Any = None) -> Any:
    return K.Sequential(
        [
            K.Input((8,)),
            K.layers.Dense(16, activation="tanh", use_bias=False, dtype=dtype),
            K.layers.EinsumDense("ab,bc->ac", 3, dtype=dtype),
        ]
    )


def sgd(K: Any = graphc) -> dict[str, Any]:
    return {"optimizer": K.optimizers.SGD(0.05), "loss": "mse"}


@pytest.fixture
def batches(rng: np.random.Generator) -> list[tuple[Any, Any]]:
    """Batches whose largest magnitudes rise and fall."""
    sizes = [1.0, 8.0, 0.5, 0.0, 2.0, 1.0, 4.0]
    return [
        ((size * rng.normal(size=(16, 8))).astype(F32), rng.normal(size=(16, 3)))
        for size in sizes
    ]


def test_training_is_that_of_keras(
    twins: Callable[..., Twins], batches: list[tuple[Any, Any]]
) -> None:
    pair = twins(lambda K: network(K, policy(K)))
    state = [np.ones_like(w) if w.ndim == 0 else w for w in pair.ours.get_weights()]
    state = [0 * w if w.shape == (LENGTH,) else w for w in state]
    pair.each(lambda model, _: model.set_weights(state))
    pair.compile(sgd)
    for x, y in batches:
        found = pair.ours.train_on_batch(x, y)
        loss = pair.recorded(lambda x=x, y=y: train(pair.theirs, x, y))
        assert_alike(found, loss, BF16)
        wanted = pair.recorded(
            lambda: [(w.path, np.asarray(w.value)) for w in pair.theirs.weights]
        )
        for ours, (path, value) in zip(pair.ours.weights, wanted, strict=True):
            assert ours.path == path
            # Float32 rounded otherwise may be rounded to another number of 8 bits.
            assert_alike(ours.numpy(), value, BF16)


def train(model: Any, x: Any, y: Any) -> Any:
    return model.train_on_batch(x, y)


def by_hand(
    scale: np.float32, history: np.ndarray, largest: np.float32, x: np.ndarray
) -> tuple[np.float32, np.ndarray]:
    """The next scale and history: the latest first, the others from the end."""
    amax = history.max()
    if amax > 0:
        scale = F32(1) / (largest / amax)
    rolled = np.roll(history, -1)
    rolled[0] = np.abs(x).max()
    return scale, rolled


def test_scales_follow_the_histories(batches: list[tuple[Any, Any]]) -> None:
    layer = graphc.layers.Dense(3, use_bias=False, dtype=policy())
    model = graphc.Sequential([graphc.Input((8,)), layer])
    model.compile(graphc.optimizers.SGD(0.05), "mse", target="numpy")
    state = {name: (F32(1), np.zeros(LENGTH, F32)) for name in LARGEST}
    for x, y in batches:
        prediction = model.predict_on_batch(x)
        gradient = F32(2 / prediction.size) * (prediction - y.astype(F32))
        seen = {"inputs": x, "kernel": layer.kernel.numpy(), "outputs_grad": gradient}
        model.train_on_batch(x, y)
        for name, largest in LARGEST.items():
            state[name] = by_hand(*state[name], largest, seen[name])
            scale, history = state[name]
            if name == "outputs_grad":  # the loss may round otherwise
                found = getattr(layer, f"{name}_amax_history").numpy()
                assert_alike(found, history, BF16)
                continue
            assert getattr(layer, f"{name}_scale").numpy() == scale
            assert np.array_equal(
                getattr(layer, f"{name}_amax_history").numpy(), history
            )


@pytest.mark.parametrize("length", [0, 16])
def test_an_mlp_trains_as_well_as_in_float32(
    rng: np.random.Generator, length: int
) -> None:
    x = rng.normal(size=(64, 8)).astype(F32)
    y = np.tanh(x[:, :3] - x[:, 3:6])

    def loss(dtype: Any) -> tuple[float, float]:
        graphc.utils.set_random_seed(0)
        model = network(dtype=dtype)
        model.compile(graphc.optimizers.Adam(0.02), "mse", target="numpy")
        history = model.fit(x, y, batch_size=64, epochs=30, verbose=0).history["loss"]
        return history[0], history[-1]

    start, reached = loss("float32")
    _, rounded = loss(policy(length=length))
    assert reached < 0.1 * start
    assert rounded < 0.1 * start
    assert rounded != reached


def test_checkpoints_keep_the_state(
    tmp_path: Path, batches: list[tuple[Any, Any]]
) -> None:
    graphc.utils.clear_session()
    model = network(dtype=policy())
    model.compile(**sgd(), target="numpy")
    for x, y in batches[:3]:
        model.train_on_batch(x, y)
    model.save(tmp_path / "model.graphc")
    loaded = graphc.load_model(tmp_path / "model.graphc")
    assert loaded.layers[0].dtype_policy == policy()
    loaded.compile(**sgd(), target="numpy")
    for x, y in batches[3:]:
        loaded.train_on_batch(x, y)
        model.train_on_batch(x, y)
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        assert ours.path == theirs.path
        assert np.array_equal(ours.numpy(), theirs.numpy())


def test_a_built_model_is_quantized(batches: list[tuple[Any, Any]]) -> None:
    model = network()
    model.compile(target="numpy")
    x, y = batches[0]
    plain = model.predict(x, verbose=0)
    model.quantize("float8", filters="einsum")
    first, second = model.layers
    assert first.quantization_mode is None
    assert second.dtype_policy.name == "float8_from_float32"
    assert second.inputs_amax_history.shape == (1024,)
    assert second.inputs_scale.path == f"{second.kernel.path[:-6]}inputs_scale"
    model.compile(**sgd(), target="numpy")
    model.train_on_batch(x, y)
    assert second.inputs_amax_history.numpy()[0] > 0
    assert not np.array_equal(model.predict(x, verbose=0), plain)
    with pytest.raises(ValueError, match="already quantized with dtype_policy='float8"):
        second.quantize("float8")
    with pytest.raises(ValueError, match="mode='int8'"):
        first.quantize("int8")
    with pytest.raises(ValueError, match="isn't yet built"):
        graphc.layers.Dense(2).quantize("float8")


def test_the_loss_scale_does_not_reach_the_state(
    batches: list[tuple[Any, Any]],
) -> None:
    found = []
    for scaled in (False, True):
        graphc.utils.set_random_seed(0)
        model = network(dtype=policy())
        optimizer = graphc.optimizers.SGD(0.05)
        if scaled:
            optimizer = graphc.optimizers.LossScaleOptimizer(optimizer, 4.0)
        model.compile(optimizer, "mse", target="numpy")
        for x, y in batches[:2]:
            model.train_on_batch(x, y)
        layer = model.layers[0]
        found.append((layer.inputs_scale.numpy(), layer.inputs_amax_history.numpy()))
    (scale, history), (other, others) = found
    assert scale == other
    assert np.array_equal(history, others)


@pytest.mark.parametrize("rounds", [False, True])
def test_a_float32_bias_is_rounded_beside_8_bit_floats(rounds: bool) -> None:
    bias = np.array([1.001, -0.3, 3.1416], F32)
    for layer in (
        graphc.layers.Dense(3, dtype=policy() if rounds else None),
        graphc.layers.EinsumDense(
            "ab,bc->ac", 3, bias_axes="c", dtype=policy() if rounds else None
        ),
    ):
        layer.build((2, 4))
        layer.bias.assign(bias)
        wanted = bias.astype(ml_dtypes.bfloat16) if rounds else bias
        found = np.asarray(layer(np.zeros((2, 4), F32)))
        assert np.array_equal(found, np.stack([wanted.astype(F32)] * 2))


def test_one_history_is_for_one_call_in_a_step(batches: list[tuple[Any, Any]]) -> None:
    layer = graphc.layers.Dense(8, dtype=policy())
    inputs = graphc.Input((8,))
    model = graphc.Model(inputs, layer(layer(inputs))[:, :3])
    model.compile(**sgd(), target="numpy")
    model.predict_on_batch(batches[0][0])
    with pytest.raises(ValueError, match=r"called twice.*amax_history_length=0"):
        model.train_on_batch(*batches[0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("int8",), ValueError, "mode='int8'"),
        (("float8", "float32", -1), ValueError, "amax_history_length=-1"),
        (("float8", "float32", 1.5), TypeError, "amax_history_length=1.5"),
        (("float8", "float33"), ValueError, "name='float33'"),
    ],
)
def test_what_is_no_policy_is_refused(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        QuantizedFloat8DTypePolicy(*arguments)
