"""The thread that reads ahead."""

import threading
import traceback

import numpy as np
import pytest

from graphc.frontend.training.data.prefetch import prefetch


def threads():
    return [t for t in threading.enumerate() if t.name == "graphc-prefetch"]


def test_yields_everything_in_order_and_ends_its_thread():
    assert list(prefetch(range(100))) == list(range(100))
    assert list(prefetch([])) == []
    assert threads() == []


def test_reads_ahead_by_its_depth_only():
    read = []
    waited = threading.Event()

    def items():
        for i in range(10):
            read.append(i)
            if i == 3:
                waited.set()
            yield i

    iterator = prefetch(items(), depth=3)
    assert read == []
    assert next(iterator) == 0
    # The first item is still in use: three are ready at most, it among them.
    assert not waited.wait(0.05)
    assert next(iterator) == 1
    assert waited.wait(5)
    iterator.close()
    assert threads() == []
    assert read[-1] <= 4


def test_reads_in_another_thread_and_the_same_context():
    seen = []

    def items():
        seen.append(threading.current_thread().name)
        seen.append(np.geterr()["over"])
        yield 1

    with np.errstate(over="raise"):
        assert list(prefetch(items())) == [1]
    assert seen == ["graphc-prefetch", "raise"]


def test_errors_reach_the_consumer_with_their_traceback():
    def failing():
        yield 1
        raise OSError("disk on fire")

    iterator = prefetch(failing())
    assert next(iterator) == 1
    with pytest.raises(OSError, match="disk on fire") as error:
        next(iterator)
    assert "in failing" in "".join(traceback.format_tb(error.value.__traceback__))
    assert threads() == []


def test_a_source_that_blocks_does_not_block_the_end(monkeypatch):
    monkeypatch.setattr("graphc.frontend.training.data.prefetch.JOIN_SECONDS", 0.05)
    release = threading.Event()

    def stuck():
        yield 1
        release.wait(10)
        yield 2

    iterator = prefetch(stuck())
    assert next(iterator) == 1
    iterator.close()
    assert len(threads()) == 1
    release.set()
    threads()[0].join(5)
    assert threads() == []
