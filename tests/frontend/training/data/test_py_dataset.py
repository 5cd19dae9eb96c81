"""Data sets that compute their batches."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from graphc.frontend.training.data import Batches, PyDataset


class Numbers(PyDataset):
    """Batch i is filled with i."""

    def __init__(self, count=5, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.calls = []
        self.threads = set()

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.threads.add(threading.current_thread().name)
        return np.full((2, 1), index), np.array([index, 0])

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


class Endless(PyDataset):
    """Has no last batch."""

    @property
    def num_batches(self):
        return None

    def __getitem__(self, index):
        return np.full((2, 1), index), np.array([index, 0])


def order(batches, epoch=0):
    return [int(x[0, 0]) for x, _ in batches.epoch(epoch)]


def test_in_order_and_shuffled():
    dataset = Numbers()
    assert order(Batches(dataset, shuffle=False)) == [0, 1, 2, 3, 4]
    shuffled = Batches(dataset, seed=0)
    assert shuffled.num_batches == 5
    first, second = order(shuffled, 0), order(shuffled, 1)
    assert first != second
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4]
    assert order(Batches(dataset, seed=0), 1) == second
    assert dataset.calls == ["begin", "end"] * 4


def test_data_sets_that_change_between_epochs():
    class Growing(Numbers):
        def on_epoch_end(self):
            self.count += 1

    batches = Batches(Growing(2), shuffle=False)
    assert [len(order(batches, epoch)) for epoch in range(3)] == [2, 3, 4]


def test_steps():
    batches = Batches(Numbers(), steps=2, shuffle=False)
    assert [order(batches, e) for e in range(3)] == [[0, 1], [2, 3], [4, 0]]
    assert order(Batches(Endless(), steps=3), 1) == [3, 4, 5]


def test_class_weights():
    batches = Batches(Numbers(2), class_weight={1: 2.0}, shuffle=False)
    assert [w.tolist() for *_, w in batches.epoch(0)] == [[1, 1], [2, 1]]


def test_workers_compute_ahead_and_in_order():
    class Slow(Numbers):
        def __getitem__(self, index):
            time.sleep(0.02 * (index % 3))
            return super().__getitem__(index)

    dataset = Slow(12, workers=3, max_queue_size=4)
    assert order(Batches(dataset, shuffle=False)) == list(range(12))
    assert {name.rpartition("_")[0] for name in dataset.threads} == {"graphc-dataset"}
    assert not [t for t in threading.enumerate() if "graphc" in t.name]


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_and_leaving_early_end_the_threads(workers):
    class Failing(Numbers):
        def __getitem__(self, index):
            if index == 2:
                raise KeyError("no such image")
            return super().__getitem__(index)

    with pytest.raises(KeyError, match="no such image"):
        order(Batches(Failing(workers=workers), shuffle=False))
    dataset = Numbers(100, workers=workers)
    batches = Batches(dataset)
    next(batches.epoch(0))
    batches.close()
    assert dataset.calls == ["begin"]
    assert not [t for t in threading.enumerate() if "graphc" in t.name]


PROCESSES = """
import os
import numpy as np
from graphc.frontend.training.data import Batches, PyDataset

class Pids(PyDataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return np.array([[os.getpid()]]), np.array([index])

if __name__ == "__main__":
    dataset = Pids(workers=2, use_multiprocessing=True)
    found = [(int(x[0, 0]), int(y[0])) for x, y in Batches(dataset, shuffle=False).epoch(0)]
    assert [index for _, index in found] == [0, 1, 2, 3]
    assert os.getpid() not in {pid for pid, _ in found}
    print("ok")
"""


def test_worker_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROCESSES)
    result = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
        timeout=60,
    )
    assert result.stdout == "ok\n", result.stderr


def test_errors():
    class NoLength(PyDataset):
        pass

    with pytest.raises(NotImplementedError, match="NoLength to implement __len__"):
        Batches(NoLength())
    with pytest.raises(NotImplementedError, match="NoLength to implement __getitem__"):
        NoLength()[0]
    with pytest.raises(ValueError, match="an empty PyDataset"):
        Batches(Numbers(0))
    with pytest.raises(ValueError, match="whose `num_batches` is None"):
        Batches(Endless())
