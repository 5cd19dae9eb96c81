"""Pieces of text that the kernels of attention share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from graphc.codegen.triton.attention.facts import Attention, layers, padded
from graphc.codegen.triton.templates import indented, listed
from graphc.ir.types import product

LOG2_E = math.log2(math.e)
"""What exponents of e are multiplied by to be exponents of two."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one head of a tensor, as a program reads and writes them.

    Attributes:
        base: The variable that points to the first of them.
        index: The variable that holds which rows a tile has.
        count: How many there are.
        stride: How far they are apart.
        size: How many elements each has.
        lane: The variable that counts these.
    """

    base: str
    index: str
    count: int
    stride: int
    size: int
    lane: str

    @property
    def address(self) -> str:
        """The pointers of a tile."""
        offset = f"{self.index}[:, None] * {self.stride}"
        return f"{self.base} + {offset} + {self.lane}[None, :]"

    def inside(self, edge: bool) -> str:
        """What is true inside of the tensor; `edge` if a tile may end beyond it."""
        guards = [f"{self.index}[:, None] < {self.count}"] if edge else []
        if self.size < padded(self.size):
            guards.append(f"{self.lane}[None, :] < {self.size}")
        return (
            " & ".join(f"({each})" for each in guards)
            if guards[1:]
            else "".join(guards)
        )

    def load(self, name: str, within: int, edge: bool = True) -> list[str]:
        """Lines that load a tile, with 0 for what is outside."""
        inside = self.inside(edge)
        items = [self.address, *([f"mask={inside}", "other=0.0"] if inside else [])]
        return listed(f"{name} = tl.load(", items, ")", within)

    def store(self, tile: str, within: int = 4) -> list[str]:
        """Lines that store a tile of the tensor."""
        items = [self.address, tile, f"mask={self.inside(True)}"]
        return listed("tl.store(", items, ")", within)


def at_edges(lines: Callable[[bool], Sequence[str]]) -> list[str]:
    """Lines of a function that knows as ``EDGE`` if a tile may end beyond a tensor.

    Args:
        lines: What to do at an edge, and elsewhere.
    """
    return ["if EDGE:", *indented(lines(True)), "else:", *indented(lines(False))]


def queries(of: Attention, base: str) -> Rows:
    """Rows like those of q."""
    return Rows(base, "row", of.time, of.heads * of.depth, of.depth, "depth")


def results(of: Attention, base: str) -> Rows:
    """Rows like those of the attention."""
    return Rows(base, "row", of.time, of.heads * of.width, of.width, lane(of))


def keys(of: Attention, base: str) -> Rows:
    """Rows like those of k."""
    return Rows(base, "column", of.source, of.shared * of.depth, of.depth, "depth")


def values(of: Attention, base: str) -> Rows:
    """Rows like those of v."""
    return Rows(base, "column", of.source, of.shared * of.width, of.width, lane(of))


def load_keys(of: Attention, edge: bool) -> list[str]:
    """Lines that load a block of keys and their values."""
    return [
        *keys(of, "keys").load("k", 12, edge),
        *values(of, "values").load("v", 12, edge),
    ]


def load_queries(of: Attention, edge: bool, within: int) -> list[str]:
    """Lines that load a block of queries and what belongs to them.

    Queries that are none, and those without a key, get the logarithm inf: weights of 0.
    """
    inside = [f"mask=row < {of.time}"] if edge else []
    totals = ["totals + row", *inside, *(['other=float("inf")'] if edge else [])]
    inners = ["inners + row", *inside, *(["other=0.0"] if edge else [])]
    infinities = 'float("-inf"), float("inf")'
    empty = [f"total = tl.where(total == {infinities}, total)"] if of.mask else []
    return [
        *queries(of, "queries").load("q", within, edge),
        *results(of, "gradients").load("g", within, edge),
        *listed("total = tl.load(", totals, ")", within),
        *empty,
        f"total *= {LOG2_E!r}",
        *listed("inner = tl.load(", inners, ")", within),
    ]


def lane(of: Attention) -> str:
    """The variable that counts the elements of a value."""
    return "depth" if padded(of.depth) == padded(of.width) else "width"


def lanes(of: Attention) -> list[str]:
    """The variables that count the elements of rows."""
    names = dict.fromkeys(("depth", lane(of)))
    sizes = (padded(of.depth), padded(of.width))
    return [
        f"{name} = tl.arange(0, {size})"
        for name, size in zip(names, sizes, strict=False)
    ]


def bases(of: Attention, tensors: Mapping[str, str], key_head: str) -> list[str]:
    """Lines that point at the first row of an example and head.

    Args:
        of: The attention.
        tensors: For each variable that points, the operand or result it points into.
        key_head: The head of keys and values.
    """
    lines: list[str] = []
    for variable, name in tensors.items():
        batch, head, place = _strides(of, name, key_head)
        terms = [of.pointers[name]]
        for position, stride in (("batch", batch), (place, head)):
            if stride:
                terms.append(position if stride == 1 else f"{position} * {stride}")
        lines.append(f"{variable} = {' + '.join(terms)}")
    return lines


_OF_KEYS = ("k", "v", "dk", "dv")
_OF_VALUES = ("v", "dv", "y", "g")
_OF_ROWS = ("total", "inner")


def _strides(of: Attention, name: str, key_head: str) -> tuple[int, int, str]:
    """How far examples and heads are apart in a tensor, and its head."""
    if name == "mask":
        return of.mask[0], of.mask[1], "head"
    if name in _OF_ROWS:
        return of.heads * of.time, of.time, "head"
    size = of.width if name in _OF_VALUES else of.depth
    if name in _OF_KEYS:
        return of.source * of.shared * size, size, key_head
    return of.time * of.heads * size, size, "head"


def key_head(of: Attention) -> str:
    """The head of keys and values that serves a head of queries."""
    return f"head // {of.group}" if of.group > 1 else "head"


def example(of: Attention, heads: int, head: str = "head") -> list[str]:
    """Lines that say which head of which example a program works for."""
    found = {
        head: f"tl.program_id(0) // blocks % {heads}",
        "batch": f"tl.program_id(0) // (blocks * {heads})",
    }
    # int64 where offsets of examples or heads may not fit int32.
    wide = any(size >= 2**31 for size in of.sizes)
    return [
        f"{name} = ({place}).to(tl.int64)" if wide else f"{name} = {place}"
        for name, place in found.items()
    ]


def positions(of: Attention, name: str, first: str, block: str) -> str:
    """A line that counts queries or keys from the first of a block."""
    count = f"{first} + tl.arange(0, {block})"
    shapes = [operand.type.static_shape for operand in of.node.operands]
    wide = any(product(shape[1:]) >= 2**31 for shape in shapes)
    return f"{name} = ({count}).to(tl.int64)" if wide else f"{name} = {count}"


def product_lines(
    of: Attention, name: str, factors: tuple[str, str], within: int, onto: str = ""
) -> list[str]:
    """Lines that compute a matrix product, added to `onto` if given."""
    items = [*factors, *([onto] if onto else [])]
    if of.bits == 32:
        items.append('input_precision="ieee"')
    return listed(f"{name} = tl.dot(", items, ")", within)


def logits(of: Attention, left: str, right: str) -> list[str]:
    """Lines that compute a tile of logits, but for the factor that `scaled` is."""
    lines = product_lines(of, "logits", (left, right), 8)
    # A factor that is not positive changes which logit is the largest.
    return lines if of.scale > 0 else [*lines, f"logits *= {of.scale * LOG2_E!r}"]


def scaled(of: Attention) -> str:
    """The factor that makes logits exponents of two."""
    return f" * {of.scale * LOG2_E!r}" if of.scale > 0 else ""


def exponents(of: Attention, top: str) -> str:
    """The logits as exponents of two, less those that are subtracted from each row.

    A product and a sum that are rounded once take one instruction, not two.
    """
    if of.scale > 0:
        return f"tl.fma(logits, {of.scale * LOG2_E!r}, -{top})"
    return f"logits - {top}"


def masked(of: Attention, row: str, column: str, within: int) -> list[str]:
    """Lines that put -inf for logits that the mask keeps out.

    Args:
        of: The attention.
        row: The queries of the tile, spread as its logits are.
        column: Its keys.
        within: How many columns of the line are taken by indentation.
    """
    if not of.mask:
        return []
    address, guards = ["masks"], list[str]()
    for place, count, stride in (
        (row, of.time, of.mask[2]),
        (column, of.source, of.mask[3]),
    ):
        if stride:
            address.append(place if stride == 1 else f"{place} * {stride}")
            guards.append(f"{place} < {count}")
    inside = (
        " & ".join(f"({each})" for each in guards) if guards[1:] else "".join(guards)
    )
    items = [" + ".join(address), *([f"mask={inside}", "other=1"] if inside else [])]
    return [
        *listed("allowed = tl.load(", items, ")", within),
        'logits = tl.where(allowed != 0, logits, float("-inf"))',
    ]


def at_edge(of: Attention, row: str, column: str) -> list[str]:
    """Lines that put -inf for logits of no key, or of a later one."""
    seen = f"{column} < {of.source}"
    if of.causal:
        seen = f"({seen}) & ({row} >= {column})"
    return [f"seen = {seen}", 'logits = tl.where(seen, logits, float("-inf"))']


def visits(
    of: Attention, changed: str, function: str, read: Sequence[str]
) -> list[str]:
    """Lines that visit all blocks of keys that a block of queries sees."""
    head = f"{changed} = {function}("
    edge = listed(head, [*read, "full", "last", "True", "BLOCK_N"], ")", 4)
    if of.causal:
        return [
            "# All rows of the block see the keys before full, some those to last.",
            f"full = tl.minimum(block * BLOCK_M, {of.source}) // BLOCK_N * BLOCK_N",
            f"last = tl.minimum(block * BLOCK_M + BLOCK_M, {of.source})",
            *listed(head, [*read, "0", "full", "False", "BLOCK_N"], ")", 4),
            *edge,
        ]
    before, end = end_of_rest(of, of.source)
    last = listed(head, [*read, "full", end, "True", "BLOCK_N"], ")", 8)
    return [
        f"full: tl.constexpr = {of.source} // BLOCK_N * BLOCK_N",
        *listed(head, [*read, "0", "full", "False", "BLOCK_N"], ")", 4),
        f"if full < {of.source}:",
        *indented([*before, *last]),
    ]


def end_of_rest(of: Attention, size: int) -> tuple[list[str], str]:
    """Lines before a loop over the last part of a block up to `size`, and its end.

    Products of float32 outside of loops take more registers than there are.
    """
    if of.bits < 32:
        return [], str(size)
    return [
        f"# This is {size}, which the compiler must not see: it would remove the loop,",
        "# and products of float32 spill registers outside of one.",
        f"last = tl.minimum((block + 1) * {size}, {size})",
    ], "last"


def blocks(of: Attention) -> list[str]:
    """Lines that say which block of queries a program works for."""
    counted = f"blocks: tl.constexpr = ({of.time} + BLOCK_M - 1) // BLOCK_M"
    if not of.causal:
        return [counted, "block = tl.program_id(0) % blocks"]
    return [
        counted,
        "# The last queries see most keys: they come first.",
        "block = blocks - 1 - tl.program_id(0) % blocks",
    ]


def file_text(of: Attention, functions: Iterable[Sequence[str]]) -> str:
    """The text of a file: what it computes, then its functions."""
    node = of.node
    types = zip(node.op.operands, (o.type for o in node.operands), strict=False)
    lines = [
        *[f"# {path}" for path in layers(node)],
        f"# {node.op.name}{', causal' if of.causal else ''}, scale {of.scale!r}",
        *[f"#   {name}: {type}" for name, type in types],
        "import triton",
        "import triton.language as tl",
    ]
    for function in functions:
        lines += ["", "", "@triton.jit", *function]
    return "\n".join(lines) + "\n"


def definition(name: str, parameters: Sequence[str]) -> list[str]:
    """The head of a function."""
    return listed(f"def {name}(", parameters, "):")
