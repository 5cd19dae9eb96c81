"""Measuring a target: its rates for the roofline, and the times of single nodes."""

from __future__ import annotations

import json
import math
import platform
import re
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from graphc.files.atomic_file import write_file
from graphc.ir import Graph, building, tensor_type
from graphc.ir.errors import GraphcError, LoadError
from graphc.ir.graph import Node
from graphc.ir.ops import add, dot_general
from graphc.ir.random_inputs import random_inputs
from graphc.ir.types import TensorType
from graphc.passes.cost_model import GPUS, Rates
from graphc.passes.learned_cost import Measurement, features
from graphc.runtime.compile import compile_graph
from graphc.runtime.executable import Executable
from graphc.runtime.kernel_costs import find_gpu
from graphc.runtime.settings import Settings
from graphc.runtime.timing import interleaved
from graphc.runtime.vote import alike, detached

ROUNDS = 15
LARGE = 1 << 24
"""How many elements are moved to measure the memory: more than caches hold."""
SIDE = 1024
"""The side of the matrices whose product measures arithmetic."""


def calibrate(target: str = "xla", rounds: int = ROUNDS) -> Rates:
    """The rates of a target, measured now.

    A sum of two large arrays tells the bandwidth, products of matrices the arithmetic,
    and a sum of a few numbers what any program takes.

    Raises:
        TargetError: If the target is not available.
    """
    launch = _seconds(_sum(8), target, rounds)
    memory, single, narrow = (
        max(_seconds(graph, target, rounds) - launch, 1e-9)
        for graph in (_sum(LARGE), _product("f32"), _product("bf16"))
    )
    return Rates(
        f"{target} on {platform.machine()}",
        bandwidth=3 * 4 * LARGE / memory,
        narrow=2 * SIDE**3 / narrow,
        single=2 * SIDE**3 / single,
        launch=launch,
    )


def rates_path(target: str) -> Path:
    """Where the rates of a target are kept: in the cache directory.

    Raises:
        GraphcError: If ``GRAPHC_CACHE`` is ``off``.
    """
    cache = Settings.read().cache
    if cache is None:
        raise GraphcError("rates are kept in the cache", hint="GRAPHC_CACHE is off")
    return cache / "rates" / f"{re.sub(r'[^a-z0-9]+', '_', target)}.json"


def write_rates(target: str, rates: Rates) -> Path:
    """Keeps the rates of a target; returns where."""
    path = rates_path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(str(path), [json.dumps(asdict(rates), indent=1).encode()])
    return path


def read_rates(target: str, device: str = "") -> Rates:
    """The rates of a target: those that were measured, or a GPU's that are known.

    Args:
        target: The target.
        device: The name of its device, if it is a GPU.

    Raises:
        GraphcError: If the target has not been measured.
        LoadError: If the file is damaged.
    """
    path = rates_path(target)
    if path.exists():
        return _parsed(path)
    if any(name in device for name in GPUS):
        return find_gpu(device)
    raise GraphcError(
        f"the rates of target {target!r} are not known",
        hint=f"graphc calibrate --target {target} measures them",
    )


def _parsed(path: Path) -> Rates:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        numbers = {key: float(value) for key, value in data.items() if key != "name"}
        rates = Rates(str(data["name"]), **numbers)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LoadError(f"{path.name} holds no rates", received=str(error)) from error
    if not all(math.isfinite(n) and n >= 0 for n in numbers.values()):
        raise LoadError(f"{path.name} holds no rates", received=str(numbers))
    return rates


def measure_nodes(
    graphs: Iterable[Graph],
    target: str = "xla",
    rounds: int = ROUNDS,
    most: int | None = None,
    seed: int = 0,
) -> Iterator[tuple[Node, Measurement]]:
    """How long the nodes of lowered graphs take, each compiled and run by itself.

    Nodes that are alike are measured once; those that a target does not serve alone, or
    that call graphs, are left out.

    Args:
        graphs: Graphs after the target's passes.
        target: What to run on.
        rounds: How often each node runs.
        most: How many nodes to measure, drawn at random; all unless given.
        seed: What nodes and arrays are drawn from.
    """
    found: dict[object, Node] = {}
    for graph in graphs:
        for each in graph.reachable():
            for node, *_ in alike(each):
                if not node.op.calls_graphs:
                    found.setdefault(str(detached([node])), node)
    nodes = list(found.values())
    if most is not None and most < len(nodes):
        drawn = np.random.default_rng(seed).choice(len(nodes), most, replace=False)
        nodes = [nodes[place] for place in sorted(drawn)]
    for node in nodes:
        try:
            seconds = _seconds(detached([node]), target, rounds, seed)
        except GraphcError:
            continue
        yield node, Measurement(features(node), seconds)


def _seconds(graph: Graph, target: str, rounds: int, seed: int = 0) -> float:
    """The median time of a run on arrays that are on the device already."""
    program = compile_graph(graph, target, "decompose")
    arrays = [
        _identity(parameter.type, target)(array)[0]
        for parameter, array in zip(
            graph.parameters, random_inputs(graph, seed), strict=True
        )
    ]
    times = interleaved({"": lambda: wait_for(program(*arrays))}, rounds, inner=3)
    return statistics.median(times[""])


@cache
def _identity(type: TensorType, target: str) -> Executable:
    """A program that puts an array where programs of the target have theirs."""
    graph = Graph("identity")
    graph.results = [graph.add_parameter(type)]
    return compile_graph(graph, target, "")


def wait_for(results: Iterable[Any]) -> None:
    """Returns once a target has computed all results."""
    for result in results:
        ready = getattr(result, "block_until_ready", None)
        if ready is not None:
            ready()


def _sum(count: int) -> Graph:
    graph = Graph("sum")
    x, y = (graph.add_parameter(tensor_type(f"f32[{count}]")) for _ in range(2))
    with building(graph):
        graph.results = [add(x, y)]
    return graph


def _product(dtype: str) -> Graph:
    graph = Graph("product")
    type = tensor_type(f"{dtype}[{SIDE},{SIDE}]")
    x, y = graph.add_parameter(type), graph.add_parameter(type)
    with building(graph):
        graph.results = [dot_general(x, y, contract=[[1], [0]])]
    return graph
