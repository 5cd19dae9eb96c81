"""Measuring schedules on a GPU: which tile sizes are fastest for the kernels of a graph."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
from ml_dtypes import finfo

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import emit_kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning import candidates, scheduled_kernel, signature_of
from graphc.codegen.triton.tuning.table import Entry, Table
from graphc.ir.errors import CompileError
from graphc.ir.graph import Graph
from graphc.ir.random_inputs import random_inputs
from graphc.ir.tolerance import rmse
from graphc.ir.types import dtype
from graphc.passes import run
from graphc.passes.inline import kernel_graphs
from graphc.runtime.triton_compile import CompiledKernel
from graphc.runtime.triton_device import Command, Device, stored_nbytes
from graphc.runtime.triton_program import POISON
from graphc.runtime.triton_version import version

ROUNDS = 20
"""How often each candidate is measured, all taking turns."""

GAIN = 1.03
"""How much faster than the default a schedule must be to be worth an entry."""

FLUSHED = 128 << 20
"""Bytes that are written before each launch, so that the cache holds nothing of use."""


class TunedDevice(Device, Protocol):
    """A GPU that kernels are measured on."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def architecture(self) -> str:
        """What kernels are compiled for."""
        ...

    def add(self, kernel: Kernel, compiled: CompiledKernel) -> None:
        """Tells the machine code of a kernel, which can then be loaded."""
        ...


class KernelCompiler(Protocol):
    """What compiles kernels; several threads may call it."""

    def compile(
        self, kernels: Sequence[Kernel], architecture: str
    ) -> list[CompiledKernel]:
        """The machine code of each kernel, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kernel with one schedule, compiled unless it is a call of a library."""

    kernel: Kernel
    compiled: CompiledKernel | None

    @property
    def schedule(self) -> Schedule:
        """Its schedule."""
        return self.kernel.schedule

    @property
    def spills(self) -> int:
        """The bytes of registers that it spills."""
        return 0 if self.compiled is None else self.compiled.spills


