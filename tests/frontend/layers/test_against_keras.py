"""Every layer against Keras on the same weights: outputs, gradients, config.

Keras's results are recorded; see `tests.frontend.recorded`.
"""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers, ops
from tests.closeness import Comparison, assert_close
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

F32 = "float32"

# name, constructor arguments, input shapes (a list for several), call arguments
CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("Dense", {"units": 4}, (2, 3)),
    ("Dense", {"units": 4, "activation": "relu", "use_bias": False}, (2, 5, 3)),
    ("Dense", {"units": 3, "activation": "softmax"}, (2, 3)),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 6),
                     "bias_axes": "d"}, (2, 3, 4)),
    ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 5}, (2, 3, 4)),
    ("Activation", {"activation": "gelu"}, (2, 3)),
    ("Activation", {"activation": "tanh"}, (2, 3)),
    ("Identity", {}, (2, 3)),
    ("ReLU", {}, (2, 3)),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, (2, 7)),
    ("LeakyReLU", {"negative_slope": 0.2}, (2, 3)),
    ("ELU", {"alpha": 0.7}, (2, 3)),
    ("PReLU", {"shared_axes": [1]}, (2, 3, 4)),
    ("Softmax", {"axis": 1}, (2, 3, 4)),
    ("Conv1D", {"filters": 4, "kernel_size": 3}, (2, 9, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal",
                "dilation_rate": 2}, (2, 9, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
     (2, 9, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": 3}, (2, 8, 7, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": (3, 2), "strides": 2, "padding": "same",
                "activation": "relu"}, (2, 8, 7, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 2}, (2, 8, 7, 4)),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "dilation_rate": (2, 1)},
     (2, 8, 7, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2}, (2, 5, 4, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2,
                         "padding": "same"}, (2, 5, 4, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2,
                         "padding": "same", "output_padding": 1}, (2, 5, 4, 3)),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}, (2, 8, 7, 3)),
    ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2, "padding": "same"},
     (2, 8, 7, 3)),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3}, (2, 8, 7, 3)),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "padding": "same",
                         "depth_multiplier": 2, "strides": 2}, (2, 8, 7, 3)),
    ("MaxPooling1D", {"pool_size": 2}, (2, 9, 3)),
    ("MaxPooling2D", {}, (2, 8, 7, 3)),
    ("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}, (2, 8, 7, 3)),
    ("AveragePooling1D", {"pool_size": 3, "strides": 1, "padding": "same"}, (2, 9, 3)),
    ("AveragePooling2D", {"pool_size": 2}, (2, 8, 7, 3)),
    ("AveragePooling2D", {"pool_size": 3, "padding": "same"}, (2, 8, 7, 3)),
    ("GlobalAveragePooling1D", {}, (2, 8, 3)),
    ("GlobalAveragePooling2D", {"keepdims": True}, (2, 8, 7, 3)),
    ("GlobalMaxPooling1D", {}, (2, 8, 3)),
    ("GlobalMaxPooling2D", {}, (2, 8, 7, 3)),
    ("BatchNormalization", {}, (4, 3)),
    ("BatchNormalization", {"momentum": 0.5, "epsilon": 0.1}, (4, 5, 6, 3)),
    ("BatchNormalization", {"axis": 1, "scale": False}, (4, 3, 5)),
    ("LayerNormalization", {}, (4, 6)),
    ("LayerNormalization", {"axis": [1, 2], "epsilon": 0.1}, (4, 3, 5)),
    ("RMSNormalization", {}, (4, 6)),
    ("Rescaling", {"scale": 1 / 255, "offset": -0.5}, (2, 3)),
    ("Flatten", {}, (2, 3, 4)),
    ("Reshape", {"target_shape": (4, 3)}, (2, 3, 4)),
    ("Reshape", {"target_shape": (-1, 2)}, (2, 3, 4)),
    ("Permute", {"dims": (2, 1)}, (2, 3, 4)),
    ("RepeatVector", {"n": 3}, (2, 4)),
    ("ZeroPadding2D", {"padding": ((1, 0), (2, 3))}, (2, 3, 4, 2)),
    ("Cropping2D", {"cropping": ((1, 0), (1, 1))}, (2, 5, 6, 2)),
    ("UpSampling2D", {"size": (2, 3)}, (2, 3, 4, 2)),
    ("Add", {}, [(2, 3), (2, 3)]),
    ("Add", {}, [(2, 1, 3), (2, 4, 1), (2, 4, 3)]),
    ("Subtract", {}, [(2, 3), (2, 3)]),
    ("Multiply", {}, [(2, 3), (2, 3)]),
    ("Average", {}, [(2, 3), (2, 3)]),
    ("Maximum", {}, [(2, 3), (2, 3)]),
    ("Minimum", {}, [(2, 3), (2, 3)]),
    ("Concatenate", {}, [(2, 3), (2, 4)]),
    ("Concatenate", {"axis": 1}, [(2, 3, 4), (2, 5, 4)]),
    ("Dot", {"axes": 1}, [(2, 3), (2, 3)]),
    ("Dot", {"axes": (2, 1), "normalize": True}, [(2, 3, 4), (2, 4, 5)]),
    ("Dropout", {"rate": 0.5}, (2, 3)),
    ("GaussianNoise", {"stddev": 0.5}, (2, 3)),
    ("SpatialDropout1D", {"rate": 0.5}, (2, 3, 4)),
    ("SpatialDropout2D", {"rate": 0.5}, (2, 3, 4, 5)),
    ("Masking", {}, (2, 3, 4)),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (2, 3)),
    ("GroupNormalization", {"groups": 2}, (3, 4, 6)),
    ("GroupNormalization", {"groups": -1, "axis": 1, "epsilon": 0.1}, (2, 4, 3, 2)),
    ("GroupNormalization", {"groups": 3, "scale": False, "center": False}, (2, 5, 6)),
    ("UnitNormalization", {}, (4, 6)),
    ("UnitNormalization", {"axis": [1, 2]}, (4, 3, 5)),
    ("Conv3D", {"filters": 4, "kernel_size": 2, "groups": 2, "strides": (1, 2, 1)},
     (2, 4, 5, 4, 2)),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 4, "strides": 3,
                         "padding": "same"}, (2, 5, 2)),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "strides": 2},
     (1, 2, 3, 2, 3)),
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2,
                         "dilation_rate": 2}, (2, 9, 3)),
    ("SeparableConv1D", {"filters": 5, "kernel_size": 3, "padding": "same"},
     (2, 8, 3)),
    ("MaxPooling3D", {"pool_size": (1, 2, 2), "padding": "same"}, (2, 3, 5, 4, 2)),
    ("AveragePooling3D", {"pool_size": 2, "strides": 1}, (2, 3, 5, 4, 2)),
    ("GlobalAveragePooling3D", {}, (2, 3, 5, 4, 2)),
    ("GlobalMaxPooling3D", {"keepdims": True}, (2, 3, 5, 4, 2)),
    ("AdaptiveAveragePooling1D", {"output_size": 3}, (2, 7, 2)),
    ("AdaptiveAveragePooling2D", {"output_size": (3, 2)}, (2, 7, 5, 2)),
    ("AdaptiveAveragePooling3D", {"output_size": 2}, (2, 3, 5, 4, 2)),
    ("AdaptiveMaxPooling1D", {"output_size": 3}, (2, 7, 2)),
    ("AdaptiveMaxPooling2D", {"output_size": (3, 2)}, (2, 7, 5, 2)),
    ("AdaptiveMaxPooling3D", {"output_size": 2}, (2, 3, 5, 4, 2)),
    ("ZeroPadding1D", {"padding": (2, 0)}, (2, 4, 3)),
    ("ZeroPadding3D", {"padding": (1, 2, 0)}, (2, 2, 3, 4, 2)),
    ("Cropping1D", {"cropping": (2, 0)}, (2, 4, 3)),
    ("Cropping3D", {"cropping": ((1, 0), (0, 2), (1, 1))}, (2, 2, 3, 4, 2)),
    ("UpSampling1D", {"size": 3}, (2, 4, 3)),
    ("UpSampling2D", {"size": (2, 3), "interpolation": "bilinear"}, (2, 3, 4, 2)),
    ("UpSampling3D", {"size": (1, 2, 3)}, (2, 2, 3, 4, 2)),
    ("AlphaDropout", {"rate": 0.3}, (2, 3)),
    ("GaussianDropout", {"rate": 0.3}, (2, 3)),
    ("SpatialDropout3D", {"rate": 0.5}, (2, 3, 4, 5, 2)),
]  # fmt: skip
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(CASES)]


