"""The StableHLO of linear algebra: calls of the routines that jaxlib registers.

On the CPU those are LAPACK's, on NVIDIA GPUs cuSOLVER's; both read matrices column by
column. How they are called is how jax calls them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.codegen.stablehlo.control import comparison
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.loops import RegionWriter
from graphc.codegen.stablehlo.text import (
    block_text,
    dense_text,
    function_type,
    ints,
    type_text,
)
from graphc.ir.errors import UnsupportedError
from graphc.ir.graph import Node
from graphc.ir.types import BOOL, F64, I32, TensorType

_Typed = tuple[str, TensorType]
"""A value's name and type."""

_TARGETS = {"cpu": "lapack_{letter}{routine}_ffi", "cuda": "cusolver_{routine}_ffi"}
"""What a routine is called on each platform; the letter is that of the dtype."""


class _Library:
    """Writes the calls and what is done to their results, for one node."""

    def __init__(self, f: FunctionWriter, node: Node) -> None:
        if f.platform not in _TARGETS:
            raise UnsupportedError(
                f"{node.op.name} is not known on {f.platform}",
                location=node.location,
                hint=f"it runs on {' and '.join(_TARGETS)}",
            )
        self.f = f
        self.x: _Typed = (f.operand(node.operands[0]), node.operands[0].type)
        self.batch = self.x[1].shape[:-2]

    def call(
        self,
        routine: str,
        operands: Sequence[_Typed],
        results: Sequence[TensorType],
        config: Mapping[str, Mapping[str, str]] | None = None,
    ) -> list[_Typed]:
        """Calls a routine, with the configuration for the platform."""
        platform = self.f.platform
        letter = "d" if self.x[1].dtype is F64 else "s"
        target = _TARGETS[platform].format(letter=letter, routine=routine)
        fields = (config or {}).get(platform, {}).items()
        types = [type for _, type in operands]
        names = self.f.define_all(
            f"stablehlo.custom_call @{target}"
            f"({', '.join(name for name, _ in operands)}) {{api_version = 4 : i32, "
            f"backend_config = {{{', '.join(f'{k} = {v}' for k, v in fields)}}}, "
            f"operand_layouts = {self._layouts(types)}, "
            f"result_layouts = {self._layouts(results)}}} : "
            + function_type(types, results),
            [routine] * len(results),
        )
        return list(zip(names, results, strict=True))

    def _layouts(self, types: Sequence[TensorType]) -> str:
        return f"[{', '.join(map(self._layout, types))}]"

    def _layout(self, type: TensorType) -> str:
        """The dimensions from the fastest to the slowest; matrices lie by columns."""
        order = list(range(type.rank))[::-1]
        if type.rank == len(self.batch) + 2:
            order[:2] = order[1::-1]
        return f"dense<{ints(order) if order else ''}> : tensor<{type.rank}xindex>"

    # -- what is done to results ---------------------------------------------------

    def define(self, expression: str, type: TensorType, wanted: str) -> _Typed:
        """Writes an operation whose result is of `type`."""
        return self.f.define(expression, wanted), type

    def matrices(self, rows: int, columns: int) -> TensorType:
        """The type of matrices of this size."""
        return self.x[1].with_shape((*self.batch, rows, columns))

    def vectors(self, size: int) -> TensorType:
        """The type of vectors of this size, one for each matrix."""
        return self.x[1].with_shape((*self.batch, size))

    @property
    def info(self) -> TensorType:
        """The type of what routines say of their success."""
        return TensorType(self.batch, I32)

    def corner(self, x: _Typed, rows: int, columns: int) -> _Typed:
        """The first rows and columns of the matrices."""
        name, type = x
        wanted = self.matrices(rows, columns)
        if type == wanted:
            return x
        ranges = ", ".join(f"0:{size}:1" for size in wanted.static_shape)
        types = function_type([type], [wanted])
        return self.define(
            f"stablehlo.slice {name} [{ranges}] : {types}", wanted, "corner"
        )

    def resized(self, x: _Typed, columns: int) -> _Typed:
        """The matrices with fewer columns, or with zeros in further ones."""
        name, type = x
        rows, given = type.static_shape[-2:]
        if columns <= given:
            return self.corner(x, rows, columns)
        zero = self.f.constant("0.0", type.with_shape(()))
        wanted, none = self.matrices(rows, columns), [0] * type.rank
        high = [*none[1:], columns - given]
        types = function_type([type, type.with_shape(())], [wanted])
        return self.define(
            f"stablehlo.pad {name}, {zero}, low = {ints(none)}, high = {ints(high)}, "
            f"interior = {ints(none)} : {types}",
            wanted,
            "resized",
        )

    def transposed(self, x: _Typed) -> _Typed:
        """The matrices with rows and columns exchanged."""
        name, type = x
        rank = type.rank
        rows, columns = type.static_shape[-2:]
        wanted = self.matrices(columns, rows)
        order = ints([*range(rank - 2), rank - 1, rank - 2])
        types = function_type([type], [wanted])
        text = f"stablehlo.transpose {name}, dims = {order} : {types}"
        return self.define(text, wanted, "transposed")

    def where(self, flags: str, x: _Typed, number: Any) -> str:
        """The text of elements of `x` where the flags hold, and a number elsewhere."""
        name, type = x
        other = self.f.constant(dense_text(np.array(number, type.dtype.numpy)), type)
        types = function_type([type.with_dtype(BOOL), type, type], [type])
        return f"stablehlo.select {flags}, {name}, {other} : {types}"

    def upper(self, x: _Typed) -> str:
        """The text of the upper triangles of the matrices."""
        _, type = x
        places = type.with_dtype(I32)
        row, column = (
            self.f.define(
                f"stablehlo.iota dim = {type.rank - d} : {type_text(places)}", wanted
            )
            for d, wanted in ((2, "row"), (1, "column"))
        )
        flags = self.f.define(comparison("LE", [row, column], places), "kept")
        return self.where(flags, x, 0)

    def ranged(self, x: _Typed, start: int, limit: int) -> _Typed:
        """The elements of the vectors from `start` to `limit`."""
        name, type = x
        wanted = self.vectors(limit - start)
        ranges = [f"0:{size}:1" for size in type.static_shape[:-1]]
        places = ", ".join([*ranges, f"{start}:{limit}:1"])
        types = function_type([type], [wanted])
        text = f"stablehlo.slice {name} [{places}] : {types}"
        return self.define(text, wanted, "part")

    def joined(self, a: _Typed, b: _Typed) -> _Typed:
        """The vectors one behind the other."""
        types = [a[1], b[1]]
        wanted = self.vectors(sum(type.static_shape[-1] for type in types))
        text = (
            f"stablehlo.concatenate {a[0]}, {b[0]}, dim = {wanted.rank - 1} : "
            + function_type(types, [wanted])
        )
        return self.define(text, wanted, "joined")

    def signs(self, x: _Typed, axis: int) -> _Typed:
        """-1 for the vectors along `axis` (0: columns) with a negative largest element.

        The others have 1. So the results do not depend on the library.
        """
        name, type = x
        rank = type.rank
        dim = rank - 2 + axis
        wanted = type.with_shape(d for i, d in enumerate(type.shape) if i != dim)
        element = type.with_shape(())
        found: list[str] = []
        for operation, sign in (("maximum", -1), ("minimum", 1)):
            start = np.array(sign * np.inf, type.dtype.numpy)
            init = self.f.constant(dense_text(start), element)
            text = (
                f"stablehlo.reduce({name} init: {init}) applies stablehlo.{operation} "
                f"across dimensions = [{dim}] : {function_type([type, element], [wanted])}"
            )
            found.append(self.f.define(text, operation))
        total = self.f.define(
            f"stablehlo.add {', '.join(found)} : {type_text(wanted)}", "total"
        )
        zero, plus = (self.f.constant(n, wanted) for n in ("0.0", "1.0"))
        flags = self.f.define(comparison("GE", [total, zero], wanted), "positive")
        return self.define(self.where(flags, (plus, wanted), -1), wanted, "signs")

    def signed(self, x: _Typed, signs: _Typed, axis: int) -> _Typed:
        """The vectors along `axis` with these signs."""
        (name, type), (factor, given) = x, signs
        dims = ints(d for d in range(type.rank) if d != type.rank - 2 + axis)
        types = function_type([given], [type])
        spread = self.f.define(
            f"stablehlo.broadcast_in_dim {factor}, dims = {dims} : {types}", "signs"
        )
        text = f"stablehlo.multiply {name}, {spread} : {type_text(type)}"
        return self.define(text, type, "signed")

    def if_converged(self, info: _Typed, x: _Typed) -> str:
        """The text of `x`, with nan where the routine says that it failed."""
        name, type = info
        zero = self.f.constant("0", type)
        good = self.f.define(comparison("EQ", [name, zero], type), "converged")
        wanted = x[1].with_dtype(BOOL)
        types = function_type([type.with_dtype(BOOL)], [wanted])
        flags = self.f.define(
            f"stablehlo.broadcast_in_dim {good}, dims = {ints(range(type.rank))} : "
            + types,
            "converged",
        )
        return self.where(flags, x, np.nan)


