"""Weights of samples: from the weights of classes, and for models of many outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.frontend import trees
from graphc.frontend.dtypes import floatx
from graphc.frontend.training.data.arrays import Array
from graphc.ir.types import dtype

__all__ = ["class_weights_to_sample_weights", "match_sample_weights"]


def class_weights_to_sample_weights(
    y: Any, class_weight: Mapping[int, float], sample_weight: Any = None
) -> Array:
    """The weight of each sample's class; 1 for a class without a weight.

    Args:
        y: Labels: class indices of shape (n,) or (n, 1), or one-hot of shape
            (n, classes); any axes between give each sample a weight per position.
        class_weight: Weights by class index.
        sample_weight: Must be None: a sample has one weight.

    Returns:
        Weights of dtype `floatx` and the shape of the class indices.

    Raises:
        ValueError: If there is no single array of labels, or `class_weight` is not a
            mapping of integers to numbers, or `sample_weight` is given as well.
    """
    if sample_weight is not None:
        raise ValueError(
            "Expected `class_weight` or `sample_weight`. Received: both, where "
            "`sample_weight` can contain the weights of classes too"
        )
    if not isinstance(y, np.ndarray):
        raise ValueError(
            "`class_weight` is only supported for models with a single output and "
            f"its targets. Expected `y` to be one array. Received: y={type(y).__name__}"
        )
    classes, weights = _read_class_weight(class_weight)
    labels = y
    if y.ndim > 1:
        labels = y[..., 0] if y.shape[-1] == 1 else y.argmax(axis=-1)
    labels = np.rint(labels).astype(np.int64)
    nearest = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    found = classes[nearest] == labels
    return np.where(found, weights[nearest], 1.0).astype(_float_dtype())


def match_sample_weights(sample_weight: Any, y: Any) -> Any:
    """`sample_weight` in `floatx`, repeated for each output if there are several.

    Args:
        sample_weight: None, one array, or arrays nested as `y`.
        y: The targets, nested by output.

    Raises:
        ValueError: If there are several outputs and the one array gives a sample more
            than one weight, or several arrays of weights and one output.
    """
    if sample_weight is None:
        return None
    dtype_ = _float_dtype()
    single = isinstance(sample_weight, np.ndarray)
    if not single:
        if isinstance(y, np.ndarray):
            raise ValueError(
                "Expected `sample_weight` to be one array, as `y` is. "
                f"Received: sample_weight of type {type(sample_weight).__name__}"
            )
        return trees.map_leaves(lambda w: np.asarray(w, dtype_), sample_weight)
    weights = np.asarray(sample_weight, dtype_)
    if y is None or isinstance(y, np.ndarray):
        return weights
    if weights.ndim > 1:
        raise ValueError(
            "For a model with several outputs one `sample_weight` array must have "
            "one weight for each sample. Expected shape (num_samples,), or arrays "
            f"nested as `y`. Received: sample_weight.shape={weights.shape}"
        )
    return trees.map_leaves(lambda _: weights, y)


def _read_class_weight(class_weight: Mapping[int, float]) -> tuple[Array, Array]:
    try:
        pairs = sorted((int(label), float(w)) for label, w in class_weight.items())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            "Expected `class_weight` to map class indices to numbers. "
            f"Received: class_weight={class_weight!r}"
        ) from None
    labels, weights = zip(*pairs, strict=True)
    return np.array(labels, np.int64), np.array(weights, np.float64)


def _float_dtype() -> np.dtype[Any]:
    return dtype(floatx()).numpy
