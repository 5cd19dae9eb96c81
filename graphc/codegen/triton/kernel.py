"""What code generation makes of a kernel graph: source, arguments and grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphc.codegen.triton.schedule import CUBLAS, Schedule
from graphc.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Tiles:
    """How many tiles of the size of a constant cover an extent.

    Attributes:
        extent: The number of elements.
        block: The name of the constant that holds the tile's size, or None for
            tiles of one element.
        more: Further extents, whose tiles come behind.
    """

    extent: int
    block: str | None = None
    more: tuple[Tiles, ...] = ()

    def count(self, constants: Mapping[str, int]) -> int:
        """The number of tiles; at least one, so that a grid is never empty."""
        size = 1 if self.block is None else constants[self.block]
        own = max(1, -(-self.extent // size))
        return own + sum(tiles.count(constants) for tiles in self.more)

    def divides(self, own: Mapping[str, int], other: Mapping[str, int]) -> bool:
        """Whether tiles of other sizes fill all extents that those of `own` fill.

        What was written for tiles that fill an extent has no masks at its end.
        """
        name = self.block
        fills = name is None or self.extent % own[name] or not self.extent % other[name]
        return bool(fills) and all(tiles.divides(own, other) for tiles in self.more)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix in memory, or several of one size, as BLAS describes them.

    Attributes:
        pointer: Which of the kernel's pointers is that of its first element.
        rows, columns: Its size; the elements of a column lie next to each other.
        stride: How many elements lie between the starts of two columns.
        apart: How many elements lie between the starts of two matrices.
    """

    pointer: int
    rows: int
    columns: int
    stride: int
    apart: int


@dataclass(frozen=True, slots=True)
class LibraryCall:
    """Matrices of which the third is the product of the first and the second.

    Attributes:
        first, second: The operands, transposed or not.
        result: The product.
        transposed: Which of the operands are transposed before they are multiplied.
        batch: How many products there are.
        operand_dtype: The dtype of the operands.
        result_dtype: The dtype of the product; sums are at least float32.
        tf32: Whether factors of float32 may be rounded to 10 bits of mantissa.
        bias: The pointer to what is added to each column of the product, or None.
    """

    first: Matrix
    second: Matrix
    result: Matrix
    transposed: tuple[bool, bool]
    batch: int
    operand_dtype: str
    result_dtype: str
    tf32: bool = False
    bias: int | None = None

    def __str__(self) -> str:
        """What is computed, as a person writes it: rows of results lie together."""
        m, n = self.result.columns, self.result.rows
        k = self.second.columns if self.transposed[1] else self.second.rows
        batch = f"{self.batch} x " if self.batch > 1 else ""
        bias = " + bias" if self.bias is not None else ""
        types = f"{self.operand_dtype} -> {self.result_dtype}"
        return f"{batch}[{m},{k}] @ [{k},{n}]{bias}, {types}"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel: the text of a Python file and all that a launch needs.

    The function's arguments are pointers, first those of the graph's parameters, then
    those of its results, in order; then its constants by name. A result that is made
    in place has no pointer of its own.

    Attributes:
        name: The name of the function.
        source: The text of a file that defines it with ``@triton.jit``. It is the same
            for the same graph, byte for byte.
        parameters: The types of the graph's parameters.
        results: The types of the graph's results.
        grid: For each of up to three grid axes, what to multiply for the number of
            programs along it.
        arguments: The names of the pointers, in order; ``p0``, ``p1`` and so on unless
            given.
        constants: The values of the ``tl.constexpr`` arguments: tile sizes.
        num_warps: How many warps run a program.
        num_stages: How many iterations of a loop are in flight.
        overwrites: ``(parameter, result)`` positions of results that may be written to
            the memory of a parameter: nothing else reads what they overwrite.
        in_place: For a result (by position) that overwrites a parameter, that
            parameter's position.
        zeroed: The results whose memory must be zero when the kernel starts.
        layers: The layer paths that its nodes come from.
        flops: Floating-point operations.
        bytes: Bytes read from and written to global memory, each element once.
        descriptors, warp_specialize: As in its schedule; the source has them.
        library: The call that computes the results in place of the source, if there is
            one; the source is a comment then.
    """

    name: str
    source: str
    parameters: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    grid: tuple[tuple[Tiles, ...], ...]
    arguments: tuple[str, ...] = ()
    constants: Mapping[str, int] = field(default_factory=dict[str, int])
    num_warps: int = 4
    num_stages: int = 2
    overwrites: tuple[tuple[int, int], ...] = ()
    in_place: Mapping[int, int] = field(default_factory=dict[int, int])
    zeroed: tuple[int, ...] = ()
    layers: tuple[str, ...] = ()
    flops: int = 0
    bytes: int = 0
    descriptors: bool = False
    warp_specialize: bool = False
    library: LibraryCall | None = None

    @property
    def schedule(self) -> Schedule:
        """The tile sizes and launch parameters that it has."""
        return Schedule(
            dict(self.constants),
            self.num_warps,
            self.num_stages,
            self.descriptors,
            self.warp_specialize,
            None if self.library is None else CUBLAS,
        )

    @property
    def programs(self) -> tuple[int, int, int]:
        """The number of programs along each axis of the grid."""
        counts = [
            math.prod(tiles.count(self.constants) for tiles in axis)
            for axis in self.grid
        ]
        x, y, z = (*counts, 1, 1, 1)[:3]
        return x, y, z

    def takes(self, constants: Mapping[str, int]) -> bool:
        """Whether the source is right with other tile sizes."""
        tiles = (each for axis in self.grid for each in axis)
        return all(each.divides(self.constants, constants) for each in tiles)

    @property
    def pointers(self) -> tuple[TensorType, ...]:
        """The types that the arguments point to, in order."""
        own = [t for i, t in enumerate(self.results) if i not in self.in_place]
        return (*self.parameters, *own)


POINTERS: dict[str, str] = {
    "f64": "fp64",
    "f32": "fp32",
    "f16": "fp16",
    "bf16": "bf16",
    "i64": "i64",
    "i32": "i32",
    "i16": "i16",
    "i8": "i8",
    "u64": "u64",
    "u32": "u32",
    "u16": "u16",
    "u8": "u8",
    # Storage dtypes and truth values are bytes; kernels decode them.
    "bool": "u8",
    "i4": "i8",
    "f8e4m3fn": "u8",
    "f8e5m2": "u8",
}
"""What Triton calls the elements that a pointer to a tensor of each dtype points to."""


def signature(kernel: Kernel) -> dict[str, str]:
    """The arguments of a kernel as ``triton.compiler.ASTSource`` wants them."""
    types = kernel.pointers
    names = kernel.arguments or [f"p{number}" for number in range(len(types))]
    pointers = {
        name: f"*{POINTERS[type.dtype.name]}"
        for name, type in zip(names, types, strict=True)
    }
    return pointers | dict.fromkeys(kernel.constants, "constexpr")
