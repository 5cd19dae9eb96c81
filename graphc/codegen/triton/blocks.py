"""Reductions of one tile along its last dimension."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphc.codegen.triton.emitter import Emitter
from graphc.codegen.triton.sums import COMBINERS, MAXIMUM, MINIMUM, Combiner
from graphc.ir.graph import Node

Reduced = Callable[[Emitter, Node, str, str], str]
"""``(emitter, node, tile, positions along r)`` to the reduced tile's expression."""


@dataclass(frozen=True, slots=True)
class Block:
    """How a tile is reduced along its last dimension.

    Attributes:
        emit: Writes what is needed and returns the result's expression.
        combiner: What combines two elements.
        ordered: Whether the order of elements matters.
        keeps_axis: Whether there is a result for each element.
        finds: Whether the result is a position.
    """

    emit: Reduced
    combiner: Combiner
    ordered: bool = False
    keeps_axis: bool = False
    finds: bool = False


def _sum(emitter: Emitter, node: Node, tile: str, position: str) -> str:
    return f"tl.sum({tile}, 1, keep_dims=True)"


def _product(emitter: Emitter, node: Node, tile: str, position: str) -> str:
    emitter.writer.helpers.add("_multiply")
    return f"tl.reduce({tile}, 1, _multiply, keep_dims=True)"


def _extreme(name: str) -> Reduced:
    def emit(emitter: Emitter, node: Node, tile: str, position: str) -> str:
        found = f"tl.{name}({tile}, 1, keep_dims=True)"
        if not node.operands[0].type.dtype.is_float:
            return found
        # Triton's own reduction drops NaN.
        writer = emitter.writer
        missing = writer.fresh("has_nan")
        marks = f"({tile} != {tile}).to(tl.int32)"
        writer.line(f"{missing} = tl.max({marks}, 1, keep_dims=True)")
        return f'tl.where({missing} != 0, float("nan"), {found})'

    return emit


def _all(emitter: Emitter, node: Node, tile: str, position: str) -> str:
    return f"tl.min({tile}.to(tl.int32), 1, keep_dims=True) != 0"


def _any(emitter: Emitter, node: Node, tile: str, position: str) -> str:
    return f"tl.max({tile}.to(tl.int32), 1, keep_dims=True) != 0"


_NOWHERE = 2**31 - 1


def _first(extreme: str) -> Reduced:
    def emit(emitter: Emitter, node: Node, tile: str, position: str) -> str:
        writer = emitter.writer
        dtype = node.operands[0].type.dtype
        if dtype.kind == "bool":
            tile = f"{tile}.to(tl.int32)"
        best = writer.fresh("best")
        writer.line(f"{best} = tl.{extreme}({tile}, 1, keep_dims=True)")
        places = f"tl.where({tile} == {best}, {position}, {_NOWHERE})"
        first = f"tl.min({places}, 1, keep_dims=True)"
        if not dtype.is_float:
            return first
        missing = writer.fresh("first_nan")
        nans = f"tl.where({tile} != {tile}, {position}, {_NOWHERE})"
        writer.line(f"{missing} = tl.min({nans}, 1, keep_dims=True)")
        return f"tl.where({missing} < {_NOWHERE}, {missing}, {first})"

    return emit


def _running(scan: str, helper: str | None = None) -> Reduced:
    def emit(emitter: Emitter, node: Node, tile: str, position: str) -> str:
        if helper is not None:
            emitter.writer.helpers.add(helper)
        reverse = node.op.decode(node.attributes, None)["reverse"]
        return f"{scan.format(tile)}{', reverse=True' if reverse else ''})"

    return emit


def _scan(emit: Reduced, name: str) -> Block:
    return Block(emit, COMBINERS[name], ordered=True, keeps_axis=True)


BLOCKS: Mapping[str, Block] = {
    "argmax": Block(_first("max"), MAXIMUM, ordered=True, finds=True),
    "argmin": Block(_first("min"), MINIMUM, ordered=True, finds=True),
    "cumulative_max": _scan(
        _running("tl.associative_scan({0}, 1, _larger", "_larger"), "cumulative_max"
    ),
    "cumulative_prod": _scan(_running("tl.cumprod({0}, 1"), "cumulative_prod"),
    "cumulative_sum": _scan(_running("tl.cumsum({0}, 1"), "cumulative_sum"),
    "reduce_and": Block(_all, COMBINERS["reduce_and"]),
    "reduce_max": Block(_extreme("max"), MAXIMUM),
    "reduce_min": Block(_extreme("min"), MINIMUM),
    "reduce_or": Block(_any, COMBINERS["reduce_or"]),
    "reduce_prod": Block(_product, COMBINERS["reduce_prod"]),
    "reduce_sum": Block(_sum, COMBINERS["reduce_sum"]),
}
"""How each reduction reduces a tile."""

HELPERS: Mapping[str, str] = {
    "_larger": (
        "@triton.jit\ndef _larger(a, b):\n"
        "    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)\n"
    ),
    "_multiply": "@triton.jit\ndef _multiply(a, b):\n    return a * b\n",
}
"""Functions that combine two elements, by name."""
