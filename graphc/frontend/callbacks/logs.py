"""Logs: metrics on their way from the device to callbacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

__all__ = ["BatchLogs", "to_floats"]


class BatchLogs(MutableMapping[str, Any]):
    """The logs of a batch: values become floats, and are waited for, when read.

    Args:
        values: Scalars and arrays by name, which may still be being computed.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = {} if values is None else dict(values)

    def __getitem__(self, name: str) -> Any:
        value = self._values[name] = _to_float(self._values[name])
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self._values[name] = value

    def __delitem__(self, name: str) -> None:
        del self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))

    def copy(self) -> dict[str, Any]:
        """The values as a dict of floats."""
        return dict(self)


def to_floats(logs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Logs with floats for scalars and NumPy arrays for other arrays.

    Args:
        logs: Scalars and arrays by name, which may still be being computed, or None.
    """
    return {name: _to_float(value) for name, value in (logs or {}).items()}


def _to_float(value: Any) -> Any:
    if isinstance(value, (float, str)) or value is None:
        return value
    if isinstance(value, (list, tuple, dict)):  # several outputs of predict
        return value
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array
