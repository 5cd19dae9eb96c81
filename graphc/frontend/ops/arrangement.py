"""Functions that reshape, reorder, join, cut and repeat tensors."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.frontend.config import DATA_FORMATS
from graphc.frontend.dispatch import op
from graphc.frontend.ops.operands import (
    TensorLike,
    axes_of,
    axis_of,
    check_one_of,
    materialize,
    promote,
    read,
    refuse,
    shape_of,
    stretch,
    with_static,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Literal, Value
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim
from graphc.ir.types import product

__all__ = [
    "append",
    "array_split",
    "broadcast_to",
    "concatenate",
    "depth_to_space",
    "diff",
    "dsplit",
    "dstack",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "hsplit",
    "hstack",
    "meshgrid",
    "moveaxis",
    "pad",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "rot90",
    "space_to_depth",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "tile",
    "transpose",
    "unstack",
    "vsplit",
    "vstack",
]


# -- reshaping -------------------------------------------------------------------------


def reshaped(x: Value, shape: Sequence[Dim]) -> Value:
    """`x` in another shape; `x` itself if it has it."""
    return x if x.shape == tuple(shape) else ir_ops.reshape(x, shape=shape)


@with_static("newshape")
@op
def reshape(x: TensorLike, newshape: Any) -> Tensor:
    """The elements of x in another shape.

    Args:
        x: A tensor.
        newshape: Sizes, of which one may be -1: what is left for it.

    Raises:
        GraphError: If the number of elements would change.
    """
    operand = read(x)
    return tensor(reshaped(operand, _filled(operand.shape, shape_of(newshape))))


def _filled(old: Sequence[Dim], new: Sequence[Dim]) -> tuple[Dim, ...]:
    """`new` with the size that -1 stands for."""
    total = product(old)
    if -1 in new:
        if new.count(-1) > 1:  # pyright: ignore[reportAttributeAccessIssue]
            refuse(f"Expected at most one -1. Received: newshape={tuple(new)}")
        known = product(d for d in new if d != -1)
        rest = total // known if known != 0 else 0
        new = tuple(rest if d == -1 else d for d in new)
    if product(new) != total:
        refuse(
            f"Expected a shape of {total} elements, as many as the tensor of shape "
            f"{tuple(old)} has. Received: newshape={tuple(new)}"
        )
    return tuple(new)


@op
def ravel(x: TensorLike) -> Tensor:
    """The elements of x in one row."""
    return reshape(x, (-1,))


@op
def expand_dims(x: TensorLike, axis: int | Sequence[int]) -> Tensor:
    """Adds dimensions of size 1; `axis` counts in the result's shape."""
    operand = read(x)
    added = len(axis) if isinstance(axis, (list, tuple)) else 1
    rank = operand.type.rank + added
    axes = axes_of(axis, rank)
    sizes = iter(operand.shape)
    shape = [1 if d in axes else next(sizes) for d in range(rank)]
    return tensor(ir_ops.reshape(operand, shape=shape))


