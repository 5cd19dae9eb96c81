"""Batches of arrays, and how sources of data are told apart."""

import gc
import threading

import numpy as np
import pytest

from graphc.frontend.seeds import set_random_seed
from graphc.frontend.training.data import Batches, PyDataset


def rows(batches, epoch=0):
    """The first column of x in each batch of an epoch."""
    return [np.asarray(batch).tolist() for batch in batches.epoch(epoch)]


def test_unshuffled_batches_are_views_and_the_last_one_is_smaller():
    x = np.arange(10, dtype=np.float32)
    batches = Batches(x, batch_size=4, shuffle=False)
    assert batches.num_batches == 3
    assert batches.batch_size == 4
    found = list(batches.epoch(0))
    assert [b.tolist() for b in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(np.shares_memory(batch, x) for batch in found)
    assert rows(batches, 5) == rows(batches)


def test_lists_of_numbers_are_arrays():
    x, y = [[1, 2], [3, 4]], [0.5, 1.5]
    (found,) = Batches(x, np.asarray(y), [1, 2], shuffle=False).epoch(0)
    assert [part.tolist() for part in found] == [x, y, [1, 2]]
    batches = Batches(x, y, validation_split=0.5, shuffle=False)
    assert [part.tolist() for part in next(batches.epoch(0))] == [[[1, 2]], [0.5]]


def test_default_batch_size_is_32():
    assert [len(b) for b in Batches(np.zeros(70)).epoch(0)] == [32, 32, 6]


def test_shuffling_keeps_rows_together_and_samples_once():
    x = np.arange(50, dtype=np.float32)
    y = {"double": 2 * x, "label": x.astype(np.int64)}
    order = []
    for batch_x, batch_y, batch_w in Batches(x, y, x / 2, batch_size=8).epoch(0):
        assert np.array_equal(batch_y["double"], 2 * batch_x)
        assert np.array_equal(batch_y["label"], batch_x)
        assert batch_y["label"].dtype == np.int32
        assert np.array_equal(batch_w["label"], batch_x / 2)
        order += batch_x.tolist()
    assert order != sorted(order)
    assert sorted(order) == x.tolist()


def test_the_order_is_a_function_of_seed_and_epoch():
    x = np.arange(20)

    def order(seed, epoch):
        return rows(Batches(x, batch_size=6, seed=seed), epoch)

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)
    # Reading earlier epochs first changes nothing: training can be taken up anywhere.
    batches = Batches(x, batch_size=6, seed=1)
    assert [rows(batches, epoch) for epoch in range(4)][3] == order(1, 3)


def test_the_global_seed_decides_and_each_data_set_has_an_order_of_its_own():
    def orders():
        set_random_seed(7)
        return [rows(Batches(np.arange(20), batch_size=20)) for _ in range(2)]

    first, second = orders()
    assert first != second
    assert orders() == [first, second]
    set_random_seed(7)
    rows(Batches(np.arange(20), shuffle=False))  # draws nothing
    assert rows(Batches(np.arange(20), batch_size=20)) == first


def test_shuffling_whole_batches():
    x = np.arange(19, dtype=np.float32)
    found = list(Batches(x, batch_size=3, shuffle="batch", seed=0).epoch(0))
    assert all(np.shares_memory(batch, x) for batch in found)
    starts = [int(batch[0]) for batch in found]
    assert starts != sorted(starts)
    assert sorted(starts) == [0, 3, 6, 9, 12, 15, 18]
    assert found[-1].tolist() == [18]


def test_steps_go_on_where_the_last_epoch_left_off():
    x = np.arange(10)
    batches = Batches(x, batch_size=4, steps=2, shuffle=False)
    assert batches.num_batches == 2
    assert rows(batches, 0) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert rows(batches, 1) == [[8, 9], [0, 1, 2, 3]]
    shuffled = Batches(x, batch_size=5, steps=3, seed=0)
    first, second, third = rows(shuffled, 0)
    assert sorted(first + second) == list(range(10))
    (fourth, *_) = rows(shuffled, 1)
    assert sorted(third + fourth) == list(range(10))


