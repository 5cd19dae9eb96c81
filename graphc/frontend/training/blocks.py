"""Blocks of steps: several batches in one dispatch.

The graph of a block is a `while` around the graph of a step. It carries the variables
from step to step and takes the batches from inputs in which they are stacked. How many
of them to run on is an input too, so one executable serves blocks of all lengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.frontend import trees
from graphc.frontend.program import LARGEST_SIZE, Program
from graphc.ir import Graph, Literal, Operand, TensorType, Value, building
from graphc.ir import ops as ir_ops
from graphc.ir.body import as_tuple
from graphc.ir.differentiate import zeros
from graphc.ir.dims import SymbolicDim
from graphc.ir.graph import fresh_name
from graphc.ir.types import I32

if TYPE_CHECKING:
    from graphc.frontend.training.steps import Step

K = SymbolicDim.symbol("K")


class Blocks:
    """A step that runs on groups of batches, many of them in one dispatch.

    Batches of the shapes of the very first one are stacked and run as blocks. One of
    other shapes, like a smaller last batch, runs alone: it would need an executable of
    a block for itself.

    Args:
        step: The step.
        size: How many batches make a block; 1 for no blocks.
    """

    def __init__(self, step: Step, size: int) -> None:
        self.step = step
        self.size = size
        self._shapes: Any = None

    def groups(self, batches: Iterator[Any]) -> Iterator[tuple[int, list[Any]]]:
        """Groups of `size` batches, each with the index of its first batch."""
        group: list[Any] = []
        for index, batch in enumerate(batches):
            group.append(batch)
            if len(group) == self.size:
                yield index + 1 - self.size, group
                group = []
        if group:
            yield index + 1 - len(group), group

    def __call__(self, group: Sequence[Any]) -> Any:
        """Runs the step on at most `size` batches, in order.

        Returns:
            The outputs of the last one.
        """
        if self.size == 1:
            return self.step(group[0])
        outputs: Any = None
        for shapes, run in groupby(group, _shapes):
            if self._shapes is None:
                self._shapes = shapes
            if shapes == self._shapes:
                outputs = self._run_block(list(run))
            else:
                for batch in run:
                    outputs = self.step(batch)
        return outputs

    def _run_block(self, batches: Sequence[Any]) -> Any:
        first, structure = trees.flatten(batches[0])
        program = block_of(self.step, self.step.program_for(first, structure))
        columns = zip(*(trees.leaves(batch) for batch in batches), strict=True)
        stacks = [_stacked(column, self.size) for column in columns]
        return program([np.array(len(batches), np.int32), *stacks])


def _shapes(batch: Any) -> tuple[Any, Any]:
    arrays, structure = trees.flatten(batch)
    return structure, [(a.dtype, a.shape) for a in arrays]


def _stacked(arrays: Sequence[Any], size: int) -> np.ndarray[Any, Any]:
    """`arrays` along a new first axis, and zeros up to `size`."""
    # Zeros that nobody touches are pages that nobody fills.
    make = np.empty if len(arrays) == size else np.zeros
    stack: np.ndarray[Any, Any] = make((size, *arrays[0].shape), arrays[0].dtype)
    for index, array in enumerate(arrays):
        stack[index] = array
    return stack


def block_of(step: Step, program: Program) -> Program:
    """The block of one of a step's programs, made on first use."""
    block = step.blocks.get(program)
    if block is None:
        block = _block_program(program)
        block.siblings = list(step.blocks.values())
        step.blocks[program] = block
    return block


def _block_program(program: Program) -> Program:
    """The program that runs `program` on stacked batches, one after the other.

    It takes the number of batches to run on, then the inputs of `program` with a
    leading axis ``K``, and has the outputs of the last batch.
    """
    graph = Graph(program.name.replace("_step", "_block"))
    step = graph.module.include(program.graph)
    inputs, state = step.parameters[: program.inputs], step.parameters[program.inputs :]
    taken = {p.name for p in step.parameters}
    count = graph.add_parameter(TensorType((), I32), fresh_name("steps", taken))
    stacks = [
        graph.add_parameter(p.type.with_shape((K, *p.shape)), p.name) for p in inputs
    ]
    states = [graph.add_parameter(p.type, p.name, p.attributes) for p in state]
    sources = _sources(program)
    with building(graph):
        # What a step computes without having read it before: any value does to start.
        unset = [zeros(step.results[i].type) for i in sources[len(states) :]]
        carries: list[Operand] = [Literal(0, I32), count, *stacks, *states, *unset]
        types = [carry.type for carry in carries]
        body = _body(graph, step, types, len(stacks), sources)
        found = as_tuple(
            ir_ops.while_(*carries, cond=_condition(graph, types), body=body)
        )
    last = found[2 + len(stacks) :]
    places = {source: place for place, source in enumerate(sources)}
    graph.results = [last[places[i]] for i in range(len(step.results))]
    ranges = program.graph.ranges | {"K": (1, LARGEST_SIZE)}
    for each in graph.reachable():
        each.ranges = {s: ranges[s] for s in sorted(each.mentioned_symbols)}
    return Program(
        graph.name,
        graph,
        1 + program.inputs,
        program.state,
        program.written,
        program.structure,
        program.options,
        on_status=program.on_status,
    )


def _sources(program: Program) -> list[int]:
    """Where each value that a block carries is found among the results of a step.

    First come the variables that the step reads, with -1 for those that stay as they
    are, then the results that are none of these.
    """
    count = len(program.graph.results)
    first = count - len(program.written)
    places = {variable: first + i for i, variable in enumerate(program.written)}
    read = [places.get(variable, -1) for variable in program.state]
    return [*read, *(i for i in range(count) if i not in read)]


def _condition(graph: Graph, types: Sequence[TensorType]) -> Graph:
    """Whether there are batches left to run on."""
    condition = Graph(graph.module.fresh_name("cond"), graph.module)
    index, count, *_ = [condition.add_parameter(type) for type in types]
    with building(condition):
        condition.results = [ir_ops.compare(index, count, direction="LT")]
    return condition


def _body(
    graph: Graph,
    step: Graph,
    types: Sequence[TensorType],
    inputs: int,
    sources: Sequence[int],
) -> Graph:
    """A step on the batch that the first carry numbers."""
    body = Graph(graph.module.fresh_name("body"), graph.module)
    index, count, *rest = [body.add_parameter(type) for type in types]
    stacks, carried = rest[:inputs], rest[inputs:]
    with building(body):
        batch = [_element(stack, index) for stack in stacks]
        state = carried[: len(step.parameters) - inputs]
        results = as_tuple(ir_ops.call(*batch, *state, graph=step))
        following = [
            value if source < 0 else results[source]
            for value, source in zip(carried, sources, strict=True)
        ]
        body.results = [ir_ops.add(index, 1), count, *stacks, *following]
    return body


def _element(stack: Value, index: Value) -> Operand:
    """The batch number `index` of a stack."""
    shape = stack.shape[1:]
    starts = [index, *[0] * len(shape)]
    row = ir_ops.dynamic_slice(stack, *starts, sizes=(1, *shape))
    return ir_ops.reshape(row, shape=shape)
