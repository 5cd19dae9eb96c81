"""Uses of ops with arrays for them: their samples, in every dtype that they take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from graphc.ir import Arg, Graph, GraphError, OpDef, Sample, building, inline
from graphc.ir.opdef import AttributeKind
from graphc.ir.tolerance import node_ulp
from graphc.ir.types import DTYPES, DType
from graphc.testing.op_samples import (
    bound_graph,
    operand_type,
    sample_arrays,
    sample_types,
)

Array = np.ndarray[Any, Any]


@dataclass
class Case:
    """One use of an op with the arrays for it."""

    op: OpDef
    sample: Sample
    graph: Graph
    arrays: list[Array]

    @property
    def ulp(self) -> float:
        """The allowed error, in units in the last place of the largest result."""
        (node,) = self.graph.nodes
        return node_ulp(node)


def make_case(op: OpDef, sample: Sample, rng: np.random.Generator) -> Case:
    """The sample with random arrays.

    Raises:
        GraphError: If the op does not take the sample's dtypes.
    """
    return Case(op, sample, bound_graph(op, sample), sample_arrays(sample, rng))


def in_dtype(sample: Sample, old: DType, new: DType) -> Sample:
    """The sample with operands of dtype `new` in the place of `old`."""

    def retyped(operand: str | Arg | float) -> str | Arg | float:
        if isinstance(operand, float | int):
            return operand
        type = operand_type(operand)
        if type.dtype is not old:
            return operand
        text = str(type.with_dtype(new))
        return replace(operand, type=text) if isinstance(operand, Arg) else text

    return Sample(tuple(map(retyped, sample.operands)), sample.attributes)


def in_every_dtype(op: OpDef, sample: Sample) -> Iterator[Sample]:
    """The sample with another dtype in the place of each dtype that it names.

    Those that the op does not take are among them.
    """
    operands = dict.fromkeys(type.dtype for type in sample_types(sample))
    for old in operands:
        for new in DTYPES.values():
            if new is not old:
                yield in_dtype(sample, old, new)
    for attribute in dtype_attributes(op, sample):
        for new in DTYPES.values():
            changed = {**sample.attributes, attribute: new.name}
            yield Sample(sample.operands, changed)


def dtype_attributes(op: OpDef, sample: Sample) -> list[str]:
    """The attributes of the sample that are dtypes."""
    return [
        name
        for name, declared in op.attributes.items()
        if declared.kind is AttributeKind.DTYPE and sample.attributes.get(name)
    ]


def own_cases(op: OpDef, rng: np.random.Generator) -> Iterator[Case]:
    """The samples of an op."""
    for sample in op.samples:
        yield make_case(op, sample, rng)


def dtype_cases(op: OpDef, rng: np.random.Generator) -> Iterator[Case]:
    """The samples of an op in all other dtypes that it takes."""
    for sample in op.samples:
        yield from variant_cases(op, sample, rng)


def variant_cases(
    op: OpDef, sample: Sample, rng: np.random.Generator
) -> Iterator[Case]:
    """One sample of an op in all other dtypes that it takes."""
    for variant in in_every_dtype(op, sample):
        try:
            yield make_case(op, variant, rng)
        except GraphError:  # the op does not take this dtype
            continue


def dtype_cover(op: OpDef, rng: np.random.Generator) -> list[Case]:
    """As few of `dtype_cases` as have each dtype in each place, not empty if possible."""
    cases = sorted(
        dtype_cases(op, rng), key=lambda c: any(not a.size for a in c.arrays)
    )
    return _cover(cases, set())


def spread_cases(op: OpDef, rng: np.random.Generator) -> list[Case]:
    """Each sample of an op at least once, and each dtype in each place.

    The dtypes are spread over the samples; the first one comes in its own dtypes too.
    """
    own = list(own_cases(op, rng))
    variants = [list(variant_cases(op, sample, rng)) for sample in op.samples]
    # Of every sample in turn the first that is left, so that no two are alike.
    turns = [v[i:] + v[:i] for i, v in enumerate(variants)]
    dealt = [case for turn in zip_longest(*turns) for case in turn if case is not None]
    dealt.sort(key=lambda case: any(not a.size for a in case.arrays))
    chosen = _cover(dealt, dtype_places(own[0]))
    used = {id(case) for case in chosen}
    unused = [
        case
        for case, others in zip(own[1:], variants[1:], strict=True)
        if not any(id(other) in used for other in others)
    ]
    return [own[0], *unused, *chosen]


def _cover(cases: Iterable[Case], seen: set[tuple[str, int, DType]]) -> list[Case]:
    """The cases that have a dtype in a place where none before them has it."""
    seen, kept = set(seen), []
    for case in cases:
        places = dtype_places(case)
        if not places <= seen:
            seen |= places
            kept.append(case)
    return kept


def dtype_places(case: Case) -> set[tuple[str, int, DType]]:
    """The operands and results of a case with their dtypes."""
    last = len(case.op.dtypes) - 1
    graph = case.graph
    operands = [(min(i, last), p.dtype) for i, p in enumerate(graph.parameters)]
    results = [(i, r.type.dtype) for i, r in enumerate(graph.results)]
    return {("operand", *o) for o in operands} | {("result", *r) for r in results}


def is_plain(case: Case) -> bool:
    """Whether the case neither calls graphs nor reads constants of its module."""
    return not any(
        node.op.graph_names(node) or node.op.constant_names(node)
        for node in case.graph.nodes
    )


def joined(graphs: Iterable[Graph]) -> Graph:
    """One graph that does what all of these do, side by side."""
    together = Graph("together")
    results: list[Any] = []
    with building(together):
        for graph in graphs:
            values = [together.add_parameter(p.type) for p in graph.parameters]
            results += inline(graph, values)
    together.results = results
    return together