def test_large_and_mapped_arrays_are_converted_batch_by_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "graphc.frontend.training.data.array_source.CAST_AT_ONCE_BYTES", 16
    )
    doubles = np.arange(6, dtype=np.float64)
    np.save(tmp_path / "tokens.npy", np.array([1, 2, 3, 2**40, 5, 6]))
    tokens = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    found = list(Batches(doubles, tokens, batch_size=2, shuffle=False).epoch(0))
    assert {x.dtype.name for x, _ in found} == {"float32"}
    # What is mapped is not read ahead to find the largest integer.
    assert [y.dtype.name for _, y in found] == ["int32", "int64", "int32"]
    assert np.concatenate([y for _, y in found]).tolist() == tokens.tolist()
    assert {type(y) for _, y in found} == {np.ndarray}


def test_class_weights():
    y = np.array([0, 1, 2])
    batches = Batches(np.zeros((3, 1)), y, class_weight={1: 2.5}, shuffle=False)
    ((_, _, weights),) = batches.epoch(0)
    assert weights.tolist() == [1, 2.5, 1]


def test_validation_split_takes_the_last_samples():
    x = np.arange(10, dtype=np.float32)
    batches = Batches(x, [x, x], x, batch_size=4, validation_split=0.3, seed=0)
    training = np.concatenate([x for x, _, _ in batches.epoch(0)])
    assert sorted(training.tolist()) == [0, 1, 2, 3, 4, 5, 6]
    held_out = batches.validation(None, None)
    assert held_out.batch_size == 4
    ((x, (y, _), (w, _)),) = held_out.epoch(0)
    assert x.tolist() == y.tolist() == w.tolist() == [7, 8, 9]
    assert rows_of(batches.validation(1, 2)) == [[7], [8]]


def rows_of(batches):
    return [x.tolist() for x, *_ in batches.epoch(0)]


@pytest.mark.parametrize("split", [1.5, -0.1, 1])
def test_validation_split_out_of_range(split):
    message = f"between 0 and 1. Received: validation_split={split}"
    with pytest.raises(ValueError, match=message):
        Batches(np.zeros(10), validation_split=split)


def test_validation_split_that_leaves_nothing():
    with pytest.raises(ValueError, match="10 samples, which is not sufficient"):
        Batches(np.zeros(10), validation_split=0.99)
    with pytest.raises(ValueError, match="Expected a `validation_split`"):
        Batches(np.zeros(10)).validation(None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros((0, 3))}, "Expected at least one sample"),
        ({"x": None}, "Unrecognized data type"),
        ({"x": object()}, "Unrecognized data type"),
        ({"x": np.zeros(10), "y": np.zeros(8)}, "cardinality is ambiguous"),
        (
            {"x": np.zeros(3), "batch_size": 0},
            "positive integer. Received: batch_size=0",
        ),
        ({"x": np.zeros(3), "batch_size": 2.5}, "Received: batch_size=2.5"),
        ({"x": np.zeros(3), "batch_size": True}, "Received: batch_size=True"),
        ({"x": np.zeros(3), "steps": 0}, "positive integer. Received: steps=0"),
        ({"x": np.zeros(3), "shuffle": "yes"}, "Received: shuffle='yes'"),
        ({"x": iter(()), "y": np.zeros(3)}, "Expected y=None. Received: y of type"),
        ({"x": iter(()), "sample_weight": 1}, "Received: sample_weight of type int"),
        ({"x": PyDataset(), "y": 1}, "Expected y=None"),
        ({"x": iter(()), "validation_split": 0.5}, "Expected `validation_data`"),
    ],
)
def test_argument_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Batches(**arguments)


def test_closing_ends_the_thread_of_an_epoch_left_early():
    def numbers():
        while True:
            yield np.zeros((2, 3))

    def reading():
        return [t for t in threading.enumerate() if t.name == "graphc-prefetch"]

    batches = Batches(numbers())
    next(batches.epoch(0))
    gc.collect()
    assert len(reading()) == 1
    batches.close()
    assert reading() == []
    batches.close()
