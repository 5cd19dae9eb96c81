"""Windows of time series."""

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.utils import timeseries_dataset_from_array

X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20.0)


@pytest.mark.parametrize(
    ("options", "first_steps"),
    [
        ({}, range(18)),
        ({"sequence_stride": 4}, range(0, 18, 4)),
        ({"sampling_rate": 3}, range(14)),
        ({"start_index": 5, "end_index": 12}, range(5, 10)),
    ],
)
def test_windows_and_what_belongs_to_them(options: dict, first_steps: range) -> None:
    found = timeseries_dataset_from_array(X, Y, 3, batch_size=4, **options)
    rate = options.get("sampling_rate", 1)
    windows = [X[s : s + 3 * rate : rate] for s in first_steps]
    batches = list(found)
    assert [len(x) for x, _ in batches[:-1]] == [4] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), windows)
    np.testing.assert_array_equal(
        np.concatenate([y for _, y in batches]), Y[list(first_steps)]
    )


def test_fewer_targets_or_none() -> None:
    assert sum(len(x) for x, _ in timeseries_dataset_from_array(X, Y[:7], 3)) == 7
    (windows,) = timeseries_dataset_from_array(X, None, 3)
    assert windows.shape == (18, 3, 2)


def test_windows_in_random_order() -> None:
    def starts(seed: int) -> list[float]:
        options = {"shuffle": True, "seed": seed, "batch_size": 7}
        parts = list(timeseries_dataset_from_array(X, Y, 3, **options))
        for x, y in parts:
            np.testing.assert_array_equal(x[:, 0, 0], 2 * y)
        return np.concatenate([y for _, y in parts]).tolist()

    assert sorted(starts(1)) == Y[:18].tolist()
    assert starts(1) == starts(1) != starts(2)


def test_a_model_is_fitted_to_windows() -> None:
    model = graphc.Sequential([graphc.Input((3, 2)), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse", target="numpy")
    history = model.fit(timeseries_dataset_from_array(X / 40, Y, 3), verbose=0)
    assert history.params["steps"] == 1


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="a window of 21 steps, 1 apart"):
        timeseries_dataset_from_array(X, None, 21)
    with pytest.raises(ValueError, match="`sampling_rate` to be a positive integer"):
        timeseries_dataset_from_array(X, None, 2, sampling_rate=0)
