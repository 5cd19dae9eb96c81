"""Small programs that still fail, and the files that rerun them."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphc.fuzz.reduce import Given, neighbourhoods, reduce_graph
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph, Node

Array = np.ndarray[Any, Any]

Fails = Callable[[Graph, Sequence[Array]], bool]
"""Whether a program fails for inputs."""


@dataclass(frozen=True)
class Reproducer:
    """A small program that shows a symptom.

    Attributes:
        graph: The program; all its parameters have names.
        arrays: Its inputs by parameter name.
        symptom: What it shows.
        pipeline: The passes that it shows it with.
        target: The target that it shows it on.
    """

    graph: Graph
    arrays: Mapping[str, Array]
    symptom: str
    pipeline: str
    target: str

    def files(self, modules: Iterable[str] = ()) -> dict[str, bytes]:
        """The files of a directory in which ``rerun.sh`` shows the symptom again.

        Args:
            modules: The modules of passes and rules that ``--load`` named.
        """
        buffer = io.BytesIO()
        np.savez(buffer, **self.arrays)  # type: ignore[arg-type]
        loads = [option for module in modules for option in ("--load", module)]
        command = [
            *("graphc", "blame", "reduced.gir", "--inputs", "inputs.npz"),
            *("--symptom", self.symptom, "--target", self.target),
            *("--passes", self.pipeline, *loads),
        ]
        script = (
            f'#!/bin/sh\ncd "$(dirname "$0")" || exit 2\nexec {shlex.join(command)}\n'
        )
        return {
            "reduced.gir": str(self.graph).encode(),
            "inputs.npz": buffer.getvalue(),
            "rerun.sh": script.encode(),
        }


def named(graph: Graph) -> Graph:
    """A copy of `graph` whose parameters all have names."""
    copy = graph.copy()
    taken = {p.name for p in copy.parameters}
    for p in copy.parameters:
        if p.name is None:
            p.name = next(
                n for i in range(9**9) if (n := f"p{p.index + i}") not in taken
            )
            taken.add(p.name)
    return copy


def reduced(
    graph: Graph,
    arrays: Sequence[Array],
    fails: Fails,
    seconds: float,
    nodes: Collection[Node] = (),
) -> tuple[Graph, dict[str, Array]] | None:
    """The smallest program found that fails as `graph` does, and its inputs by name.

    Args:
        graph: The program; all its parameters have names.
        arrays: Its inputs.
        fails: Whether a program fails.
        seconds: How long to look for smaller ones.
        nodes: Where it goes wrong, if that is known: their neighbourhoods are tried
            before the whole.

    Returns:
        None if not even `graph` fails by itself.
    """
    names = [p.name or "" for p in graph.parameters]
    source = Given(dict(zip(names, arrays, strict=True)))

    def still_fails(candidate: Graph) -> bool:
        try:
            return fails(candidate, source.arrays(candidate))
        except GraphcError:  # it is no program that could show anything
            return False

    starts = neighbourhoods(graph, nodes, source) if nodes else iter(())
    start = next((each for each in starts if still_fails(each)), None)
    if start is None:
        if not still_fails(graph):
            return None
        start = graph
    small = reduce_graph(start, still_fails, seconds, source)
    names = [p.name or "" for p in small.parameters]
    return small, dict(zip(names, source.arrays(small), strict=True))


def write(
    reproducer: Reproducer,
    directory: Path,
    modules: Iterable[str],
    write_file: Callable[[Path, bytes], None],
) -> list[Path]:
    """Writes the files of a reproducer; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, data in reproducer.files(modules).items():
        write_file(directory / name, data)
        paths.append(directory / name)
    paths[-1].chmod(0o755)
    return paths
