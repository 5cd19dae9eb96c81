"""What the training, evaluation and inference loops share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphc.frontend.arguments import one_of
from graphc.frontend.config import is_interactive_logging_enabled
from graphc.frontend.training.data import Batches, unpack_x_y_sample_weight
from graphc.ir.errors import NonFiniteError


@contextmanager
def naming_batch(index: int, epoch: int | None = None) -> Iterator[None]:
    """Says in a `NonFiniteError` at which batch, counted from 1, it came up."""
    try:
        yield
    except NonFiniteError as error:
        place = f"batch {index + 1}"
        if epoch is not None:
            place = f"epoch {epoch + 1}, {place}"
        error.message = f"{place}: {error.message}"
        raise


def writable(output: Any) -> np.ndarray[Any, Any]:
    """An output as a NumPy array of its own."""
    array = np.asarray(output)
    return array if array.flags.writeable else array.copy()


def joined(*parts: Any) -> np.ndarray[Any, Any]:
    """The outputs of all batches as one array."""
    arrays = [np.asarray(part) for part in parts]
    return np.concatenate(arrays) if len(arrays) > 1 else np.array(arrays[0])


def flat_logs(logs: Any) -> dict[str, Any]:
    """The logs of a step by name, those of nested dicts among them.

    Raises:
        ValueError: If a step returned something else than a dict.
    """
    if not isinstance(logs, Mapping):
        raise ValueError(
            "Expected `train_step` and `test_step` to return a dict of logs by name."
            f" Received: {type(logs).__name__}"
        )
    flat: dict[str, Any] = {}
    for name, value in logs.items():
        flat.update(flat_logs(value) if isinstance(value, Mapping) else {name: value})
    return flat


def verbosity(verbose: Any) -> int:
    """`verbose` as 0, 1 or 2.

    Raises:
        ValueError: If it is none of these, nor ``"auto"``.
    """
    if verbose == "auto":
        return 1 if is_interactive_logging_enabled() else 2
    return int(one_of("verbose", verbose, ("auto", 0, 1, 2)))


def as_validation(data: Any, batch_size: int | None, steps: int | None) -> Batches:
    """The batches of ``validation_data``."""
    if isinstance(data, (tuple, list)):
        x, y, sample_weight = unpack_x_y_sample_weight(tuple(data))
        return Batches(
            x, y, sample_weight, batch_size=batch_size, steps=steps, shuffle=False
        )
    return Batches(data, batch_size=batch_size, steps=steps, shuffle=False)


def refuse_unknown(method: str, keywords: dict[str, Any]) -> None:
    """Raises a ValueError if there are keyword arguments that nothing takes."""
    if keywords:
        raise ValueError(
            f"Arguments not recognized by `{method}()`. Received: {keywords}"
        )
