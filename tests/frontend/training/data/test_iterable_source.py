"""Batches of generators and data loaders."""

import sys
import threading

import numpy as np
import pytest

from graphc.frontend.training.data import Batches

RAN_OUT = "Your input ran out of data"


def generate(count):
    for i in range(count):
        yield np.full((2, 3), i), np.array([i, i + 1])


class Loader:
    """Starts over whenever it is iterated, as torch's DataLoader does."""

    def __init__(self, count, length=None):
        self.count, self.length, self.starts = count, length, 0

    def __iter__(self):
        self.starts += 1
        return ([x, y] for x, y in generate(self.count))

    def __len__(self):
        if self.length is None:
            raise TypeError("object of type 'IterableDataset' has no len()")
        return self.length


class TensorFlowDataset:
    """What tf.data data sets have."""

    def __init__(self, cardinality):
        self._cardinality = cardinality

    def cardinality(self):
        return np.int64(self._cardinality)

    def as_numpy_iterator(self):
        return generate(3)

    def __iter__(self):
        raise AssertionError("yields eager tensors: slow")


def values(batches, epoch=0):
    return [int(x[0, 0]) for x, _ in batches.epoch(epoch)]


def test_a_generator_is_read_once():
    batches = Batches(generate(3))
    assert batches.num_batches is None
    found = list(batches.epoch(0))
    assert [int(x[0, 0]) for x, _ in found] == [0, 1, 2]
    assert found[0][0].dtype == np.int32
    assert found[2][1].tolist() == [2, 3]
    assert batches.num_batches == 3
    assert batches.exhausted
    with pytest.warns(UserWarning, match=RAN_OUT):
        assert values(batches, 1) == []


def test_steps_of_a_generator_continue():
    source = generate(10)
    batches = Batches(source, steps=2)
    assert batches.num_batches == 2
    assert values(batches, 0) == [0, 1]
    assert values(batches, 1) == [2, 3]
    # No more was read than was used.
    assert int(next(source)[0][0, 0]) == 4


def test_a_generator_too_short_for_its_steps():
    batches = Batches(generate(3), steps=2)
    assert values(batches, 0) == [0, 1]
    assert not batches.exhausted
    with pytest.warns(UserWarning, match=RAN_OUT):
        assert values(batches, 1) == [2]
    assert batches.exhausted


def test_a_loader_starts_over():
    loader = Loader(3, length=3)
    batches = Batches(loader)
    assert batches.num_batches == 3
    assert [values(batches, epoch) for epoch in range(2)] == [[0, 1, 2], [0, 1, 2]]
    assert loader.starts == 2
    assert not batches.exhausted


def test_a_loader_of_unknown_length_is_counted():
    batches = Batches(Loader(3))
    assert batches.num_batches is None
    values(batches)
    assert batches.num_batches == 3


def test_a_loader_repeats_to_make_its_steps():
    batches = Batches(Loader(3), steps=2)
    assert [values(batches, e) for e in range(3)] == [[0, 1], [2, 0], [1, 2]]


def test_tensorflow_data_sets():
    batches = Batches(TensorFlowDataset(3))
    assert batches.num_batches == 3
    assert values(batches) == [0, 1, 2]
    assert Batches(TensorFlowDataset(-2)).num_batches is None


@pytest.mark.parametrize("endless", [TensorFlowDataset(-1), Loader(3, sys.maxsize)])
def test_endless_data_needs_steps(endless):
    with pytest.raises(ValueError, match="Expected `steps_per_epoch`"):
        Batches(endless)
    assert values(Batches(endless, steps=2)) == [0, 1]


@pytest.mark.parametrize("source", [generate(0), Loader(0), Loader(0, length=0)])
def test_empty_sources(source):
    with pytest.raises(ValueError, match="Expected the data to yield at least one"):
        values(Batches(source))


def test_class_weights_and_parts_of_batches():
    ((_, y, w),) = Batches(generate(1), class_weight={0: 3.0}).epoch(0)
    assert y.tolist() == [0, 1]
    assert w.tolist() == [3, 1]
    (x,) = Batches(iter([(np.zeros((2, 1)),)])).epoch(0)
    assert x.shape == (2, 1)
    (features,) = Batches(iter([{"a": np.zeros(2), "b": [1, 2]}])).epoch(0)
    assert features["b"].tolist() == [1, 2]
    with pytest.raises(ValueError, match="Received: 4 parts"):
        list(Batches(iter([(1, 2, 3, 4)])).epoch(0))


def test_malformed_batches():
    sizes = iter([(np.zeros((2, 3)), np.zeros(3))])
    with pytest.raises(ValueError, match="cardinality is ambiguous"):
        list(Batches(sizes).epoch(0))
    examples = iter([{"text": "a", "label": 1}])
    with pytest.raises(ValueError, match="Expected numeric data"):
        list(Batches(examples).epoch(0))
    single_samples = iter([{"pixels": np.zeros(3), "label": 1}])
    with pytest.raises(ValueError, match="Received: a scalar in x"):
        list(Batches(single_samples).epoch(0))


def test_batches_are_converted_in_the_background():
    class Array:
        def __array__(self, dtype=None, copy=None):
            threads.append(threading.current_thread().name)
            return np.zeros((2, 3), np.float32)

    threads = []
    list(Batches(iter([Array()])).epoch(0))
    assert threads == ["graphc-prefetch"]
