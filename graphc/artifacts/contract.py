"""Shape contracts: which sizes an artifact was compiled for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.files.container import check_keys
from graphc.ir.errors import GraphError, LoadError
from graphc.ir.graph import Graph
from graphc.ir.types import I32, TensorType

LARGEST = 2**31 - 1
MAX_PROGRAMS = 256
"""For how many combinations of sizes one artifact may be compiled."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes that one dimension symbol may have.

    Attributes:
        compiled: The sizes that there are programs for, the smallest first.
        low: The smallest size that inputs may have where smaller ones are padded; None
            if inputs must have one of the compiled sizes.
    """

    compiled: tuple[int, ...]
    low: int | None = None

    @classmethod
    def between(cls, low: int, high: int) -> Sizes:
        """All sizes from `low` to `high`: padded to the next power of two, or `high`."""
        powers = [2**n for n in range(high.bit_length()) if low <= 2**n < high]
        return cls((*powers, high), low)

    def program_size(self, size: int) -> int | None:
        """The compiled size that serves `size`, or None if none does."""
        if self.low is None:
            return size if size in self.compiled else None
        if size < self.low:
            return None
        return next((each for each in self.compiled if each >= size), None)

    def option(self, name: str, size: int) -> str:
        """The option of ``graphc compile`` that declares these sizes and one more.

        Args:
            name: The symbol.
            size: The size.
        """
        if self.low is not None:
            low, high = min(self.low, size), max(self.compiled[-1], size)
            return f"--range {name}={low}..{high}"
        listed = ",".join(map(str, sorted({*self.compiled, size})))
        return f"--batch {listed}" if name == "B" else f"--size {name}={listed}"

    def __str__(self) -> str:
        if self.low is None:
            return " or ".join(map(str, self.compiled))
        return f"{self.low} to {self.compiled[-1]}"


@dataclass(frozen=True, slots=True)
class Contract:
    """The sizes of all dimension symbols of an artifact's graph.

    Attributes:
        symbols: The sizes of each symbol.
    """

    symbols: Mapping[str, Sizes]

    @property
    def padded(self) -> list[str]:
        """The symbols whose sizes programs take, in that order: those of ranges."""
        symbols = self.symbols.items()
        return sorted(name for name, sizes in symbols if sizes.low is not None)

    def interface(self, graph: Graph, sizes: Mapping[str, int]) -> Graph:
        """A graph with the parameters and results of the program for some sizes.

        Where the contract declares a range, a program is for padded inputs: it takes
        the sizes without padding behind the graph's own parameters.
        """
        bound = graph.bind(**sizes) if sizes else graph.copy()
        for name in self.padded:
            bound.add_parameter(TensorType((), I32), f"{name}_size")
        return bound

    def programs(self) -> Iterator[dict[str, int]]:
        """The sizes of each program."""
        names = sorted(self.symbols)
        every = (self.symbols[name].compiled for name in names)
        for sizes in itertools.product(*every):
            yield dict(zip(names, sizes, strict=True))

    def program_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The sizes of the program that serves inputs of `sizes`.

        Raises:
            GraphError: If none does; says what the artifact was compiled for.
        """
        found: dict[str, int] = {}
        for name, size in sizes.items():
            declared = self.symbols[name]
            serving = declared.program_size(size)
            if serving is None:
                hint = "give at least one element"
                if size:
                    hint = "pad or split the input, or compile it again with"
                    hint += f" {declared.option(name, size)}"
                raise GraphError(
                    f"the artifact is compiled for {name} = {declared}",
                    received=f"{name} = {size}",
                    hint=hint,
                )
            found[name] = serving
        return found

    def check(self, graph: Graph, inputs: Sequence[str] = ()) -> None:
        """Raises a `GraphError` unless the contract is about exactly a graph's symbols.

        Args:
            graph: The graph.
            inputs: What its first parameters are called.
        """
        symbols = graph.symbols
        if unknown := sorted(self.symbols.keys() - symbols):
            raise GraphError(
                f"the graph has no dimension symbol {', '.join(unknown)}",
                received=f"its symbols: {', '.join(sorted(symbols)) or 'none'}",
            )
        if missing := sorted(symbols - self.symbols.keys()):
            places = [_place(name, graph, inputs) for name in missing]
            raise GraphError(
                f"these dimensions have no sizes: {'; '.join(places)}",
                hint="say which sizes to compile for: "
                + " ".join(map(_example, missing))
                + "; or a range: "
                + " ".join(f"--range {name}=1..64" for name in missing),
            )
        count = sum(1 for _ in itertools.islice(self.programs(), MAX_PROGRAMS + 1))
        if count > MAX_PROGRAMS:
            raise GraphError(
                f"an artifact holds at most {MAX_PROGRAMS} programs for a target",
                hint="declare fewer sizes",
            )

    def to_json(self) -> dict[str, Any]:
        """The contract as JSON."""
        return {
            name: {"compiled": list(sizes.compiled), "low": sizes.low}
            for name, sizes in self.symbols.items()
        }

    @classmethod
    def from_json(cls, found: Any) -> Contract:
        """The contract that `to_json` wrote.

        Raises:
            LoadError: If it is none.
        """
        if not isinstance(found, dict):
            raise LoadError("the contract of an artifact is no JSON object")
        symbols: dict[str, Sizes] = {}
        for name, entry in found.items():
            check_keys(entry, {"compiled", "low"}, "a contract's symbol")
            compiled, low = entry["compiled"], entry["low"]
            sizes = compiled if isinstance(compiled, list) else [None]
            if low is not None:
                sizes = [low, *sizes]
            if not sizes or not all(
                type(size) is int and 0 < size <= LARGEST for size in sizes
            ):
                raise LoadError(f"the contract's sizes of {ascii(name)[:80]} are none")
            if list(compiled) != sorted(set(compiled)):
                raise LoadError(
                    f"the contract's sizes of {ascii(name)[:80]} are mixed up"
                )
            symbols[name] = Sizes(tuple(compiled), low)
        return cls(symbols)


def _place(symbol: str, graph: Graph, inputs: Sequence[str]) -> str:
    """A symbol and which axes of which inputs it is, as text."""
    found = [
        f"axis {axis} of input {name!r}"
        for name, parameter in zip(inputs, graph.parameters, strict=False)
        for axis, dim in enumerate(parameter.shape)
        if str(dim) == symbol
    ]
    return f"{symbol} ({' and '.join(found)})" if found else symbol


def _example(name: str) -> str:
    """An option of ``graphc compile`` that says the sizes of a symbol."""
    return "--batch 1,8" if name == "B" else f"--size {name}=64,128"