def _is_empty(f: FunctionWriter, node: Node) -> bool:
    """Whether the operand has no elements; the results are then constants."""
    type = node.operands[0].type
    if 0 not in type.shape:
        return False
    assert node.op.reference is not None
    attributes = node.op.decode(node.attributes, None)
    empty = np.zeros(type.static_shape, type.dtype.numpy)
    found = node.op.reference(empty, **attributes)
    for result, array in zip(node.results, found, strict=True):
        f.alias(result, f.constant(dense_text(array), result.type))
    return True


def qr(f: FunctionWriter, node: Node, *, full_matrices: bool) -> None:
    """Writes Householder's reflections, and the product of them."""
    if _is_empty(f, node):
        return
    library = _Library(f, node)
    rows, columns = library.x[1].static_shape[-2:]
    size = min(rows, columns)
    types = [library.x[1], library.vectors(size)]
    packed, factors = library.call("geqrf", [library.x], types)
    q, r = (result.type.static_shape for result in node.results)
    reflections = library.resized(packed, q[-1])
    product = library.call("orgqr", [reflections, factors], [reflections[1]])
    f.alias(node.results[0], product[0][0])
    upper = library.upper(library.corner(packed, *r[-2:]))
    f.assign_value(node.results[1], upper)


def eigh(f: FunctionWriter, node: Node) -> None:
    """Writes the eigenvalues and vectors of the lower triangles."""
    if _is_empty(f, node):
        return
    library = _Library(f, node)
    values, vectors = (result.type for result in node.results)
    found = library.call(
        "syevd",
        [library.x],
        [vectors, values, library.info],
        {
            "cpu": {"mode": _letter("V"), "uplo": _letter("L")},
            "cuda": {"algorithm": "0 : ui8", "lower": "true"},
        },
    )
    turned = library.signed(found[0], library.signs(found[0], 0), 0)
    for result, x in zip(node.results, (found[1], turned), strict=True):
        f.assign_value(result, library.if_converged(found[2], x))


