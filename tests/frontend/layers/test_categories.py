"""Layers of categories against Keras, and layers of tokens, which Keras has TensorFlow for.

Keras's results are recorded; see `tests.frontend.recorded`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers
from graphc.ir.errors import GraphError
from tests.closeness import assert_close
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

ROWS = np.array([[0, 2, 2], [1, 3, 1]])


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("x", [ROWS, ROWS[0], ROWS[:, :1]], ids=["2d", "1d", "column"])
def test_encodings_are_kerass(mode: str, x: Any, keras: Any, recorded: Any) -> None:
    layer = layers.CategoryEncoding(4, output_mode=mode)
    found = np.asarray(layer(x))
    wanted = recorded(lambda: keras.layers.CategoryEncoding(4, output_mode=mode)(x))
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.float32
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_counts_may_be_weighted(keras: Any, recorded: Any) -> None:
    weights = np.array([[0.5, 1, 2], [1, 3, 0.1]], "f")

    def counted(library: Any) -> Any:
        layer = library.layers.CategoryEncoding(4, output_mode="count")
        return layer(ROWS, count_weights=weights)

    assert_close(counted(graphc), recorded(lambda: counted(keras)))


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_bins_are_kerass(mode: str, keras: Any, recorded: Any) -> None:
    x = np.array([[-2.0, 0.5, 1.0], [0.0, 9.0, 0.9]], "f")

    def found(library: Any) -> Any:
        return library.layers.Discretization([0.0, 0.9, 4.0], output_mode=mode)(x)

    ours, theirs = np.asarray(found(graphc)), recorded(lambda: found(keras))
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("batches", [1, 3])
def test_boundaries_of_data_are_kerass(
    batches: int, keras: Any, recorded: Any, rng: Any
) -> None:
    data = np.split(rng.normal(size=(300, 2)).astype("f"), batches)

    def theirs() -> Any:
        twin = keras.layers.Discretization(num_bins=5, epsilon=0.02)
        for batch in data:
            twin.update_state(batch)  # `adapt` asks for TensorFlow
        twin.finalize_state()
        return twin.bin_boundaries

    layer = layers.Discretization(num_bins=5, epsilon=0.02)
    layer.adapt(data[0] if batches == 1 else iter(data))
    wanted = recorded(theirs)
    assert_close(layer.bin_boundaries, wanted)
    again = type(layer).from_config(layer.get_config())
    np.testing.assert_array_equal(again(data[0]), layer(data[0]))
    symbolic = layer(graphc.Input((2,)))
    assert (symbolic.shape, symbolic.dtype) == ((None, 2), "int32")


def test_bins_come_before_a_model_or_in_it(rng: Any) -> None:
    x = rng.normal(size=(6, 1)).astype("f")
    inputs = graphc.Input((1,))
    bins = layers.Discretization([-0.5, 0.5], output_mode="one_hot")(inputs)
    model = graphc.Model(inputs, layers.Dense(2)(bins))
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(x, np.ones((6, 2)), verbose=0)
    assert len(np.unique(model.predict(x, verbose=0), axis=0)) <= 3


# -- tokens ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "vocabulary", "numbers"),
    [
        ({}, ["[UNK]", "b", "a"], [1, 2, 0, 0]),
        ({"mask_token": ""}, ["", "[UNK]", "b", "a"], [2, 3, 1, 0]),
        ({"max_tokens": 2}, ["[UNK]", "b"], [1, 0, 0, 0]),
    ],
)
def test_strings_are_numbered_by_frequency(
    options: dict, vocabulary: list, numbers: list
) -> None:
    layer = layers.StringLookup(**options)
    layer.adapt(["a", "b", "b"])
    assert layer.get_vocabulary() == vocabulary
    assert layer(["b", "a", "z", ""]).tolist() == numbers
    again = layers.deserialize(layers.serialize(layer))
    assert again.get_vocabulary() == layer.get_vocabulary()
    back = layers.StringLookup(
        vocabulary=layer.get_vocabulary(), invert=True, **options
    )
    assert back(layer(["b", "z"])).tolist() == ["b", "[UNK]"]


def test_of_equally_frequent_tokens_the_last_comes_first() -> None:
    layer = layers.IntegerLookup()
    layer.adapt([[3, 1], [2, 5], [5, 5]])
    assert layer.get_vocabulary() == [-1, 5, 3, 2, 1]
    several = layers.IntegerLookup(num_oov_indices=3, vocabulary=[10, 20])
    assert several([20, 7, 8, 10]).tolist() == [4, 1, 2, 3]


@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf"])
def test_rows_of_tokens_become_vectors(mode: str) -> None:
    layer = layers.StringLookup(output_mode=mode)
    layer.adapt([["a", "a", "b"], ["a", "a", "a"], ["b", "c", "c"]])
    known = layer.get_vocabulary(include_special_tokens=False)
    counts = np.zeros((2, layer.vocabulary_size()))
    for row, tokens in zip(counts, (["a", "a", "b"], ["z", "a", "z"]), strict=True):
        for token in tokens:
            row[known.index(token) + 1 if token in known else 0] += 1
    if mode == "multi_hot":
        counts = np.minimum(counts, 1)
    if mode == "tf_idf":
        holding = {"a": 2, "b": 2, "c": 1}
        weights = [np.log1p(3 / (1 + holding[token])) for token in known]
        counts *= [np.mean(weights), *weights]
    found = layer(np.array([["a", "a", "b"], ["z", "a", "z"]]))
    assert_close(found, counts.astype("f"))


TEXTS = ["The cat, the dog.", "A dog! A DOG", "the end"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["the", "cat", "the", "dog"]),
        ({"standardize": "lower"}, ["the", "cat,", "the", "dog."]),
        ({"standardize": None, "split": "character"}, list(TEXTS[0])),
        ({"standardize": "strip_punctuation", "split": None}, ["The cat the dog"]),
        ({"ngrams": (3,)}, ["the cat the", "cat the dog"]),
        (
            {"ngrams": 2},
            ["the", "cat", "the", "dog", "the cat", "cat the", "the dog"],
        ),
        ({"split": lambda text: text.split("t")}, ["", "he ca", " ", "he dog"]),
        ({"standardize": np.char.upper}, ["THE", "CAT,", "THE", "DOG."]),
    ],
)
def test_texts_are_split(options: dict, words: list[str]) -> None:
    assert layers.TextVectorization(**options).words(TEXTS)[0] == words


def test_texts_become_rows_of_numbers(tmp_path: Path) -> None:
    layer = layers.TextVectorization(max_tokens=6)
    layer.adapt(TEXTS)
    assert layer.get_vocabulary() == ["", "[UNK]", "the", "dog", "a", "end"]
    rows = layer(np.array([["a cat"], ["the end of the dog"]]))
    assert rows.tolist() == [[4, 1, 0, 0, 0], [2, 5, 1, 2, 3]]
    assert layer("the end").tolist() == [2, 5]
    again = layers.deserialize(layers.serialize(layer))
    np.testing.assert_array_equal(again(TEXTS), layer(TEXTS))
    (tmp_path / "words.txt").write_text("the\ndog\n")
    cut = layers.TextVectorization(
        vocabulary=str(tmp_path / "words.txt"), output_sequence_length=2
    )
    assert cut(TEXTS).tolist() == [[2, 1], [1, 3], [2, 1]]
    counts = layers.TextVectorization(8, output_mode="count", pad_to_max_tokens=True)
    counts.adapt(iter([TEXTS[:2], TEXTS[2:]]))
    assert counts(TEXTS).shape == (3, 8)
    assert counts(TEXTS).sum(1).tolist() == [4, 4, 2]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.CategoryEncoding(0), ValueError, "`num_tokens`"),
        (
            lambda: layers.CategoryEncoding(3, output_mode="int"),
            ValueError,
            "Expected `output_mode` to be one of 'one_hot'",
        ),
        (
            lambda: layers.CategoryEncoding(3)(ROWS, count_weights=ROWS),
            ValueError,
            "needs output_mode='count'",
        ),
        (lambda: layers.Discretization(), ValueError, "Expected one of"),
        (
            lambda: layers.Discretization(num_bins=3)(ROWS),
            ValueError,
            "has no boundaries yet",
        ),
        (
            lambda: layers.Discretization([1.0]).adapt(ROWS),
            ValueError,
            "was given its boundaries",
        ),
        (
            lambda: layers.StringLookup()(graphc.Input((1,))),
            GraphError,
            "cannot be part of a model",
        ),
        (
            lambda: layers.StringLookup(vocabulary=["a", "b", "a"]),
            ValueError,
            r"Received twice: \['a'\]",
        ),
        (
            lambda: layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["b"]),
            ValueError,
            "no number for unknown tokens",
        ),
        (
            lambda: layers.StringLookup(2, vocabulary=["a", "b"]),
            ValueError,
            "at most max_tokens=2",
        ),
        (
            lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf"),
            ValueError,
            "a weight for each token",
        ),
        (lambda: layers.StringLookup().adapt([]), ValueError, "no tokens"),
        (
            lambda: layers.TextVectorization(split="words"),
            ValueError,
            "Expected `split` to be one of",
        ),
        (
            lambda: layers.TextVectorization().words([["a", "b"]]),
            ValueError,
            "Expected texts of shape",
        ),
        (
            lambda: layers.TextVectorization(split=str.split).get_config(),
            ValueError,
            "has no config",
        ),
    ],
)
def test_mistakes_are_named(make: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()
