"""Convolutions as patches of their input that meet a kernel."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from graphc.ir.graph import Node
from graphc.ir.ops import pad, reshape, slice_, transpose
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.ops.shape import concatenated
from graphc.ir.types import product


class Patches:
    """A convolution as rows of patches that columns of the kernel meet.

    Attributes:
        rows: How many patches there are.
        terms: How many elements are summed, places before features.
        columns: How many results are computed at each place.
        places: How many places the kernel has.
        batch: The examples.
        counts: The sizes of the spatial dimensions of the result.
        features: The features of the input, of all groups.
        groups: How many groups of features there are that meet kernels of their own.
        is_depthwise: Whether each result is made of one feature.
        is_kernel_gradient: Whether groups are of the batch, as in gradients of grouped
            convolutions.
        of_result: The dimensions of the result.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.attributes = node.op.decode(node.attributes, None)
        orders = parse_labels(self.attributes["labels"])
        self.of_x, self.of_kernel, self.of_result = orders
        x, kernel = (operand.type.static_shape for operand in node.operands)
        result = node.result.type.static_shape
        self.space = [x[d] for d in self.of_x.spatial]
        self.window = [kernel[d] for d in self.of_kernel.spatial]
        self.counts = [result[d] for d in self.of_result.spatial]
        self.batch, self.features = x[self.of_x.outer], x[self.of_x.inner]
        self.columns = kernel[self.of_kernel.outer]
        self.groups = self.attributes["groups"]
        self.is_depthwise = self.groups == self.features == self.columns
        self.is_kernel_gradient = self.attributes["batch_groups"] > 1
        self.places = int(product(self.window))
        self.rows = self.batch * int(product(self.counts))
        self.terms = self.features // self.groups * self.places

    @property
    def is_swapped(self) -> bool:
        """Whether XLA makes the kernel the input, by its rule for doing so.

        See ``SwapConvOperands`` in xla/hlo/transforms/simplifiers/algebraic_simplifier.cc.
        """
        ours = theirs = 1
        given = self.attributes
        for d, (size, width) in enumerate(zip(self.space, self.window, strict=True)):
            stride = given["strides"][d]
            whole = given["padding"][d] == (0, 0) and given["kernel_dilation"][d] == 1
            if (
                whole
                and given["input_dilation"][d] == 1
                and stride == 1
                and size == width
            ):
                continue  # a sum over the dimension, whoever is called the kernel
            ours *= width
            theirs *= width if size == 1 and stride == 1 else size
        return ours > theirs

    def slices(self, x: Any) -> list[Any]:
        """What each place of the kernel meets, with the features last."""
        given = self.attributes
        x = _permuted(x, (self.of_x.outer, *self.of_x.spatial, self.of_x.inner))
        low, high = ([0, *(pair[i] for pair in given["padding"]), 0] for i in (0, 1))
        interior = [0, *(step - 1 for step in given["input_dilation"]), 0]
        if any((*low, *high, *interior)):
            x = pad(x, 0.0, low=low, high=high, interior=interior)
        found: list[Any] = []
        strides = [1, *given["strides"], 1]
        for place in itertools.product(*map(range, self.window)):
            steps = zip(place, given["kernel_dilation"], strict=True)
            start = [0, *(p * step for p, step in steps), 0]
            limit = [
                first + (count - 1) * stride + 1
                for first, count, stride in zip(
                    start,
                    (self.batch, *self.counts, self.features),
                    strides,
                    strict=True,
                )
            ]
            found.append(slice_(x, start=start, limit=limit, strides=strides))
        return found

    def patches(self, x: Any) -> Any:
        """What the kernel meets: a row for each result, places before features."""
        joined = concatenated(self.slices(x), len(self.window) + 1)
        return reshape(joined, shape=[self.rows, self.terms])

    def weights(self, kernel: Any) -> Any:
        """The kernel with a row for each place and feature."""
        order = (*self.of_kernel.spatial, self.of_kernel.inner, self.of_kernel.outer)
        return reshape(_permuted(kernel, order), shape=[self.terms, self.columns])

    def result(self, sums: Any) -> Any:
        """The result of the convolution from the products' sums."""
        found = reshape(sums, shape=[self.batch, *self.counts, self.columns])
        of = self.of_result
        order = (of.outer, *of.spatial, of.inner)
        return _permuted(found, [order.index(d) for d in range(len(order))])


def _permuted(x: Any, order: Sequence[int]) -> Any:
    return transpose(x, permutation=order) if list(order) != sorted(order) else x
