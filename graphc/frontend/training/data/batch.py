"""One batch: (x, y, sample_weight) of nested NumPy arrays with equally many samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from graphc.frontend import trees
from graphc.frontend.training.data.arrays import to_array, to_model_array
from graphc.frontend.training.data.weights import (
    class_weights_to_sample_weights,
    match_sample_weights,
)

__all__ = [
    "Batch",
    "check_sizes",
    "convert_batch",
    "flatten",
    "map_arrays",
    "pack_x_y_sample_weight",
    "unpack_x_y_sample_weight",
]

Batch: TypeAlias = tuple[Any, Any, Any]
"""Inputs, targets or None, and sample weights or None."""

PARTS = ("x", "y", "sample_weight")


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What `Model.train_step` receives for a batch of these parts.

    Args:
        x: Inputs: a tensor or a nest of tensors.
        y: Targets, or None.
        sample_weight: Weights of the samples, or None.

    Returns:
        `x` alone, or ``(x,)`` if it is a list or a tuple; ``(x, y)``; or
        ``(x, y, sample_weight)``.
    """
    if sample_weight is not None:
        return (x, y, sample_weight)
    if y is not None:
        return (x, y)
    return (x,) if isinstance(x, (list, tuple)) else x


def unpack_x_y_sample_weight(data: Any) -> Batch:
    """The inputs, targets and sample weights in what `Model.train_step` receives.

    Args:
        data: ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``.

    Returns:
        ``(x, y, sample_weight)`` with None for what is not there.

    Raises:
        ValueError: If `data` has more than three parts, or none.
    """
    if not isinstance(data, (list, tuple)):
        return (data, None, None)
    if not 1 <= len(data) <= 3:
        raise ValueError(
            "Expected data in the format `x`, `(x,)`, `(x, y)` or "
            f"`(x, y, sample_weight)`. Received: {len(data)} parts of types "
            f"{[type(part).__name__ for part in data]}"
        )
    x, y, sample_weight = (*data, None, None)[:3]
    return (x, y, sample_weight)


def flatten(nest: Any) -> tuple[list[Any], Any]:
    """The arrays of a nest of lists, tuples and dicts, and its structure.

    A list of numbers is an array, not a nest; None is an empty nest.
    """
    leaves, structure = trees.flatten(nest, is_leaf=_is_list_of_numbers)
    return leaves, structure


def map_arrays(function: Any, nest: Any) -> Any:
    """`nest` with `function` applied to each of its arrays."""
    if nest is None or isinstance(nest, np.ndarray):  # the usual cases, cheaply
        return None if nest is None else function(nest)
    return trees.map_leaves(function, nest, is_leaf=_is_list_of_numbers)


def _is_list_of_numbers(x: Any) -> bool:
    while isinstance(x, (list, tuple)) and x:
        x = x[0]
    return isinstance(x, (bool, int, float, str, bytes, np.generic))


def check_sizes(x: Any, y: Any = None, sample_weight: Any = None) -> int:
    """The number of samples, which all arrays must agree on.

    Raises:
        ValueError: If they do not, or if there is no array, or one of rank 0.
    """
    sizes: dict[str, list[int]] = {}
    for part, nest in zip(PARTS, (x, y, sample_weight), strict=True):
        if nest is None:
            continue
        arrays = [nest] if isinstance(nest, np.ndarray) else flatten(nest)[0]
        for array in arrays:
            if array.ndim == 0:
                raise ValueError(
                    "Expected arrays whose first dimension counts the samples. "
                    f"Received: a scalar in {part}"
                )
        if arrays:
            sizes[part] = [len(array) for array in arrays]
    if "x" not in sizes:
        raise ValueError(f"Expected arrays. Received: x={x!r}")
    if len(distinct := {size for part in sizes.values() for size in part}) > 1:
        listed = "\n".join(
            f"'{part}' sizes: {', '.join(map(str, part_sizes))}"
            for part, part_sizes in sizes.items()
        )
        raise ValueError(
            "Data cardinality is ambiguous. Make sure all arrays contain the same "
            f"number of samples. Received:\n{listed}"
        )
    return distinct.pop()


def convert_batch(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
) -> Any:
    """A batch as nested NumPy arrays of the dtypes that models take.

    Args:
        x: Inputs: arrays, tensors, tables or lists of numbers, or nests of these.
        y: Targets, or None.
        sample_weight: A weight for each sample, or None.
        class_weight: A weight for each class; excludes `sample_weight`.

    Returns:
        What `Model.train_step` receives; see `pack_x_y_sample_weight`.

    Raises:
        ValueError: If data is not numeric, or the numbers of samples differ.
    """
    x = map_arrays(to_model_array, x)
    y = map_arrays(to_array, y)
    if class_weight:
        sample_weight = class_weights_to_sample_weights(y, class_weight, sample_weight)
    sample_weight = match_sample_weights(map_arrays(to_array, sample_weight), y)
    y = map_arrays(to_model_array, y)
    check_sizes(x, y, sample_weight)
    return pack_x_y_sample_weight(x, y, sample_weight)
