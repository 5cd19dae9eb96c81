"""What a C program is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphc.codegen.triton.plan import Plan
from graphc.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Code:
    """Machine code of a kernel, and what a launch of it needs.

    Attributes:
        entry: The name of the entry point.
        image: The machine code.
        threads: How many threads run one program.
        shared: The shared memory of one program, in bytes.
        scratch: The bytes of memory of its own that one program needs.
    """

    entry: str
    image: bytes
    threads: int
    shared: int
    scratch: int


@dataclass(frozen=True, slots=True)
class Program:
    """A launch plan for some sizes.

    Its parameters are the inputs, the state, then the sizes of ranges, as ``i32``. Its
    results are the outputs, then what replaces tensors of the state.

    Attributes:
        sizes: The size of each symbol.
        plan: The plan.
        code: The machine code of each kernel of the plan.
        constants: What the region of constants holds.
    """

    sizes: Mapping[str, int]
    plan: Plan
    code: tuple[Code, ...]
    constants: bytes

    @property
    def obstacle(self) -> str | None:
        """Why a run cannot be recorded as a CUDA graph, or None if it can."""
        if self.plan.limits:
            return "the host reads how often a loop runs"
        return self.plan.obstacle


@dataclass(frozen=True, slots=True)
class Symbol:
    """A dimension whose size a caller says.

    Attributes:
        name: Its name.
        compiled: The sizes that there are programs for, ascending.
        low: The least size, if all from there are served; None if only those compiled.
    """

    name: str
    compiled: tuple[int, ...]
    low: int | None = None

    def __str__(self) -> str:
        if self.low is None:
            return " or ".join(map(str, self.compiled))
        return f"{self.low} to {self.compiled[-1]}"


@dataclass(frozen=True, slots=True)
class Array:
    """An input, an output, or a tensor of the state.

    Attributes:
        name: Its name.
        type: Its type, with symbols.
        content: The bytes of a tensor; empty for inputs and outputs.
    """

    name: str
    type: TensorType
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything that a C program has.

    Attributes:
        name: What names in C begin with.
        title: What it is, for a reader.
        architecture: The GPU that machine code is for, such as ``sm_90``.
        symbols: The symbols, in the order of their names.
        inputs, outputs: What a run takes and returns.
        state: The tensors that stay on the GPU between runs.
        written: For each result behind the outputs, which tensor it replaces.
        programs: A program for each combination of compiled sizes.
    """

    name: str
    title: str
    architecture: str
    symbols: tuple[Symbol, ...]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    state: tuple[Array, ...]
    written: tuple[int, ...]
    programs: tuple[Program, ...]

    @property
    def told(self) -> list[int]:
        """The symbols whose sizes programs are told: those of ranges."""
        return [i for i, symbol in enumerate(self.symbols) if symbol.low is not None]
