"""What torch's ops are in graphc: one function of torch's arguments per name.

A function raises `NoCounterpartError` for arguments that graphc has no op for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from graphc import ops

Function = Callable[..., Any]


class NoCounterpartError(Exception):
    """A use of an op that graphc has nothing for."""


def refuse(condition: Any, what: str) -> None:
    """Raises a `NoCounterpartError` if the condition holds."""
    if condition:
        raise NoCounterpartError(what)


def rank(x: Any) -> int:
    """The number of axes."""
    return len(x.shape)


def all_axes(x: Any, dim: Any) -> list[int]:
    """The axes that torch's `dim` stands for; none given, or an empty list, are all."""
    if dim is None or (isinstance(dim, (list, tuple)) and not dim):
        return list(range(rank(x)))
    return list(dim) if isinstance(dim, (list, tuple)) else [dim]


def at_least_1d(function: Function) -> Function:
    """Lets a function of an axis take rank 0, which torch treats as one element."""

    def of_any_rank(x: Any, *arguments: Any, **keywords: Any) -> Any:
        if rank(x):
            return function(x, *arguments, **keywords)
        found = function(ops.reshape(x, (1,)), *arguments, **keywords)
        return (
            tuple(ops.reshape(y, ()) for y in found)
            if isinstance(found, tuple)
            else ops.reshape(found, ())
        )

    return of_any_rank


def plain(name: str) -> Function:
    """The op of that name, with torch's positional operands."""

    def call(*operands: Any, **keywords: Any) -> Any:
        keywords.pop("out", None)
        return getattr(ops, name)(*operands, **keywords)

    return call


def as_float(x: Any) -> Any:
    """Integers and bools as float32."""
    return x if "float" in x.dtype else ops.cast(x, "float32")


# -- elementwise -------------------------------------------------------------------------


def scaled(function: Function) -> Function:
    """``function(x, alpha * y)``."""

    def call(x: Any, y: Any, alpha: Any = 1) -> Any:
        return function(x, y if alpha == 1 else ops.multiply(y, alpha))

    return call


def rsub(x: Any, y: Any, alpha: Any = 1) -> Any:
    return ops.subtract(y, x if alpha == 1 else ops.multiply(x, alpha))


def div(x: Any, y: Any, rounding_mode: str | None = None) -> Any:
    if rounding_mode is None:
        return ops.divide(x, y)
    if rounding_mode == "floor":
        return ops.floor(ops.divide(x, y))
    return ops.trunc(ops.divide(x, y))


def fmod(x: Any, y: Any) -> Any:
    return ops.subtract(x, ops.multiply(ops.trunc(ops.divide(x, y)), y))


def clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    if min is not None:
        x = ops.maximum(x, min)
    return x if max is None else ops.minimum(x, max)


def nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    return ops.nan_to_num(x, nan=nan or 0.0, posinf=posinf, neginf=neginf)


def round_(x: Any, decimals: int = 0) -> Any:
    return ops.round(x, decimals)


def logit(x: Any, eps: float | None = None) -> Any:
    if eps is not None:
        x = clamp(x, eps, 1 - eps)
    return ops.log(ops.divide(x, ops.subtract(1.0, x)))


def xlogy(x: Any, y: Any) -> Any:
    return ops.where(ops.equal(x, 0.0), ops.zeros_like(x * y), x * ops.log(y))


def addc(function: Function) -> Function:
    def call(x: Any, a: Any, b: Any, value: Any = 1) -> Any:
        return x + value * function(a, b)

    return call


def ldexp(x: Any, exponent: Any) -> Any:
    refuse("float" in exponent.dtype, "exponents that are no integers")
    return ops.ldexp(x, exponent)


def lerp(x: Any, end: Any, weight: Any) -> Any:
    return x + weight * (end - x)


def softplus(x: Any, beta: float = 1, threshold: float = 20) -> Any:
    refuse(threshold != 20, "softplus: threshold")
    return ops.softplus(x * beta) / beta


def gelu(x: Any, approximate: str = "none") -> Any:
    return ops.gelu(x, approximate=approximate == "tanh")


def celu(x: Any, alpha: float = 1.0) -> Any:
    return ops.celu(x, alpha=alpha)


def elu(x: Any, alpha: float = 1.0) -> Any:
    return ops.elu(x, alpha=alpha)


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    return clamp(x, min_val, max_val)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    return ops.leaky_relu(x, negative_slope=negative_slope)


def prelu(x: Any, weight: Any) -> Any:
    if rank(x) > 1 and rank(weight):
        weight = ops.reshape(weight, (1, -1, *(1 for _ in x.shape[2:])))
    return ops.where(x > 0, x, weight * x)


def threshold(x: Any, threshold: float, value: float) -> Any:
    return ops.where(ops.greater(x, threshold), x, ops.full_like(x, value))


def shrink(name: str) -> Function:
    def call(x: Any, lambd: float = 0.5) -> Any:
        return getattr(ops, name)(x, threshold=lambd)

    return call