def arrays(shapes: Any, rng: np.random.Generator) -> Any:
    if isinstance(shapes, list):
        return [arrays(shape, rng) for shape in shapes]
    return rng.normal(size=shapes).astype(F32)


def random_weights(layer: Any, rng: np.random.Generator) -> list[np.ndarray]:
    weights = [rng.uniform(0.2, 1.0, w.shape).astype(F32) for w in layer.weights]
    layer.set_weights(weights)
    return weights


def keras_results(layer: Any, x: Any, weights: Any, options: Any) -> dict[str, Any]:
    """The weights of a layer, its output, new state and gradients, by Keras and jax."""
    jax = pytest.importorskip("jax")
    ops = pytest.importorskip("keras").ops
    layer.build([a.shape for a in x] if isinstance(x, list) else x.shape)
    layer.set_weights(weights)
    frozen = [v.value for v in layer.non_trainable_variables]

    @jax.jit
    def gradients(values: Any, inputs: Any) -> Any:
        def loss(values: Any, inputs: Any) -> Any:
            y, state = layer.stateless_call(values, frozen, inputs, **options)
            return ops.sum(ops.sin(y) * 0.5 + y), (y, state)

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(values, inputs)

    trained = [v.value for v in layer.trainable_variables]
    (by_weight, by_input), (y, state) = gradients(trained, x)
    return {
        "weights": [(w.name, list(w.shape)) for w in layer.weights],
        "output": y,
        # Random layers have another kind of random state.
        "state": [s for s in state if s.dtype == F32],
        "by_weight": by_weight,
        "by_input": by_input if isinstance(by_input, list) else [by_input],
    }


