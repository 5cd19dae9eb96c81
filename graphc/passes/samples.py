"""Whether a pass keeps what a graph computes for numbers that tell wrong rewrites.

Finite fields (`graphc.passes.meaning`) know no dtypes, overflow, NaN or ties, so a graph
is also run on samples: random numbers, and those at which programs differ that are equal
elsewhere. Results that no rewrite but exact ones reached must keep their bits; others
may move as far as rounding moves them, in nodes that are as inexact as the classes of
the rewrites say (`graphc.ir.rounding`), which runs in float64 are part of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ml_dtypes import finfo

from graphc.ir.cost import graph_cost
from graphc.ir.errors import UnsupportedError
from graphc.ir.evaluate import Evaluator
from graphc.ir.exact import MOST_WORK
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.random_inputs import HIGH, LOW, random_array
from graphc.ir.rounding import disagreement, spreads
from graphc.ir.tolerance import tolerance
from graphc.ir.types import DType, TensorType, dtype, product
from graphc.ir.values import Value
from graphc.passes.autodiff import Autodiff
from graphc.passes.inline import Inline
from graphc.passes.ledger import Ledger
from graphc.passes.meaning import SIZE, bound_types
from graphc.passes.numerics import Inexact, Numerics, NumericsClass
from graphc.passes.rewrite import Rewriter

Array = np.ndarray[Any, Any]
Draw = Callable[[TensorType, np.random.Generator], Array]


@dataclass(frozen=True)
class SampleKind:
    """Numbers of one kind for the parameters of a graph.

    Attributes:
        name: What they are.
        draw: Makes an array of a type.
        rounds: Whether results that are rounded otherwise can be compared on them: no
            sum of a few of them overflows, and none is infinite or NaN.
        generic: Whether nothing is equal, so that executors must agree even on ops
            that leave a choice then, such as eigenvectors of equal eigenvalues.
    """

    name: str
    draw: Draw
    rounds: bool = True
    generic: bool = False


def _random(type: TensorType, rng: np.random.Generator) -> Array:
    if type.dtype.is_float:
        return random_array(type, rng, LOW, HIGH)
    return random_array(type, rng, -SIZE, 2 * SIZE)


def _zeros(type: TensorType, rng: np.random.Generator) -> Array:
    return np.zeros(type.static_shape, type.dtype.numpy)


def _equal(type: TensorType, rng: np.random.Generator) -> Array:
    value = 1.5 if type.dtype.is_float else 1
    return np.full(type.static_shape, value).astype(type.dtype.numpy)


def _ties(type: TensorType, rng: np.random.Generator) -> Array:
    return _picked(type, rng, [-1.0, -0.5, 0.0, 0.5, 1.0], [0, 1])


def _large(type: TensorType, rng: np.random.Generator) -> Array:
    """Numbers whose exponential overflows and whose square does not."""
    if not type.dtype.is_float:
        return random_array(type, rng, -100, 100)
    size = 2 * np.log(float(finfo(type.dtype.numpy).max))
    signs = rng.choice([-1.0, 1.0], type.static_shape)
    return np.asarray(signs * rng.uniform(0.75, 1, type.static_shape) * size).astype(
        type.dtype.numpy
    )


def _limits(type: TensorType, rng: np.random.Generator) -> Array:
    if not type.dtype.is_float:
        return _extremes(type, rng)
    info = finfo(type.dtype.numpy)
    small = [float(info.smallest_normal), float(info.smallest_subnormal)]
    edges = [float(info.max), 1 + float(info.eps), *small]
    return _picked(type, rng, [*edges, *(-edge for edge in edges)], [])


def _special(type: TensorType, rng: np.random.Generator) -> Array:
    if not type.dtype.is_float:
        return _extremes(type, rng)
    edges = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, np.nan]
    return _picked(type, rng, edges, [])


def _extremes(type: TensorType, rng: np.random.Generator) -> Array:
    low = -(2 ** (type.dtype.bits - 1)) if type.dtype.kind == "int" else 0
    return _picked(type, rng, [], [0, 1, low, low + 2**type.dtype.bits - 1])


def _picked(
    type: TensorType,
    rng: np.random.Generator,
    floats: Sequence[float],
    integers: Sequence[int],
) -> Array:
    shape = type.static_shape
    if type.dtype.kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    pool = floats if type.dtype.is_float else integers
    held = [np.asarray(number).astype(type.dtype.numpy) for number in pool]
    return np.stack(held)[rng.integers(0, len(pool), shape)].reshape(shape)


KINDS = (
    SampleKind("random numbers", _random, generic=True),
    SampleKind("zeros", _zeros),
    SampleKind("equal numbers", _equal),
    SampleKind("numbers with ties", _ties),
    SampleKind("large numbers", _large, generic=True),
    SampleKind("the largest and smallest numbers", _limits, rounds=False),
    SampleKind("infinities and NaN", _special, rounds=False),
)
"""What graphs are run on."""


NODE_WORK = 1000
"""How many elements the work for a node is worth, however few it computes."""


class _Bounded(Evaluator):
    """An evaluator that gives up on loops that do not come to an end."""

    def __init__(self, bindings: Mapping[str, int], work: int) -> None:
        super().__init__(bindings)
        self.work = work

    def apply(self, node: Node, operands: Sequence[Array]) -> list[Array]:
        self.work -= NODE_WORK // 2 + sum(array.size for array in operands)
        if self.work < 0:
            raise UnsupportedError(
                "a loop takes too many steps", location=node.location
            )
        return super().apply(node, operands)


class Samples:
    """What a graph computes for samples of its inputs.

    Args:
        graph: The graph.
        most_work: How many multiply-adds and elements a run may compute.

    Raises:
        UnsupportedError: If the graph is too large or has effects.
    """

    def __init__(self, graph: Graph, most_work: int = MOST_WORK) -> None:
        types = bound_types(graph)
        self._bindings = {
            symbol: min(max(SIZE, low), high)
            for symbol, (low, high) in graph.ranges.items()
        }
        if any(Trait.EFFECT in node.op.traits for node in _nodes(graph)):
            raise UnsupportedError("the graph has effects, which samples would repeat")
        cost = graph_cost(self._bound(graph))
        read = sum(product(type.static_shape) for type in types)
        if read + cost.flops // 2 + cost.bytes // 4 > most_work:
            raise UnsupportedError("the graph is too large to be run on samples")
        self.arguments = [
            [
                within_limits(
                    kind.draw(type, np.random.default_rng([number, seed])), of
                )
                for seed, (type, of) in enumerate(
                    zip(types, graph.parameters, strict=True)
                )
            ]
            for number, kind in enumerate(KINDS)
        ]
        self._most_work = most_work
        self._known = [self._results(graph, given) for given in self.arguments]
        self._latest = self._known

    def difference(
        self, before: Graph, after: Graph, inexact: Sequence[Inexact]
    ) -> str | None:
        """Where `after` computes something else than the graph before; None if not.

        Args:
            before: The graph that was given, or the latest that was learned.
            after: What a pass made of it.
            inexact: The rewrites among those of the pass that are not exact.
        """
        sums = any(map(_sums, (before, after)))
        count = len(after.results)
        classes = [
            [each.numerics for each in inexact if each.reached >> i & 1]
            for i in range(count)
        ]
        spread: list[Array] = []
        self._latest = []
        for kind, given, wanted in zip(KINDS, self.arguments, self._known, strict=True):
            found = self._results(after, given) if wanted else None
            self._latest.append(found)
            if found is None or wanted is None:
                continue
            spread.clear()
            for i, (got, want) in enumerate(zip(found, wanted, strict=True)):
                if same_bits(got, want):
                    continue
                if not classes[i] and not sums:
                    problem = _first_other(got, want)
                elif not kind.rounds:
                    continue
                else:
                    if not spread:
                        spread += self._spreads(
                            before, given, [c for each in classes for c in each]
                        )
                    within = coarsest(classes[i])
                    problem = disagreement(got, want, spread[i], within)
                if problem:
                    return f"result {i} on {kind.name}: {problem}"
        return None

    def disagreement(
        self,
        graph: Graph,
        run: Callable[..., Sequence[Any]],
        classes: Sequence[Numerics] = (),
    ) -> str | None:
        """Where an executor of `graph`, the graph last given, is off; None if nowhere.

        Args:
            graph: The graph.
            run: Takes one array for each parameter and returns the results.
            classes: The classes of the rewrites that led to what it executes.
        """
        within = coarsest(classes)
        for kind, given, wanted in zip(KINDS, self.arguments, self._known, strict=True):
            if not kind.generic or wanted is None:
                continue
            found = [np.asarray(result) for result in run(*given)]
            if all(map(same_bits, found, wanted)):
                continue
            spread = self._spreads(graph, given, classes)
            for i, (got, want) in enumerate(zip(found, wanted, strict=True)):
                if problem := disagreement(got, want, spread[i], within):
                    return f"result {i} on {kind.name}: {problem}"
        return None

    def learn(self) -> None:
        """Takes what the latest graph after a pass computes as what is right."""
        self._known = self._latest

    def _results(
        self, graph: Graph, given: Sequence[Array]
    ) -> tuple[Array, ...] | None:
        """What a graph computes; None if it does not come to an end."""
        nodes = sum(len(reached) for reached in graph.reachable())
        evaluator = _Bounded(self._bindings, self._most_work + NODE_WORK * nodes)
        try:
            with np.errstate(all="ignore"):
                return evaluator.run(graph, *given)
        except UnsupportedError:
            return None

    def _bound(self, graph: Graph) -> Graph:
        return graph.bind(**self._bindings) if self._bindings else graph

    def _spreads(
        self, graph: Graph, given: Sequence[Array], classes: Sequence[Numerics]
    ) -> list[Array]:
        """How far nodes that are as inexact as the classes say move results."""
        plain = without_gradients(self._bound(graph))
        ulp = max((each.ulp for each in classes), default=0.0)
        with np.errstate(all="ignore"):
            return spreads(plain, given, 0, max(1.0, ulp), coarsest(classes))


def without_gradients(graph: Graph) -> Graph:
    """A copy with gradients and calls expanded, so that all nodes can be perturbed."""
    plain = graph.copy()
    for reached in plain.reachable():
        Autodiff().run(reached, Rewriter(Ledger(), Autodiff.name))
    Inline().run(plain, Rewriter(Ledger(), Inline.name))
    return plain


def within_limits(array: Array, of: Value) -> Array:
    """`array` where the attributes of its parameter, if any, say that it lies."""
    low, high = of.attributes.get("low"), of.attributes.get("high")
    if low is None and high is None:
        return array
    if not of.dtype.is_float and high is not None:
        high -= 1
    wide = array.astype(np.float64)
    wide = np.clip(np.where(np.isnan(wide), 0.0, wide), low, high)
    return wide.astype(array.dtype)


def same_bits(got: Array, want: Array) -> bool:
    """Whether arrays have the same bits, but for payloads of nan and signs of zeros."""
    if (got.dtype, got.shape) != (want.dtype, want.shape):
        return False
    same = got == want
    if dtype(want.dtype).is_float:
        same = same | (np.isnan(got) & np.isnan(want))
    return bool(np.all(same))


def _first_other(got: Array, want: Array) -> str:
    """Where arrays whose bits differ do so first."""
    none = np.zeros(want.shape)
    if problem := disagreement(got, want, none):
        return problem
    other = (got != want) & ~(np.isnan(got) & np.isnan(want))
    at = tuple(int(i) for i in np.argwhere(other)[0])
    place = f" at {list(at)}" if at else ""
    return f"the bits of {np.count_nonzero(other)} elements differ, the first{place}"


def coarsest(classes: Sequence[Numerics]) -> DType | None:
    """The dtype with the fewest digits among those that were computed in."""
    narrow = [c.dtype for c in classes if c.kind is NumericsClass.PRECISION]
    return max(
        (each for each in narrow if each is not None),
        key=lambda each: tolerance(each).relative,
        default=None,
    )


def _sums(graph: Graph) -> bool:
    """Whether NumPy adds floats up, in an order that depends on where they lie."""
    return any(
        Trait.ACCUMULATES in node.op.traits
        or Trait.COMBINES in node.op.traits
        or (node.op.kind is not Kind.ELEMENTWISE and node.op.ulp > 0)
        for node in _nodes(graph)
    )


def _nodes(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and of those that it calls."""
    for reached in graph.reachable():
        yield from reached.nodes
