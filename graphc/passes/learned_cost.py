"""A cost model that is fitted to measurements of nodes: ridge regression on logarithms.

Measurements come from anywhere: `fit` takes an iterable of them, `read_measurements` reads
them from a table that `graphc.runtime.calibration` can write.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np

from graphc.ir.errors import LoadError
from graphc.ir.graph import Node
from graphc.ir.opdef import Kind, Trait
from graphc.passes.cost_model import CostModel, is_narrow, number, work

Array = np.ndarray[Any, Any]

FACTS = (Trait.MOVES_DATA, Trait.ACCUMULATES, Trait.GATHERS, Trait.ALONG_AXIS)
"""The traits that a node's time may depend on."""

FEATURES = (
    *("bytes", "flops", "read", "written", "elements", "row", "operands", "narrow"),
    *(kind.value for kind in Kind),
    *(trait.value for trait in FACTS),
)
"""What a model knows of a node; sizes as logarithms."""

SIZES = 6
"""How many features are sizes: they come first, and their products count too."""

RIDGE = 1.0
"""How much large coefficients cost."""


class Measurement(NamedTuple):
    """How long a node took.

    Attributes:
        features: What `features` says of the node.
        seconds: Its time.
    """

    features: tuple[float, ...]
    seconds: float


def features(node: Node) -> tuple[float, ...]:
    """What a model may know of a node: sizes and facts, not its name.

    Raises:
        GraphError: If sizes are symbols.
    """
    nbytes, flops = work(node)
    read = sum(float(operand.type.nbytes) for operand in node.operands)
    written = sum(float(result.type.nbytes) for result in node.results)
    shape = node.results[0].type.shape
    row = number(shape[-1]) if shape else 1.0
    elements = number(node.results[0].type.size)
    sizes = (nbytes, flops, read, written, elements, row)
    return (
        *(math.log1p(size) for size in sizes),
        float(len(node.operands)),
        float(is_narrow(node)),
        *(float(node.op.kind is kind) for kind in Kind),
        *(float(trait in node.op.traits) for trait in FACTS),
    )


@final
@dataclass(frozen=True, slots=True, eq=False)
class LearnedCost(CostModel):
    """Ridge regression of the logarithm of a node's time; see `fit`.

    Attributes:
        mean: The mean of each feature.
        scale: How far the features spread.
        weights: The coefficients, that of the constant last.
    """

    mean: Array
    scale: Array
    weights: Array

    def node_seconds(self, node: Node) -> float:
        return self.predict(features(node))

    def predict(self, of: tuple[float, ...]) -> float:
        """The seconds of a node with these features."""
        row = (_expanded(np.array([of])) - self.mean) / self.scale
        return math.exp(float(row[0] @ self.weights[:-1] + self.weights[-1]))


def fit(measurements: Iterable[Measurement], ridge: float = RIDGE) -> LearnedCost:
    """The model that fits measurements best.

    Args:
        measurements: Nodes with their times, at least two.
        ridge: How much large coefficients cost.

    Raises:
        ValueError: If there are too few measurements.
    """
    rows = list(measurements)
    if len(rows) < 2:
        raise ValueError(f"a cost model needs measurements, received {len(rows)}")
    known = _expanded(np.array([row.features for row in rows]))
    times = np.log(np.array([row.seconds for row in rows]))
    mean = known.mean(axis=0)
    scale = known.std(axis=0)
    scale[scale == 0] = 1.0  # what never varies tells nothing
    inputs = (known - mean) / scale
    level = times.mean()
    gram = inputs.T @ inputs + ridge * np.eye(inputs.shape[1])
    slopes = np.linalg.solve(gram, inputs.T @ (times - level))
    return LearnedCost(mean, scale, np.append(slopes, level))


def _expanded(known: Array) -> Array:
    """The features with the products of sizes, in pairs and with kinds."""
    sizes = known[:, :SIZES]
    rows, columns = np.triu_indices(SIZES)
    pairs = sizes[:, rows] * sizes[:, columns]
    start = FEATURES.index(Kind.ELEMENTWISE.value)
    kinds = known[:, start : start + len(Kind)]
    crossed = (sizes[:, :, None] * kinds[:, None, :]).reshape(len(known), -1)
    return np.concatenate([known, pairs, crossed], axis=1)


def rank_correlation(found: Iterable[float], expected: Iterable[float]) -> float:
    """Spearman's rank correlation: 1 if both order things alike, 0 if at random."""
    mine, theirs = (_ranks(np.array(list(each))) for each in (found, expected))
    return float(np.corrcoef(mine, theirs)[0, 1])


def _ranks(values: Array) -> Array:
    """The place of each value in order; equal ones share the mean of their places."""
    _, groups, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[groups]


def write_measurements(path: Path, measurements: Iterable[Measurement]) -> None:
    """Writes a table of measurements, one node for each line, with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([*FEATURES, "seconds"])
        for row in measurements:
            table.writerow([*map(repr, row.features), repr(row.seconds)])


def read_measurements(path: Path) -> Iterator[Measurement]:
    """The measurements of a table.

    Raises:
        LoadError: If it has other columns than this release knows, or no numbers.
    """
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.reader(file)
        header = next(table, [])
        if header != [*FEATURES, "seconds"]:
            raise LoadError(
                f"{path.name} is no table of measurements with these features",
                received=",".join(header)[:200],
            )
        for line in table:
            try:
                *known, seconds = map(float, line)
            except ValueError as error:
                raise LoadError(f"{path.name}: {error}") from error
            if len(known) != len(FEATURES) or not seconds > 0:
                raise LoadError(
                    f"{path.name} has a line that is no measurement",
                    received=",".join(line)[:200],
                )
            yield Measurement(tuple(known), seconds)
