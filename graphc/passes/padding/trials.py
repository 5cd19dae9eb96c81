"""Which padding a node must not see, found by trying it.

A node is run on random arrays, then on the same arrays in larger ones whose padding
holds NaN, infinities or other numbers. Where results differ, padding is filled with a
number: the fewest fills are kept with which the results are equal in every trial. No
list of ops is needed, and a node that no fill helps is found, too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graphc.ir.body import as_tuple
from graphc.ir.build import building
from graphc.ir.dims import substitute
from graphc.ir.errors import GraphError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind
from graphc.ir.tolerance import near
from graphc.ir.types import DType, TensorType, checked_type
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.padding.axes import (
    Factors,
    PaddedAxis,
    State,
    factors_of,
    padded,
    places,
)

Array: TypeAlias = "np.ndarray[Any, Any]"
Axis: TypeAlias = tuple[int, int]
"""The positions of an operand and of one of its axes."""
Fills: TypeAlias = dict[Axis, int]
"""For axes of operands, which of the possible fills their padding gets."""

SMALL, SPECIAL, LEAST, GREATEST = range(4)
RUNS = (
    *((SMALL, math.nan), (SMALL, 1e3), (SMALL, math.inf), (SMALL, -math.inf)),
    *((SPECIAL, math.nan), (SPECIAL, math.inf)),
    *((LEAST, math.inf), (GREATEST, -math.inf)),
)
"""What elements are drawn from, and what the padding holds."""
LINEAR_RUNS = RUNS[:2]
"""These are enough for sums of products, which treat all numbers alike."""

FILLS = 5
CLOSE = 1e-9
"""How far, in float64, results may be apart by rounding."""
SIZES = (3, 5, 9, 17, 33, 65, 129, 257)
"""The sizes that are tried until the types of the node are well-formed."""
DIVISORS = (64, 8, 4, 2, 1)
"""What other large dims are divided by in trials: they take time, and tell no more."""
LARGE = 8


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The sizes of symbols in a trial without padding and with it."""

    few: Mapping[str, int]
    many: Mapping[str, int]
    divisor: int


@dataclass(frozen=True, slots=True)
class Found:
    """What trials showed of a node.

    Attributes:
        fills: What the padding of axes of operands must be filled with.
        results: The padded axes of the results.
    """

    fills: Mapping[Axis, Literal]
    results: list[State]


def needed_fills(
    node: Node, read: Sequence[State], symbols: Sequence[str], inside: bool = False
) -> Found | None:
    """What a node needs for results that do not depend on padding.

    Args:
        node: A node whose types have the symbols.
        read: The padded axes of its operands.
        symbols: The symbols whose sizes are padded.
        inside: Whether integers are indices that lie inside what they index.

    Returns:
        None if its results depend on padding whatever that holds.
    """
    sizes = _sizes(node, symbols)
    if sizes is None:
        return None
    read = _settled(node, read)
    axes = [(i, axis) for i, state in enumerate(read) for axis in state]
    for layout in _layouts(node, read, symbols):
        trials = _Trials(node, read, layout, sizes, inside)
        if not trials.told:
            return None
        for fills in _candidates(axes):
            if trials.pass_with(fills):
                kept = _fewest(trials, fills)
                return Found(
                    {axis: _fill(node, axis[0], kept[axis]) for axis in kept},
                    [
                        {axis: PaddedAxis(factors) for axis, factors in each.items()}
                        for each in layout
                    ],
                )
    return None


def _fill(node: Node, operand: int, which: int) -> Literal:
    dtype = node.operands[operand].type.dtype
    return Literal(_numbers(dtype)[which], dtype)


def _numbers(dtype: DType) -> tuple[Any, ...]:
    """What padding may be filled with: 0, 1, the least, the greatest, NaN."""
    if dtype.is_float:
        return 0.0, 1.0, -math.inf, math.inf, math.nan
    if dtype.kind == "bool":
        return False, True, False, True, True
    signed = dtype.kind == "int"
    least = -(2 ** (dtype.bits - 1)) if signed else 0
    greatest = 2 ** (dtype.bits - signed) - 1
    return 0, 1, least, greatest, greatest


def _candidates(axes: Sequence[Axis]) -> Iterator[Fills]:
    """Nothing filled; all operands alike; each operand differently."""
    yield {}
    for which in range(FILLS):
        yield dict.fromkeys(axes, which)
    operands = sorted({operand for operand, _ in axes})
    if 1 < len(operands) <= 3:
        for chosen in itertools.product(range(FILLS), repeat=len(operands)):
            if len(set(chosen)) > 1:
                by_operand = dict(zip(operands, chosen, strict=True))
                yield {axis: by_operand[axis[0]] for axis in axes}


def _fewest(trials: _Trials, fills: Fills) -> Fills:
    """The fills without those that make no difference."""
    for axis in list(fills):
        fewer = {a: which for a, which in fills.items() if a != axis}
        if trials.pass_with(fewer):
            fills = fewer
    return fills


