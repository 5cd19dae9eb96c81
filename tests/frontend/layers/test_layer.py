"""What all layers do: weights, building, calling, losses, masks, dtypes and configs."""

import warnings
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers, ops
from graphc.frontend.tensor import Array
from tests.closeness import assert_close

F32 = np.float32
X = np.ones((2, 3), F32)


class Scale(layers.Layer):
    """Multiplies by a weight, twice as much in training."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(
            shape=(input_shape[-1],), initializer="ones", name="scale"
        )
        self.calls = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="calls"
        )

    def call(self, x: Any, training: bool = False) -> Any:
        self.calls.assign_add(1.0)
        return x * self.scale * (2.0 if training else 1.0)


class Outer(layers.Layer):
    """Holds layers in a list, a dict and an attribute."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.listed = [layers.Dense(3, name="a"), Scale(name="b")]
        self.by_name = {"c": layers.Dense(2, name="c")}

    def call(self, x: Any) -> Any:
        for layer in self.listed:
            x = layer(x)
        return self.by_name["c"](x)


# Weights.


def test_weights_have_order_paths_and_kinds() -> None:
    outer = Outer(name="outer")
    assert outer.weights == []
    outer(X)
    assert [w.path for w in outer.weights] == [
        "outer/a/kernel",
        "outer/a/bias",
        "outer/b/scale",
        "outer/b/calls",
        "outer/c/kernel",
        "outer/c/bias",
    ]
    assert [w.name for w in outer.non_trainable_weights] == ["calls"]
    assert len(outer.trainable_variables) == 5
    assert outer.count_params() == 12 + 3 + 1 + 8
    assert [layer.name for layer in outer.sublayers()] == ["a", "b", "c"]


def test_add_weight_arguments() -> None:
    layer = layers.Layer()
    default = layer.add_weight((50, 50))
    assert np.abs(default.numpy()).max() <= np.sqrt(6 / 100)
    assert layer.add_weight().shape == ()
    assert layer.add_weight((2,), dtype="int32").numpy().tolist() == [0, 0]
    full = layer.add_weight(
        (2,), "ones", regularizer="l2", constraint="non_neg", trainable=False, name="w"
    )
    assert full.regularizer is not None
    assert full.constraint is not None
    assert (full.trainable, full.name) == (False, "w")
    assert len(layer.weights) == 4


def test_get_and_set_weights() -> None:
    dense = layers.Dense(2, name="d")
    dense.build((None, 3))
    kernel = np.arange(6, dtype=F32).reshape(3, 2)
    dense.set_weights([kernel, np.zeros(2)])
    np.testing.assert_array_equal(dense.get_weights()[0], kernel)
    with pytest.raises(ValueError, match=r"length 1, but the layer was expecting 2"):
        dense.set_weights([kernel])
    with pytest.raises(ValueError, match=r"'d/kernel' expects shape \(3, 2\)"):
        dense.set_weights([kernel.T, np.zeros(2)])


def test_variables_and_layers_as_attributes() -> None:
    layer = layers.Layer()
    layer.own = graphc.Variable(np.ones(2), name="own")
    layer.again = layer.own
    layer.inner = layers.Dense(1)
    layer.inner.parent = layer  # a cycle
    layer.inner.build((None, 2))
    assert [w.name for w in layer.weights] == ["own", "kernel", "bias"]


def test_trainable_reaches_everything_inside() -> None:
    outer = Outer()
    outer(X)
    outer.trainable = False
    assert outer.trainable_variables == []
    assert len(outer.non_trainable_variables) == 6
    assert not outer.listed[0].kernel.trainable
    outer.trainable = True
    assert len(outer.trainable_variables) == 5
    outer.listed[0].trainable = False
    assert [w.path.split("/")[1] for w in outer.trainable_weights] == ["b", "c", "c"]


def test_frozen_before_it_is_built() -> None:
    scale = Scale(trainable=False)
    scale(X)
    assert scale.trainable_weights == []
    scale.trainable = True
    assert [w.name for w in scale.trainable_weights] == ["scale"]


# Building.


def test_build_names_weights_whoever_calls_it() -> None:
    class Block(layers.Layer):
        def __init__(self, name: str) -> None:
            super().__init__(name=name)
            self.dense = layers.Dense(4, name="dense")

        def build(self, input_shape: Any) -> None:
            self.dense.build(input_shape)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    called, built = Block("block"), Block("block")
    called(X)
    built.build((None, 3))
    for block in (called, built):
        assert block.built
        assert block.dense.built
        assert [w.path for w in block.weights] == [
            "block/dense/kernel",
            "block/dense/bias",
        ]


