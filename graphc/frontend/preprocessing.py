"""Small conversions of NumPy data: one-hot labels, unit vectors, padded sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from graphc.frontend.arguments import one_of
from graphc.frontend.dtypes import floatx
from graphc.ir.types import dtype as ir_dtype

__all__ = ["normalize", "pad_sequences", "to_categorical"]

Array = np.ndarray[Any, Any]


def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """Converts class indices to one-hot rows.

    Args:
        x: Class indices: integers of any shape; a last dimension of 1 is dropped.
        num_classes: The number of classes; the largest index plus one by default.

    Returns:
        An array of the shape of `x` with a last dimension of `num_classes` added, of
        dtype `floatx`.

    Raises:
        ValueError: If an index is negative or not below `num_classes`.

    Example:
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = np.asarray(x).astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    largest = int(labels.max(initial=-1))
    classes = largest + 1 if num_classes is None else num_classes
    if largest >= classes or labels.min(initial=0) < 0:
        raise ValueError(
            f"Expected class indices in 0..{classes - 1}. Received: values in "
            f"{labels.min()}..{largest}"
        )
    one_hot = np.zeros((*labels.shape, classes), ir_dtype(floatx()).numpy)
    np.put_along_axis(one_hot, labels[..., None], 1, axis=-1)
    return one_hot


def normalize(x: Any, axis: int = -1, order: float = 2) -> Array:
    """Scales vectors to norm 1; those of norm 0 stay.

    Args:
        x: Floats of any shape.
        axis: The axis along which the vectors lie.
        order: Of the norm: 2 for the Euclidean one.

    Returns:
        An array of the shape of `x`.
    """
    array = np.asarray(x)
    norm = np.linalg.norm(array, order, axis, keepdims=True)
    return array / np.where(norm == 0, 1, norm)


def pad_sequences(
    sequences: Iterable[Sequence[Any]],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> Array:
    """Pads, and cuts, sequences to one length.

    Args:
        sequences: Lists of numbers, or of vectors of one size, of different lengths.
        maxlen: The length of the results; that of the longest one by default.
        dtype: The dtype of the result; ``object`` for strings.
        padding: Whether values are added ``"pre"`` (before) or ``"post"`` (after).
        truncating: Whether longer sequences lose items ``"pre"`` or ``"post"``.
        value: What to add.

    Returns:
        An array of shape (number of sequences, `maxlen`, size of a vector if any).

    Raises:
        ValueError: If an item of `sequences` is no sequence, vectors differ in size, or
            `padding` or `truncating` is something else.

    Example:
    >>> pad_sequences([[1], [2, 3]])
    array([[0, 1],
           [2, 3]], dtype=int32)
    """
    one_of("padding", padding, ("pre", "post"))
    one_of("truncating", truncating, ("pre", "post"))
    rows: list[Array] = []
    for sequence in sequences:
        if not hasattr(sequence, "__len__"):
            raise ValueError(
                "Expected `sequences` to contain sequences. "
                f"Received: an item {sequence!r}"
            )
        rows.append(np.asarray(sequence, dtype))
    length = max(map(len, rows), default=0) if maxlen is None else maxlen
    item = next((row.shape[1:] for row in rows if len(row)), ())
    result = np.full((len(rows), length, *item), value, dtype)
    for row, padded in zip(rows, result, strict=True):
        if len(row) and row.shape[1:] != item:
            raise ValueError(
                f"Expected items of shape {item} in all sequences. "
                f"Received: one with items of shape {row.shape[1:]}"
            )
        kept = row[max(0, len(row) - length) :] if truncating == "pre" else row[:length]
        if len(kept):
            target = slice(-len(kept), None) if padding == "pre" else slice(len(kept))
            padded[target] = kept
    return result