def svd(f: FunctionWriter, node: Node, *, full_matrices: bool) -> None:
    """Writes the singular values and vectors."""
    if _is_empty(f, node):
        return
    library = _Library(f, node)
    rows, columns = library.x[1].static_shape[-2:]
    u, s, vt = (result.type for result in node.results)
    if f.platform == "cuda":  # square matrices, the second one not transposed
        whole = [library.matrices(rows, rows), library.matrices(columns, columns)]
        _, values, left, right, info = library.call(
            "gesvdj",
            [library.x],
            [library.x[1], s, *whole, library.info],
            {"cuda": {"compute_uv": "true", "full_matrices": "true"}},
        )
        left = library.corner(left, *u.static_shape[-2:])
        right = library.corner(library.transposed(right), *vt.static_shape[-2:])
    else:
        mode = _letter("A" if full_matrices else "S")
        _, values, left, right, info = library.call(
            "gesdd",
            [library.x],
            [library.x[1], s, u, vt, library.info],
            {"cpu": {"mode": mode}},
        )
    left, right = _with_signs(library, left, right, min(rows, columns))
    for result, x in zip(node.results, (left, values, right), strict=True):
        f.assign_value(result, library.if_converged(info, x))


def _with_signs(
    library: _Library, left: _Typed, right: _Typed, size: int
) -> tuple[_Typed, _Typed]:
    """The singular vectors; pairs have the sign that makes the left one positive."""
    signs = library.signs(left, 0)
    shared = library.ranged(signs, 0, size)
    own = library.ranged(library.signs(right, 1), size, right[1].static_shape[-2])
    both = library.joined(shared, own)
    return library.signed(left, signs, 0), library.signed(right, both, 1)