@op
def squeeze(x: TensorLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """Drops dimensions of size 1.

    Args:
        x: A tensor.
        axis: Which to drop, or None for all of size 1.

    Raises:
        GraphError: If a dimension to drop is not of size 1.
    """
    operand = read(x)
    shape = operand.shape
    if axis is None:
        axes: Sequence[int] = [d for d, size in enumerate(shape) if size == 1]
    else:
        axes = axes_of(axis, len(shape))
        if any(shape[a] != 1 for a in axes):
            refuse(
                f"Expected dimensions of size 1. Received: axis={axis} of a tensor "
                f"of shape {shape}"
            )
    kept = [size for d, size in enumerate(shape) if d not in axes]
    return tensor(reshaped(operand, kept))


@with_static("shape")
@op
def broadcast_to(x: TensorLike, shape: Any) -> Tensor:
    """Repeats x to `shape` by NumPy's rules of broadcasting."""
    return tensor(stretch(read(x), shape_of(shape)))


# -- reordering ------------------------------------------------------------------------


def permuted(x: Value, permutation: Sequence[int]) -> Value:
    """`x` with its dimensions in another order; `x` itself if it is the same."""
    if list(permutation) == list(range(len(permutation))):
        return x
    return ir_ops.transpose(x, permutation=permutation)


@op
def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """Reorders the dimensions.

    Args:
        x: A tensor.
        axes: For each dimension of the result, that of x; reversed by default.

    Raises:
        GraphError: If `axes` does not list every dimension once.
    """
    operand = read(x)
    rank = operand.type.rank
    order = range(rank)[::-1] if axes is None else axes_of(tuple(axes), rank, "axes")
    if len(order) != rank:
        refuse(f"Expected {rank} axes. Received: axes={axes}")
    return tensor(permuted(operand, order))


@op
def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Exchanges two dimensions."""
    operand = read(x)
    order = list(range(operand.type.rank))
    first, second = (axis_of(a, len(order)) for a in (axis1, axis2))
    order[first], order[second] = second, first
    return tensor(permuted(operand, order))


@op
def moveaxis(
    x: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]
) -> Tensor:
    """Moves dimensions to other places; the others keep their order."""
    operand = read(x)
    rank = operand.type.rank
    sources = axes_of(source, rank, "source")
    destinations = axes_of(destination, rank, "destination")
    if len(sources) != len(destinations):
        refuse(
            "Expected as many destinations as sources. Received: "
            f"source={source}, destination={destination}"
        )
    order = [d for d in range(rank) if d not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return tensor(permuted(operand, order))


@op
def flip(x: TensorLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """Reverses the order of the elements along axes; along all for None."""
    operand = read(x)
    return tensor(ir_ops.reverse(operand, axes=axes_of(axis, operand.type.rank)))


@op
def fliplr(x: TensorLike) -> Tensor:
    """Reverses the order along axis 1."""
    return flip(x, 1)


@op
def flipud(x: TensorLike) -> Tensor:
    """Reverses the order along axis 0."""
    return flip(x, 0)


@op
def rot90(array: TensorLike, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """Turns the plane of two axes by k right angles, from the first to the second."""
    first, second = axes
    turns = k % 4
    if turns == 0:
        return tensor(read(array))
    if turns == 2:
        return flip(array, (first, second))
    if turns == 1:
        return swapaxes(flip(array, second), first, second)
    return flip(swapaxes(array, first, second), second)


@with_static("shift")
@op
def roll(x: TensorLike, shift: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Moves elements along axes; those that fall off the end enter at the start.

    Args:
        x: A tensor.
        shift: By how many places, for each axis or for all.
        axis: The axes, or None to roll all elements in one row.

    Raises:
        GraphError: If there are not as many axes as numbers of places.
    """
    operand = read(x)
    shifts = [shift] if isinstance(shift, (int, np.integer)) else list(shift)
    if axis is None:
        flat = ir_ops.reshape(operand, shape=[product(operand.shape)])
        rolled = _rolled(flat, int(sum(shifts)), 0)
        return tensor(ir_ops.reshape(rolled, shape=operand.shape))
    axes = [axis] if isinstance(axis, int) else list(axis)
    count = len(axes) if len(shifts) == 1 else len(shifts)
    if len(axes) not in (1, count):
        refuse(f"Expected a shift for each axis. Received: shift={shift}, axis={axis}")
    shifts *= count // len(shifts)
    axes *= count // len(axes)
    for along, by in zip(axes, shifts, strict=True):
        operand = _rolled(operand, int(by), axis_of(along, operand.type.rank))
    return tensor(operand)


def _rolled(x: Value, shift: int, axis: int) -> Value:
    size = x.shape[axis]
    if isinstance(size, int):
        shift = shift % size if size else 0
    if shift == 0:
        return x
    cut = size - shift if shift > 0 else -shift
    return ir_ops.concatenate(
        cut_out(x, axis, cut, size), cut_out(x, axis, 0, cut), axis=axis
    )


# -- cutting ---------------------------------------------------------------------------


def cut_out(x: Value, axis: int, start: Dim, limit: Dim, step: int = 1) -> Value:
    """Every `step`-th of the elements from `start` to before `limit` along an axis."""
    if start == 0 and limit == x.shape[axis] and step == 1:
        return x
    starts: list[Dim] = [0] * x.type.rank
    limits = list(x.shape)
    starts[axis], limits[axis] = start, limit
    steps = None
    if step != 1:
        steps = [step if d == axis else 1 for d in range(x.type.rank)]
    return ir_ops.slice_(x, start=starts, limit=limits, strides=steps)


@with_static("indices_or_sections")
@op
def split(x: TensorLike, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Cuts x along an axis.

    Args:
        x: A tensor.
        indices_or_sections: The number of equal parts, or the places to cut at.
        axis: The axis.

    Returns:
        The list of parts.

    Raises:
        GraphError: If x does not divide into so many equal parts.
    """
    operand = read(x)
    along = axis_of(axis, operand.type.rank)
    size = operand.shape[along]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
        if sections < 1 or (size // sections) * sections != size:
            refuse(
                f"Expected a number of parts that divides {size}. Received: "
                f"indices_or_sections={sections}, axis={axis}"
            )
        if sections == 1:
            return [tensor(operand)]
        sizes: list[Dim] = [size // sections] * sections
        return [tensor(part) for part in ir_ops.split(operand, axis=along, sizes=sizes)]
    try:
        places = [operator.index(place) for place in indices_or_sections]
    except TypeError:
        refuse(
            "Expected a number of parts, or a sequence of places to cut at. Received: "
            f"indices_or_sections={indices_or_sections!r}"
        )
    return _split_at(operand, along, places)


def _split_at(x: Value, axis: int, places: Sequence[int]) -> list[Tensor]:
    size = x.shape[axis]
    cuts: list[Dim] = [0]
    for place in places:
        cut: Dim = size + place if place < 0 else place
        if isinstance(size, int) and isinstance(cut, int):
            cut = max(0, min(cut, size))
        cuts.append(cut)
    cuts.append(size)
    parts = []
    for start, limit in itertools.pairwise(cuts):
        # As in NumPy, a cut before the previous one gives an empty part.
        backwards = isinstance(limit - start, int) and (limit - start) < 0
        parts.append(tensor(cut_out(x, axis, start, start if backwards else limit)))
    return parts


@with_static("indices_or_sections")
@op
def array_split(x: TensorLike, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Cuts x along an axis into parts that may differ in size by one; see `split`."""
    operand = read(x)
    along = axis_of(axis, operand.type.rank)
    size = operand.shape[along]
    counted = isinstance(indices_or_sections, (int, np.integer))
    if not counted or not isinstance(size, int):
        return split(x, indices_or_sections, axis)
    sections = int(indices_or_sections)
    if sections < 1:
        refuse(f"Expected at least 1 part. Received: indices_or_sections={sections}")
    quotient, longer = divmod(size, sections)
    sizes = [quotient + (i < longer) for i in range(sections)]
    return _split_at(operand, along, list(itertools.accumulate(sizes))[:-1])


@op
def hsplit(x: TensorLike, indices_or_sections: Any) -> list[Tensor]:
    """Cuts x along axis 1, or along axis 0 if it is its only one; see `split`."""
    return split(x, indices_or_sections, 0 if read(x).type.rank == 1 else 1)


@op
def vsplit(x: TensorLike, indices_or_sections: Any) -> list[Tensor]:
    """Cuts x along axis 0; see `split`."""
    return split(x, indices_or_sections, 0)


@op
def dsplit(x: TensorLike, indices_or_sections: Any) -> list[Tensor]:
    """Cuts x along axis 2; see `split`."""
    return split(x, indices_or_sections, 2)


@op
def unstack(x: TensorLike, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """The slices of x along an axis, which is dropped.

    Args:
        x: A tensor.
        num: The size of the axis, if it is to be checked.
        axis: The axis; its size must be known.

    Raises:
        GraphError: If the size is not known, or not `num`.
    """
    operand = read(x)
    along = axis_of(axis, operand.type.rank)
    size = operand.shape[along]
    if not isinstance(size, int) or num not in (None, size):
        refuse(f"Expected an axis of known size. Received: {operand.type}, num={num}")
    shape = [d for i, d in enumerate(operand.shape) if i != along]
    return [
        tensor(ir_ops.reshape(cut_out(operand, along, i, i + 1), shape=shape))
        for i in range(size)
    ]


@op
def diff(a: TensorLike, n: int = 1, axis: int = -1) -> Tensor:
    """The differences of neighbours along an axis, n times over."""
    if n < 0:
        refuse(f"Expected `n` to be at least 0. Received: n={n}")
    operand = read(a)
    along = axis_of(axis, operand.type.rank)
    size = operand.shape[along]
    for _ in range(min(n, size) if isinstance(size, int) else n):
        size = operand.shape[along]
        later = cut_out(operand, along, 1, size)
        earlier = cut_out(operand, along, 0, size - 1)
        if operand.dtype.kind == "bool":
            operand = ir_ops.xor(later, earlier)
        else:
            operand = ir_ops.subtract(later, earlier)
    return tensor(operand)


# -- joining ---------------------------------------------------------------------------


def _promoted(xs: Sequence[TensorLike]) -> list[Value]:
    if len(xs) == 0:
        refuse("Expected at least one tensor. Received: an empty sequence")
    return [materialize(x) for x in promote(*xs)]


@op
def concatenate(xs: Sequence[TensorLike], axis: int | None = 0) -> Tensor:
    """Joins tensors along an axis.

    Args:
        xs: Tensors that differ in size along the axis only.
        axis: The axis, or None to join the elements of all in one row.
    """
    operands = _promoted(xs)
    if axis is None:
        operands = [reshaped(x, [product(x.shape)]) for x in operands]
        axis = 0
    along = axis_of(axis, operands[0].type.rank)
    return tensor(ir_ops.concatenate(*operands, axis=along))


@op
def append(x1: TensorLike, x2: TensorLike, axis: int | None = None) -> Tensor:
    """Joins x2 to x1 along an axis; the elements of both in one row for None."""
    return concatenate([x1, x2], axis)


@op
def stack(x: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Joins tensors of one shape along a new axis."""
    return tensor(stacked(_promoted(x), axis))


def stacked(operands: Sequence[Value], axis: int) -> Value:
    """Values of one shape and dtype joined along a new axis."""
    shape = operands[0].shape
    if any(x.shape != shape for x in operands):
        refuse(
            "Expected tensors of one shape. Received: "
            + ", ".join(str(x.type) for x in operands)
        )
    along = axis_of(axis, len(shape) + 1)
    lined = [
        ir_ops.reshape(x, shape=[*shape[:along], 1, *shape[along:]]) for x in operands
    ]
    return ir_ops.concatenate(*lined, axis=along)


def _at_least(x: Value, rank: int) -> Value:
    """`x` with dimensions of size 1 as in NumPy's atleast_1d, 2d and 3d."""
    shape = x.shape
    if rank == 3 and len(shape) == 2:
        return ir_ops.reshape(x, shape=[*shape, 1])
    if rank == 3 and len(shape) < 2:
        return ir_ops.reshape(x, shape=[1, product(shape), 1])
    return reshaped(x, [1] * (rank - len(shape)) + list(shape))


@op
def hstack(xs: Sequence[TensorLike]) -> Tensor:
    """Joins tensors along axis 1, or along axis 0 if it is their only one."""
    operands = [_at_least(x, 1) for x in _promoted(xs)]
    axis = 0 if operands[0].type.rank == 1 else 1
    return tensor(ir_ops.concatenate(*operands, axis=axis))


@op
def vstack(xs: Sequence[TensorLike]) -> Tensor:
    """Joins tensors along axis 0; those of rank 1 are rows."""
    operands = [_at_least(x, 2) for x in _promoted(xs)]
    return tensor(ir_ops.concatenate(*operands, axis=0))


@op
def dstack(xs: Sequence[TensorLike]) -> Tensor:
    """Joins tensors along axis 2, which is added where there is none."""
    operands = [_at_least(x, 3) for x in _promoted(xs)]
    return tensor(ir_ops.concatenate(*operands, axis=2))


@op
def meshgrid(*x: TensorLike, indexing: str = "xy") -> list[Tensor]:
    """Coordinates of the points of a grid.

    Args:
        *x: The coordinates along each axis, of rank 1.
        indexing: ``"xy"`` for results [len(x[1]), len(x[0]), ...], ``"ij"`` for
            [len(x[0]), len(x[1]), ...].

    Returns:
        One tensor per coordinate.
    """
    check_one_of("indexing", indexing, ("xy", "ij"))
    rows = [ir_ops.reshape(r, shape=[product(r.shape)]) for r in map(read, x)]
    places = list(range(len(rows)))
    if indexing == "xy" and len(rows) > 1:
        places[0], places[1] = 1, 0
    shape: list[Dim] = [0] * len(rows)
    for row, place in zip(rows, places, strict=True):
        shape[place] = row.shape[0]
    return [
        tensor(ir_ops.broadcast_in_dim(row, shape=shape, dims=[place]))
        for row, place in zip(rows, places, strict=True)
    ]


# -- repeating and padding -------------------------------------------------------------


@with_static("repeats")
@op
def tile(x: TensorLike, repeats: Any) -> Tensor:
    """Repeats x as a whole, so many times along each axis.

    Args:
        x: A tensor.
        repeats: How often along each axis, or along the last one for a number.
    """
    operand = read(x)
    counts = list(shape_of(repeats, "repeats"))
    rank = max(len(counts), operand.type.rank)
    counts = [1] * (rank - len(counts)) + counts
    shape = [1] * (rank - operand.type.rank) + list(operand.shape)
    apart = [d for pair in zip(counts, shape, strict=True) for d in pair]
    dims = [2 * d + 1 for d in range(rank)][rank - operand.type.rank :]
    wide = ir_ops.broadcast_in_dim(operand, shape=apart, dims=dims)
    sizes = [n * size for n, size in zip(counts, shape, strict=True)]
    return tensor(ir_ops.reshape(wide, shape=sizes))


@with_static("repeats")
@op
def repeat(x: TensorLike, repeats: Any, axis: int | None = None) -> Tensor:
    """Repeats each element of x.

    Args:
        x: A tensor.
        repeats: How often, an integer for all elements or a list with one for each
            along the axis.
        axis: The axis, or None for all elements in one row, as those of a scalar.

    Raises:
        GraphError: If there is neither one number nor one per element.
    """
    operand = read(x)
    if axis is None or not operand.type.rank:
        operand = reshaped(operand, [product(operand.shape)])
        axis = 0
    along = axis_of(axis, operand.type.rank)
    shape = operand.shape
    counts = np.asarray(repeats)
    if counts.size == 1:
        times = int(counts.reshape(()))
        wide = [*shape[: along + 1], times, *shape[along + 1 :]]
        dims = [d for d in range(len(wide)) if d != along + 1]
        repeated = ir_ops.broadcast_in_dim(operand, shape=wide, dims=dims)
        sizes = [*shape[:along], shape[along] * times, *shape[along + 1 :]]
        return tensor(ir_ops.reshape(repeated, shape=sizes))
    if counts.shape != (shape[along],):
        refuse(
            f"Expected one number of repeats, or one for each of {shape[along]} "
            f"elements. Received: repeats={repeats}"
        )
    places = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return tensor(ir_ops.take(operand, value(places), axis=along))


@with_static("pad_width")
@op
def pad(
    x: TensorLike, pad_width: Any, mode: str = "constant", constant_values: Any = None
) -> Tensor:
    """Adds elements to x before and behind along each axis.

    Args:
        x: A tensor.
        pad_width: ``((before, behind), ...)`` for each axis, one pair for all, or one
            number for all.
        mode: ``"constant"``, ``"reflect"``, ``"symmetric"`` or ``"edge"``.
        constant_values: What is added in mode ``"constant"``; 0 by default.

    Raises:
        GraphError: For other modes, or sizes that do not fit.
    """
    check_one_of("mode", mode, ("constant", "reflect", "symmetric", "edge"))
    operand = read(x)
    widths = _pad_widths(pad_width, operand.type.rank)
    if mode != "constant":
        if constant_values is not None:
            refuse(
                "Expected `constant_values` in mode 'constant' only. Received: "
                f"constant_values={constant_values}, mode={mode!r}"
            )
        return tensor(_padded_by_itself(operand, widths, mode))
    fill = Literal(0, operand.dtype)
    if constant_values is not None:
        fill = value(constant_values, operand.dtype.long_name)
    low, high = [w[0] for w in widths], [w[1] for w in widths]
    return tensor(ir_ops.pad(operand, fill, low=low, high=high))


def _pad_widths(pad_width: Any, rank: int) -> list[tuple[Dim, Dim]]:
    given = [pad_width] if isinstance(pad_width, int) else list(pad_width)
    if len(given) == 2 and all(isinstance(w, int) for w in given):
        given = [tuple(given)]  # one pair for all axes
    pairs: list[Any] = [(w, w) if isinstance(w, int) else tuple(w) for w in given]
    pairs = [p * 2 if len(p) == 1 else p for p in pairs]
    if len(pairs) == 1:
        pairs *= rank
    negative = any(isinstance(w, int) and w < 0 for p in pairs for w in p)
    if len(pairs) != rank or any(len(p) != 2 for p in pairs) or negative:
        refuse(
            f"Expected {rank} pairs (before, behind), none below 0. Received: "
            f"pad_width={pad_width}"
        )
    return pairs


def _padded_by_itself(x: Value, widths: Sequence[tuple[Dim, Dim]], mode: str) -> Value:
    """`x` padded with its own elements, mirrored or repeated from the edge."""
    for axis, width in enumerate(widths):
        size = x.shape[axis]
        if width == (0, 0):
            continue
        if not isinstance(size, int):
            refuse(
                f"Expected an axis of known size to pad by {mode}. Received: {x.type}"
            )
        if size == 0:
            refuse(
                f"Expected elements along axis {axis} to pad by {mode}. "
                f"Received: {x.type}"
            )
        options: Any = {"pad_width": width, "mode": mode}
        places = np.pad(np.arange(size, dtype=np.int32), **options)
        x = ir_ops.take(x, value(places), axis=axis)
    return x


# -- channels and space ----------------------------------------------------------------


@op
def space_to_depth(
    x: TensorLike, block_size: int, data_format: str = "channels_last"
) -> Tensor:
    """Moves blocks of pixels into channels.

    Args:
        x: Images [N, H, W, C], or [N, C, H, W] for ``"channels_first"``.
        block_size: The height and width of a block, which divides H and W.
        data_format: Where the channels are.

    Returns:
        Images [N, H / block_size, W / block_size, C * block_size**2].
    """
    operand = read(x)
    size = block_size
    if _is_channels_first(operand, size, data_format):
        n, c, h, w = operand.shape
        apart = reshape(x, (n, c, h // size, size, w // size, size))
        joined = transpose(apart, (0, 1, 3, 5, 2, 4))
        return reshape(joined, (n, c * size * size, h // size, w // size))
    n, h, w, c = operand.shape
    apart = reshape(x, (n, h // size, size, w // size, size, c))
    joined = transpose(apart, (0, 1, 3, 2, 4, 5))
    return reshape(joined, (n, h // size, w // size, size * size * c))


@op
def depth_to_space(
    x: TensorLike, block_size: int, data_format: str = "channels_last"
) -> Tensor:
    """Moves channels into blocks of pixels: the inverse of `space_to_depth`.

    Args:
        x: Images [N, H, W, C], or [N, C, H, W] for ``"channels_first"``.
        block_size: The height and width of a block, whose square divides C.
        data_format: Where the channels are.

    Returns:
        Images [N, H * block_size, W * block_size, C / block_size**2].
    """
    operand = read(x)
    size = block_size
    if _is_channels_first(operand, size, data_format):
        n, c, h, w = operand.shape
        depth = c // (size * size)
        apart = reshape(x, (n, depth, size, size, h, w))
        joined = transpose(apart, (0, 1, 4, 2, 5, 3))
        return reshape(joined, (n, depth, h * size, w * size))
    n, h, w, c = operand.shape
    depth = c // (size * size)
    apart = reshape(x, (n, h, w, size, size, depth))
    joined = transpose(apart, (0, 1, 3, 2, 4, 5))
    return reshape(joined, (n, h * size, w * size, depth))


def _is_channels_first(x: Value, block_size: int, data_format: str) -> bool:
    if block_size < 1:
        refuse(f"Expected a block size of 1 or more. Received: block_size={block_size}")
    check_one_of("data_format", data_format, DATA_FORMATS)
    if x.type.rank != 4:
        refuse(f"Expected images of rank 4. Received: {x.type}")
    return data_format == "channels_first"
