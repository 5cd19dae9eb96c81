"""The global seed, and the random keys derived from it and from paths."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from typing import Any

import numpy as np


class _Seeds:
    """The global seed and how often each path has drawn since it was set.

    Attributes:
        seed: The seed.
        times: How often it was set.
        draws: The number of draws by path.
        names: For names that were made up, the name that counts from the time the seed
            was set, so that a model gets the same numbers when it is made again.
    """

    def __init__(self) -> None:
        self.seed = int.from_bytes(os.urandom(4), "little")
        self.times = 0
        self.draws: Counter[str] = Counter()
        self.names: dict[str, str] = {}


_SEEDS = _Seeds()


def set_random_seed(seed: int) -> None:
    """Sets the seed of everything random: initial values, dropout, shuffling.

    Also seeds Python's and NumPy's global generators, as Keras does.

    Args:
        seed: An integer in 0..2**32-1.

    Raises:
        ValueError: If `seed` is not such an integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(
            f"Expected `seed` to be an integer in 0..2**32-1. Received: seed={seed}"
        )
    random.seed(seed)
    np.random.seed(seed)
    _SEEDS.seed = seed
    _SEEDS.times += 1
    _SEEDS.draws.clear()


def reset_draws() -> None:
    """Forgets how often each path has drawn, as a fresh process would."""
    _SEEDS.draws.clear()


def global_seed() -> int:
    """The current global seed; drawn from the system until one is set."""
    return _SEEDS.seed


def times_seeded() -> int:
    """How often the global seed was set."""
    return _SEEDS.times


def note_name(name: str, since_seeded: str) -> None:
    """Makes draws below the made-up `name` use what it would be in a new process."""
    _SEEDS.names[name] = since_seeded


def drawing_path(path: str) -> str:
    """`path` with made-up names counted from when the seed was set."""
    return "/".join(_SEEDS.names.get(name, name) for name in path.split("/"))


def next_draw(path: str) -> str:
    """`path`, told apart from earlier draws at the same path since the seed was set."""
    path = drawing_path(path)
    _SEEDS.draws[path] += 1
    return f"{path}#{_SEEDS.draws[path]}"


def path_hash(path: str) -> tuple[int, int]:
    """Two 32-bit words that stand for a path in a random key."""
    digest = hashlib.sha256(path.encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def random_key(seed: int, path: str) -> np.ndarray[Any, Any]:
    """The key u32[4] = (seed, seed's high word, path hash) of a draw at `path`."""
    low, high = path_hash(path)
    return np.array(
        [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF, low, high], np.uint32
    )