def test_build_of_a_subclass_calls_its_base() -> None:
    class Shifted(Scale):
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.shift = self.add_weight(shape=(), initializer="zeros", name="shift")

    layer = Shifted(name="s")
    layer(X)
    assert [w.path for w in layer.weights] == ["s/scale", "s/shift", "s/calls"]


def test_build_takes_the_shapes_of_all_inputs() -> None:
    seen: list[Any] = []

    class Two(layers.Layer):
        def build(self, left_shape: Any, right_shape: Any) -> None:
            seen.append((left_shape, right_shape))

        def call(self, left: Any, right: Any) -> Any:
            return left + right[0]

    Two()(graphc.Input((3,)), [graphc.Input((1,)), graphc.Input((3,))])
    assert seen == [((None, 3), [(None, 1), (None, 3)])]


def test_layer_without_inputs() -> None:
    class Constant(layers.Layer):
        def build(self, input_shape: Any = None) -> None:
            self.w = self.add_weight(shape=(2,), initializer="ones")

        def call(self) -> Any:
            return self.w * 3.0

    np.testing.assert_array_equal(Constant()(), [3, 3])


# Calling.


def test_training_is_passed_on() -> None:
    seen: list[Any] = []

    class Inner(layers.Layer):
        def call(self, x: Any, training: Any = None) -> Any:
            seen.append(training)
            return x

    class Passing(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def call(self, x: Any) -> Any:
            return self.inner(x)

    class Training(Passing):
        def call(self, x: Any, training: bool = True) -> Any:
            return self.inner(x)

    class Overriding(Passing):
        def call(self, x: Any, training: Any = None) -> Any:
            return self.inner(x, training=False)

    Passing()(X)
    Passing()(X, training=True)
    Training()(X)
    Training()(X, training=False)
    Overriding()(X, training=True)
    assert seen == [None, True, True, False, False]


def test_eager_calls_are_traced_once_per_kind() -> None:
    traced = []

    class Counted(layers.Layer):
        rate = 2.0

        def call(self, x: Any, factor: Any = 1, training: Any = None) -> Any:
            traced.append(x.shape)
            return x * self.rate * factor

    layer = Counted()
    layer(X)
    np.testing.assert_array_equal(layer(X + 1), 2 * X + 2)
    assert len(traced) == 1
    layer(X[:1])
    layer(X, training=True)
    assert layer(X, 2).dtype == layer(X, 2.0).dtype == "float32"
    layer(X, True)
    assert len(traced) == 6
    layer.rate = 5.0
    np.testing.assert_array_equal(layer(X), 5 * X)


def test_eager_calls_see_replaced_and_frozen_layers() -> None:
    outer = Outer()
    outer(X)
    outer.by_name = {"c": layers.Dense(7)}
    assert outer(X).shape == (2, 7)
    norm = layers.BatchNormalization()
    norm(X, training=True)
    moved = norm.moving_mean.numpy()
    norm.trainable = False
    norm(X, training=True)
    np.testing.assert_array_equal(norm.moving_mean, moved)


def test_eager_calls_update_state() -> None:
    scale = Scale()
    scale(X)
    scale(X)
    np.testing.assert_array_equal(scale(X, training=True), 2 * X)
    assert float(scale.calls) == 3.0


def test_inputs_of_many_kinds() -> None:
    dense = layers.Dense(2, kernel_initializer="ones")
    for given in (X, X.astype(np.float64), X.tolist(), Array(X), graphc.Variable(X)):
        found = dense(given)
        assert (found.dtype, found.shape) == ("float32", (2, 2))

    class Sum(layers.Layer):
        def call(self, parts: Any, extra: Any = None) -> Any:
            return parts["a"] + parts["b"][0] + extra

    found = Sum()({"a": X, "b": [np.ones((2, 3))]}, extra=np.ones((2, 3)))
    np.testing.assert_array_equal(found, 3 * X)
    assert found.dtype == "float32"


def test_outputs_of_many_kinds() -> None:
    class Many(layers.Layer):
        def call(self, x: Any) -> Any:
            return {"a": x, "b": (x + 1.0, None)}

    found = Many()(X)
    np.testing.assert_array_equal(found["b"][0], X + 1)
    assert found["b"][1] is None
    symbolic = Many()(graphc.Input((3,)))
    assert symbolic["b"][0].shape == (None, 3)


# Losses.


def test_losses_of_an_eager_call() -> None:
    class Penalty(layers.Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(ops.sum(x))
            return x

    class Both(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.penalty = Penalty()
            self.dense = layers.Dense(
                2, kernel_regularizer="l2", activity_regularizer="l1"
            )

        def call(self, x: Any) -> Any:
            self.add_loss(0.5)
            return self.dense(self.penalty(x))

    layer = Both()
    for _ in range(2):  # a call forgets the losses of the one before
        y = layer(X)
        own, penalty, activity, weights = layer.losses
        assert (float(own), float(penalty)) == (0.5, 6.0)
        assert_close(float(activity), 0.01 * np.abs(y).sum() / 2)
        kernel = layer.dense.kernel.numpy()
        assert_close(float(weights), 0.01 * (kernel**2).sum())
    layer.clear_losses()
    assert len(layer.losses) == 1


def test_symbolic_calls_leave_no_losses_behind() -> None:
    dense = layers.Dense(2, activity_regularizer="l1")
    dense(graphc.Input((3,)))
    assert dense.losses == []


# Masks.


def test_masks_of_eager_calls() -> None:
    tokens = np.array([[1, 0, 2], [0, 0, 1]])
    embedded = layers.Embedding(3, 4, mask_zero=True)(tokens)
    np.testing.assert_array_equal(embedded._keras_mask, tokens != 0)
    kept = layers.Dropout(0.5)(embedded)
    np.testing.assert_array_equal(kept._keras_mask, tokens != 0)
    pooled = layers.GlobalAveragePooling1D()(kept)
    wanted = [embedded.numpy()[0, [0, 2]].mean(0), embedded.numpy()[1, 2]]
    assert_close(pooled, wanted)
    assert getattr(pooled, "_keras_mask", None) is None


def test_masks_are_filled_in() -> None:
    seen = []

    class Takes(layers.Layer):
        def call(
            self, query: Any, value: Any, query_mask: Any = None, value_mask: Any = None
        ):
            seen.append((query_mask is not None, value_mask is not None))
            return query

    tokens = np.array([[1, 0]])
    masked = layers.Embedding(3, 4, mask_zero=True)
    plain = layers.Embedding(3, 4)
    with pytest.warns(UserWarning, match="drops: layers after it do not see the mask"):
        Takes()(masked(tokens), plain(tokens))
    Takes()(plain(tokens), masked(tokens))
    Takes()(plain(tokens), plain(tokens), query_mask=tokens == 1)
    assert seen == [(True, False), (False, True), (True, False)]


def test_own_compute_mask() -> None:
    class Half(layers.Layer):
        def call(self, x: Any) -> Any:
            return x[:, ::2]

        def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
            return None if previous_mask is None else previous_mask[:, ::2]

    tokens = np.array([[1, 0, 0]])
    found = Half()(layers.Embedding(3, 4, mask_zero=True)(tokens))
    np.testing.assert_array_equal(found._keras_mask, [[True, False]])


def test_a_layer_that_supports_masks_passes_them_on() -> None:
    class Double(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.supports_masking = True

        def call(self, x: Any) -> Any:
            return x * 2.0

    tokens = graphc.Input((3,), dtype="int32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = Double()(layers.Embedding(3, 4, mask_zero=True)(tokens))
    pooled = layers.GlobalAveragePooling1D()(y)
    model = graphc.Model(tokens, [y, pooled])
    full, found = model.predict(np.array([[1, 0, 2]]), verbose=0)
    assert_close(found, full[:, [0, 2]].mean(1))


# Dtypes.


def test_policies() -> None:
    seen = []

    class Dtypes(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight((3,), "ones")

        def call(self, x: Any) -> Any:
            seen.append((x.dtype, self.w.dtype, (x * self.w).dtype))
            return x * self.w

    layer = Dtypes(dtype="mixed_bfloat16")
    assert layer(X).dtype == "bfloat16"
    assert (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")
    assert seen == [("bfloat16",) * 3]
    assert layer.w.dtype == "float32"
    assert Dtypes(dtype="float16")(X).dtype == "float16"
    Dtypes(autocast=False)(X.astype(np.float16))
    assert seen[-1][:2] == ("float16", "float32")


# Symbolic calls.


def test_input_and_output() -> None:
    inputs = graphc.Input((3,))
    dense = layers.Dense(2, name="d")
    with pytest.raises(AttributeError, match="it was never called"):
        _ = dense.output
    y = dense(inputs)
    assert dense.output is y
    assert dense.input is inputs
    features = graphc.Model(graphc.Model(inputs, y).inputs, dense.output)
    assert features(X).shape == (2, 2)
    dense(graphc.Input((3,)))
    with pytest.raises(AttributeError, match="it was 2 times called"):
        _ = dense.input


def test_compute_output_shape() -> None:
    assert layers.Dense(4).compute_output_shape((None, 3)) == (None, 4)
    joined = layers.Concatenate().compute_output_shape([(None, 3), (None, 2)])
    assert joined == (None, 5)


def test_stateless_call() -> None:
    scale = Scale()
    scale(X)
    outputs, (calls,) = scale.stateless_call([np.full(3, 4.0)], [np.float32(7)], X)
    np.testing.assert_array_equal(outputs, 4 * X)
    assert float(calls) == 8.0
    assert float(scale.calls) == 1.0
    np.testing.assert_array_equal(scale.scale, np.ones(3))
    dense = layers.Dense(2, kernel_regularizer="l2")
    dense.build((None, 3))
    *_, losses = dense.stateless_call(
        [np.ones((3, 2)), np.zeros(2)], [], X, return_losses=True
    )
    assert_close(float(losses[0]), 0.06)


# Names and configs.


def test_names() -> None:
    graphc.utils.clear_session()
    assert [layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
    assert layers.Conv2DTranspose(1, 1).name == "conv2d_transpose"
    for name in (3, "a/b"):
        with pytest.raises(ValueError, match="without the character '/'"):
            layers.Dense(1, name=name)


def test_config_of_a_custom_layer() -> None:
    class Custom(layers.Layer):
        def __init__(self, size: int, mode: str = "a", **keywords: Any) -> None:
            super().__init__(**keywords)
            self.size = size

    layer = Custom(3, mode="b", name="c", trainable=False, dtype="mixed_float16")
    config = layer.get_config()
    assert (config["size"], config["mode"], config["trainable"]) == (3, "b", False)
    again = Custom.from_config(config)
    assert again.get_config() == config
    with pytest.raises(NotImplementedError, match="must override `get_config"):
        Custom(print).get_config()


def test_weights_made_in_the_constructor_have_paths_too() -> None:
    class Early(layers.Layer):
        def __init__(self, name: str) -> None:
            super().__init__(name=name)
            self.w = self.add_weight((2,), name="w")

        def call(self, x: Any) -> Any:
            return x

    graphc.utils.set_random_seed(1)
    first = Early("b").w
    graphc.utils.set_random_seed(1)
    Early("a")
    second = Early("b").w
    assert first.path == second.path == "b/w"
    np.testing.assert_array_equal(first, second)


def test_another_layer_moves_no_random_numbers() -> None:
    def drop(*before: float) -> Any:
        graphc.utils.set_random_seed(1)
        for rate in before:
            layers.Dropout(rate, name=f"before_{rate}")
        return layers.Dropout(0.5, name="d")(np.ones((4, 50)), training=True)

    np.testing.assert_array_equal(drop(), drop(0.1, 0.2))
    seeded = layers.Dropout(0.5, seed=3, name="e")
    again = layers.Dropout(0.5, seed=3, name="e")
    x = np.ones((4, 50))
    np.testing.assert_array_equal(seeded(x, training=True), again(x, training=True))


def test_two_generators_of_a_layer_differ() -> None:
    class Two(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="two")
            self.a = graphc.random.SeedGenerator()
            self.b = graphc.random.SeedGenerator()

        def call(self, x: Any) -> Any:
            shape = (20,)
            noise = graphc.random.normal(shape, seed=self.a)
            return x + noise, graphc.random.normal(shape, seed=self.b)

    first, second = Two()(np.zeros(20))
    assert not np.array_equal(first, second)


def test_lambda_and_activity_regularization() -> None:
    y = layers.Lambda(lambda x: x * 2.0, name="double")(X)
    np.testing.assert_array_equal(y, 2 * X)
    layer = layers.ActivityRegularization(l1=0.1, l2=0.01)
    np.testing.assert_array_equal(layer(2 * X), 2 * X)
    assert_close(float(layer.losses[0]), (0.1 * 12 + 0.01 * 24) / 2)