def tune(
    graph: Graph,
    device: TunedDevice,
    compiler: KernelCompiler,
    known: Table | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> dict[str, Entry]:
    """Entries for the kernels of a graph that another schedule makes faster.

    Candidates compile in parallel. Those that do not compile, spill registers where the
    default does not, or compute something else than the default are left out.

    Args:
        graph: A graph without dimension symbols, not lowered.
        device: The GPU.
        compiler: Compiles for it.
        known: Entries that exist already; their kernels are not measured again.
        say: Is told about each kernel in a line.

    Returns:
        The new entries by signature, to be merged into the table of the architecture.
    """
    found: dict[str, Entry] = {}
    for kernel_graph in kernel_graphs(run(graph, "triton")):
        signature = signature_of(kernel_graph)
        if signature in (known or {}) or signature in found:
            continue
        entry = _tuned(kernel_graph, device, compiler, say)
        if entry is not None:
            found[signature] = entry
            say(f"{signature}: {entry.default:.1f} -> {entry.microseconds:.1f} us")
        else:
            say(f"{signature}: the default is best")
    return found


def _tuned(
    graph: Graph,
    device: TunedDevice,
    compiler: KernelCompiler,
    say: Callable[[str], object],
) -> Entry | None:
    default = emit_kernel(graph)
    others = [
        kernel
        for schedule in candidates(graph, default, device.architecture)
        if (kernel := scheduled_kernel(graph, default, schedule))
    ]
    if not others:
        return None
    compiled = _compiled([default, *others], device.architecture, compiler)
    if len(compiled) < 2 or compiled[0].kernel is not default:
        return None
    spills = compiled[0].spills
    kept = [each for each in compiled if each.spills <= spills]
    loaded = list(_loaded(kept, device, say))
    kept = [candidate for candidate, _ in loaded]
    seconds = _measured(graph, kept[0].kernel, [n for _, n in loaded], device)
    best = min(range(len(kept)), key=seconds.__getitem__)
    if seconds[0] < seconds[best] * GAIN:
        return None
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return Entry(
        kept[best].schedule,
        round(seconds[best] * 1e6, 2),
        round(seconds[0] * 1e6, 2),
        f"{device.name}, Triton {version()}, {when}",
    )


def _compiled(
    kernels: Sequence[Kernel], architecture: str, compiler: KernelCompiler
) -> list[Candidate]:
    """The kernels that compile, in order."""

    def attempt(kernel: Kernel) -> Candidate | None:
        if kernel.library is not None:
            return Candidate(kernel, None)
        try:
            return Candidate(kernel, compiler.compile([kernel], architecture)[0])
        except CompileError:
            return None

    with ThreadPoolExecutor(len(kernels)) as threads:
        return [each for each in threads.map(attempt, kernels) if each is not None]


def _loaded(
    kept: Iterable[Candidate], device: TunedDevice, say: Callable[[str], object]
) -> Iterator[tuple[Candidate, int]]:
    """Those that the device has loaded, and their numbers.

    A call of a library that is not there, or does not serve it, is left out.
    """
    for each in kept:
        if each.compiled is not None:
            device.add(each.kernel, each.compiled)
        try:
            yield each, device.load(each.kernel)
        except CompileError as error:
            if each.compiled is not None:
                raise
            say(error.message)


def _measured(
    graph: Graph, kernel: Kernel, numbers: Sequence[int], device: TunedDevice
) -> list[float]:
    """The median seconds of a launch of each; infinite for wrong results.

    Args:
        graph: The kernel graph.
        kernel: Its kernel with the default schedule, whose results are right.
        numbers: The numbers of the kernels, that of the default first.
        device: Where they are loaded.
    """
    with _memory(device, [*map(stored_nbytes, kernel.pointers), FLUSHED]) as addresses:
        *places, flushed = addresses
        commands = [device.bind(number, places) for number in numbers]
        inputs = random_inputs(graph)
        wanted = launch_results(device, kernel, places, inputs, commands[0])
        right = [
            all(map(same_results, found, wanted))
            for command in commands
            for found in [launch_results(device, kernel, places, inputs, command)]
        ]
        times: list[list[float]] = [[] for _ in commands]
        for _ in range(ROUNDS):
            for command, own in zip(commands, times, strict=True):
                device.fill(flushed, FLUSHED, 0)
                own.append(device.timed(command))
    medians = map(statistics.median, times)
    return [
        seconds if ok else float("inf")
        for seconds, ok in zip(medians, right, strict=True)
    ]


def launch_results(
    device: Device,
    kernel: Kernel,
    places: Sequence[int],
    inputs: Sequence[Any],
    command: Command,
) -> list[np.ndarray[Any, Any]]:
    """What a launch computes, from memory that held something else before."""
    own = iter(places[len(kernel.parameters) :])
    results = [
        places[kernel.in_place[n]] if n in kernel.in_place else next(own)
        for n in range(len(kernel.results))
    ]
    for address, array in zip(places, inputs, strict=False):
        device.write(address, array)
    for number, (address, type) in enumerate(zip(results, kernel.results, strict=True)):
        if number not in kernel.in_place:
            byte = 0 if number in kernel.zeroed else POISON
            device.fill(address, stored_nbytes(type), byte)
    command()
    return [
        device.read(address, type)
        for address, type in zip(results, kernel.results, strict=True)
    ]


def same_results(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> bool:
    """Whether two schedules compute the same: sums in another order are that, too."""
    if not dtype(wanted.dtype).is_float:
        return bool(np.array_equal(found, wanted))
    allowed = math.sqrt(float(finfo(wanted.dtype).eps)) / 4
    return rmse(found, wanted) <= allowed * rmse(wanted, np.zeros(wanted.shape))


@contextmanager
def _memory(device: Device, sizes: Sequence[int]) -> Iterator[list[int]]:
    addresses = [device.allocate(size) for size in sizes]
    try:
        yield addresses
    finally:
        for address in addresses:
            device.free(address)
