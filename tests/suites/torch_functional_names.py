"""What torch's layers of images and losses are in graphc."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc import ops
from tests.suites.torch_names import (
    Function,
    narrow,
    pointwise,
    rank,
    reduced_loss,
    refuse,
    vector_norm,
)

# -- images ------------------------------------------------------------------------------


def conv_transpose(n: int) -> Function:
    def call(
        x: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Any:
        refuse(rank(x) != n + 2 or groups != 1, "layout")
        wide = [(v,) * n if isinstance(v, int) else tuple(v) * (n // len(v) or 1)
                for v in (stride, padding, output_padding, dilation)]  # fmt: skip
        strides, pads, more, rates = wide
        kernel = ops.transpose(weight, (*range(2, n + 2), 1, 0))
        y = ops.conv_transpose(
            ops.moveaxis(x, 1, -1),
            kernel,
            strides=strides,
            padding="valid",
            data_format="channels_last",
            dilation_rate=rates,
        )
        y = ops.moveaxis(y, -1, 1)
        ends = [
            strides[i] * (x.shape[2 + i] - 1)
            + rates[i] * (weight.shape[2 + i] - 1)
            + 1 - pads[i] + more[i]
            for i in range(n)
        ]  # fmt: skip
        short = [max(ends[i] - y.shape[2 + i], 0) for i in range(n)]
        y = ops.pad(y, [(0, 0), (0, 0), *((0, count) for count in short)])
        cut = [slice(pads[i], ends[i]) for i in range(n)]
        y = y[(slice(None), slice(None), *cut)]
        return y if bias is None else y + ops.reshape(bias, (1, -1, *[1] * n))

    return call


def interpolate(
    x: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    **_: Any,
) -> Any:
    names = {"nearest-exact": "nearest", "bilinear": "bilinear"}
    refuse(mode not in names or rank(x) != 4 or align_corners, "kind")
    refuse(size is None, "a scale")
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    return ops.image.resize(
        x, sizes, interpolation=names[mode], data_format="channels_first"
    )


def instance_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    refuse(not use_input_stats or 0 in x.shape, "given statistics")
    axes = tuple(range(2, rank(x)))
    mean, variance = ops.moments(x, axes=axes, keepdims=True)
    y, wide = (x - mean) * ops.rsqrt(variance + eps), (1, -1, *[1] * len(axes))
    y = y if weight is None else y * ops.reshape(weight, wide)
    return y if bias is None else y + ops.reshape(bias, wide)


def local_response_norm(
    x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    refuse(0 in x.shape, "nothing")
    widths = [(0, 0)] * rank(x)
    widths[1] = (size // 2, (size - 1) // 2)
    squares = ops.pad(ops.square(x), widths)
    total = sum(narrow(squares, 1, i, x.shape[1]) for i in range(size))
    return x / ops.power(k + alpha / size * total, beta)


def pixel_shuffle(x: Any, upscale_factor: int) -> Any:
    refuse(0 in x.shape or rank(x) != 4, "layout")
    r, (n, c, h, w) = upscale_factor, x.shape
    parts = ops.reshape(x, (n, c // r**2, r, r, h, w))
    moved = ops.transpose(parts, (0, 1, 4, 2, 5, 3))
    return ops.reshape(moved, (n, c // r**2, h * r, w * r))


def pixel_unshuffle(x: Any, downscale_factor: int) -> Any:
    refuse(0 in x.shape or rank(x) != 4, "layout")
    r, (n, c, h, w) = downscale_factor, x.shape
    parts = ops.reshape(x, (n, c, h // r, r, w // r, r))
    moved = ops.transpose(parts, (0, 1, 3, 5, 2, 4))
    return ops.reshape(moved, (n, c * r**2, h // r, w // r))


def channel_shuffle(x: Any, groups: int) -> Any:
    n, c, *rest = x.shape
    parts = ops.reshape(x, (n, groups, c // groups, *rest))
    return ops.reshape(ops.swapaxes(parts, 1, 2), (n, c, *rest))


def unfold_images(x: Any, *arguments: Any) -> Any:
    refuse(0 in x.shape, "no image")
    pairs = (tuple(a) if isinstance(a, list) else a for a in arguments)
    return ops.unfold(x, *pairs)


# -- losses ------------------------------------------------------------------------------


def nll_loss(
    x: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    **_: Any,
) -> Any:
    refuse(0 in x.shape, "nothing")
    if rank(x) == 1:
        loss = nll_loss(x[None], target[None], weight, ignore_index, reduction)
        return loss[0] if reduction == "none" else loss
    ignored = ops.equal(target, ignore_index)
    label = ops.where(ignored, ops.zeros_like(target), target)
    places = ops.expand_dims(label, 1)
    picked = ops.squeeze(ops.take_along_axis(x, places, axis=1), axis=1)
    kept = ops.ones_like(picked) if weight is None else ops.take(weight, label)
    kept = ops.where(ignored, ops.zeros_like(kept), kept)
    if reduction == "mean":
        return -ops.sum(picked * kept) / ops.sum(kept)
    return reduced_loss(-picked * kept, reduction)


def ctc_loss(
    x: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    refuse(rank(targets) != 2, "targets in one row")
    lengths = [
        ops.convert_to_tensor(np.asarray(v, np.int32)) if isinstance(v, (list, tuple))
        else v
        for v in (target_lengths, input_lengths)
    ]  # fmt: skip
    loss = ops.ctc_loss(targets, ops.swapaxes(x, 0, 1), *lengths, mask_index=blank)
    if reduction == "mean":
        return ops.mean(loss / ops.cast(ops.maximum(lengths[0], 1), x.dtype))
    return reduced_loss(loss, reduction)


def margin_ranking(x: Any, y: Any, target: Any, margin: float = 0.0) -> Any:
    return ops.relu(margin - target * (x - y))


def ranking_loss(x: Any, y: Any, target: Any, **keywords: Any) -> Any:
    reduction = keywords.pop("reduction", "mean")
    return reduced_loss(margin_ranking(x, y, target, **keywords), reduction)


def hinge_embedding(x: Any, target: Any, margin: float = 1.0) -> Any:
    near = ops.where(ops.equal(target, -1.0), 0.0, x)
    return near + ops.where(ops.equal(target, 1.0), 0.0, ops.relu(margin - x))


def binary_crossentropy(x: Any, target: Any) -> Any:
    logs = [ops.maximum(ops.log(p), -100.0) for p in (x, 1.0 - x)]
    return -(target * logs[0] + (1.0 - target) * logs[1])


def multilabel_soft_margin(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean", **_: Any
) -> Any:
    loss = -(target * ops.log_sigmoid(x) + (1.0 - target) * ops.log_sigmoid(-x))
    loss = loss if weight is None else loss * weight
    return reduced_loss(ops.mean(loss, axis=-1), reduction)


def poisson_nll(
    x: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
) -> Any:
    loss = ops.exp(x) - target * x if log_input else x - target * ops.log(x + eps)
    if not full:
        return loss
    more = target * ops.log(target) - target + 0.5 * ops.log(2 * math.pi * target)
    return loss + ops.where(target > 1, more, ops.zeros_like(loss))


def pairwise_distance(
    x: Any, y: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    return vector_norm(x - y + eps, p, -1, keepdim)


def triplet_margin(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = ops.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced_loss(ops.relu(near - far + margin), reduction)


def pdist(x: Any, p: float = 2.0) -> Any:
    refuse(p != 2 or x.shape[0] < 2, "other norms")
    rows, columns = np.triu_indices(x.shape[0], 1)
    pairs = (ops.take(x, i.astype(np.int32), axis=0) for i in (rows, columns))
    return vector_norm(ops.subtract(*pairs), 2, -1)


FUNCTIONAL_NAMES: dict[str, Function] = {
    "nn.functional.binary_cross_entropy": pointwise(binary_crossentropy),
    "nn.functional.channel_shuffle": channel_shuffle,
    "nn.functional.conv_transpose1d": conv_transpose(1),
    "nn.functional.conv_transpose2d": conv_transpose(2),
    "nn.functional.conv_transpose3d": conv_transpose(3),
    "nn.functional.ctc_loss": ctc_loss,
    "nn.functional.hinge_embedding_loss": pointwise(hinge_embedding),
    "nn.functional.instance_norm": instance_norm,
    "nn.functional.interpolate": interpolate,
    "nn.functional.local_response_norm": local_response_norm,
    "nn.functional.margin_ranking_loss": ranking_loss,
    "nn.functional.multilabel_soft_margin_loss": multilabel_soft_margin,
    "nn.functional.nll_loss": nll_loss,
    "nn.functional.pairwise_distance": pairwise_distance,
    "nn.functional.pdist": pdist,
    "nn.functional.pixel_shuffle": pixel_shuffle,
    "nn.functional.pixel_unshuffle": pixel_unshuffle,
    "nn.functional.poisson_nll_loss": pointwise(poisson_nll),
    "nn.functional.triplet_margin_loss": triplet_margin,
    "nn.functional.unfold": unfold_images,
}
"""The function for each name in `torch.nn.functional` that `NAMES` lacks."""
