"""Convolutions over inputs with holes, in parts that do not multiply the holes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import convolution, pad, slice_
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.ops.shape import interleaved
from graphc.ir.ops.window import dilated_size
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.numerics import REASSOCIATES, Numerics
from graphc.passes.rewrite import Proposal, Rewriter, size_problem

_RULE = "phases"


@register
@final
@dataclass(frozen=True)
class SplitDilation(GraphPass):
    """Splits a convolution over a dilated input into one for each phase of its results.

    The gradient of a convolution with stride s for its input, and a transposed
    convolution, are convolutions over an input with s - 1 zeros between its elements. A
    result whose place leaves the remainder r when divided by s meets elements with some
    places of the kernel and zeros with all others. So the results of each remainder are
    a convolution of the elements alone with these places of the kernel, and the parts
    are put in turns: at stride 2 in two dimensions a quarter of the products is left.
    Infinities and NaN in the kernel no longer meet zeros between elements, so fewer
    results are NaN.

    Attributes:
        least_products: The least number of products, those with zeros too, for which
            several kernels are worth it.
    """

    name: ClassVar[str] = "split_dilation"
    numerics: ClassVar[Mapping[str, Numerics]] = {_RULE: REASSOCIATES}

    least_products: int = 2**27

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        for node in graph.nodes:
            if node.op is not convolution or max(_dilation(node), default=1) == 1:
                continue
            rewriter.ledger.visits += 1
            reason = self._problem(node)
            if reason is not None:
                rewriter.refuse(node, _RULE, reason)
            else:
                rewriter.rewrite(node, lambda node=node: _phases(node))
        return rewriter.ledger.count > made

    def _problem(self, node: Node) -> str | None:
        """Why a convolution stays whole, if so."""
        if reason := size_problem(node):
            return reason
        how = node.op.decode(node.attributes, None)
        steps = zip(how["strides"], how["input_dilation"], strict=True)
        if any(min(pair) > 1 for pair in steps):
            return "a dimension has a stride as well"
        _, of_kernel, _ = parse_labels(how["labels"])
        kernel = node.operands[1].type.static_shape
        terms = math.prod(kernel) // kernel[of_kernel.outer]
        products = math.prod(node.result.type.static_shape) * terms
        if products < self.least_products:
            return f"it has {products} products, fewer than {self.least_products}"
        return None


def _dilation(node: Node) -> Sequence[int]:
    return node.op.decode(node.attributes, None)["input_dilation"]


@dataclass(frozen=True, slots=True)
class _Phase:
    """A convolution along one dimension, for the results of one remainder.

    Attributes:
        first: The first place of the kernel that meets elements.
        step: How far the next is, and so on.
        dilation: How many elements lie between those that neighbouring places meet.
        padding: What the input gets on both sides.
    """

    first: int
    step: int
    dilation: int
    padding: tuple[int, int]


def _phase(
    remainder: int, size: int, width: int, count: int, how: tuple[int, int, int]
) -> _Phase | None:
    """The part of a dimension for one remainder; None if it meets zeros alone.

    Place j of the kernel meets, for result q * holes + remainder, what lies at
    q * holes + remainder + j * dilation - low of the input with holes: an element if
    holes divides that.

    Args:
        remainder: The remainder.
        size: How many elements the input has, without holes.
        width: How many places the kernel has.
        count: How many results the phase has.
        how: The dilation of the input, that of the kernel, and the lower padding.
    """
    holes, dilation, low = how
    shared = math.gcd(holes, dilation)
    for first in range(min(width, holes)):
        start, rest = divmod(remainder + first * dilation - low, holes)
        if rest == 0:
            step, between = holes // shared, dilation // shared
            window = (-(-(width - first) // step) - 1) * between + 1
            high = count - 1 + window - size + start
            return _Phase(first, step, between, (-start, high))
    return None


def _phases(node: Node) -> Proposal:
    x, kernel = node.operands
    how = node.op.decode(node.attributes, None)
    of_x, of_kernel, of_result = parse_labels(how["labels"])
    sizes = [x.type.static_shape[d] for d in of_x.spatial]
    widths = [kernel.type.static_shape[d] for d in of_kernel.spatial]
    counts = [node.result.type.static_shape[d] for d in of_result.spatial]
    split = [d for d, holes in enumerate(how["input_dilation"]) if holes > 1]
    ways: list[list[_Phase | None]] = []
    for d in split:
        holes, low = how["input_dilation"][d], how["padding"][d][0]
        whole = (holes, how["kernel_dilation"][d], low)
        each = -(-counts[d] // holes)
        ways.append([_phase(r, sizes[d], widths[d], each, whole) for r in range(holes)])
    parts = {
        remainders: _convolved(node, dict(zip(split, chosen, strict=True)))
        for remainders, chosen in zip(
            itertools.product(*(range(len(way)) for way in ways)),
            itertools.product(*ways),
            strict=True,
        )
        if None not in chosen
    }
    for number in reversed(range(len(split))):
        place = of_result.spatial[split[number]]
        rows: dict[tuple[int, ...], list[Any]] = {}
        for key in sorted({key[:number] for key in parts}):
            rows[key] = [parts.get((*key, r)) for r in range(len(ways[number]))]
        size = counts[split[number]]
        parts = {key: _joined(row, place, size) for key, row in rows.items()}
    return _RULE, [parts[()]]


def _convolved(node: Node, phases: Mapping[int, _Phase | None]) -> Any:
    """The results of one phase in each of some dimensions."""
    x, kernel = node.operands
    how = node.op.decode(node.attributes, None)
    _, of_kernel, _ = parse_labels(how["labels"])
    start, limit = [0] * kernel.type.rank, list(kernel.type.static_shape)
    strides = [1] * kernel.type.rank
    changed = {
        name: list(how[name])
        for name in ("padding", "input_dilation", "kernel_dilation")
    }
    for d, phase in phases.items():
        assert phase is not None
        place = of_kernel.spatial[d]
        start[place], strides[place] = phase.first, phase.step
        changed["padding"][d] = phase.padding
        changed["input_dilation"][d] = 1
        changed["kernel_dilation"][d] = phase.dilation
    places = slice_(kernel, start=start, limit=limit, strides=strides)
    return convolution(x, places, **{**how, **changed})


def _joined(parts: Sequence[Any], axis: int, size: int) -> Any:
    """`size` elements of `parts` in turns along an axis; None stands for zeros."""
    known = [number for number, part in enumerate(parts) if part is not None]
    if len(known) == 1:
        return _spread(parts[known[0]], axis, known[0], len(parts), size)
    found = interleaved(parts, axis)
    limit = list(found.type.static_shape)
    if limit[axis] == size:
        return found
    limit[axis] = size
    return slice_(found, start=[0] * len(limit), limit=limit)


def _spread(part: Any, axis: int, first: int, step: int, size: int) -> Any:
    """`part` along an axis of zeros, beginning at `first` and `step` apart."""
    rank = part.type.rank
    low, high, interior = [0] * rank, [0] * rank, [0] * rank
    low[axis], interior[axis] = first, step - 1
    high[axis] = size - first - dilated_size(part.type.static_shape[axis], step)
    return pad(part, 0.0, low=low, high=high, interior=interior)
