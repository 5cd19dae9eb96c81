"""Normalization and attention layers against Keras, one test for what is special."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers
from graphc.frontend.layers.soft_attention import SoftAttention
from tests.closeness import assert_close
from tests.frontend.layers.test_against_keras import F32, random_weights
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]


def inputs(rng: np.random.Generator, *shapes: tuple[int, ...]) -> list[Any]:
    return [rng.normal(size=shape).astype(F32) for shape in shapes]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_bias": False, "sliding_window": 2},
        {"use_gate": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("scores", [False, True])
def test_group_query_attention(
    options: dict[str, Any], scores: bool, keras: Any, recorded: Any, rng: Any
) -> None:
    arguments = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
    query, value = inputs(rng, (2, 5, 6), (2, 4, 6))
    mask = rng.integers(0, 2, (2, 5, 4)).astype(bool)
    mask |= np.eye(5, 4, dtype=bool) | np.eye(5, 4, -1, dtype=bool)
    call = {"attention_mask": mask, "return_attention_scores": scores}
    layer = layers.GroupQueryAttention(**arguments, **options)
    layer(query, value)
    weights = random_weights(layer, rng)

    def theirs() -> Any:
        twin = keras.layers.GroupQueryAttention(**arguments, **options)
        twin(query, value)
        assert [w.path.split("/", 1)[1] for w in twin.weights] == [
            w.path.split("/", 1)[1] for w in layer.weights
        ]
        twin.set_weights(weights)
        found = twin(query, value, **call)
        return list(found) if scores else [found]

    found = layer(query, value, **call)
    found = list(found) if scores else [found]
    for ours, wanted in zip(found, recorded(theirs), strict=True):
        assert_close(np.asarray(ours), wanted)
    again = layers.GroupQueryAttention.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


class Heads:
    """A MultiHeadAttention layer with random weights, and what Keras's makes of them."""

    def __init__(
        self, keras: Any, recorded: Any, rng: Any, *given: Any, **options: Any
    ):
        self._keras, self._recorded, self._given = keras, recorded, given
        self._options = {"num_heads": 2, "key_dim": 3, **options}
        self.layer = layers.MultiHeadAttention(**self._options)
        self.layer(*given)
        self.weights = random_weights(self.layer, rng)

    def check(self, **call: Any) -> None:
        """The layer, and one from its config, give what Keras's gives."""

        def theirs() -> list[Any]:
            twin = self._keras.layers.MultiHeadAttention(**self._options)
            twin(*self._given)
            twin.set_weights(self.weights)
            return parts(twin(*self._given, **call))

        wanted = self._recorded(theirs)
        again = layers.MultiHeadAttention.from_config(self.layer.get_config())
        again(*self._given)
        again.set_weights(self.weights)
        for each in (self.layer, again):
            found = parts(each(*self._given, **call))
            for ours, expected in zip(found, wanted, strict=True):
                assert_close(np.asarray(ours), expected)


def parts(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple) else [found]


@pytest.fixture
def heads(keras: Any, recorded: Any, rng: Any) -> partial[Heads]:
    return partial(Heads, keras, recorded, rng)


def test_windows_and_gates_of_all_heads(heads: partial[Heads], rng: Any) -> None:
    (x,) = inputs(rng, (2, 5, 6))
    heads(x, x, sliding_window=2, use_gate=True).check(use_causal_mask=True)


@pytest.mark.parametrize(
    ("shape", "options", "causal"),
    [
        ((2, 3, 4, 5), {}, False),
        ((2, 3, 4, 5), {"attention_axes": 2, "output_shape": (2, 3)}, False),
        ((2, 3, 4, 5), {"attention_axes": (1,), "output_shape": 6}, True),
        ((2, 3, 2, 4, 5), {"attention_axes": (-2, 1), "flash_attention": False}, False),
    ],
    ids=str,
)
def test_attention_along_axes(
    shape: tuple[int, ...],
    options: dict[str, Any],
    causal: bool,
    heads: partial[Heads],
    rng: Any,
) -> None:
    layer = heads(*inputs(rng, shape, shape), **options)
    layer.check(return_attention_scores=True, use_causal_mask=causal)


