"""The gradient of an attention's queries as a kernel."""

from __future__ import annotations

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
    load_queries,
    logits,
    masked,
    positions,
    product_lines,
    queries,
    visits,
)
from graphc.codegen.triton.templates import filled

_ADD_KEYS = """
$head
    # Adds to dq what the keys from first to last give to it.
    $lanes
    for start in range(first, last, BLOCK_N):
        $column
        $load
        $logits
        $masked
        if EDGE:
            $at_edge
        weights = tl.exp2($exponents)
        $by_weights
        by_logits = weights * (by_weights - inner[:, None])
        $add
    return dq
"""

_MAIN = """
$head
    $blocks
    $example
    $bases
    $row
    $lanes
    $load
    dq = tl.zeros([BLOCK_M, $depth], tl.float32)
    $visits
    dq *= $scale
    $store
"""


def functions(of: Attention, name: str) -> list[list[str]]:
    """The functions of the file, the kernel last."""
    return [_add_keys(of), _main(of, name)]


def _add_keys(of: Attention) -> list[str]:
    read = _reads(of)
    parameters = [
        *("dq", *read, "first", "last"),
        *("EDGE: tl.constexpr", "BLOCK_N: tl.constexpr"),
    ]
    row, column = "row[:, None]", "column[None, :]"
    by_weights = ("g", "tl.trans(v)")
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
            "exponents": exponents(of, "total[:, None]"),
            "by_weights": product_lines(of, "by_weights", by_weights, 8),
            "add": product_lines(of, "dq", ("by_logits.to(k.dtype)", "k"), 8, "dq"),
        },
    )


def _reads(of: Attention) -> list[str]:
    masks = ["masks"] if of.mask else []
    return ["q", "g", "total", "inner", "row", "keys", "values", *masks]


def _main(of: Attention, name: str) -> list[str]:
    tensors = {"queries": "q", "keys": "k", "values": "v", "gradients": "g"}
    tensors |= {"totals": "total", "inners": "inner"}
    tensors |= {"masks": "mask"} if of.mask else {}
    constants = ["BLOCK_M: tl.constexpr", "BLOCK_N: tl.constexpr"]
    tile = f"dq.to({of.pointers['dq']}.dtype.element_ty)"
    return filled(
        _MAIN,
        {
            "head": definition(name, [*of.arguments, *constants]),
            "blocks": blocks(of),
            "example": example(of, of.heads),
            "bases": bases(of, {**tensors, "results": "dq"}, key_head(of)),
            "row": positions(of, "row", "block * BLOCK_M", "BLOCK_M"),
            "lanes": lanes(of),
            "load": load_queries(of, edge=True, within=4),
            "depth": str(padded(of.depth)),
            "visits": visits(of, "dq", "add_keys", ["dq", *_reads(of)]),
            "scale": repr(of.scale),
            "store": queries(of, "results").store(tile),
        },
    )
