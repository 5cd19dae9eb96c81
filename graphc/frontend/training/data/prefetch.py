"""A background thread that reads ahead of the training loop."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

__all__ = ["prefetch"]

T = TypeVar("T")

# A source that blocks (on a socket, say) must not block the end of training as well.
JOIN_SECONDS = 1.0


class _End:
    """What the thread puts last: the error that ended it, or None."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """The items of an iterable, read by one background thread.

    The thread starts with the first item that is asked for and ends with the last one,
    or when the generator is closed.

    Args:
        items: What to iterate over; only the thread touches it until it ends.
        depth: How many items to have ready at most.

    Raises:
        BaseException: What the iterable raised, with the thread's traceback.
    """
    ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
    free = threading.Semaphore(depth)
    stop = threading.Event()

    def read() -> None:
        error = None
        try:
            iterator = iter(items)
            while free.acquire() and not stop.is_set():
                ready.put(next(iterator))
        except StopIteration:
            pass
        except BaseException as raised:  # the consumer's to handle
            error = raised
        ready.put(_End(error))

    # The iterable sees the context of the caller, such as NumPy's error state.
    context = contextvars.copy_context()
    thread = threading.Thread(
        target=context.run, args=(read,), name="graphc-prefetch", daemon=True
    )
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
            free.release()
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        free.release()
        thread.join(JOIN_SECONDS)
