"""What torch's rarer ops are in graphc: masked ones, shapes, updates at places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.frontend.ops.operands import floats
from graphc.frontend.tracing import tensor
from graphc.ir import ops as ir_ops
from tests.suites.torch_names import (
    Function,
    all_axes,
    at_least_1d,
    diagonal,
    expand,
    narrow,
    permute,
    plain,
    rank,
    reduced,
    refuse,
    shaped,
    split,
    squeeze,
    t,
    transpose,
    unbind,
    unsqueeze,
    xlogy,
)

# -- elementwise -------------------------------------------------------------------------


def primitive(op: Callable[..., Any]) -> Function:
    """An op of graphs that `graphc.ops` has no function for."""
    return lambda x: tensor(op(floats(x)))


def in_float64(function: Function) -> Function:
    """A function whose float32 version adds up fewer terms, in float64."""
    return lambda x: ops.cast(function(ops.cast(x, "float64")), x.dtype)


lgamma = primitive(ir_ops.lgamma)
i0e, i1e = primitive(ir_ops.bessel_i0e), primitive(ir_ops.bessel_i1e)


def polygamma(x: Any, n: int) -> Any:
    if n == 0:
        return primitive(ir_ops.digamma)(x)
    return in_float64(lambda y: tensor(ir_ops.polygamma(floats(y), order=n)))(x)


def mvlgamma(x: Any, p: int) -> Any:
    terms = [lgamma(x - 0.5 * j) for j in range(p)]
    return sum(terms) + p * (p - 1) / 4 * math.log(math.pi)


def copysign(x: Any, y: Any) -> Any:
    return ops.abs(x) * ops.where(ops.signbit(y), -1.0, 1.0)


def entropy(x: Any) -> Any:
    return ops.where(x < 0, -math.inf, -xlogy(x, ops.maximum(x, 0.0)))


def xlog1py(x: Any, y: Any) -> Any:
    product = x * ops.log1p(y)
    return ops.where(ops.equal(x, 0.0), ops.zeros_like(product), product)


def isclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    return ops.isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)


def fill(x: Any, value: Any) -> Any:
    return ops.full_like(x, value)


def new(x: Any, shape: Any, value: Any, dtype: Any = None, **_: Any) -> Any:
    refuse(dtype is not None, "dtype")
    return ops.full(tuple(shape), value, dtype=x.dtype)


def cast_to(dtype: str) -> Function:
    return lambda x, **_: ops.cast(x, dtype)


# -- reductions and orders ---------------------------------------------------------------


def extremes(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    if not rank(x):
        return x, x
    return tuple(
        getattr(ops, name)(x, axis=dim, keepdims=keepdim) for name in ("min", "max")
    )


def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    if not rank(x):
        return x, ops.zeros((), dtype="int32")
    found = ops.sort(x, axis=dim), ops.argsort(x, axis=dim)
    picked = [narrow(y, dim, k - 1, 1) for y in found]
    return tuple(y if keepdim else ops.squeeze(y, axis=dim) for y in picked)


def median(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower one of two in the middle."""
    refuse(0 in x.shape, "the median of nothing")
    if dim is None:
        x = ops.reshape(x, (-1,))
        return kthvalue(x, (x.shape[0] + 1) // 2)[0]
    count = x.shape[dim] if rank(x) else 1
    return kthvalue(x, (count + 1) // 2, dim, keepdim)


def quantile(name: str) -> Function:
    def call(
        x: Any,
        q: Any,
        dim: int | None = None,
        keepdim: bool = False,
        interpolation: str = "linear",
    ) -> Any:
        refuse(not rank(x), "rank 0")
        return getattr(ops, name)(
            x, q, axis=dim, method=interpolation, keepdims=keepdim
        )

    return call


def cumulative_extreme(name: str) -> Function:
    """The extreme up to each element, and where it was last."""
    combine = getattr(ops, name)

    @at_least_1d
    def call(x: Any, dim: int) -> Any:
        found = ops.associative_scan(combine, x, axis=dim)
        shape = [1] * rank(x)
        shape[dim] = x.shape[dim]
        count = ops.reshape(ops.arange(x.shape[dim], dtype="int32"), shape)
        places = ops.where(ops.equal(x, found), count, 0)
        places = ops.associative_scan(ops.maximum, places, axis=dim)
        return ops.take_along_axis(x, places, axis=dim), places

    return call


@at_least_1d
def logcumsumexp(x: Any, dim: int) -> Any:
    return ops.associative_scan(ops.logaddexp, x, axis=dim)


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, dim: int = -1) -> Any:
    refuse(x is not None and rank(x) != rank(y), "broadcasting")
    return ops.trapezoid(y, x=x, dx=dx, axis=dim)


def cumulative_trapezoid(y: Any, x: Any = None, dx: float = 1.0, dim: int = -1) -> Any:
    count = y.shape[dim] - 1
    means = (narrow(y, dim, 0, count) + narrow(y, dim, 1, count)) / 2
    steps = dx if x is None else ops.diff(x, axis=dim if rank(x) == rank(y) else -1)
    return ops.cumsum(means * steps, axis=dim)


# -- masked ------------------------------------------------------------------------------


def masked(name: str, fill: float) -> Function:
    """A reduction that leaves elements out."""

    def call(
        x: Any,
        dim: Any = None,
        keepdim: bool = False,
        mask: Any = None,
        dtype: Any = None,
    ) -> Any:
        refuse(dtype is not None, "dtype")
        refuse(0 in x.shape, "nothing")
        kept = x if mask is None else ops.where(mask, x, fill)
        if not rank(x):
            return ops.cast(getattr(ops, name)(kept), x.dtype)
        axes = dim if isinstance(dim, int) else tuple(all_axes(x, dim))
        axes = None if name.startswith("arg") and dim is None else axes
        found = getattr(ops, name)(kept, axis=axes, keepdims=keepdim)
        return ops.cast(found, x.dtype)  # torch's places, too

    return call


def masked_mean(
    x: Any, dim: Any = None, keepdim: bool = False, mask: Any = None, dtype: Any = None
) -> Any:
    if mask is None:
        return reduced("mean")(x, dim, keepdim)
    ones = ops.cast(ops.broadcast_to(mask, x.shape), x.dtype)
    count = reduced("sum")(ones, dim, keepdim)
    return masked("sum", 0.0)(x, dim, keepdim, mask) / count


def masked_along(name: str, fill: float) -> Function:
    """A function along an axis of the elements that a mask lets through."""

    def call(x: Any, dim: int, mask: Any = None, dtype: Any = None) -> Any:
        refuse(dtype is not None or not rank(x), "dtype or rank 0")
        kept = x if mask is None else ops.where(mask, x, fill)
        return getattr(ops, name)(kept, axis=dim)

    return call


# -- shapes ------------------------------------------------------------------------------


def at_least(count: int) -> Function:
    """New axes until there are as many: behind for the third, else in front."""

    def one(x: Any) -> Any:
        shape = tuple(x.shape)
        if len(shape) < count:
            shape = (1,) * (min(count, 2) - len(shape)) + shape
        return ops.reshape(x, shape + (1,) * (count - len(shape)))

    return lambda x, *_: tuple(map(one, x)) if isinstance(x, (list, tuple)) else one(x)


def broadcast_tensors(*tensors: Any) -> Any:
    shape = np.broadcast_shapes(*(tuple(x.shape) for x in tensors))
    return tuple(ops.broadcast_to(x, shape) for x in tensors)


def meshgrid(*tensors: Any, indexing: str = "ij") -> Any:
    given = tensors[0] if isinstance(tensors[0], list) else tensors
    return tuple(
        ops.meshgrid(*(ops.reshape(x, (-1,)) for x in given), indexing=indexing)
    )


def joined(name: str) -> Function:
    def call(tensors: Sequence[Any]) -> Any:
        given = [x if rank(x) else ops.reshape(x, (1,)) for x in tensors]
        if name == "column_stack":
            wide = [x if rank(x) > 1 else ops.expand_dims(x, 1) for x in given]
            return ops.concatenate(wide, axis=1)
        return getattr(ops, name)(given)

    return call


def split_along(axis: int) -> Function:
    def call(x: Any, sections: Any) -> Any:
        along = 0 if rank(x) == 1 else axis
        parts = sections if isinstance(sections, int) else list(sections)
        return tuple(ops.split(x, parts, axis=along))

    return call


def rot90(x: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    return ops.rot90(x, k, axes=tuple(dims))


def sum_to_size(x: Any, *size: Any) -> Any:
    size = tuple(size[0]) if size and not isinstance(size[0], int) else size
    lead = rank(x) - len(size)
    axes = [i for i in range(rank(x)) if i < lead or size[i - lead] < x.shape[i]]
    return ops.reshape(ops.sum(x, axis=tuple(axes)) if axes else x, size)


def unfold(x: Any, dim: int, size: int, step: int) -> Any:
    """Windows along an axis, whose elements go to a new last one."""
    if not rank(x):
        return ops.reshape(x, (1,))[:size]
    dim %= rank(x)
    starts = np.arange(0, x.shape[dim] - size + 1, step)
    places = (starts[:, None] + np.arange(size)).astype(np.int32)
    return ops.moveaxis(ops.take(x, places, axis=dim), dim + 1, -1)


def sliced(
    x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    index: list[Any] = [slice(None)] * rank(x)
    index[dim] = slice(start, end, step)
    return x[tuple(index)]


def get_item(x: Any, index: Any) -> Any:
    index = tuple(index) if isinstance(index, (list, tuple)) else (index,)
    refuse(any(getattr(i, "dtype", None) == "bool" for i in index), "a mask")
    return x[index]


def diagonal_places(x: Any, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a diagonal of the last two axes is, and which of its elements."""
    rows, columns = np.indices(tuple(x.shape[-2:]))
    return columns - rows == offset, np.minimum(rows, columns).astype(np.int32)


def diagonal_scatter(
    x: Any, source: Any, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Any:
    moved = ops.moveaxis(x, (dim1, dim2), (-2, -1))
    mask, places = diagonal_places(moved, offset)
    count = max(source.shape[-1] - 1, 0)
    spread = ops.take(source, np.minimum(places, count), axis=-1)
    return ops.moveaxis(ops.where(mask, spread, moved), (-2, -1), (dim1, dim2))


def diag_embed(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    size = x.shape[-1] + abs(offset)
    zeros = ops.zeros((*x.shape[:-1], size, size), dtype=x.dtype)
    found = diagonal_scatter(zeros, x, offset, -2, -1)
    return ops.moveaxis(found, (-2, -1), (dim1, dim2))


def select_scatter(x: Any, source: Any, dim: int, index: int) -> Any:
    shape = [1] * rank(x)
    shape[dim] = x.shape[dim]
    here = np.arange(x.shape[dim]).reshape(shape) == index % x.shape[dim]
    return ops.where(here, ops.expand_dims(source, dim), x)


def slice_scatter(
    x: Any,
    source: Any,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    places = np.arange(x.shape[dim])[slice(start, end, step)].astype(np.int32)
    return index_update(None)(x, dim, places, source)


# -- updates at places -------------------------------------------------------------------

REDUCTIONS = {
    None: None,
    "add": "add",
    "multiply": "mul",
    "sum": "add",
    "prod": "mul",
    "amin": "min",
    "amax": "max",
}
"""What `ops.scatter_update` calls torch's reductions."""


def index_update(reduction: str | None) -> Function:
    """Updates of whole slices along an axis."""

    def call(x: Any, dim: int, index: Any, source: Any, alpha: Any = 1) -> Any:
        if not rank(x):
            x, source = ops.reshape(x, (1,)), ops.reshape(source, (1,))
            return ops.reshape(call(x, 0, index, source, alpha), ())
        places = ops.reshape(ops.convert_to_tensor(index), (-1, 1))
        updates = ops.moveaxis(source, dim, 0)
        updates = updates if alpha == 1 else updates * alpha
        found = ops.scatter_update(
            ops.moveaxis(x, dim, 0), places, updates, reduction=reduction
        )
        return ops.moveaxis(found, 0, dim)

    return call


def index_reduce(
    x: Any, dim: int, index: Any, source: Any, reduce: str, include_self: bool = True
) -> Any:
    refuse(reduce == "mean" or not include_self, "a mean, or what was there left out")
    return index_update(REDUCTIONS[reduce])(x, dim, index, source)


def index_fill(x: Any, dim: int, index: Any, value: Any) -> Any:
    shape = list(x.shape)
    if shape:
        shape[dim] = index.shape[0]
    source = ops.broadcast_to(ops.cast(value, x.dtype), tuple(shape))
    return index_update(None)(x, dim, index, source)


def index_put(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    refuse(any(i.dtype == "bool" for i in indices), "a mask")
    places = ops.stack(list(indices), axis=-1)
    shape = (*places.shape[:-1], *x.shape[len(indices) :])
    values = ops.broadcast_to(values, shape)
    reduction = "add" if accumulate else None
    return ops.scatter_update(x, places, values, reduction=reduction)


def put(x: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    refuse(0 in x.shape or 0 in index.shape, "nothing")
    found = ops.scatter_update(
        ops.reshape(x, (-1,)),
        ops.reshape(index, (-1, 1)),
        ops.reshape(source, (-1,)),
        reduction="add" if accumulate else None,
    )
    return ops.reshape(found, tuple(x.shape))


def scatter(
    x: Any,
    dim: int,
    index: Any,
    source: Any,
    reduce: str | None = None,
    include_self: bool = True,
) -> Any:
    """Updates of single elements along an axis."""
    refuse(reduce == "mean" or not include_self, "a mean, or what was there left out")
    if not rank(x):
        index = ops.reshape(index, (1,))
        source = ops.reshape(ops.cast(source, x.dtype), (1,))
        found = scatter(ops.reshape(x, (1,)), 0, index, source, reduce)
        return ops.reshape(found, ())
    if not rank(index):
        index = ops.reshape(index, (1,))
    refuse(0 in index.shape, "no index")
    if isinstance(source, (int, float)):
        source = ops.full(tuple(index.shape), source, dtype=x.dtype)
    source = source[tuple(slice(0, size) for size in index.shape)]
    grid = np.indices(tuple(index.shape)).astype(np.int32)
    places = [index if a == dim % rank(x) else grid[a] for a in range(rank(x))]
    return ops.scatter_update(
        x, ops.stack(places, axis=-1), source, reduction=REDUCTIONS[reduce]
    )


COPIES: dict[str, Function] = {
    "diagonal_copy": diagonal,
    "expand_copy": expand,
    "narrow_copy": narrow,
    "permute_copy": permute,
    "split_with_sizes_copy": split,
    "squeeze_copy": squeeze,
    "t_copy": t,
    "transpose_copy": transpose,
    "unbind_copy": unbind,
    "unsafe_split": split,
    "unsqueeze_copy": unsqueeze,
    "view_copy": shaped,
    **dict.fromkeys(("alias_copy", "conj", "conj_physical", "real"), plain("copy")),
    **dict.fromkeys(("resolve_conj", "resolve_neg"), plain("copy")),
    **dict.fromkeys(("H", "T"), lambda x: ops.transpose(x)),
    "mH": lambda x: ops.swapaxes(x, -1, -2),
}

RARER_NAMES: dict[str, Function] = {
    **COPIES,
    "__getitem__": get_item,
    "aminmax": extremes,
    "angle": plain("angle"),
    "atleast_1d": at_least(1),
    "atleast_2d": at_least(2),
    "atleast_3d": at_least(3),
    "bool": cast_to("bool"),
    "broadcast_tensors": broadcast_tensors,
    "char": cast_to("int8"),
    "column_stack": joined("column_stack"),
    "copysign": copysign,
    "cummax": cumulative_extreme("maximum"),
    "cummin": cumulative_extreme("minimum"),
    "cumulative_trapezoid": cumulative_trapezoid,
    "diag": lambda x, k=0: ops.diag(x, k),
    "diag_embed": diag_embed,
    "diagflat": lambda x, offset=0: ops.diagflat(x, offset),
    "diagonal_scatter": diagonal_scatter,
    "digamma": primitive(ir_ops.digamma),
    "dsplit": split_along(2),
    "dstack": joined("dstack"),
    "fill": fill,
    "frac": lambda x: x - ops.trunc(x),
    "hsplit": split_along(1),
    "i0": in_float64(plain("i0")),
    "index_add": index_update("add"),
    "index_copy": index_update(None),
    "index_fill": index_fill,
    "index_put": index_put,
    "index_reduce": index_reduce,
    "int": cast_to("int32"),
    "isclose": isclose,
    "isin": lambda x, y: ops.isin(x, y),
    "isreal": plain("isreal"),
    "kthvalue": kthvalue,
    "lgamma": lgamma,
    "logcumsumexp": logcumsumexp,
    "masked.amax": masked("max", -math.inf),
    "masked.amin": masked("min", math.inf),
    "masked.argmax": masked("argmax", -math.inf),
    "masked.argmin": masked("argmin", math.inf),
    "masked.cumprod": masked_along("cumprod", 1.0),
    "masked.cumsum": masked_along("cumsum", 0.0),
    "masked.log_softmax": masked_along("log_softmax", -math.inf),
    "masked.logsumexp": masked("logsumexp", -math.inf),
    "masked.mean": masked_mean,
    "masked.prod": masked("prod", 1.0),
    "masked.softmax": masked_along("softmax", -math.inf),
    "masked.sum": masked("sum", 0.0),
    "median": median,
    "meshgrid": meshgrid,
    "msort": lambda x: ops.sort(x, axis=0),
    "mvlgamma": mvlgamma,
    "nanmean": reduced("nanmean"),
    "nanmedian": median,
    "nanquantile": quantile("nanquantile"),
    "nansum": reduced("nansum"),
    "new_full": new,
    "new_ones": lambda x, *shape, **keywords: new(x, shape[0], 1, **keywords),
    "new_zeros": lambda x, *shape, **keywords: new(x, shape[0], 0, **keywords),
    "polygamma": polygamma,
    "put": put,
    "quantile": quantile("quantile"),
    "rot90": rot90,
    "scatter": scatter,
    "scatter_add": lambda x, dim, index, y: scatter(x, dim, index, y, "add"),
    "scatter_reduce": scatter,
    "select_scatter": select_scatter,
    "short": cast_to("int16"),
    "slice": sliced,
    "slice_scatter": slice_scatter,
    "special.entr": entropy,
    "special.i0e": in_float64(i0e),
    "special.i1": in_float64(lambda x: i1e(x) * ops.exp(x * ops.sign(x))),
    "special.i1e": in_float64(i1e),
    "special.ndtr": lambda x: 0.5 * ops.erfc(-x * math.sqrt(0.5)),
    "special.polygamma": polygamma,
    "special.xlog1py": xlog1py,
    "sum_to_size": sum_to_size,
    "trapezoid": trapezoid,
    "trapz": trapezoid,
    "unfold": unfold,
    "unfold_copy": unfold,
    "unravel_index": lambda x, shape: ops.unravel_index(x, tuple(shape)),
    "vsplit": split_along(0),
}
"""The function for each other name of torch's `op_db` that `NAMES` lacks."""