def silu(x: Any) -> Any:
    return ops.silu(x)


def along(function: Function) -> Function:
    """A function of an axis: softmax and its like."""

    def call(x: Any, dim: int, dtype: Any = None, **_: Any) -> Any:
        return function(as_float(x), axis=dim)

    return at_least_1d(call)


def glu(x: Any, dim: int = -1) -> Any:
    return ops.glu(x, axis=dim)


def filled(function: Function) -> Function:
    """A function that makes a tensor like another one."""

    def call(x: Any, *value: Any, dtype: Any = None, **_: Any) -> Any:
        refuse(dtype is not None, "dtype")
        return function(x, *value)

    return call


# -- reductions --------------------------------------------------------------------------


def reduced(name: str, floats: bool = False) -> Function:
    """A reduction with torch's ``dim``, where an empty one stands for all axes."""

    def call(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        refuse(dtype is not None and "float" not in str(dtype), "dtype")
        x = as_float(x) if floats or dtype is not None else x
        if not rank(x):
            return getattr(ops, name)(x)
        return getattr(ops, name)(x, axis=tuple(all_axes(x, dim)), keepdims=keepdim)

    return call


def moment(name: str) -> Function:
    """var and std with Bessel's correction."""

    def call(
        x: Any,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        correction: float | None = None,
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 0 if unbiased is False else 1
        axes = all_axes(x, dim)
        count = math.prod(x.shape[a] for a in axes)
        refuse(count <= correction or 0 in x.shape, "no degrees of freedom")
        mean = ops.mean(x, axis=tuple(axes), keepdims=True)
        squares = ops.sum(ops.square(x - mean), axis=tuple(axes), keepdims=keepdim)
        variance = squares / (count - correction)
        return variance if name == "var" else ops.sqrt(variance)

    return call


def both(function: Function) -> Function:
    """std_mean and var_mean."""

    def call(x: Any, *arguments: Any, **keywords: Any) -> Any:
        dim = arguments[0] if arguments else keywords.get("dim")
        keep = bool(keywords.get("keepdim"))
        axes = None if isinstance(dim, bool) else dim
        mean = ops.mean(x, axis=tuple(all_axes(x, axes)), keepdims=keep)
        return function(x, *arguments, **keywords), mean

    return call


def prod(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return reduced("prod")(x, dim, keepdim, dtype)


def extremum(name: str) -> Function:
    """max and min: elementwise, of all, or with the places along an axis."""

    def call(x: Any, *arguments: Any, **keywords: Any) -> Any:
        if not arguments and not keywords:
            return getattr(ops, name)(x)
        if arguments and not isinstance(arguments[0], int):
            return getattr(ops, f"{name}imum")(x, arguments[0])
        dim = arguments[0] if arguments else keywords["dim"]
        keep = keywords.get("keepdim", arguments[1] if len(arguments) > 1 else False)
        if not rank(x):
            return x, ops.zeros((), dtype="int32")
        places = getattr(ops, f"arg{name}")(x, axis=dim, keepdims=keep)
        return getattr(ops, name)(x, axis=dim, keepdims=keep), places

    return call


def arg(name: str) -> Function:
    def call(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        if not rank(x):
            return ops.zeros((), dtype="int32")
        return getattr(ops, name)(x, axis=dim, keepdims=keepdim)

    return call


def logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Any:
    if not rank(x):
        return as_float(x)
    return ops.logsumexp(as_float(x), axis=tuple(all_axes(x, dim)), keepdims=keepdim)


def cumulative(name: str) -> Function:
    def call(x: Any, dim: int, dtype: Any = None) -> Any:
        refuse(dtype is not None and "float" not in str(dtype), "dtype")
        return getattr(ops, name)(x, axis=dim)

    return at_least_1d(call)


def vector_norm(
    x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    refuse(dtype is not None, "dtype")
    refuse(0 in x.shape, "norm of nothing")
    axes = tuple(all_axes(x, dim))
    if not rank(x):
        refuse(ord == 0, "order 0")
        return ops.abs(x)
    size = ops.abs(x)
    if ord == math.inf:
        return ops.max(size, axis=axes, keepdims=keepdim)
    if ord == -math.inf:
        return ops.min(size, axis=axes, keepdims=keepdim)
    if ord == 0:
        return ops.sum(
            ops.cast(ops.not_equal(x, 0.0), x.dtype), axis=axes, keepdims=keepdim
        )
    if ord == 2 and len(axes) == 1:
        return ops.norm(x, axis=axes[0], keepdims=keepdim)
    total = ops.sum(ops.power(size, float(ord)), axis=axes, keepdims=keepdim)
    return ops.power(total, 1.0 / ord)


def dist(x: Any, y: Any, p: float = 2) -> Any:
    return vector_norm(x - y, p)


def count_nonzero(x: Any, dim: Any = None) -> Any:
    return ops.count_nonzero(x, axis=tuple(all_axes(x, dim)) if rank(x) else None)


# -- shapes ------------------------------------------------------------------------------


def permute(x: Any, *dims: Any) -> Any:
    dims = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return ops.transpose(x, [d % rank(x) for d in dims]) if rank(x) else x


def transpose(x: Any, first: int, second: int) -> Any:
    return ops.swapaxes(x, first, second) if rank(x) else x


def t(x: Any) -> Any:
    return ops.transpose(x) if rank(x) > 1 else x


def mT(x: Any) -> Any:  # noqa: N802 - torch's name
    return ops.swapaxes(x, -1, -2)


def shaped(x: Any, *shape: Any) -> Any:
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    refuse("dtype" in str(type(shape)) or "torch" in str(shape), "view as a dtype")
    sizes = list(shape)
    if -1 in sizes and 0 in x.shape:
        known = math.prod(s for s in sizes if s != -1)
        sizes[sizes.index(-1)] = math.prod(x.shape) // known if known else 0
    return ops.reshape(x, tuple(sizes))


def reshape_as(x: Any, other: Any) -> Any:
    return ops.reshape(x, tuple(other.shape))


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    if not rank(x):
        return ops.reshape(x, (1,))
    first, last = start_dim % rank(x), end_dim % rank(x)
    merged = math.prod(x.shape[first : last + 1])
    return ops.reshape(x, (*x.shape[:first], merged, *x.shape[last + 1 :]))


def unflatten(x: Any, dim: int, sizes: Any) -> Any:
    dim %= rank(x)
    sizes = list(sizes)
    if -1 in sizes:
        known = math.prod(s for s in sizes if s != -1)
        sizes[sizes.index(-1)] = x.shape[dim] // known
    return ops.reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))


def squeeze(x: Any, dim: Any = None) -> Any:
    axes = all_axes(x, dim) if not (isinstance(dim, (list, tuple)) and not dim) else []
    axes = [a % rank(x) for a in axes if rank(x) and x.shape[a] == 1]
    return ops.squeeze(x, axis=tuple(axes)) if axes else x


def unsqueeze(x: Any, dim: int) -> Any:
    return ops.expand_dims(x, dim)


def expand(x: Any, *shape: Any) -> Any:
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    lead = len(shape) - rank(x)
    sizes = [x.shape[i - lead] if s == -1 else s for i, s in enumerate(shape)]
    return ops.broadcast_to(x, tuple(sizes))


def expand_as(x: Any, other: Any) -> Any:
    return ops.broadcast_to(x, tuple(other.shape))


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    kept = [x for x in tensors if tuple(x.shape) != (0,)] or list(tensors)[:1]
    return ops.concatenate(kept, axis=dim)


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    return ops.stack(list(tensors), axis=dim)


def split(x: Any, size: Any, dim: int = 0) -> Any:
    length = x.shape[dim]
    sizes = (
        list(size)
        if isinstance(size, (list, tuple))
        else [min(size, length - i) for i in range(0, length, size)]
    )
    at, found = 0, []
    for part in sizes:
        found.append(narrow(x, dim, at, part))
        at += part
    return tuple(found)


def chunk(x: Any, chunks: int, dim: int = 0) -> Any:
    return split(x, -(-x.shape[dim] // chunks), dim)


def tensor_split(x: Any, sections: Any, dim: int = 0) -> Any:
    refuse(not isinstance(sections, (int, list, tuple)), "split at a tensor")
    sections = list(sections) if isinstance(sections, tuple) else sections
    return tuple(ops.array_split(x, sections, axis=dim))


def unbind(x: Any, dim: int = 0) -> Any:
    return tuple(ops.unstack(x, axis=dim))


def narrow(x: Any, dim: int, start: Any, length: int) -> Any:
    refuse(not isinstance(start, int), "start in a tensor")
    start = start % x.shape[dim] if start < 0 else start
    index = [slice(None)] * rank(x)
    index[dim] = slice(start, start + length)
    return x[tuple(index)]


def select(x: Any, dim: int, index: int) -> Any:
    places: list[Any] = [slice(None)] * rank(x)
    places[dim] = index
    return x[tuple(places)]


def flip(x: Any, dims: Any) -> Any:
    dims = [dims] if isinstance(dims, int) else list(dims)
    return ops.flip(x, axis=tuple(dims)) if dims and rank(x) else x


def roll(x: Any, shifts: Any, dims: Any = None) -> Any:
    dims = tuple(dims) if isinstance(dims, (list, tuple)) else dims
    shifts = tuple(shifts) if isinstance(shifts, (list, tuple)) else shifts
    if dims == () or not rank(x):
        dims = None
        shifts = shifts[0] if isinstance(shifts, tuple) else shifts
    return ops.roll(x, shifts, axis=dims) if rank(x) else x


def tile(x: Any, *repeats: Any) -> Any:
    if len(repeats) == 1 and not isinstance(repeats[0], int):
        repeats = tuple(repeats[0])
    return ops.tile(x, repeats) if repeats else x


def repeat_interleave(x: Any, repeats: Any, dim: Any = None, **_: Any) -> Any:
    refuse(not isinstance(repeats, int), "repeats in a tensor")
    if not rank(x):
        x = ops.reshape(x, (1,))
    return ops.repeat(x, repeats, axis=dim)


def diagonal(x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    return ops.diagonal(x, offset=offset, axis1=dim1, axis2=dim2)


def triangle(name: str) -> Function:
    def call(x: Any, diagonal: int = 0) -> Any:
        return getattr(ops, name)(x, diagonal)

    return call


def moved(x: Any, source: Any, destination: Any) -> Any:
    return ops.moveaxis(x, source, destination)


def pad(x: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    refuse(mode in ("replicate", "circular"), f"{mode} padding")
    refuse(any(p < 0 for p in pad), "cropping by padding")
    widths = [(0, 0)] * (rank(x) - len(pad) // 2)
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    widths += pairs[::-1]
    if mode == "reflect":
        return ops.pad(x, widths, mode="reflect")
    return ops.pad(x, widths, mode="constant", constant_values=value or 0.0)


def diff(
    x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None
) -> Any:
    if n == 0:
        return x
    parts = [p for p in (prepend, x, append) if p is not None]
    joined = ops.concatenate(parts, axis=dim) if len(parts) > 1 else x
    refuse(n >= joined.shape[dim], "more differences than elements")
    return ops.diff(joined, n, axis=dim)


# -- indexing ----------------------------------------------------------------------------


@at_least_1d
def gather(x: Any, dim: int, index: Any, sparse_grad: bool = False) -> Any:
    index = ops.reshape(index, (1,)) if not rank(index) else index
    refuse(0 in index.shape, "no index")
    for axis, size in enumerate(index.shape):
        if axis != dim % rank(x):
            x = narrow(x, axis, 0, size)
    return ops.take_along_axis(x, index, axis=dim)


@at_least_1d
def index_select(x: Any, dim: int, index: Any) -> Any:
    return ops.take(x, index, axis=dim)


def take(x: Any, index: Any) -> Any:
    return ops.take(ops.reshape(x, (-1,)), index)


def take_along_dim(x: Any, index: Any, dim: Any = None) -> Any:
    if dim is None:
        return ops.take_along_axis(
            ops.reshape(x, (-1,)), ops.reshape(index, (-1,)), axis=0
        )
    return ops.take_along_axis(x, index, axis=dim)


def embedding(
    weight: Any,  # first, as in torch's samples
    index: Any,
    padding_idx: int | None = None,
    max_norm: Any = None,
    scale_grad_by_freq: bool = False,
    **_: Any,
) -> Any:
    refuse(max_norm is not None or scale_grad_by_freq, "renormalized embeddings")
    if padding_idx is not None:
        padding = padding_idx % weight.shape[0]
        kept = ops.expand_dims(ops.not_equal(index, padding), -1)
        found = ops.take(weight, index, axis=0)
        return ops.where(kept, found, ops.stop_gradient(found))
    return ops.take(weight, index, axis=0)


def where(x: Any, condition: Any, y: Any) -> Any:
    return ops.where(condition, x, y)


def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    return ops.where(mask, ops.cast(value, x.dtype), x)


def sort(x: Any, dim: int = -1, descending: bool = False, stable: Any = None) -> Any:
    refuse(descending, "descending and stable order")
    if not rank(x):
        return x, ops.zeros((), dtype="int32")
    return ops.sort(x, axis=dim), ops.argsort(x, axis=dim)


def argsort(x: Any, dim: int = -1, descending: bool = False, **_: Any) -> Any:
    return sort(x, dim, descending)[1]


def topk(
    x: Any, k: int, dim: int = -1, largest: bool = True, sorted: Any = True
) -> Any:
    refuse(not largest, "the smallest elements")
    if not rank(x):
        return x, ops.zeros((), dtype="int32")
    values, places = ops.top_k(ops.moveaxis(x, dim, -1), k)
    return ops.moveaxis(values, -1, dim), ops.moveaxis(places, -1, dim)


def searchsorted(
    sequence: Any, values: Any, right: bool = False, side: Any = None, **keywords: Any
) -> Any:
    refuse(rank(sequence) != 1, "several sequences")
    refuse(keywords.get("sorter") is not None, "sorter")
    return ops.searchsorted(
        sequence, values, side=side or ("right" if right else "left")
    )


def bucketize(x: Any, boundaries: Any, right: bool = False, **_: Any) -> Any:
    return ops.searchsorted(boundaries, x, side="right" if right else "left")


# -- products ----------------------------------------------------------------------------


def added(function: Function) -> Function:
    """``beta * x + alpha * function(a, b)``."""

    def call(x: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
        return beta * x + alpha * function(a, b)

    return call


def batched_sum(a: Any, b: Any) -> Any:
    return ops.sum(ops.matmul(a, b), axis=0)


def einsum(operands: Sequence[Any], equation: str) -> Any:
    return ops.einsum(equation, *operands)


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    refuse(1 in a.shape and a.shape != b.shape, "broadcasting")
    return ops.tensordot(a, b, axes=dims)


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    y = ops.matmul(x, ops.transpose(weight) if rank(weight) == 2 else weight)
    return y if bias is None else ops.add(y, bias)


def bilinear(a: Any, b: Any, weight: Any, bias: Any = None) -> Any:
    y = ops.einsum("...i,oij,...j->...o", a, weight, b)
    return y if bias is None else ops.add(y, bias)


def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    refuse(rank(query) != 4 or dropout_p or enable_gqa, "layout")
    refuse(attn_mask is not None and attn_mask.dtype != "bool", "additive mask")
    refuse(is_causal and query.shape[2] != key.shape[2], "causal, unequal lengths")
    swapped = (ops.swapaxes(x, 1, 2) for x in (query, key, value))
    if attn_mask is not None:
        sizes = (query.shape[0], query.shape[1], query.shape[2], key.shape[2])
        attn_mask = ops.broadcast_to(attn_mask, sizes)
    found = ops.dot_product_attention(
        *swapped, mask=attn_mask, is_causal=is_causal, scale=scale
    )
    return ops.swapaxes(found, 1, 2)


# -- convolutions and pools --------------------------------------------------------------


def _tuple(x: Any, n: int) -> tuple[int, ...]:
    return (x,) * n if isinstance(x, int) else tuple(x) * (n if len(x) == 1 else 1)


def _last(x: Any) -> Any:
    return ops.moveaxis(x, 1, -1)


def conv(n: int) -> Function:
    def call(
        x: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Any:
        refuse(rank(x) != n + 2, "no batch")
        mode = "valid"
        if isinstance(padding, str):
            mode = padding
            even = any(
                d * (k - 1) % 2
                for d, k in zip(_tuple(dilation, n), weight.shape[2:], strict=True)
            )
            refuse(mode == "same" and even, "same padding on one side")
        else:
            x = ops.pad(x, [(0, 0), (0, 0), *((p, p) for p in _tuple(padding, n))])
        kernel = ops.transpose(weight, (*range(2, n + 2), 1, 0))
        y = _conv(x, kernel, _tuple(stride, n), mode, _tuple(dilation, n), groups)
        return y if bias is None else y + ops.reshape(bias, (1, -1, *[1] * n))

    return call


def _conv(
    x: Any, kernel: Any, stride: Any, mode: str, dilation: Any, groups: int
) -> Any:
    channels = x.shape[1]
    refuse(channels // groups != kernel.shape[-2], "groups")
    y = ops.conv(
        _last(x),
        kernel,
        strides=stride,
        padding=mode,
        data_format="channels_last",
        dilation_rate=dilation,
    )
    return ops.moveaxis(y, -1, 1)


def pooled(name: str, n: int) -> Function:
    def call(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        *arguments: Any,
        **keywords: Any,
    ) -> Any:
        if name == "max":
            dilation, ceil_mode, indices = (*arguments, 1, False, False)[:3]
            dilation = keywords.get("dilation", dilation)
            ceil_mode = keywords.get("ceil_mode", ceil_mode)
            indices = keywords.get("return_indices", indices)
            refuse(_tuple(dilation, n) != (1,) * n or indices, "dilated or with places")
        else:
            ceil_mode, count_padding, divisor = (*arguments, False, True, None)[:3]
            ceil_mode = keywords.get("ceil_mode", ceil_mode)
            count_padding = keywords.get("count_include_pad", count_padding)
            divisor = keywords.get("divisor_override", divisor)
            refuse(divisor, "divisor")
            refuse(not count_padding and any(_tuple(padding, n)), "padding left out")
        refuse(ceil_mode or rank(x) != n + 2, "ceil mode or no batch")
        refuse(0 in x.shape, "an empty input")
        fill = -math.inf if name == "max" else 0.0
        if any(_tuple(padding, n)):
            widths = [(0, 0), (0, 0), *((p, p) for p in _tuple(padding, n))]
            x = ops.pad(x, widths, constant_values=fill)
        size = _tuple(kernel_size, n)
        y = getattr(ops, f"{name}_pool")(
            _last(x),
            size,
            strides=size if stride in (None, ()) else _tuple(stride, n),
            padding="valid",
            data_format="channels_last",
        )
        return ops.moveaxis(y, -1, 1)

    return call


def adaptive(name: str, n: int) -> Function:
    def call(x: Any, output_size: Any, return_indices: bool = False) -> Any:
        refuse(return_indices or rank(x) != n + 2 or 0 in x.shape, "layout")
        sizes = _tuple(output_size, n)
        sizes = tuple(
            have if size is None else size
            for size, have in zip(sizes, x.shape[2:], strict=True)
        )
        refuse(0 in sizes, "an empty output")
        return getattr(ops, f"adaptive_{name}_pool")(
            x, sizes, data_format="channels_first"
        )

    return call


# -- normalization and losses -----------------------------------------------------------


def layer_norm(
    x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    axes = list(range(rank(x) - len(shape), rank(x)))
    refuse(0 in x.shape, "an empty input")
    y = ops.layer_normalization(x, axis=axes, epsilon=eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(x: Any, shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    refuse(eps is None, "the dtype's epsilon")
    axes = tuple(range(rank(x) - len(shape), rank(x)))
    y = x * ops.rsqrt(ops.mean(ops.square(x), axis=axes, keepdims=True) + eps)
    return y if weight is None else y * weight


def group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    refuse(0 in x.shape, "an empty input")
    grouped = ops.reshape(x, (x.shape[0], groups, -1))
    mean, variance = ops.moments(grouped, axes=-1, keepdims=True)
    y = ops.reshape((grouped - mean) * ops.rsqrt(variance + eps), tuple(x.shape))
    wide = (1, -1, *(1 for _ in x.shape[2:]))
    y = y if weight is None else y * ops.reshape(weight, wide)
    return y if bias is None else y + ops.reshape(bias, wide)


def batch_norm(
    x: Any,
    mean: Any,
    variance: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    refuse(training or mean is None or 0 in x.shape, "batch statistics")
    return ops.batch_normalization(
        x, mean, variance, axis=1, offset=bias, scale=weight, epsilon=eps
    )


def normalize(x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    if not rank(x):
        return x / ops.maximum(ops.abs(x), eps)
    return x / ops.maximum(vector_norm(x, p, dim, True), eps)


def reduced_loss(loss: Any, reduction: str = "mean") -> Any:
    """A loss of all elements, as torch reduces it."""
    if reduction == "none":
        return loss
    if reduction == "batchmean":
        return ops.sum(loss) / loss.shape[0]
    return ops.sum(loss) if reduction == "sum" else ops.mean(loss)


def pointwise(function: Function) -> Function:
    """A loss of an output and a target, element by element."""

    def call(x: Any, target: Any, *arguments: Any, **keywords: Any) -> Any:
        reduction = keywords.pop("reduction", "mean")
        for old in ("size_average", "reduce"):
            refuse(keywords.pop(old, None) is not None, old)
        weight = keywords.pop("weight", None)
        loss = function(x, target, *arguments, **keywords)
        return reduced_loss(loss if weight is None else loss * weight, reduction)

    return call


def smooth_l1(x: Any, target: Any, beta: float = 1.0) -> Any:
    gap = ops.abs(x - target)
    if beta == 0:
        return gap
    return ops.where(gap < beta, 0.5 * gap * gap / beta, gap - 0.5 * beta)


def huber(x: Any, target: Any, delta: float = 1.0) -> Any:
    gap = ops.abs(x - target)
    return ops.where(gap <= delta, 0.5 * gap * gap, delta * (gap - 0.5 * delta))


def bce_with_logits(x: Any, target: Any, pos_weight: Any = None) -> Any:
    refuse(pos_weight is not None, "pos_weight")
    return ops.binary_crossentropy(target, x, from_logits=True)


def cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    **_: Any,
) -> Any:
    refuse(weight is not None or label_smoothing, "weights or smoothing")
    refuse(rank(x) != 2, "layout")
    if "float" in target.dtype:
        loss = ops.categorical_crossentropy(target, x, from_logits=True)
        return reduced_loss(loss, reduction)
    refuse(ignore_index >= 0, "ignored labels")
    loss = ops.sparse_categorical_crossentropy(target, x, from_logits=True)
    return reduced_loss(loss, reduction)


def kl_div(x: Any, target: Any, log_target: bool = False) -> Any:
    if log_target:
        return ops.exp(target) * (target - x)
    return xlogy(target, target) - target * x


def cosine_similarity(a: Any, b: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    refuse(not rank(a), "rank 0")
    a, b = a + ops.zeros_like(b), b + ops.zeros_like(a)
    products = ops.sum(a * b, axis=dim)
    sizes = [ops.maximum(vector_norm(v, 2, dim), eps) for v in (a, b)]
    return products / (sizes[0] * sizes[1])


def one_hot(x: Any, num_classes: int = -1) -> Any:
    refuse(num_classes < 1, "classes from the data")
    return ops.one_hot(x, num_classes, dtype="int32")


# -- linear algebra ----------------------------------------------------------------------


def linalg(name: str) -> Function:
    def call(*operands: Any, **keywords: Any) -> Any:
        refuse(keywords, "options")
        refuse(0 in operands[0].shape, "an empty matrix")
        return getattr(ops, name)(*operands)

    return call


def solve(a: Any, b: Any, left: bool = True) -> Any:
    refuse(not left or 0 in a.shape or 0 in b.shape, "layout")
    refuse(rank(b) == rank(a) - 1 and rank(a) > 2, "batched vectors")
    return ops.solve(a, b)


def matrix_power(x: Any, n: int) -> Any:
    refuse(n < 0 or 0 in x.shape, "inverses")
    result = ops.eye(x.shape[-1]) + ops.zeros_like(x)
    for _ in range(n):
        result = ops.matmul(result, x)
    return result


UNARY = {
    name: name
    for name in (
        "abs",
        "ceil",
        "cos",
        "cosh",
        "deg2rad",
        "erf",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "isfinite",
        "isinf",
        "isnan",
        "isneginf",
        "isposinf",
        "log",
        "log10",
        "log1p",
        "log2",
        "logical_not",
        "reciprocal",
        "rsqrt",
        "sigmoid",
        "sign",
        "sin",
        "sinc",
        "sinh",
        "sqrt",
        "square",
        "tan",
        "tanh",
        "trunc",
        "fliplr",
        "flipud",
        "signbit",
    )
}
RENAMED = {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atanh": "arctanh",
    "bitwise_not": "bitwise_not",
    "erfinv": "erfinv",
    "neg": "negative",
    "positive": "copy",
    "clone": "copy",
    "contiguous": "copy",
    "rad2deg": "rad2deg",
    "ravel": "ravel",
    "sgn": "sign",
    "nn.functional.hardsigmoid": "hard_sigmoid",
    "nn.functional.hardswish": "hard_silu",
    "nn.functional.logsigmoid": "log_sigmoid",
    "nn.functional.mish": "mish",
    "nn.functional.relu": "relu",
    "nn.functional.relu6": "relu6",
    "nn.functional.selu": "selu",
    "nn.functional.softsign": "softsign",
    "nn.functional.tanhshrink": "tanh_shrink",
}
BINARY = {
    "atan2": "arctan2",
    "bitwise_and": "bitwise_and",
    "bitwise_left_shift": "left_shift",
    "bitwise_or": "bitwise_or",
    "bitwise_right_shift": "right_shift",
    "bitwise_xor": "bitwise_xor",
    "eq": "equal",
    "floor_divide": "floor_divide",
    "fmax": "fmax",
    "fmin": "fmin",
    "ge": "greater_equal",
    "gcd": "gcd",
    "gt": "greater",
    "heaviside": "heaviside",
    "hypot": "hypot",
    "lcm": "lcm",
    "le": "less_equal",
    "logaddexp": "logaddexp",
    "logaddexp2": "logaddexp2",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "logical_xor": "logical_xor",
    "lt": "less",
    "maximum": "maximum",
    "minimum": "minimum",
    "mul": "multiply",
    "ne": "not_equal",
    "pow": "power",
    "float_power": "power",
    "remainder": "mod",
    "true_divide": "divide",
    "__radd__": "add",
    "__rmul__": "multiply",
    "__rand__": "bitwise_and",
    "__ror__": "bitwise_or",
    "__rxor__": "bitwise_xor",
    "matmul": "matmul",
    "mm": "matmul",
    "bmm": "matmul",
    "mv": "matmul",
    "dot": "dot",
    "vdot": "vdot",
    "inner": "inner",
    "outer": "outer",
    "kron": "kron",
}

NAMES: dict[str, Function] = {
    **{torch: plain(ours) for torch, ours in {**UNARY, **RENAMED, **BINARY}.items()},
    "__rdiv__": lambda x, y: ops.divide(y, x),
    "__rpow__": lambda x, y: ops.power(y, x),
    "__rsub__": lambda x, y: ops.subtract(y, x),
    "__rmod__": lambda x, y: ops.mod(y, x),
    "__rmatmul__": lambda x, y: ops.matmul(y, x),
    "add": scaled(ops.add),
    "addbmm": added(batched_sum),
    "addcdiv": addc(ops.divide),
    "addcmul": addc(ops.multiply),
    "addmm": added(ops.matmul),
    "addmv": added(ops.matmul),
    "addr": added(ops.outer),
    "all": reduced("all"),
    "amax": reduced("amax"),
    "amin": reduced("amin"),
    "any": reduced("any"),
    "argmax": arg("argmax"),
    "argmin": arg("argmin"),
    "argsort": argsort,
    "baddbmm": added(ops.matmul),
    "broadcast_to": expand,
    "bucketize": bucketize,
    "cat": cat,
    "chunk": chunk,
    "clamp": clamp,
    "clamp_max": lambda x, max: ops.minimum(x, max),
    "clamp_min": lambda x, min: ops.maximum(x, min),
    "constant_pad_nd": lambda x, widths, value=0: pad(x, widths, value=value),
    "count_nonzero": count_nonzero,
    "cumprod": cumulative("cumprod"),
    "cumsum": cumulative("cumsum"),
    "diagonal": diagonal,
    "diff": diff,
    "dist": dist,
    "div": div,
    "einsum": einsum,
    "expand": expand,
    "expand_as": expand_as,
    "flatten": flatten,
    "flip": flip,
    "fmod": fmod,
    "full_like": filled(ops.full_like),
    "gather": gather,
    "index_select": index_select,
    "ldexp": ldexp,
    "lerp": lerp,
    "linalg.cholesky": linalg("cholesky"),
    "linalg.det": linalg("det"),
    "linalg.inv": linalg("inv"),
    "linalg.matrix_power": matrix_power,
    "linalg.slogdet": linalg("slogdet"),
    "linalg.solve": solve,
    "linalg.vector_norm": vector_norm,
    "log_softmax": along(ops.log_softmax),
    "logit": logit,
    "logsumexp": logsumexp,
    "mT": mT,
    "masked_fill": masked_fill,
    "max": extremum("max"),
    "mean": reduced("mean", floats=True),
    "min": extremum("min"),
    "movedim": moved,
    "nan_to_num": nan_to_num,
    "narrow": narrow,
    "nn.functional.adaptive_avg_pool1d": adaptive("average", 1),
    "nn.functional.adaptive_avg_pool2d": adaptive("average", 2),
    "nn.functional.adaptive_avg_pool3d": adaptive("average", 3),
    "nn.functional.adaptive_max_pool1d": adaptive("max", 1),
    "nn.functional.adaptive_max_pool2d": adaptive("max", 2),
    "nn.functional.avg_pool1d": pooled("average", 1),
    "nn.functional.avg_pool2d": pooled("average", 2),
    "nn.functional.avg_pool3d": pooled("average", 3),
    "nn.functional.batch_norm": batch_norm,
    "nn.functional.bilinear": bilinear,
    "nn.functional.binary_cross_entropy_with_logits": pointwise(bce_with_logits),
    "nn.functional.celu": celu,
    "nn.functional.conv1d": conv(1),
    "nn.functional.conv2d": conv(2),
    "nn.functional.conv3d": conv(3),
    "nn.functional.cosine_similarity": cosine_similarity,
    "nn.functional.cross_entropy": cross_entropy,
    "nn.functional.elu": elu,
    "nn.functional.embedding": embedding,
    "nn.functional.gelu": gelu,
    "nn.functional.glu": glu,
    "nn.functional.group_norm": group_norm,
    "nn.functional.hardshrink": shrink("hard_shrink"),
    "nn.functional.hardtanh": hardtanh,
    "nn.functional.huber_loss": pointwise(huber),
    "nn.functional.kl_div": pointwise(kl_div),
    "nn.functional.l1_loss": pointwise(lambda x, y: ops.abs(x - y)),
    "nn.functional.layer_norm": layer_norm,
    "nn.functional.leaky_relu": leaky_relu,
    "nn.functional.linear": linear,
    "nn.functional.max_pool1d": pooled("max", 1),
    "nn.functional.max_pool2d": pooled("max", 2),
    "nn.functional.max_pool3d": pooled("max", 3),
    "nn.functional.mse_loss": pointwise(lambda x, y: ops.square(x - y)),
    "nn.functional.normalize": normalize,
    "nn.functional.one_hot": one_hot,
    "nn.functional.pad": pad,
    "nn.functional.prelu": prelu,
    "nn.functional.rms_norm": rms_norm,
    "nn.functional.scaled_dot_product_attention": attention,
    "nn.functional.silu": silu,
    "nn.functional.smooth_l1_loss": pointwise(smooth_l1),
    "nn.functional.soft_margin_loss": pointwise(
        lambda x, y: ops.softplus(-y * x),
    ),
    "nn.functional.softmin": lambda x, dim=None, **_: along(ops.softmax)(-x, dim),
    "nn.functional.softplus": softplus,
    "nn.functional.softshrink": shrink("soft_shrink"),
    "nn.functional.threshold": threshold,
    "permute": permute,
    "prod": prod,
    "repeat": tile,
    "repeat_interleave": repeat_interleave,
    "reshape": shaped,
    "reshape_as": reshape_as,
    "roll": roll,
    "round": round_,
    "rsub": rsub,
    "searchsorted": searchsorted,
    "select": select,
    "softmax": along(ops.softmax),
    "sort": sort,
    "split": split,
    "split_with_sizes": split,
    "squeeze": squeeze,
    "stack": stack,
    "std": moment("std"),
    "std_mean": both(moment("std")),
    "sub": scaled(ops.subtract),
    "sum": reduced("sum"),
    "t": t,
    "take": take,
    "take_along_dim": take_along_dim,
    "tensor_split": tensor_split,
    "tensordot": tensordot,
    "tile": tile,
    "topk": topk,
    "trace": lambda x: ops.trace(x),
    "transpose": transpose,
    "tril": triangle("tril"),
    "triu": triangle("triu"),
    "unbind": unbind,
    "unflatten": unflatten,
    "unsqueeze": unsqueeze,
    "var": moment("var"),
    "var_mean": both(moment("var")),
    "view": shaped,
    "view_as": reshape_as,
    "vstack": lambda tensors: ops.vstack(list(tensors)),
    "hstack": lambda tensors: ops.hstack(list(tensors)),
    "where": where,
    "xlogy": xlogy,
    "zeros_like": filled(ops.zeros_like),
    "ones_like": filled(ops.ones_like),
}
"""The function for each name of torch's `op_db`."""
