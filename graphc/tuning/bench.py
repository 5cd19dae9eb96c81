"""How fast a program is: latency, throughput, memory, and where the time goes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.passes.cost_model import Rates, Roofline, is_narrow, work
from graphc.runtime.backend import Memory
from graphc.runtime.calibration import read_rates, wait_for
from graphc.runtime.kernel_costs import KernelReport
from graphc.runtime.timing import ratios

Array = np.ndarray[Any, Any]

ROUNDS = 30

ALIKE = 12
"""How many kinds of ops a table shows."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program to be timed.

    Attributes:
        name: Its name.
        run: Takes one array per parameter; returns results.
        inputs: Arrays, where runs read them without another copy.
        examples: How many examples a run is given; 1 if there is no batch.
        graph: The graph after passes, where there is one.
        memory: What a run takes, where it is known.
        kernels: What each kernel costs, where they are ours.
    """

    name: str
    run: Callable[..., Any]
    inputs: Sequence[Any]
    examples: int = 1
    graph: Graph | None = None
    memory: Memory | None = None
    kernels: KernelReport | None = None


@dataclass(frozen=True, slots=True)
class OpRow:
    """What all nodes of one op cost, by their types.

    Attributes:
        op: The op.
        count: How many nodes.
        flops: Their floating-point operations.
        bytes: What they would read and write, each by itself.
        seconds: The least time that takes by the roofline, if rates are known.
    """

    op: str
    count: int
    flops: float
    bytes: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured of a contestant.

    Attributes:
        name: Its name.
        median: The median seconds of a run.
        p10: What a tenth of the runs stays below.
        p90: What nine tenths stay below.
        throughput: Examples per second, by the median.
        ratio: The median over the rounds of its time to that of the first.
        memory: The bytes of a run, by what they are for; None if not known.
        ops: What its ops cost.
        kernels: The table of its kernels, if they are ours.
        error: The largest difference of a result from the first contestant's, relative
            to the root mean square; None for the first.
    """

    name: str
    median: float
    p10: float
    p90: float
    throughput: float
    ratio: float
    memory: Mapping[str, int] | None
    ops: Sequence[OpRow] = ()
    kernels: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    error: float | None = None


def bench(
    contestants: Sequence[Contestant],
    clock: Callable[[], float],
    rounds: int = ROUNDS,
    rates: Rates | None = None,
) -> list[Result]:
    """Times contestants in turns, after comparing what they compute.

    Args:
        contestants: The programs; the first is what the others are compared with.
        clock: What times runs.
        rounds: How often each is timed.
        rates: The device's speed, for the roofline.
    """
    outputs = [_outputs(each) for each in contestants]
    times: dict[str, list[float]] = {each.name: [] for each in contestants}
    counts = {each.name: _repeats(each, clock) for each in contestants}
    for number in range(rounds):
        turns = contestants if number % 2 else list(reversed(contestants))
        for each in turns:
            times[each.name].append(_seconds(each, counts[each.name], clock))
    relative = ratios(times, contestants[0].name)
    return [
        _result(each, times[each.name], relative[each.name], rates, error)
        for each, error in zip(contestants, _errors(outputs), strict=True)
    ]


def _result(
    of: Contestant,
    times: Sequence[float],
    ratio: float,
    rates: Rates | None,
    error: float | None,
) -> Result:
    median = statistics.median(times)
    memory = of.memory
    low, high = np.percentile(times, (10, 90))
    return Result(
        name=of.name,
        median=median,
        p10=float(low),
        p90=float(high),
        throughput=of.examples / median,
        ratio=ratio,
        memory=None
        if memory is None
        else {
            "parameters": memory.parameters,
            "results": memory.results,
            "temporaries": memory.temporaries,
            "peak": memory.peak,
        },
        ops=[] if of.graph is None or of.kernels else op_rows(of.graph, rates),
        kernels=() if of.kernels is None else _kernel_rows(of.kernels),
        error=error,
    )


def op_rows(graph: Graph, rates: Rates | None = None) -> list[OpRow]:
    """What the ops of a graph cost by their types, the dearest first.

    What loops repeat counts as often as they do, where their types say how often.
    """
    rows: dict[str, list[float]] = {}
    roofline = None if rates is None else Roofline(rates)

    def add(of: Graph, times: float) -> None:
        for node in of.nodes:
            if node.op.calls_graphs:
                trips = node.op.trip_count(node)
                repeats = times * (trips if isinstance(trips, int) else 1)
                for name in node.op.graph_names(node):
                    add(of.module.graphs[name], repeats)
                continue
            nbytes, flops = work(node)
            row = rows.setdefault(node.op.name, [0.0, 0.0, 0.0, 0.0])
            row[0] += 1
            row[1] += flops * times
            row[2] += nbytes * times
            if roofline is not None:
                least = roofline.rates.roofline(nbytes, flops, is_narrow(node))
                row[3] += least * times

    add(graph, 1.0)
    found = [
        OpRow(op, int(count), flops, nbytes, None if rates is None else seconds)
        for op, (count, flops, nbytes, seconds) in rows.items()
    ]
    return sorted(found, key=lambda row: (-(row.seconds or 0), -row.bytes))


def known_rates(target: str) -> Rates | None:
    """The speed of a target, if it was measured or is a known GPU's."""
    try:
        return read_rates(target)
    except GraphcError:
        return None


def _kernel_rows(report: KernelReport) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        {
            "kernel": cost.kernel.name,
            "launches": cost.launches,
            "seconds": cost.seconds,
            "roofline": cost.roofline(report.gpu) * cost.launches,
            "flops": cost.kernel.flops,
            "bytes": cost.kernel.bytes,
        }
        for cost in report.costs
    )


def _outputs(of: Contestant) -> list[Array]:
    found = of.run(*of.inputs)
    every = found if isinstance(found, (tuple, list)) else (found,)
    return [np.asarray(each) for each in every]


def _errors(outputs: Sequence[Sequence[Array]]) -> list[float | None]:
    """How far results are from those of the first contestant."""
    first, *others = outputs
    errors: list[float | None] = [None]
    for found in others:
        largest = 0.0
        for mine, theirs in zip(found, first, strict=False):
            if mine.shape != theirs.shape or not mine.size:
                continue
            wide, wanted = mine.astype(np.float64), theirs.astype(np.float64)
            size = float(np.sqrt(np.mean(np.square(wanted)))) or 1.0
            largest = max(largest, float(np.max(np.abs(wide - wanted))) / size)
        errors.append(largest)
    return errors


def _repeats(of: Contestant, clock: Callable[[], float]) -> int:
    once = max(_seconds(of, 1, clock), 1e-7)
    return max(1, min(1000, round(2e-3 / once)))


def _seconds(of: Contestant, count: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(count):
        found = of.run(*of.inputs)
        wait_for(found if isinstance(found, (tuple, list)) else (found,))
    return max((clock() - start) / count, 1e-9)
