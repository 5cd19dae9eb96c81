"""Training in narrower floats: by Keras's dtype policies and by `precision`.

Keras's results are recorded; see `tests.frontend.recorded`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir import PassError
from graphc.ir.tolerance import TOLERANCES, rmse
from graphc.ir.types import BF16, F16, DType
from tests.closeness import assert_close
from tests.frontend.recorded import archive, keras, recorded
from tests.frontend.twins import Twins, twins

__all__ = ["archive", "keras", "recorded", "twins"]

F32 = np.float32
Make = Callable[..., Twins]
DTYPES = {"mixed_bfloat16": BF16, "mixed_float16": F16}
HELD = {"mixed_bfloat16": BF16, "bfloat16": BF16, "mixed_float16": F16, "float16": F16}
STEPS = 5


def dense(K: Any) -> Any:
    hidden = K.layers.Dense(32, activation="gelu")
    return K.Sequential([K.Input((32,)), hidden, K.layers.Dense(3)])


def normalized(K: Any) -> Any:
    hidden = [K.layers.Dense(32), K.layers.LayerNormalization()]
    return K.Sequential([K.Input((32,)), *hidden, K.layers.Dense(3)])


def convolutional(K: Any) -> Any:
    stages = [
        K.layers.Reshape((8, 4)),
        K.layers.Conv1D(32, 3, padding="same"),
        K.layers.BatchNormalization(),
        K.layers.ReLU(),
        K.layers.MaxPooling1D(2),
        K.layers.Flatten(),
    ]
    return K.Sequential([K.Input((32,)), *stages, K.layers.Dense(3)])


def attentive(K: Any) -> Any:
    inputs = K.Input((32,))
    x = K.layers.Reshape((4, 8))(inputs)
    x = x + K.layers.MultiHeadAttention(2, 16)(x, x)
    x = K.layers.GlobalAveragePooling1D()(K.layers.LayerNormalization()(x))
    return K.Model(inputs, K.layers.Dense(3)(x))


MODELS = [dense, normalized, convolutional, attentive]


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.normal(size=(64, 32)).astype(F32)


@pytest.fixture
def labels(rng: np.random.Generator) -> Any:
    return rng.integers(0, 3, 64)


@pytest.fixture(autouse=True)
def same_policy_afterwards() -> Iterator[None]:
    yield
    graphc.mixed_precision.set_global_policy("float32")


def classify(K: Any) -> dict[str, Any]:
    loss = K.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {"optimizer": K.optimizers.SGD(0.05), "loss": loss}


def losses(model: Any, x: Any, labels: Any) -> list[float]:
    found = []
    for _ in range(STEPS):
        found.append(float(model.train_on_batch(x, labels)))
        model.reset_metrics()
    return found


def assert_near(found: Any, wanted: Any, dtype: DType) -> None:
    """Fails unless the error is what rounding to a dtype makes, as a whole."""
    wanted = np.asarray(wanted, np.float64)
    allowed = TOLERANCES[dtype].relative * rmse(wanted, np.zeros_like(wanted))
    # Narrow results are rounded once more on each side.
    assert rmse(found, wanted) <= 4 * allowed


@pytest.mark.parametrize(
    ("build", "policy"),
    [
        (build, policy)
        for build in MODELS
        for policy in DTYPES
        # Keras on jax has no attention in float16 on a CPU.
        if (build, policy) != (attentive, "mixed_float16")
    ],
)
def test_models_of_a_policy_train_as_in_keras(
    twins: Make, build: Any, policy: str, x: Any, labels: Any
) -> None:
    def in_policy(K: Any) -> Any:
        K.mixed_precision.set_dtype_policy(policy)
        try:
            return build(K)
        finally:
            K.mixed_precision.set_dtype_policy("float32")

    pair = twins(in_policy)
    weights = [0.2 * (w - 0.5) if w.ndim > 1 else w for w in pair.ours.get_weights()]
    pair.each(lambda model, _: model.set_weights(weights))
    pair.compile(classify)
    outputs = pair.ours.predict_on_batch(x)
    wanted = pair.recorded(
        lambda: np.asarray(pair.theirs.predict_on_batch(x)).astype(F32)
    )
    assert outputs.dtype == DTYPES[policy].numpy
    assert_near(outputs.astype(F32), wanted, DTYPES[policy])
    found = losses(pair.ours, x, labels)
    expected = pair.recorded(lambda: losses(pair.theirs, x, labels))
    assert_near(found, expected, DTYPES[policy])
    assert all(w.dtype == "float32" for w in pair.ours.trainable_weights)


def trained(build: Any, weights: Any, x: Any, labels: Any, **options: Any) -> Any:
    """A model after some steps, its outputs before them and its losses."""
    model = build(graphc)
    model.set_weights(weights)
    model.compile(**classify(graphc), target="numpy", **options)
    before = np.asarray(model.predict_on_batch(x))
    return model, before, losses(model, x, labels)


@pytest.mark.parametrize(
    ("build", "precision"),
    [
        *((build, "mixed_bfloat16") for build in MODELS),
        (convolutional, "mixed_float16"),
        (attentive, "bfloat16"),
        (dense, "float16"),
    ],
)
def test_float32_models_train_in_a_precision(
    build: Any, precision: str, x: Any, labels: Any
) -> None:
    weights = build(graphc).get_weights()
    _, outputs, wanted = trained(build, weights, x, labels)
    model, narrow, found = trained(build, weights, x, labels, precision=precision)
    assert narrow.dtype == F32
    assert_near(narrow, outputs, HELD[precision])
    assert_near(found, wanted, HELD[precision])
    assert all(w.dtype == "float32" for w in model.weights)
    in_half = precision.endswith("_float16") or precision == "float16"
    assert hasattr(model.optimizer, "dynamic_scale") == in_half


def test_the_dtype_is_in_the_program(x: Any, labels: Any) -> None:
    model = dense(graphc)
    model.compile(**classify(graphc), target="numpy", precision="mixed_bfloat16")
    model.train_on_batch(x, labels)
    (program,) = model.step("train_step").programs.values()
    assert "bf16" not in str(program.graph)
    assert "bf16[64,32]" in program.executables[-1].text


def test_a_policy_and_a_precision_keep_sums_in_float32(x: Any) -> None:
    graphc.mixed_precision.set_global_policy("mixed_bfloat16")
    layer = graphc.layers.Dense(8)
    graphc.mixed_precision.set_global_policy("float32")

    def entropy(x: Any) -> Any:
        shares = graphc.ops.exp(layer(x))
        return graphc.ops.log(graphc.ops.sum(shares, axis=-1))

    layer.build((None, 32))
    dtypes = {
        precision: {
            line.rpartition(" : ")[2].partition("[")[0]
            for line in graphc.compile(
                entropy, x, target="numpy", precision=precision
            ).text.splitlines()
            if any(
                f"= {name}(" in line for name in ("exponential", "reduce_sum", "log")
            )
        }
        for precision in ("float32", "mixed_bfloat16")
    }
    assert dtypes == {"float32": {"bf16"}, "mixed_bfloat16": {"f32"}}


def test_jit_takes_a_precision() -> None:
    x = np.full((64, 64), 1 / 3, F32)
    product = graphc.jit(lambda x: x @ x, target="numpy", precision="bfloat16")
    rounded = x.astype(BF16.numpy).astype(F32)
    assert_close(product(x).numpy(), rounded @ rounded)


def test_unknown_precisions_are_refused() -> None:
    model = dense(graphc)
    with pytest.raises(PassError, match="unknown precision"):
        model.compile("sgd", "mse", precision="half")
    assert not model.compiled
    with pytest.raises(PassError, match="there is float32, mixed_bfloat16"):
        graphc.jit(lambda x: x, precision=None)  # type: ignore[arg-type]


def test_precision_is_saved(tmp_path: Any, x: Any, labels: Any) -> None:
    model = dense(graphc)
    model.compile(**classify(graphc), precision="bfloat16")
    path = tmp_path / "model.graphc"
    model.save(path)
    loaded = graphc.models.load_model(path)
    assert loaded.compile_options.precision == "bfloat16"


# -- loss scaling ------------------------------------------------------------------------

OVERFLOWS = (2, 3, 7)
"""The batches of ten in which a gradient is not finite."""


def half_steps(K: Any) -> dict[str, Any]:
    inner = K.optimizers.SGD(0.1, momentum=0.9)
    optimizer = K.optimizers.LossScaleOptimizer(
        inner, initial_scale=64.0, dynamic_growth_steps=2
    )
    return {"optimizer": optimizer, "loss": "mse"}


def overflowing(rng: np.random.Generator) -> tuple[Any, Any]:
    """Ten batches of four; in some of them an input is infinite."""
    x = rng.normal(size=(40, 32)).astype(F32)
    for number in OVERFLOWS:
        x[4 * number + 1, 2] = np.inf
    return x, rng.normal(size=(40, 3)).astype(F32)


def scaled_state(model: Any) -> list[Any]:
    """The weights and the scale."""
    variables = [*model.trainable_variables, model.optimizer.dynamic_scale]
    return [np.asarray(v.value) for v in variables]


@pytest.mark.parametrize(
    ("target", "steps"),
    [
        ("numpy", 1),
        ("xla", 4),
        pytest.param("triton:interpreter", 5, marks=pytest.mark.slow),
    ],
)
def test_overflows_are_skipped_as_in_keras(
    twins: Make, rng: np.random.Generator, target: str, steps: int
) -> None:
    pair = twins(
        lambda K: K.Sequential([K.Input((32,)), K.layers.Dense(3)]), target=target
    )
    pair.compile(lambda K: half_steps(K) | {"steps_per_execution": steps})
    x, y = overflowing(rng)

    def fit(model: Any) -> list[Any]:
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        return scaled_state(model)

    found = fit(pair.ours)
    wanted = pair.recorded(lambda: fit(pair.theirs))
    for ours, theirs in zip(found, wanted, strict=True):
        assert_close(ours, theirs)
    assert int(pair.ours.optimizer.iterations) == 10 - len(OVERFLOWS)


def test_gradients_that_vanish_in_float16_are_kept_by_the_scale(
    rng: np.random.Generator,
) -> None:
    """A gradient of 1e-9 is 0 in float16; scaled by 2^15 it is not."""
    x = rng.normal(size=(64, 32)).astype(F32)

    def moved(**options: Any) -> float:
        layers = [graphc.layers.Dense(32), graphc.layers.Dense(32)]
        model = graphc.Sequential([graphc.Input((32,)), *layers])
        model.set_weights([np.full(w.shape, 0.1, F32) for w in model.weights])
        model.compile(
            graphc.optimizers.SGD(1e6),
            lambda y, z: graphc.ops.sum(z, axis=-1) * 1e-7,
            target="numpy",
            **options,
        )
        before = model.layers[0].kernel.numpy().copy()
        model.train_on_batch(x, np.zeros((64, 32), F32))
        change = model.layers[0].kernel.numpy() - before
        assert np.isfinite(change).all()
        return rmse(change, np.zeros_like(change))

    wanted = moved()
    assert moved(precision="mixed_float16", auto_scale_loss=False) < 0.1 * wanted
    assert_close(np.float16(moved(precision="mixed_float16")), wanted)