def test_masks_of_attention_along_axes(heads: partial[Heads], rng: Any) -> None:
    (x,) = inputs(rng, (2, 3, 4, 5))
    whole = rng.integers(0, 2, (2, 3, 4, 3, 4)).astype(bool) | (np.arange(4) == 0)
    rows = whole[:, 0, :, 0]
    for axes, mask in (((1, 2), whole), ((2,), rows)):
        heads(x, x, attention_axes=axes).check(attention_mask=mask)
    # Masks of steps, as layers before attach them: as if the steps were not there.
    layer = layers.MultiHeadAttention(2, 3)
    kept = np.broadcast_to(np.arange(4) < 3, (2, 3, 4))
    masked = layer(x, x, value_mask=kept)
    assert_close(np.asarray(masked), np.asarray(layer(x, x[:, :, :3])))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Attention", {}),
        ("Attention", {"use_scale": True, "score_mode": "concat"}),
        ("Attention", {"use_scale": True}),
        ("AdditiveAttention", {}),
        ("AdditiveAttention", {"use_scale": False}),
    ],
)
@pytest.mark.parametrize("causal", [False, True])
def test_soft_attention(
    name: str,
    options: dict[str, Any],
    causal: bool,
    keras: Any,
    recorded: Any,
    rng: Any,
) -> None:
    given = inputs(rng, (2, 4, 3), (2, 5, 6), (2, 5, 3))
    masks = [rng.integers(0, 2, shape).astype(bool) for shape in ((2, 4), (2, 5))]
    masks[1][:, 0] = True
    call = {"return_attention_scores": True, "use_causal_mask": causal}
    layer = getattr(layers, name)(**options)
    layer(given)
    weights = random_weights(layer, rng)

    def theirs() -> Any:
        twin = getattr(keras.layers, name)(**options)
        twin(given)
        twin.set_weights(weights)
        found = [*twin(given, mask=masks, **call), *twin(given, **call)]
        return found, [w.name for w in twin.weights]

    found = [*layer(given, mask=masks, **call), *layer(given, **call)]
    wanted, names = recorded(theirs)
    assert [w.name for w in layer.weights] == names
    for ours, expected in zip(found, wanted, strict=True):
        assert_close(np.asarray(ours), expected)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_attention_weights_are_dropped_in_training(rng: Any) -> None:
    given = inputs(rng, (2, 4, 3), (2, 5, 3))
    for layer in (layers.Attention(dropout=0.5), layers.AdditiveAttention(dropout=0.5)):
        _, weights = layer(given, training=True, return_attention_scores=True)
        dropped = np.asarray(weights) == 0
        assert dropped.any()
        assert not dropped.all()


def test_masks_reach_soft_attention() -> None:
    tokens = graphc.Input((4,), dtype="int32")
    embedded = layers.Embedding(5, 3, mask_zero=True)(tokens)
    attended = layers.Attention()([embedded, embedded])
    model = graphc.Model(tokens, [embedded, attended])
    x = np.array([[1, 2, 0, 0]])
    values, found = (np.asarray(y) for y in model(x))
    used = values[0, :2]
    shares = np.exp(used @ used.T)
    assert_close(found[0, :2], shares / shares.sum(-1, keepdims=True) @ used)
    assert not found[0, 2:].any()


