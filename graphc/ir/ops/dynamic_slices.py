"""Slices at places that are computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir.differentiate import zeros
from graphc.ir.dims import Dim
from graphc.ir.opdef import ANY, INDEX, Arg, IllTyped, Kind, Sample, Shape, Trait
from graphc.ir.ops.shape import exceeds, require_length
from graphc.ir.register import primitive
from graphc.ir.typerules import require, shaped
from graphc.ir.types import TensorType


def _require_starts(
    name: str, x: TensorType, starts: Sequence[TensorType], sizes: Sequence[Dim]
) -> None:
    require(
        len(starts) == x.rank and all(s == starts[0] and not s.shape for s in starts),
        f"{name}: starts must be {x.rank} scalars of one dtype",
        x,
        *starts,
    )
    require_length(name, "sizes", sizes, x.rank)
    for size, part in zip(x.shape, sizes, strict=True):
        require(
            not exceeds(part, size), f"{name}: size {part} is larger than {size}", x
        )


def _window(x: Any, starts: Any, sizes: Any) -> Any:
    first = [
        min(max(int(start), 0), size - part)
        for start, size, part in zip(starts, x.shape, sizes, strict=True)
    ]
    return tuple(slice(f, f + part) for f, part in zip(first, sizes, strict=True))


def _dynamic_slice_vjp(g: Any, y: Any, x: Any, *starts: Any, sizes: Any) -> Any:
    return dynamic_update_slice(zeros(x.type), g, *starts), *(None for _ in starts)


@primitive(
    Kind.OPAQUE,
    lambda x, *starts, sizes: x[_window(x, starts, sizes)],
    vjp=_dynamic_slice_vjp,
    dtypes=(ANY, INDEX),
    traits=[Trait.MOVES_DATA, Trait.GATHERS],
    samples=(
        Sample(("f32[4,5]", Arg("i32[]", 0, 3), 2), {"sizes": [2, 3]}),
        Sample(("f32[4,5]", -7, 9), {"sizes": [2, 3]}),
        Sample(("f32[]",), {"sizes": []}),
        Sample(("f32[B,5]", 0, Arg("i32[]", 0, 5)), {"sizes": ["B", 1]}),
    ),
    errors=(
        IllTyped(("f32[4]", 1, 2), "starts must be 1 scalars", {"sizes": [2]}),
        IllTyped(("f32[4]", "i32[1]"), "starts must be 1 scalars", {"sizes": [2]}),
        IllTyped(("f32[4]", 1), "size 5 is larger than 4", {"sizes": [5]}),
        IllTyped(("f32[4]", 1), "sizes must have 1", {"sizes": [5, 5]}),
        IllTyped(("f32[4]", 1.5), "starts must be one of", {"sizes": [1]}),
    ),
    numerics="starts are clamped so that the slice lies inside x",
)
def dynamic_slice(x: TensorType, *starts: TensorType, sizes: Shape) -> TensorType:
    """The part of x of the given sizes that begins at `starts`."""
    _require_starts("dynamic_slice", x, starts, sizes)
    return shaped(x, sizes)


def _update_reference(x: Any, update: Any, *starts: Any) -> Any:
    result = np.array(x)
    result[_window(x, starts, update.shape)] = update
    return result


def _update_vjp(g: Any, y: Any, x: Any, update: Any, *starts: Any) -> Any:
    return (
        dynamic_update_slice(g, zeros(update.type), *starts),
        dynamic_slice(g, *starts, sizes=update.type.shape),
        *(None for _ in starts),
    )


@primitive(
    Kind.OPAQUE,
    _update_reference,
    vjp=_update_vjp,
    dtypes=(ANY, ANY, INDEX),
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[4,5]", "f32[2,3]", Arg("i32[]", 0, 3), 2)),
        Sample(("f32[4]", "f32[2]", 7)),
        Sample(("f32[]", "f32[]")),
        Sample(("f32[B,5]", "f32[B,1]", 0, Arg("i32[]", 0, 5))),
    ),
    errors=(
        IllTyped(("f32[4]", "i32[2]", 0), "update must have the dtype"),
        IllTyped(("f32[4]", "f32[2]", 0, 0), "starts must be 1 scalars"),
        IllTyped(("f32[4]", "f32[5]", 0), "size 5 is larger than 4"),
        IllTyped(("f32[4]", "f32[]", 0), "sizes must have 1"),
    ),
    numerics="starts are clamped so that the update lies inside x",
)
def dynamic_update_slice(
    x: TensorType, update: TensorType, *starts: TensorType
) -> TensorType:
    """Puts `update` in the place of the part of x that begins at `starts`."""
    require(
        update.dtype is x.dtype,
        "dynamic_update_slice: update must have the dtype of the operand",
        x,
        update,
    )
    _require_starts("dynamic_update_slice", x, starts, update.shape)
    return x
