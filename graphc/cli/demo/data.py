"""The demo's data: handwritten digits and English text, both on this machine."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
import numpy as np

Array = np.ndarray[Any, Any]


def digits() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """scikit-learn's 1,797 handwritten digits as ((x, y) to train, (x, y) to test).

    Images are f32[n,8,8,1] in 0..1, labels i32[n] in 0..9. A fifth is kept for testing.

    Raises:
        ClickException: If scikit-learn is not installed.
    """
    try:
        datasets = import_module("sklearn.datasets")
    except ImportError:
        raise click.ClickException(
            "the demo's handwritten digits come with scikit-learn:"
            " pip install 'graphc[demo]'"
        ) from None
    bunch = datasets.load_digits()
    x = (bunch.images[..., None] / 16.0).astype(np.float32)
    y = bunch.target.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    kept = len(x) // 5
    return (x[kept:], y[kept:]), (x[:kept], y[:kept])


def text() -> str:
    """English text that ships with Python: the topics of its built-in help."""
    topics = import_module("pydoc_data.topics").topics
    return "\n".join(topics[name] for name in sorted(topics))


class Characters:
    """Characters as numbers: those of a text, sorted."""

    def __init__(self, source: str) -> None:
        self.known = sorted(set(source))
        self._number = {c: i for i, c in enumerate(self.known)}

    def __len__(self) -> int:
        return len(self.known)

    def encode(self, source: str) -> Array:
        """The numbers of the characters, i32[n]."""
        return np.array([self._number[c] for c in source], np.int32)

    def decode(self, numbers: Any) -> str:
        """The text of some numbers."""
        return "".join(self.known[int(n)] for n in numbers)


def windows(numbers: Array, length: int, count: int, seed: int) -> tuple[Array, Array]:
    """`count` random windows of a text and the windows one character later."""
    starts = np.random.default_rng(seed).integers(0, len(numbers) - length - 1, count)
    index = starts[:, None] + np.arange(length)
    return numbers[index], numbers[index + 1]
