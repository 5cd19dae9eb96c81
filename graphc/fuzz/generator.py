"""Random well-typed programs, grown from the op records."""

from __future__ import annotations

from graphc.fuzz.calls import stack_any
from graphc.fuzz.choices import Choices, SeededChoices
from graphc.fuzz.growth import Growth, Scope
from graphc.fuzz.inputs import HIGH, LOW, sizes
from graphc.fuzz.operands import operand
from graphc.fuzz.recipes import RECIPES
from graphc.fuzz.templates import Slot, template_of, varied
from graphc.ir.dims import Dim, SymbolicDim
from graphc.ir.graph import Graph
from graphc.ir.opdef import OPS, OpDef, Trait
from graphc.ir.types import TensorType
from graphc.ir.values import Operand, Value

SYMBOLS = ("B", "T")
RANGES = [(1, 8), (1, 1), (1, 2), (4, 8)]
"""Ranges of dimension symbols, whose sizes are 3, 1, 2 and 4; see `inputs.sizes`."""

PARAMETERS = 12
"""How many parameters a program has at most."""


def random_program(seed: int, nodes: int = 60) -> Graph:
    """The program of a seed.

    Args:
        seed: A non-negative integer; equal seeds give equal programs.
        nodes: About how many nodes it has.

    Example:
        >>> from graphc.fuzz import inputs, random_program
        >>> from graphc.ir import evaluate
        >>> graph = random_program(seed=1, nodes=30)
        >>> results = evaluate(graph, *inputs(graph))
        >>> len(results) == len(graph.results)
        True
    """
    return generate(SeededChoices(seed), nodes, seed)


def generate(choices: Choices, nodes: int, seed: int = 0) -> Graph:
    """A well-typed program that `choices` decides on.

    Args:
        choices: Where decisions come from.
        nodes: About how many nodes it has.
        seed: What its inputs follow from; see `graphc.fuzz.inputs`.

    Returns:
        A graph with one or more results; it and its parameters carry the attributes
        that say what its inputs are.
    """
    graph = Graph("f")
    symbols = SYMBOLS[: choices.pick([0, 0, 1, 2])]
    graph.ranges = {symbol: choices.pick(RANGES) for symbol in symbols}
    graph.attributes = {"seed": seed}
    growth = Growth(graph, Scope(choices, sizes(graph), seed, PARAMETERS, _grow))
    shape: list[Dim] = [SymbolicDim.symbol(symbol) for symbol in symbols]
    shape += [growth.dim() for _ in range(choices.integer(0, 2))]
    growth.parameter(TensorType(tuple(shape), growth.dtype()), LOW, HIGH)
    _grow(growth, nodes)
    if choices.chance(15):
        stack_any(growth)
    graph.results = _results(growth)
    return graph


def _grow(growth: Growth, nodes: int) -> None:
    """Adds nodes until there are `nodes`, or nothing more comes of it."""
    for _ in range(4 * nodes):
        if len(growth.graph) >= nodes:
            break
        if growth.choices.chance(5):
            _repeat(growth)
        else:
            _use(growth, _next_op(growth))


def _next_op(growth: Growth) -> OpDef:
    """Any op; sometimes the one that made a value, which identities look for."""
    choices = growth.choices
    node = choices.recent(growth.values).node
    if node is not None and choices.chance(8):
        return node.op
    return choices.pick(_ALL)


_ALL = [op for _, op in sorted(OPS.items()) if Trait.EFFECT not in op.traits]
"""Ops with effects are left out: they print, or stop the program."""


def _use(growth: Growth, op: OpDef) -> Value | None:
    """Adds a use of `op`; None if nothing came of it."""
    if op in RECIPES:
        return RECIPES[op](growth)
    template = varied(growth, template_of(op, growth.choices.pick(op.samples)))
    if template is None:
        return None
    operands: list[Operand | float] = []
    for wanted in template.operands:
        if isinstance(wanted, Slot):
            found = operand(
                growth, wanted.type, wanted.low, wanted.high, wanted.bounded
            )
            if found is None:
                return None
            operands.append(found)
        else:
            operands.append(wanted)
    return growth.apply(op, *operands, **template.attributes)


def _repeat(growth: Growth) -> Value | None:
    """The same node once more, what commutes perhaps the other way round."""
    node = growth.choices.recent(growth.values).node
    if node is None:
        return None
    operands = list(node.operands)
    if Trait.COMMUTATIVE in node.op.traits and growth.choices.chance(50):
        operands[:2] = operands[1::-1]
    attributes = node.op.decode(node.attributes, growth.graph.module)
    return growth.apply(node.op, *operands, **attributes)


def _results(growth: Growth) -> list[Operand]:
    """Values that nothing reads, but for some, and any others."""
    choices = growth.choices
    ends = [v for v in growth.values if v.node is not None and not v.uses]
    found: list[Operand] = []
    found += [v for v in ends if choices.chance(70)][-8:]
    found += choices.subset(growth.values[-3:])
    if choices.chance(5):
        found.append(growth.literal(growth.dtype(), LOW, HIGH))
    if choices.chance(5):
        found.append(choices.pick(growth.values))
    return found or [growth.values[-1]]
