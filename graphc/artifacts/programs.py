"""Executables for the sizes that a contract declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from graphc.artifacts.contract import Contract
from graphc.ir.graph import Graph
from graphc.ir.types import I32, TensorType
from graphc.passes import run
from graphc.passes.padding import SharedTrials, pad_dimensions
from graphc.passes.precision import policy_text
from graphc.runtime.compile import compile_graph
from graphc.runtime.executable import Executable
from graphc.runtime.options import CompileOptions

PRIMITIVES = "autodiff,inline{max_nodes=1000000},decompose,(cse,dce)*"
"""What leaves primitives, loops and conditionals, which padding knows."""


class Programs:
    """The programs of a graph for the sizes of a contract.

    Where the contract declares a range, a program is for padded inputs: it takes the
    sizes without padding behind the graph's parameters, in alphabetical order.

    Args:
        graph: The graph as it was traced.
        contract: The sizes of its dimension symbols.
        options: What compiles are asked for.
    """

    def __init__(
        self, graph: Graph, contract: Contract, options: CompileOptions
    ) -> None:
        self._graph = graph
        self._contract = contract
        self._options = options
        self._prepared: dict[tuple[tuple[str, int], ...], Graph] = {}
        self._trials: SharedTrials = {}

    @property
    def padded(self) -> list[str]:
        """The symbols whose sizes programs take, in that order."""
        symbols = self._contract.symbols.items()
        return sorted(name for name, sizes in symbols if sizes.low is not None)

    def interface(self, sizes: Mapping[str, int]) -> Graph:
        """A graph with the parameters and results of the program for some sizes."""
        bound = self._graph.bind(**sizes) if sizes else self._graph.copy()
        for name in self.padded:
            bound.add_parameter(TensorType((), I32), f"{name}_size")
        return bound

    def compile(
        self, sizes: Mapping[str, int], target: str, donate: Sequence[int]
    ) -> Executable:
        """The executable for sizes that are compiled.

        Raises:
            TargetError, PassError, CompileError: As `compile_graph`.
            UnsupportedError: As `compile_graph`, or if the graph cannot be padded.
        """
        asked = dataclasses.asdict(self._options) | {"target": target}
        graph, bindings = self._graph, dict(sizes)
        if self.padded:
            graph, bindings = self._for_padding(sizes), {}
            asked["precision"] = CompileOptions().precision  # which it has already
        return compile_graph(
            graph,
            asked.pop("target"),
            asked.pop("passes"),
            donate,
            bindings=bindings,
            **asked,
        )

    def _for_padding(self, sizes: Mapping[str, int]) -> Graph:
        """The graph for inputs that are padded to some sizes."""
        room = {name: sizes[name] for name in self.padded}
        exact = {name: size for name, size in sizes.items() if name not in room}
        key = tuple(sorted(exact.items()))
        if key not in self._prepared:
            self._prepared[key] = self._primitives(exact)
        return pad_dimensions(self._prepared[key], room, self._trials)

    def _primitives(self, exact: Mapping[str, int]) -> Graph:
        graph = self._graph.bind(**exact) if exact else self._graph.copy()
        for name in self.padded:
            declared = self._contract.symbols[name]
            low, high = declared.low, declared.compiled[-1]
            if low is not None:
                graph.ranges[name] = (low, high)
        policy = policy_text(self._options.precision)
        return run(graph, ",".join(filter(None, [policy, PRIMITIVES])))
