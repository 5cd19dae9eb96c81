"""Executables for the sizes that a contract declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

from graphc.artifacts.contract import Contract
from graphc.ir.graph import Graph
from graphc.passes import run
from graphc.passes.padding import SharedTrials, pad_dimensions
from graphc.passes.plugins import closed
from graphc.passes.precision import policy_text
from graphc.runtime.executable import Executable
from graphc.runtime.options import CompileOptions
from graphc.runtime.targets import backend_name
from graphc.tuning.locked import compile_as_asked

PRIMITIVES = "autodiff,inline{max_nodes=1000000},decompose,(cse,dce)*"
"""What leaves primitives, loops and conditionals, which padding knows."""


class Programs:
    """The programs of a graph for the sizes of a contract.

    Args:
        graph: The graph as it was traced.
        contract: The sizes of its dimension symbols.
        options: What compiles are asked for.
        trusted: Whether a pipeline may import what is installed here. One that a file
            names must not.
    """

    def __init__(
        self,
        graph: Graph,
        contract: Contract,
        options: CompileOptions,
        trusted: bool = True,
    ) -> None:
        self._trusted = trusted
        self._graph = graph
        self._contract = contract
        self._options = options
        self._prepared: dict[tuple[tuple[str, int], ...], Graph] = {}
        self._trials: SharedTrials = {}

    def compile(
        self, sizes: Mapping[str, int], target: str, donate: Sequence[int]
    ) -> Executable:
        """The executable for sizes that are compiled.

        Raises:
            TargetError, PassError, CompileError: As `compile_graph`.
            UnsupportedError: As `compile_graph`, or if the graph cannot be padded.
        """
        with nullcontext() if self._trusted else closed():
            graph, options, bindings = self.prepared(sizes, target)
            # Bundles read launch plans, which are whole.
            prepare = backend_name(target) != "triton"
            return compile_as_asked(graph, options, donate, bindings, prepare)

    def prepared(
        self, sizes: Mapping[str, int], target: str
    ) -> tuple[Graph, CompileOptions, Mapping[str, int]]:
        """The graph that is compiled for some sizes, how, and the sizes of its symbols.

        Raises:
            UnsupportedError: If the graph cannot be padded.
        """
        options = replace(self._options, target=target)
        if not self._contract.padded:
            return self._graph, options, sizes
        # The padded graph has the precision already.
        options = replace(options, precision=CompileOptions().precision)
        return self._for_padding(sizes), options, {}

    def _for_padding(self, sizes: Mapping[str, int]) -> Graph:
        """The graph for inputs that are padded to some sizes."""
        room = {name: sizes[name] for name in self._contract.padded}
        exact = {name: size for name, size in sizes.items() if name not in room}
        key = tuple(sorted(exact.items()))
        if key not in self._prepared:
            self._prepared[key] = self._primitives(exact)
        return pad_dimensions(self._prepared[key], room, self._trials)

    def _primitives(self, exact: Mapping[str, int]) -> Graph:
        graph = self._graph.bind(**exact) if exact else self._graph.copy()
        for name in self._contract.padded:
            declared = self._contract.symbols[name]
            low, high = declared.low, declared.compiled[-1]
            if low is not None:
                graph.ranges[name] = (low, high)
        policy = policy_text(self._options.precision)
        return run(graph, ",".join(filter(None, [policy, PRIMITIVES])))