def _letter(letter: str) -> str:
    return f"{ord(letter)} : ui8"


def lu(f: FunctionWriter, node: Node) -> None:
    """Writes the factors, and a loop that exchanges places by the pivots."""
    if _is_empty(f, node):
        return
    library = _Library(f, node)
    factors, pivots, permutation = (result.type for result in node.results)
    found = library.call("getrf", [library.x], [factors, pivots, library.info])
    f.alias(node.results[0], found[0][0])
    one = f.constant("1", pivots)
    text = f"stablehlo.subtract {found[1][0]}, {one} : {type_text(pivots)}"
    f.assign_value(node.results[1], text)  # the routines count from 1
    first = f.operand(node.results[1])
    f.alias(node.results[2], _permutation(f, first, pivots, permutation))


def _permutation(
    f: FunctionWriter, pivots: str, type: TensorType, permutation: TensorType
) -> str:
    """The text of a loop over the pivots: each exchanges its place with the pivot's."""
    index = TensorType((), I32)
    rank = permutation.rank
    one_each = permutation.with_shape((*permutation.shape[:-1], 1))
    zero, one = f.constant("0", index), f.constant("1", index)
    end = f.constant(str(type.static_shape[-1]), index)
    places = f.define(
        f"stablehlo.iota dim = {rank - 1} : {type_text(permutation)}", "places"
    )
    step, order = f.fresh("step"), f.fresh("order")
    arguments = [(step, index), (order, permutation)]
    region = RegionWriter(f)

    def repeated(name: str, of: TensorType) -> str:
        types = function_type([of], [permutation])
        dims = ints(range(of.rank))
        text = f"stablehlo.broadcast_in_dim {name}, dims = {dims} : {types}"
        return region.define(text, "repeated")

    def at_step(name: str, of: TensorType) -> str:
        where = ", ".join([*[zero] * (rank - 1), step])
        types = function_type([of, *[index] * rank], [one_each])
        sizes = ints(one_each.static_shape)
        text = f"stablehlo.dynamic_slice {name}, {where}, sizes = {sizes} : {types}"
        return repeated(region.define(text, "taken"), one_each)

    def equal(a: str, b: str) -> str:
        return region.define(comparison("EQ", [a, b], permutation), "equal")

    def chosen(flags: str, a: str, b: str) -> str:
        operands = [permutation.with_dtype(BOOL), permutation, permutation]
        types = function_type(operands, [permutation])
        return region.define(f"stablehlo.select {flags}, {a}, {b} : {types}", "chosen")

    here, there = (
        equal(places, repeated(step, index)),
        equal(places, at_step(pivots, type)),
    )
    none = f.constant("0", permutation)
    rows = permutation.with_shape(permutation.shape[:-1])
    types = function_type([permutation, index], [rows])
    by_pivot = region.define(
        f"stablehlo.reduce({chosen(there, order, none)} init: {zero}) applies "
        f"stablehlo.add across dimensions = [{rank - 1}] : {types}",
        "by_pivot",
    )
    swapped = chosen(there, at_step(order, permutation), order)
    swapped = chosen(here, repeated(by_pivot, rows), swapped)
    following = region.define(f"stablehlo.add {step}, {one} : tensor<i32>", "next")
    returned = [(following, index), (swapped, permutation)]

    condition = RegionWriter(f)
    more = condition.define(comparison("LT", [step, end], index), "more")
    answer = [(more, index.with_dtype(BOOL))]
    _, last = f.define_all(
        f'"stablehlo.while"({zero}, {places}) '
        f"({block_text(arguments, condition.lines, answer)}, "
        f"{block_text(arguments, region.lines, returned)}) : "
        + function_type([index, permutation], [index, permutation]),
        ["steps", "permutation"],
    )
    return last


LOWERINGS: dict[str, Lowering] = {"eigh": eigh, "lu": lu, "qr": qr, "svd": svd}