@pytest.mark.parametrize(("name", "arguments", "shapes"), CASES, ids=IDS)
def test_outputs_and_gradients_are_kerass(
    name: str, arguments: dict, shapes: Any, keras: Any, recorded: Any, rng: Any
) -> None:
    layer = getattr(layers, name)(**arguments)
    x = arrays(shapes, rng)
    layer(x)
    weights = random_weights(layer, rng)
    options = {"training": True} if name == "BatchNormalization" else {}

    def theirs() -> Any:
        twin = getattr(keras.layers, name)(**arguments)
        return keras_results(twin, x, weights, options)

    wanted = recorded(theirs)
    assert [(w.name, list(w.shape)) for w in layer.weights] == wanted["weights"]

    def loss(inputs: Any) -> Any:
        y = layer(inputs, **options)
        return ops.sum(ops.sin(y) * 0.5 + y), y

    ((_, y), by_input) = graphc.value_and_grad(loss, has_aux=True)(x)
    assert_close(y, wanted["output"])
    by_input = by_input if isinstance(by_input, list) else [by_input]
    for ours, theirs in zip(by_input, wanted["by_input"], strict=True):
        assert_close(ours, theirs, Comparison.FRAMEWORK)
    for ours, theirs in zip(layer.non_trainable_weights, wanted["state"], strict=True):
        assert_close(ours, theirs, Comparison.FRAMEWORK)
    if layer.trainable_variables:
        _, by_weight = graphc.value_and_grad(
            lambda: loss(x)[0], variables=layer.trainable_variables
        )()
        for ours, theirs in zip(by_weight, wanted["by_weight"], strict=True):
            assert_close(ours, theirs, Comparison.FRAMEWORK)


@pytest.mark.parametrize(("name", "arguments", "shapes"), CASES, ids=IDS)
def test_symbolic_shape_is_the_eager_one(
    name: str, arguments: dict, shapes: Any, rng: Any
) -> None:
    def symbolic(shape: Any) -> Any:
        if isinstance(shape, list):
            return [symbolic(s) for s in shape]
        return graphc.Input(shape[1:])

    x = arrays(shapes, rng)
    output = getattr(layers, name)(**arguments)(symbolic(shapes))
    eager = getattr(layers, name)(**arguments)(x)
    assert output.shape == (None, *eager.shape[1:])
    assert output.dtype == eager.dtype


