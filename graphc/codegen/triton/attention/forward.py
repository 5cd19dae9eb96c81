"""The attention itself as a kernel."""

from __future__ import annotations

import math
from functools import partial

from graphc.codegen.triton.attention.facts import Attention, padded
from graphc.codegen.triton.attention.text import (
    at_edge,
    at_edges,
    bases,
    blocks,
    definition,
    example,
    exponents,
    key_head,
    lanes,
    load_keys,
    logits,
    masked,
    positions,
    product_lines,
    queries,
    results,
    scaled,
    values,
    visits,
)
from graphc.codegen.triton.templates import filled

_ADD_KEYS = """
$head
    # Visits the keys from first to last. Logits times log2(e) are exponents of two: top
    # is the largest of each row so far, weight the sum of the powers, result that of
    # the values times powers.
    $lanes
    for start in range(first, last, BLOCK_N):
        $column
        $load
        $logits
        $masked
        if EDGE:
            $at_edge
        higher = tl.maximum(top, tl.max(logits, 1)$scaled)
        powers = tl.exp2($exponents)
        decay = tl.exp2(top - higher)
        weight = weight * decay + tl.sum(powers, 1)
        $add_values
        top = higher
    return result, weight, top
"""

_MAIN = """
$head
    $blocks
    $example
    $bases
    $row
    $lanes
    $load_q
    top = tl.full([BLOCK_M], -3.0e38, tl.float32)  # finite: no nan before the first key
    weight = tl.zeros([BLOCK_M], tl.float32)
    result = tl.zeros([BLOCK_M, $width], tl.float32)
    $visits
    $store_total
    $empty
    $store_y
"""

_EMPTY = """
# A row without a key takes the mean of all values.
empty = weight == 0.0
if tl.max(empty.to(tl.int32), 0) != 0:
    sums = tl.zeros([$width], tl.float32)
    for start in range(0, $source, BLOCK_N):
        $column
        $load_v
        sums += tl.sum(v.to(tl.float32), 0)
    result = tl.where(empty[:, None], sums[None, :] * $share, result)
    weight = tl.where(empty, 1.0, weight)
"""


def functions(of: Attention, name: str) -> list[list[str]]:
    """The functions of the file, the kernel last."""
    return [_add_keys(of), _main(of, name)]


def _add_keys(of: Attention) -> list[str]:
    read = ["q", "row", "keys", "values", *(["masks"] if of.mask else [])]
    parameters = [
        *("result", "weight", "top", *read, "first", "last"),
        *("EDGE: tl.constexpr", "BLOCK_N: tl.constexpr"),
    ]
    row, column = "row[:, None]", "column[None, :]"
    onto = "result * decay[:, None]"
    return filled(
        _ADD_KEYS,
        {
            "head": definition("add_keys", parameters),
            "lanes": lanes(of),
            "column": positions(of, "column", "start", "BLOCK_N"),
            "load": at_edges(partial(load_keys, of)),
            "logits": logits(of, "q", "tl.trans(k)"),
            "masked": masked(of, row, column, 8),
            "at_edge": at_edge(of, row, column),
            "scaled": scaled(of),
            "exponents": exponents(of, "higher[:, None]"),
            "add_values": product_lines(
                of, "result", ("powers.to(v.dtype)", "v"), 8, onto
            ),
        },
    )


def _main(of: Attention, name: str) -> list[str]:
    tensors = {"queries": "q", "keys": "k", "values": "v"}
    masks = {"masks": "mask"} if of.mask else {}
    outputs = {
        variable: result
        for variable, result in (("results", "y"), ("totals", "total"))
        if result in of.pointers
    }
    read = ["result", "weight", "top", "q", "row", "keys", "values", *masks]
    constants = ["BLOCK_M: tl.constexpr", "BLOCK_N: tl.constexpr"]
    return filled(
        _MAIN,
        {
            "head": definition(name, [*of.arguments, *constants]),
            "blocks": blocks(of),
            "example": example(of, of.heads),
            "bases": bases(of, {**tensors, **masks, **outputs}, key_head(of)),
            "row": positions(of, "row", "block * BLOCK_M", "BLOCK_M"),
            "lanes": lanes(of),
            "load_q": queries(of, "queries").load("q", 4),
            "width": str(padded(of.width)),
            "visits": visits(of, "result, weight, top", "add_keys", read),
            "store_total": _store_total(of),
            "empty": _empty(of),
            "store_y": _store_y(of),
        },
    )


def _store_total(of: Attention) -> list[str]:
    if "total" not in of.pointers:
        return []
    return [
        f"total = (top + tl.log2(weight)) * {math.log(2)!r}",
        f"tl.store(totals + row, total, mask=row < {of.time})",
    ]


def _empty(of: Attention) -> list[str]:
    if not of.mask or "y" not in of.pointers:
        return []
    pieces = {
        "width": str(padded(of.width)),
        "source": str(of.source),
        "column": positions(of, "column", "start", "BLOCK_N"),
        "load_v": values(of, "values").load("v", 12),
        "share": repr(1 / of.source),
    }
    return filled(_EMPTY, pieces)


def _store_y(of: Attention) -> list[str]:
    if "y" not in of.pointers:
        return []
    pointer = of.pointers["y"]
    return [
        "result = result / weight[:, None]",
        *results(of, "results").store(f"result.to({pointer}.dtype.element_ty)"),
    ]
