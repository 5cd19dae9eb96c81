"""Shape contracts: which sizes an artifact was compiled for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphc.files.container import check_keys
from graphc.ir.errors import GraphError, LoadError

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
                how = f"--batch {size}" if name == "B" else f"--range {name}=..."
                raise GraphError(
                    f"the artifact is compiled for {name} = {declared}",
                    received=f"{name} = {size}",
                    hint=f"pad or split the input, or compile it again with {how}",
                )
            found[name] = serving
        return found

    def check(self, symbols: set[str]) -> None:
        """Raises a `GraphError` unless the contract is about exactly `symbols`."""
        if missing := sorted(symbols - self.symbols.keys()):
            raise GraphError(
                f"the graph has dimension symbols without sizes: {', '.join(missing)}",
                hint=f"give them, for example --batch 1,8 or --range {missing[0]}=1..64",
            )
        if unknown := sorted(self.symbols.keys() - symbols):
            raise GraphError(
                f"the graph has no dimension symbol {', '.join(unknown)}",
                received=f"its symbols: {', '.join(sorted(symbols)) or 'none'}",
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
