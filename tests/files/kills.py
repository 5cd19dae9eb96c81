"""Killing processes that write, at random moments."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path


def kill_writers(
    write: Callable[[int], None],
    read: Callable[[], int],
    leftovers: Callable[[], Iterable[Path]],
    kills: int,
) -> tuple[int, int]:
    """Kills processes that write one version after another.

    After each kill what is read must be one version, and no older one than the last
    that was reported written.

    Args:
        write: Writes a version, in a process of its own.
        read: The version that is there; fails if it is not whole.
        leftovers: The files that killed writers leave, which are then removed.
        kills: How many processes.

    Returns:
        The last version, and how many kills hit a write.
    """
    rng = random.Random(0)
    version = during = 0
    write(0)
    for _ in range(kills):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _write_forever(write, version, writing)
        os.close(writing)
        time.sleep(rng.uniform(0.01, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading) as pipe:
            reported = [int(line) for line in pipe.read().split()]
        found = read()
        last = reported[-1] if reported else version
        assert last <= found <= last + 1, (last, found)
        left = list(leftovers())
        during += len(left) > 0
        for path in left:
            path.unlink()
        version = found
    return version, during


def _write_forever(write: Callable[[int], None], version: int, report: int) -> None:
    try:
        while True:
            version += 1
            write(version)
            os.write(report, f"{version}\n".encode())
    finally:
        os._exit(1)
