"""Programs that fail: finding them, and writing them down small."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphc.fuzz.checks import CHECKS, Failure, find_failure, find_xla_failures
from graphc.fuzz.generator import random_program
from graphc.fuzz.reduce import reduce_graph
from graphc.ir.graph import Graph


@dataclass(frozen=True)
class Finding:
    """A program that fails a check.

    Attributes:
        seed: The program's seed.
        graph: The program; None if making it failed.
        failure: What it fails.
    """

    seed: int
    graph: Graph | None
    failure: Failure

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.failure}"


def find_failures(
    seeds: Iterable[int], nodes: int, checks: Sequence[str] = tuple(CHECKS)
) -> list[Finding]:
    """The programs among those of `seeds` that fail a check.

    XLA gets all programs that pass the other checks as one module.

    Args:
        seeds: The programs' seeds.
        nodes: About how many nodes they have.
        checks: The names of the checks.
    """
    findings: list[Finding] = []
    passing: list[tuple[int, Graph]] = []
    single = [name for name in checks if name != "xla"]
    for seed in seeds:
        try:
            graph = random_program(seed, nodes)
        except Exception as error:  # an op's record contradicts itself
            problem = f"{type(error).__name__}: {error}"
            findings.append(Finding(seed, None, Failure("generate", problem)))
            continue
        failure = find_failure(graph, single)
        if failure is not None:
            findings.append(Finding(seed, graph, failure))
        else:
            passing.append((seed, graph))
    if "xla" in checks and passing:
        failures = find_xla_failures([graph for _, graph in passing])
        for (seed, graph), failure in zip(passing, failures, strict=True):
            if failure is not None:
                findings.append(Finding(seed, graph, failure))
    return findings


def reduce_finding(finding: Finding, seconds: float = 300) -> Finding:
    """The finding with the smallest program found that fails the same check."""
    graph, name = finding.graph, finding.failure.check
    if graph is None:
        return finding
    small = reduce_graph(graph, lambda g: find_failure(g, [name]) is not None, seconds)
    failure = find_failure(small, [name]) or finding.failure
    return Finding(finding.seed, small, failure)


def write_reproducer(finding: Finding, directory: Path, nodes: int) -> Path:
    """Writes a finding's program as ``.gir``; returns the file.

    Comments say what fails and how to make the whole program again. The inputs follow
    from the attributes in the text; see `graphc.fuzz.inputs`.
    """
    seed, check = finding.seed, finding.failure.check
    lines = [
        f"fails {check}: {finding.failure.message}",
        f"from: python -m graphc.fuzz --seed {seed} --count 1 --nodes {nodes}",
    ]
    comments = [f"// {line}" for text in lines for line in text.splitlines()]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{check}-{seed}.gir"
    program = "" if finding.graph is None else str(finding.graph)
    path.write_text("\n".join([*comments, program]), encoding="utf-8")
    return path
