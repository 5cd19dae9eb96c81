"""Pooling over the spatial dimensions of data with features last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.ir.opdef import (
    FLOAT,
    NUMBER,
    Arg,
    IllTyped,
    IntLists,
    Ints,
    Kind,
    OpDef,
    Sample,
    Trait,
)
from graphc.ir.ops.along_axes import in_dtype, widen
from graphc.ir.ops.elementwise import divide
from graphc.ir.ops.shape import broadcast_in_dim, expand, require_length
from graphc.ir.ops.window import (
    reduce_window_max,
    reduce_window_sum,
    select_and_scatter_add,
)
from graphc.ir.register import composite
from graphc.ir.typerules import require
from graphc.ir.types import TensorType, product
from graphc.ir.values import Literal


def _all_dimensions(window: Ints, strides: Ints, padding: IntLists) -> dict[str, Any]:
    """Attributes of windows over all dimensions, given those of the spatial ones."""
    return {
        "window": (1, *window, 1),
        "strides": (1, *strides, 1),
        "padding": ((0, 0), *padding, (0, 0)),
    }


def _pool_type(name: str, reduction: OpDef) -> Callable[..., TensorType]:
    def infer(
        x: TensorType,
        *,
        window: Ints,
        strides: Ints,
        padding: IntLists,
        count_padding: bool = False,
    ) -> TensorType:
        require(x.rank >= 2, f"{name}: x must have a batch and a feature dimension", x)
        for attribute in (window, strides, padding):
            require_length(
                name, "each of window, strides, padding", attribute, x.rank - 2
            )
        attributes = _all_dimensions(window, strides, padding)
        found = reduction.infer(x, **attributes, dilation=None)
        assert isinstance(found, TensorType)
        return found

    return infer


def _max_pool_vjp(
    g: Any, y: Any, x: Any, window: Ints, strides: Ints, padding: IntLists
) -> Any:
    return (select_and_scatter_add(x, g, **_all_dimensions(window, strides, padding)),)


_HALVES = {"window": [2, 2], "strides": [2, 2], "padding": [[0, 0], [0, 0]]}
_PADDED = {"window": [3, 2], "strides": [2, 1], "padding": [[1, 1], [0, 1]]}
_LINE = {"window": [3], "strides": [1], "padding": [[1, 1]]}
_SAMPLES = (
    Sample(("f32[2,4,6,3]",), _HALVES),
    Sample(("f32[1,5,4,2]",), _PADDED),
    Sample(("f32[2,5,3]",), _LINE),
    Sample(("f32[2,3]",), {"window": [], "strides": [], "padding": []}),
    Sample(("f64[2,5,3]",), _LINE),
    Sample(("f32[B,4,4,3]",), _HALVES),
    Sample(("f32[2,H,4,3]",), _PADDED),
)
_ERRORS = (
    IllTyped(("f32[2,4,4]",), "must have 1 entries", _HALVES),
    IllTyped(("f32[2,4,4,3]",), "must have 2 entries", _LINE),
    IllTyped(("f32[4]",), "a batch and a feature dimension", _LINE),
    IllTyped(("f32[2,5,3]",), "strides must be positive", {**_LINE, "strides": [0]}),
    IllTyped(("bool[2,5,3]",), "must be", _LINE),
)


@composite(
    Kind.OPAQUE,
    infer=_pool_type("max_pool", reduce_window_max),
    vjp=_max_pool_vjp,
    dtypes=NUMBER,
    samples=(*_SAMPLES, Sample((Arg("i32[2,5,3]", -9, 9),), _LINE)),
    errors=_ERRORS,
    numerics="padding never wins; the first of equal elements has the gradient",
)
def max_pool(x: Any, *, window: Ints, strides: Ints, padding: IntLists) -> Any:
    """The largest element under each window.

    x is [batch, spatial dimensions, features]; the attributes list the spatial ones.
    """
    return reduce_window_max(x, **_all_dimensions(window, strides, padding))


@composite(
    Kind.OPAQUE,
    infer=_pool_type("average_pool", reduce_window_sum),
    dtypes=FLOAT,
    traits=[Trait.ACCUMULATES],
    samples=(*_SAMPLES, Sample(("f32[1,5,4,2]",), {**_PADDED, "count_padding": True})),
    errors=_ERRORS,
    ulp=4,
    numerics="float16 and bfloat16 sum in float32",
)
def average_pool(
    x: Any,
    *,
    window: Ints,
    strides: Ints,
    padding: IntLists,
    count_padding: bool = False,
) -> Any:
    """The mean of the elements under each window; with `count_padding` also of padding.

    x is [batch, spatial dimensions, features]; the attributes list the spatial ones.
    """
    attributes = _all_dimensions(window, strides, padding)
    wide = widen(x)
    total = reduce_window_sum(wide, **attributes)
    if count_padding or all(pair == (0, 0) for pair in padding):
        number = float(product(window))
    else:
        one = Literal(1.0, wide.type.dtype)
        ones = broadcast_in_dim(one, shape=(1, *x.type.shape[1:-1], 1), dims=[])
        number = reduce_window_sum(ones, **attributes)
        number = expand(number, total.type.shape, range(x.type.rank))
    return in_dtype(divide(total, number), x.type.dtype)