@pytest.mark.parametrize("iterations", [1, 3])
def test_spectral_normalization(
    iterations: int, keras: Any, recorded: Any, rng: Any
) -> None:
    (x,) = inputs(rng, (2, 5, 5, 2))

    def made(library: Any) -> Any:
        inner = library.layers.Conv2D(3, 2)
        layer = library.layers.SpectralNormalization(inner, power_iterations=iterations)
        layer(x)
        return layer

    layer = made(graphc)
    weights = random_weights(layer, rng)

    def results(layer: Any) -> Any:
        layer.set_weights(weights)
        found = [layer(x, training=True), layer(x, training=True), layer(x)]
        return [*map(np.asarray, [*found, *(w.value for w in layer.weights)])]

    for ours, wanted in zip(
        results(layer), recorded(lambda: results(made(keras))), strict=True
    ):
        assert_close(ours, wanted)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_a_kernel_of_zeros_stays() -> None:
    layer = layers.SpectralNormalization(
        layers.Dense(2, kernel_initializer="zeros", bias_initializer="ones")
    )
    x = np.ones((1, 3), F32)
    layer(x)
    before = layer.get_weights()
    assert np.asarray(layer(x, training=True)).tolist() == [[1.0, 1.0]]
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("axis", [-1, None, (1, 2)])
def test_normalization_adapts(axis: Any, keras: Any, recorded: Any, rng: Any) -> None:
    (data,) = inputs(rng, (7, 3, 4))
    layer = layers.Normalization(axis=axis)
    layer.adapt(data)

    def theirs() -> Any:
        twin = keras.layers.Normalization(axis=axis)
        twin.adapt(data)
        return [twin(data), *(w.value for w in twin.weights)]

    y, mean, variance, count = recorded(theirs)
    assert_close(np.asarray(layer(data)), y)
    for ours, wanted in zip(layer.get_weights(), (mean, variance, count), strict=True):
        assert_close(ours, wanted)
    kept = {None: (1, 1, 1), -1: (1, 1, 4), (1, 2): (1, 3, 4)}[axis]
    assert layer.mean.shape == layer.variance.shape == kept
    assert_close(layer.mean.reshape(mean.shape), mean)
    inverse = layers.Normalization(axis=axis, invert=True)
    inverse.adapt([(data[:3], None), (data[3:], None)])
    assert_close(np.asarray(inverse(y)), data)


def test_normalization_by_what_is_given() -> None:
    layer = layers.Normalization(mean=[1.0, 2.0], variance=4.0 * np.ones(2))
    x = np.array([[3.0, 2.0]], F32)
    again = type(layer).from_config(layer.get_config())
    for made in (layer, again):
        assert np.asarray(made(x)).tolist() == [[1.0, 0.0]]
    with pytest.raises(ValueError, match="was given its statistics"):
        layer.adapt(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.GroupNormalization(0), "groups=0"),
        (lambda: layers.GroupNormalization(2).build((None, 3)), "groups=2, axis=-1"),
        (lambda: layers.Normalization(mean=1.0), "mean=1.0 and variance=None"),
        (lambda: layers.Normalization(axis=2).build((None, 3)), r"axis=\(2,\)"),
        (lambda: layers.Normalization().adapt([]), "no batches"),
        (lambda: layers.Attention(score_mode="sum"), "score_mode='sum'"),
        (lambda: layers.Attention()(np.ones((1, 2, 3), F32)), "on a list of inputs"),
        (lambda: layers.GroupQueryAttention(2, 3, 2), "num_key_value_heads=2"),
        (
            lambda: layers.MultiHeadAttention(1, 2)(*[np.ones((1, 2), F32)] * 2),
            "rank 2",
        ),
        (
            lambda: layers.MultiHeadAttention(1, 2, attention_axes=3)(
                *[np.ones((1, 2, 2, 2), F32)] * 2
            ),
            r"attention_axes=\(3,\) for inputs of rank 4",
        ),
        (
            lambda: layers.MultiHeadAttention(1, 2)(
                *[np.ones((1, 2, 2, 2), F32)] * 2, use_causal_mask=True
            ),
            r"no order.*attention_axes=\(1, 2\)",
        ),
        (
            lambda: layers.GroupQueryAttention(2, 2, 2, sliding_window=0),
            "sliding_window=0",
        ),
        (
            lambda: layers.SpectralNormalization(layers.ReLU()).build((None, 2)),
            "a `kernel` or `embeddings`",
        ),
        (
            lambda: layers.SpectralNormalization(layers.Dense(1), power_iterations=0),
            "power_iterations=0",
        ),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_bases_need_scores() -> None:
    layer = SoftAttention(False, 0.0, None)
    with pytest.raises(NotImplementedError, match="must define `_scores`"):
        layer([np.ones((1, 2, 3), F32)] * 2)
