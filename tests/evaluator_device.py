"""A device whose kernels are graphs that the evaluator runs, and lowering to it."""

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.planning import LOWERINGS
from graphc.ir import Graph
from graphc.ir.evaluate import evaluate
from graphc.ir.opdef import Kind, Trait
from graphc.ir.types import TensorType
from graphc.passes.inline import FUSED
from graphc.passes.ledger import Ledger
from graphc.passes.rewrite import Rewriter
from graphc.runtime.triton_device import (
    ALIGNMENT,
    Command,
    from_bytes,
    stored_nbytes,
    to_bytes,
)


def lowered(graph: Graph) -> tuple[Graph, dict[str, Kernel]]:
    """A copy in which every node has a kernel of its own, and the kernels."""
    graph = graph.copy()
    rewriter = Rewriter(Ledger(), "lower", required=True)
    for reached in graph.reachable():
        for node in list(reached.nodes):
            if Trait.EFFECT not in node.op.traits and node.op.name not in LOWERINGS:
                rewriter.outline([node], f"kernel_{node.op.name}", "own", {FUSED: True})
    return graph, kernels_of(graph)


def kernels_of(graph: Graph, **facts: Any) -> dict[str, Kernel]:
    """A kernel without source for each kernel graph that `graph` calls."""
    return {
        reached.name: Kernel(
            reached.name,
            "",
            tuple(p.type for p in reached.parameters),
            tuple(r.type for r in reached.results),
            (),
            overwrites=overwritable(reached),
            **facts,
        )
        for reached in graph.reachable()
        if reached.attributes.get(FUSED)
    }


def overwritable(graph: Graph) -> tuple[tuple[int, int], ...]:
    """The parameters that may be overwritten: of graphs of one type, elementwise."""
    elementwise = all(node.op.kind is Kind.ELEMENTWISE for node in graph.nodes)
    types = {value.type for node in graph.nodes for value in node.results}
    return tuple(
        (parameter.index, position)
        for parameter in graph.parameters
        for position, result in enumerate(graph.results)
        if elementwise and types == {result.type} == {parameter.type}
    )


class Memory(Protocol):
    """What kernels read and write."""

    def write(self, address: int, array: np.ndarray[Any, Any]) -> None: ...

    def read(self, address: int, type: TensorType) -> np.ndarray[Any, Any]: ...


def run_kernel(
    memory: Memory, graph: Graph, kernel: Kernel, addresses: Sequence[int]
) -> None:
    """What a launch of the kernel of `graph` does."""
    operands = [
        memory.read(address, type)
        for address, type in zip(addresses, kernel.parameters, strict=False)
    ]
    rest = iter(addresses[len(kernel.parameters) :])
    for position, array in enumerate(evaluate(graph, *operands)):
        taken = kernel.in_place.get(position)
        memory.write(next(rest) if taken is None else addresses[taken], array)


class EvaluatorDevice:
    """Memory and kernels as a GPU has them, every access checked.

    Attributes:
        calls: The names of the kernels that ran, and ``copy`` for copies.
    """

    queue = None

    def __init__(self, graph: Graph) -> None:
        self.graphs = graph.module.graphs
        self.blocks: dict[int, np.ndarray[Any, Any]] = {}
        self.spare: dict[int, list[int]] = {}
        self.next = ALIGNMENT
        self.kernels: list[Kernel] = []
        self.calls: list[str] = []
        self.recorded = 0

    def allocate(self, nbytes: int) -> int:
        spare = self.spare.get(nbytes)
        address = spare.pop() if spare else self.next
        if address == self.next:
            self.next += (nbytes // ALIGNMENT + 2) * ALIGNMENT
        self.blocks[address] = np.full(nbytes, 0xFF, np.uint8)
        return address

    def free(self, address: int) -> None:
        self.spare.setdefault(len(self.blocks.pop(address)), []).append(address)

    def memory(self, address: int, nbytes: int) -> np.ndarray[Any, Any]:
        for start, block in self.blocks.items():
            if start <= address and address + nbytes <= start + len(block):
                return block[address - start :][:nbytes]
        raise AssertionError(f"{nbytes} bytes at {address} are in no allocation")

    def write(self, address: int, array: np.ndarray[Any, Any]) -> None:
        content = to_bytes(array)
        self.memory(address, len(content))[:] = content

    def read(self, address: int, type: TensorType) -> np.ndarray[Any, Any]:
        return from_bytes(self.memory(address, stored_nbytes(type)), type)

    def fill(self, address: int, nbytes: int, byte: int) -> None:
        self.memory(address, nbytes)[:] = byte

    def copy(self, destination: int, source: int, nbytes: int) -> None:
        assert abs(destination - source) >= nbytes
        self.calls.append("copy")
        self.memory(destination, nbytes)[:] = self.memory(source, nbytes)

    def load(self, kernel: Kernel) -> int:
        self.kernels.append(kernel)
        return len(self.kernels) - 1

    def launch(self, number: int, addresses: Sequence[int]) -> None:
        kernel = self.kernels[number]
        graph = self.graphs[kernel.name]
        self.calls.append(kernel.name)
        self._check(kernel, addresses)
        for position in kernel.zeroed:
            own = [i for i in range(len(kernel.results)) if i not in kernel.in_place]
            at = addresses[len(kernel.parameters) + own.index(position)]
            assert not self.memory(at, stored_nbytes(kernel.results[position])).any()
        run_kernel(self, graph, kernel, addresses)

    def _check(self, kernel: Kernel, addresses: Sequence[int]) -> None:
        """Results overlap nothing, except what they may overwrite."""
        assert not any(address % 16 for address in addresses)
        sizes = [stored_nbytes(type) for type in kernel.pointers]
        first = len(kernel.parameters)
        own = [i for i in range(len(kernel.results)) if i not in kernel.in_place]
        allowed = {
            (position, first + own.index(result))
            for position, result in kernel.overwrites
            if result in own
        }
        places = list(zip(addresses, sizes, strict=True))
        written = {*range(first, len(places)), *kernel.in_place.values()}
        for i, j in itertools.combinations(range(len(places)), 2):
            (a, n), (b, m) = places[i], places[j]
            overlap = max(a, b) < min(a + n, b + m)
            if overlap and {i, j} & written:
                assert (i, j) in allowed
                assert a == b

    def bind(self, number: int, addresses: Sequence[int]) -> Command:
        return lambda: self.launch(number, addresses)

    def record(self, commands: Sequence[Command]) -> Command | None:
        self.recorded += 1
        return lambda: [command() for command in commands]

    def timed(self, command: Command) -> float:
        command()
        return 1e-6

    def find(self, array: Any, type: TensorType) -> None:
        return None

    def synchronize(self) -> None: ...

    def close(self) -> None: ...