def _settled(node: Node, read: Sequence[State]) -> list[State]:
    """What is the same all along an axis, put where other operands have elements."""
    known = {
        operand.type.shape[axis]: found.factors
        for operand, state in zip(node.operands, read, strict=True)
        for axis, found in state.items()
        if found.factors is not None
    }
    return [
        {
            axis: PaddedAxis(
                found.factors
                or known.get(operand.type.shape[axis])
                or (operand.type.shape[axis],),
                found.fill,
            )
            for axis, found in state.items()
        }
        for operand, state in zip(node.operands, read, strict=True)
    ]


def _layouts(
    node: Node, read: Sequence[State], symbols: Sequence[str]
) -> Iterator[list[dict[int, Factors]]]:
    """Where the elements of results may be: as those of an operand's axis, or first."""
    choices: list[list[Factors]] = []
    axes: list[tuple[int, int]] = []
    for number, result in enumerate(node.results):
        for axis in padded(result.type, symbols):
            dim = result.type.shape[axis]
            found = [
                factors_of(operand.type, state, a)
                for operand, state in zip(node.operands, read, strict=True)
                for a in state
                if operand.type.shape[a] == dim
            ]
            choices.append(list(dict.fromkeys([*found, (dim,)])))
            axes.append((number, axis))
    for chosen in itertools.islice(itertools.product(*choices), 8):
        layout: list[dict[int, Factors]] = [{} for _ in node.results]
        for (number, axis), factors in zip(axes, chosen, strict=True):
            layout[number][axis] = factors
        yield layout


def _sizes(node: Node, symbols: Sequence[str]) -> list[_Sizes] | None:
    """Two pairs of sizes for which a node is well-typed."""
    for divisor, size in itertools.product(DIVISORS, SIZES):
        pairs = [
            _Sizes(
                {symbol: size + i + more for i, symbol in enumerate(symbols)},
                {symbol: room + 2 * i for i, symbol in enumerate(symbols)},
                divisor,
            )
            for more, room in ((0, 2 * size + 1), (1, size + 3))
        ]
        if all(
            _fits(node, sizes, divisor)
            for pair in pairs
            for sizes in (pair.few, pair.many)
        ):
            return pairs
    return None


def _fits(node: Node, sizes: Mapping[str, int], divisor: int) -> bool:
    try:
        run = _Run(node, sizes, divisor)
    except GraphError:
        return False
    run.remove()
    return run.filled or _empty(node)


def _empty(node: Node) -> bool:
    """Whether a node reads nothing, whatever the sizes are."""
    return any(0 in operand.type.shape for operand in node.operands)