@pytest.mark.parametrize(("name", "arguments", "shapes"), CASES, ids=IDS)
def test_config_round_trip(name: str, arguments: dict, shapes: Any, rng: Any) -> None:
    layer = getattr(layers, name)(**arguments)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    x = arrays(shapes, rng)
    layer(x)
    again(x)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


@pytest.mark.parametrize("tied", [True, False])
def test_reversible_embedding(tied: bool, keras: Any, recorded: Any, rng: Any) -> None:
    x = np.array([[1, 2, 0], [3, 0, 0]])
    vectors = rng.normal(size=(2, 3)).astype(F32)
    tables = [rng.normal(size=shape).astype(F32) for shape in ((5, 3), (3, 5))]

    def results(K: Any) -> Any:
        layer = K.layers.ReversibleEmbedding(5, 3, tied, logit_soft_cap=2.0)
        layer.build()
        layer.set_weights(tables[: 2 - tied])
        return layer(x), layer(vectors, reverse=True)

    assert_close(results(graphc), recorded(lambda: results(keras)))


def test_embedding_and_mask(keras: Any, recorded: Any) -> None:
    x = np.array([[1, 2, 0], [3, 0, 0]])
    table = np.arange(15, dtype=F32).reshape(5, 3)

    def results(K: Any) -> Any:
        embedding = K.layers.Embedding(5, 3, mask_zero=True)
        inputs = K.Input((3,), dtype="int32")
        pooled = K.layers.GlobalAveragePooling1D()(embedding(inputs))
        embedding.set_weights([table])
        return np.asarray(embedding(x)), K.Model(inputs, pooled).predict(x, verbose=0)

    for ours, theirs in zip(
        results(graphc), recorded(lambda: results(keras)), strict=True
    ):
        assert_close(ours, theirs, Comparison.FRAMEWORK)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scores", [False, True])
def test_multi_head_attention(
    causal: bool, masked: bool, scores: bool, keras: Any, recorded: Any, rng: Any
) -> None:
    query = rng.normal(size=(2, 5, 6)).astype(F32)
    value = rng.normal(size=(2, 5, 4)).astype(F32)
    layer = layers.MultiHeadAttention(num_heads=2, key_dim=3)
    layer(query, value)
    weights = random_weights(layer, rng)
    options: dict[str, Any] = {
        "use_causal_mask": causal,
        "return_attention_scores": scores,
    }
    if masked:
        mask = rng.integers(0, 2, (2, 5, 5)).astype(bool)
        mask[:, :, 0] = True
        options["attention_mask"] = mask

    def theirs() -> Any:
        twin = keras.layers.MultiHeadAttention(num_heads=2, key_dim=3)
        twin(query, value)
        twin.set_weights(weights)
        found = twin(query, value, **options)
        return list(found) if scores else [found]

    found = layer(query, value, **options)
    found = list(found) if scores else [found]
    for ours, wanted in zip(found, recorded(theirs), strict=True):
        assert_close(ours, wanted)


def test_values_of_another_size_in_attention(rng: Any) -> None:
    # Keras 3.15.1 fails here; each head is attention by hand.
    query = rng.normal(size=(2, 5, 6)).astype(F32)
    layer = layers.MultiHeadAttention(num_heads=2, key_dim=3, value_dim=4)
    found, scores = layer(query, query, return_attention_scores=True)
    weights = {w.path.split("/")[-2] + "/" + w.name: w.numpy() for w in layer.weights}
    project = {
        part: np.einsum("btf,fhd->bthd", query, weights[f"{part}/kernel"])
        for part in ("query", "key", "value")
    }
    logits = np.einsum("bthd,bshd->bhts", project["query"], project["key"]) / 3**0.5
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mixed = np.einsum("bhts,bshd->bthd", shares, project["value"])
    wanted = np.einsum("bthd,hdo->bto", mixed, weights["attention_output/kernel"])
    assert_close(scores, shares)
    assert_close(found, wanted)
