"""The gradient of an attention's keys and values as a kernel."""

from __future__ import annotations

from functools import partial

from graphc.codegen.triton.attention.facts import Attention, padded
from graphc.codegen.triton.attention.text import (
    at_edge,
    at_edges,
    bases,
    definition,
    end_of_rest,
    example,
    exponents,
    keys,
    lanes,
    load_queries,
    logits,
    masked,
    positions,
    product_lines,
    results,
    values,
)
from graphc.codegen.triton.templates import filled, indented, listed

_ADD_QUERIES = """
$head
    # Adds to dk and dv what the queries from first to last give to them. Tiles of
    # logits have a row for each key here.
    $lanes
    for start in range(first, last, BLOCK_M):
        $row
        $load
        $logits
        $masked
        $at_edge
        weights = tl.exp2($exponents)
        $add_v
        $by_weights
        by_logits = weights * (by_weights - inner[None, :])
        $add_k
    return dk, dv
"""

_MAIN = """
$head
    blocks: tl.constexpr = ($source + BLOCK_N - 1) // BLOCK_N
    block = tl.program_id(0) % blocks
    $example
    $key_bases
    $column
    $lanes
    $load_k
    $load_v
    dk = tl.zeros([BLOCK_N, $depth], tl.float32)
    dv = tl.zeros([BLOCK_N, $width], tl.float32)
    $bounds
    $heads
    $store
"""

_ADD_EMPTY = """
$head
    # A query without a key gives the same weight to all values.
    any_empty = 0
    for start in range(0, $time, 1024):
        $many
        total = tl.load(totals + row, mask=row < $time, other=0.0)
        empty = total == float("-inf")
        any_empty = tl.maximum(any_empty, tl.max(empty.to(tl.int32), 0))
    if any_empty != 0:
        $lanes
        for start in range(0, $time, BLOCK_M):
            $row
            total = tl.load(totals + row, mask=row < $time, other=0.0)
            empty = total == float("-inf")
            $load_g
            given = tl.where(empty[:, None], g.to(tl.float32), 0.0)
            dv += tl.sum(given, 0)[None, :] * $share
    return dv
"""


def functions(of: Attention, name: str) -> list[list[str]]:
    """The functions of the file, the kernel last."""
    return [_add_queries(of), *([_add_empty(of)] if of.mask else []), _main(of, name)]


def _add_queries(of: Attention) -> list[str]:
    parameters = [
        *("dk", "dv", *_reads(of), "first", "last"),
        *("EDGE: tl.constexpr", "BLOCK_M: tl.constexpr"),
    ]
    row, column = "row[None, :]", "column[:, None]"
    edge = at_edge(of, row, column) if of.causal else []
    by_weights = ("v", "tl.trans(g)")
    return filled(
        _ADD_QUERIES,
        {
            "head": definition("add_queries", parameters),
            "lanes": lanes(of),
            "row": positions(of, "row", "start", "BLOCK_M"),
            "load": at_edges(partial(load_queries, of, within=12)),
            "logits": logits(of, "k", "tl.trans(q)"),
            "masked": masked(of, row, column, 8),
            "at_edge": ["if EDGE:", *indented(edge)] if edge else [],
            "exponents": exponents(of, "total[None, :]"),
            "add_v": product_lines(of, "dv", ("weights.to(g.dtype)", "g"), 8, "dv"),
            "by_weights": product_lines(of, "by_weights", by_weights, 8),
            "add_k": product_lines(of, "dk", ("by_logits.to(q.dtype)", "q"), 8, "dk"),
        },
    )


def _reads(of: Attention) -> list[str]:
    masks = ["masks"] if of.mask else []
    rows = ["queries", "gradients", "totals", "inners", *masks]
    return ["k", "v", "column", *rows]


def _main(of: Attention, name: str) -> list[str]:
    head = "shared" if of.group > 1 else "head"
    outputs = {"key_results": "dk", "value_results": "dv"}
    tensors = {"keys": "k", "values": "v"} | {
        base: result for base, result in outputs.items() if result in of.pointers
    }
    constants = ["BLOCK_M: tl.constexpr", "BLOCK_N: tl.constexpr"]
    return filled(
        _MAIN,
        {
            "head": definition(name, [*of.arguments, *constants]),
            "source": str(of.source),
            "example": example(of, of.shared, head),
            "key_bases": bases(of, tensors, head),
            "column": positions(of, "column", "block * BLOCK_N", "BLOCK_N"),
            "lanes": lanes(of),
            "load_k": keys(of, "keys").load("k", 4),
            "load_v": values(of, "values").load("v", 4),
            "depth": str(padded(of.depth)),
            "width": str(padded(of.width)),
            "bounds": _bounds(of),
            "heads": _heads(of),
            "store": _store_keys(of),
        },
    )


def _bounds(of: Attention) -> list[str]:
    """Lines that say which queries a block of keys is seen by."""
    whole = f"whole: tl.constexpr = {of.time} // BLOCK_M * BLOCK_M"
    if not of.causal:
        return [whole]
    return [
        whole,
        "# Queries before first see no key of the block, those from full on see all.",
        "first = block * BLOCK_N // BLOCK_M * BLOCK_M",
        "full = (block * BLOCK_N + BLOCK_N + BLOCK_M - 1) // BLOCK_M * BLOCK_M",
    ]


def _heads(of: Attention) -> list[str]:
    """Lines that visit the queries of all heads that share the keys."""
    tensors = {"queries": "q", "gradients": "g", "totals": "total", "inners": "inner"}
    tensors |= {"masks": "mask"} if of.mask else {}
    within = 8 if of.group > 1 else 4
    lines = bases(of, tensors, "shared")
    full = "full" if of.causal else "0"
    if of.causal:
        lines += _visit(of, "first", f"tl.minimum(full, {of.time})", "True", within)
    lines += _visit(of, full, "whole", "False", within)
    rest = "tl.maximum(full, whole)" if of.causal else "whole"
    before, end = ([], str(of.time)) if of.causal else end_of_rest(of, of.time)
    last = _visit(of, rest, end, "True", within + 4)
    lines += [f"if whole < {of.time}:", *indented([*before, *last])]
    if of.mask:
        lines.append("dv = add_empty(dv, totals, gradients, BLOCK_M)")
    if of.group == 1:
        return lines
    head = f"head = shared * {of.group} + member"
    return [f"for member in range({of.group}):", *indented([head, *lines])]


def _visit(of: Attention, first: str, last: str, edge: str, within: int) -> list[str]:
    items = ["dk", "dv", *_reads(of), first, last, edge, "BLOCK_M"]
    return listed("dk, dv = add_queries(", items, ")", within)


def _add_empty(of: Attention) -> list[str]:
    parameters = ["dv", "totals", "gradients", "BLOCK_M: tl.constexpr"]
    return filled(
        _ADD_EMPTY,
        {
            "head": definition("add_empty", parameters),
            "time": str(of.time),
            "many": positions(of, "row", "start", "1024"),
            "lanes": lanes(of)[-1:],
            "row": positions(of, "row", "start", "BLOCK_M"),
            "load_g": results(of, "gradients").load("g", 12),
            "share": repr(1 / of.source),
        },
    )


def _store_keys(of: Attention) -> list[str]:
    lines: list[str] = []
    if "dk" in of.pointers:
        tile = f"dk.to({of.pointers['dk']}.dtype.element_ty)"
        lines += [f"dk *= {of.scale!r}", *keys(of, "key_results").store(tile)]
    if "dv" in of.pointers:
        tile = f"dv.to({of.pointers['dv']}.dtype.element_ty)"
        lines += values(of, "value_results").store(tile)
    return lines