def _smaller(dim: int, divisor: int) -> int:
    return dim if dim <= LARGE else max(dim // divisor, LARGE // 2)


class _Run:
    """A graph of one node for some sizes, with a parameter for each operand.

    Raises:
        GraphError: If the node is ill-typed for these sizes.
    """

    def __init__(self, node: Node, sizes: Mapping[str, int], divisor: int) -> None:
        assert node.graph is not None
        self.module = node.graph.module
        self.graph = Graph(self.module.fresh_name("trial"), self.module)
        self.types: list[TensorType | None] = []
        operands: list[Operand] = []
        for operand in node.operands:
            type, given = None, operand
            if isinstance(operand, Value):
                shape = [
                    _smaller(dim, divisor)
                    if isinstance(dim, int)
                    else substitute(dim, sizes)
                    for dim in operand.type.shape
                ]
                type = checked_type(operand.type.dtype, shape)
                given = self.graph.add_parameter(type)
            operands.append(given)
            self.types.append(type)
        attributes = node.op.substitute_dims(node.attributes, sizes)
        try:
            with building(self.graph):
                decoded = node.op.decode(attributes, self.module)
                self.graph.results = as_tuple(node.op(*operands, **decoded))
        except GraphError:
            self.remove()
            raise

    @property
    def filled(self) -> bool:
        """Whether no value is empty."""
        given = [type for type in self.types if type is not None]
        types = [*given, *(result.type for result in self.graph.results)]
        return all(0 not in type.shape for type in types)

    def remove(self) -> None:
        self.module.remove(self.graph)

    def results(self, arrays: Sequence[Array | None]) -> list[Array] | None:
        """The results in float64; None if there are none for such numbers."""
        given = [array for array in arrays if array is not None]
        try:
            return list(evaluate(self.graph, *given, dtype="f64"))
        except (ArithmeticError, ValueError):  # of factorizations
            return None


class _Trials:
    """Runs of a node without padding, to compare with runs with it.

    Attributes:
        told: Whether some results are numbers, so that trials say something.
    """

    def __init__(
        self,
        node: Node,
        read: Sequence[State],
        layout: Sequence[Mapping[int, Factors]],
        sizes: Sequence[_Sizes],
        inside: bool,
    ) -> None:
        self._node, self._read, self._layout = node, read, layout
        linear = node.op.kind is Kind.CONTRACTION
        self._trials: list[_Trial] = []
        for pair in sizes[:1] if linear else sizes:
            few, many = pair.few, pair.many
            small, large = (_Run(node, each, pair.divisor) for each in (few, many))
            for number, (drawn, poison) in enumerate(LINEAR_RUNS if linear else RUNS):
                rng = np.random.default_rng(number)
                arrays = [
                    None if type is None else _drawn(type, drawn, rng, inside)
                    for type in small.types
                ]
                expected = small.results(arrays)
                if expected is None:
                    continue
                padded = [
                    self._padded(i, array, type, poison, few, many, rng)
                    for i, (array, type) in enumerate(
                        zip(arrays, large.types, strict=True)
                    )
                ]
                self._trials.append(_Trial(large, padded, expected, few, many))
            small.remove()
            large.remove()
        self.told = _empty(node) or any(
            result.dtype.kind != "f" or np.isfinite(result).any()
            for trial in self._trials
            for result in trial.expected
        )

    def _padded(
        self,
        operand: int,
        array: Array | None,
        type: TensorType | None,
        poison: float,
        few: Mapping[str, int],
        many: Mapping[str, int],
        rng: np.random.Generator,
    ) -> Array | None:
        """An operand's array in a larger one."""
        if array is None or type is None:
            return None
        large = _poison(type, poison, rng).astype(array.dtype)
        state = self._read[operand]
        where = [
            places(state[axis].factors or (), few, many)
            if axis in state
            else np.arange(size)
            for axis, size in enumerate(array.shape)
        ]
        large[np.ix_(*where)] = array
        for axis, found in state.items():
            if found.fill is not None:
                _fill_outside(large, axis, where[axis], found.fill.value)
        return large

    def pass_with(self, fills: Fills) -> bool:
        """Whether results do not depend on padding that is filled like this."""
        return all(self._passes(trial, fills) for trial in self._trials)

    def _passes(self, trial: _Trial, fills: Fills) -> bool:
        arrays = list(trial.arrays)
        for (operand, axis), which in fills.items():
            array = arrays[operand]
            assert array is not None
            filled = array.copy()
            factors = self._read[operand][axis].factors or ()
            inside = places(factors, trial.few, trial.many)
            number = _numbers(self._node.operands[operand].type.dtype)[which]
            _fill_outside(filled, axis, inside, number)
            arrays[operand] = filled
        found = trial.run.results(arrays)
        if found is None:
            return False
        for large, small, layout in zip(
            found, trial.expected, self._layout, strict=True
        ):
            where = [
                places(layout[axis], trial.few, trial.many)
                if axis in layout
                else np.arange(size)
                for axis, size in enumerate(small.shape)
            ]
            if any(
                len(line) != size or (size and line[-1] >= room)
                for line, size, room in zip(
                    where, small.shape, large.shape, strict=True
                )
            ):
                return False
            if not near(large[np.ix_(*where)], small, CLOSE):
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Trial:
    """Arrays with padding, and what results are without it."""

    run: _Run
    arrays: list[Array | None]
    expected: list[Array]
    few: Mapping[str, int]
    many: Mapping[str, int]


def _fill_outside(array: Array, axis: int, inside: Array, number: Any) -> None:
    outside = np.ones(array.shape[axis], bool)
    outside[inside] = False
    line = [slice(None)] * array.ndim
    array[(*line[:axis], outside)] = number


def _drawn(
    type: TensorType, drawn: int, rng: np.random.Generator, inside: bool
) -> Array:
    """Elements of an operand; small ones are whole numbers, which sum exactly."""
    shape, dtype = type.static_shape, type.dtype
    if dtype.kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    zero, one, least, greatest, odd = _numbers(dtype)
    if drawn == SMALL or (inside and dtype.is_integer):
        low = 0 if dtype.kind == "uint" or inside else -2
        small = rng.integers(low, 2 if inside else 5, shape)
        if not dtype.is_float:
            return small.astype(dtype.numpy)
        array = small.astype(np.float64)
        if array.ndim > 1 and array.shape[-1] == array.shape[-2]:
            array += 16 * np.eye(array.shape[-1])  # which makes matrices regular
        return array
    of = {
        SPECIAL: [zero, one, least, greatest, odd],
        LEAST: [least],
        GREATEST: [greatest],
    }
    chosen = rng.choice(
        np.array(of[drawn], None if dtype.is_float else dtype.numpy), shape
    )
    return np.asarray(chosen)


def _poison(type: TensorType, poison: float, rng: np.random.Generator) -> Array:
    """What padding holds."""
    shape, dtype = type.static_shape, type.dtype
    if dtype.is_float:
        return np.full(shape, poison)
    if dtype.kind == "bool" and math.isinf(poison):
        return np.full(shape, poison > 0)
    if math.isinf(poison):
        return np.full(shape, _numbers(dtype)[3 if poison > 0 else 2], dtype.numpy)
    return rng.integers(0, 2 if math.isnan(poison) else 100, shape).astype(dtype.numpy)
