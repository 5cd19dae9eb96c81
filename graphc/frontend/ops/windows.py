"""Windows: weights that fade a piece of a signal in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import floatx
from graphc.frontend.ops.operands import refuse, shape_of, with_static
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value

__all__ = ["bartlett", "blackman", "hamming", "hanning", "kaiser"]


def _window(make: Callable[..., Any], x: Any, *arguments: float) -> Tensor:
    (size,) = shape_of(x, "x")
    if not isinstance(size, int):
        refuse(f"Expected a known number of weights. Received: x={x}")
    return tensor(value(make(size, *arguments), floatx()))


@with_static("x")
@op
def bartlett(x: Any) -> Tensor:
    """The Bartlett window of x weights: a triangle with 0 at both ends."""
    return _window(np.bartlett, x)


@with_static("x")
@op
def blackman(x: Any) -> Tensor:
    """The Blackman window of x weights, of the first three terms of a cosine series."""
    return _window(np.blackman, x)


@with_static("x")
@op
def hamming(x: Any) -> Tensor:
    """The Hamming window of x weights: a raised cosine, 0.08 at both ends."""
    return _window(np.hamming, x)


@with_static("x")
@op
def hanning(x: Any) -> Tensor:
    """The Hann window of x weights: a raised cosine, 0 at both ends."""
    return _window(np.hanning, x)


@with_static("x", "beta")
@op
def kaiser(x: Any, beta: Any) -> Tensor:
    """The Kaiser window of x weights; the larger `beta`, the narrower."""
    return _window(np.kaiser, x, float(beta))
