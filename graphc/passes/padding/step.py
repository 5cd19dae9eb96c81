"""What padding does to one node: values at hand, masks, and what any node is asked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from graphc.ir.body import as_tuple
from graphc.ir.dims import Dim, SymbolicDim, substitute
from graphc.ir.errors import UnsupportedError
from graphc.ir.evaluate import evaluate_op
from graphc.ir.graph import Graph, Node, clone_graph
from graphc.ir.opdef import Kind, OpDef, Trait
from graphc.ir.ops import (
    add,
    and_,
    broadcast_in_dim,
    compare,
    divide,
    iota,
    multiply,
    remainder,
    select,
)
from graphc.ir.types import I32, TensorType
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.padding.axes import (
    Factors,
    PaddedAxis,
    State,
    factors_of,
    padded,
    varies,
)
from graphc.passes.padding.trials import Axis, Found, needed_fills
from graphc.passes.rewrite import Proposal, Rewriter, owner

SharedTrials: TypeAlias = dict[object, Found | None]
"""What trials showed, by what was tried; they are the same whatever the sizes are."""

Rule: TypeAlias = "Callable[[Step], list[State]]"
"""What is done about nodes of an op; returns the padded axes of the results."""


Adjust: TypeAlias = Callable[[list[Operand]], list[Operand]]
"""Puts others for the operands of a node."""


class Padding:
    """What is the same for all graphs of one module.

    Attributes:
        sizes: The sizes that symbols are padded to.
        symbols: The symbols in order.
        rewriter: Through which the bound graphs are changed.
        rules: The ops that depend on sizes, each with what is done about it.
        trials: What trials showed of nodes like one that was tried.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        rewriter: Rewriter,
        rules: Mapping[OpDef, Rule],
        trials: SharedTrials,
    ) -> None:
        self.sizes = dict(sizes)
        self.symbols = sorted(sizes)
        self.rewriter = rewriter
        self.rules = rules
        self.trials = trials

    def graph(
        self, source: Graph, target: Graph, given: Sequence[State]
    ) -> list[State]:
        """Adds the sizes to a bound graph and fills padding in it.

        Args:
            source: The graph with symbols.
            target: The same graph, bound.
            given: The padded axes of its parameters.

        Returns:
            The padded axes of its results.
        """
        scalar = TensorType((), I32)
        actual = {n: target.add_parameter(scalar, f"{n}_size") for n in self.symbols}
        states = dict(zip(source.parameters, given, strict=True))
        nodes = zip(list(source.nodes), list(target.nodes), strict=True)
        for node, bound in nodes:
            found = Step(self, states, actual, node, bound).run()
            states.update(zip(node.results, found, strict=True))
        return [
            {} if isinstance(result, Literal) else states[result]
            for result in source.results
        ]

    def callee(
        self, node: Node, bound: Node, name: str, given: Sequence[State]
    ) -> tuple[Graph, list[State]]:
        """A padded graph for one that a node calls, and its results' padded axes."""
        source, module = owner(node).module.graphs[name], owner(bound).module
        target = clone_graph(source, module.fresh_name(name), module, self.sizes)
        return target, self.graph(source, target, given)


class Step:
    """What is done about one node.

    Attributes:
        node: The node with symbols.
        bound: The same node in the graph for padded sizes.
        read: The padded axes of its operands.
        attributes: Its attributes as the op's rules see them, with the symbols.
        symbols: The symbols whose sizes are padded.
        actual: Their sizes without padding.
        padding: What is the same for all nodes.
    """

    def __init__(
        self,
        padding: Padding,
        states: Mapping[Value, State],
        actual: Mapping[str, Value],
        node: Node,
        bound: Node,
    ) -> None:
        self.node, self.bound = node, bound
        self.read: list[State] = [
            {} if isinstance(operand, Literal) else states[operand]
            for operand in node.operands
        ]
        self.padding = padding
        self.symbols = padding.symbols
        self.actual = actual
        self.attributes = node.op.decode(node.attributes, owner(node).module)

    def run(self) -> list[State]:
        """Changes the bound node where it must be; the padded axes of its results."""
        op = self.node.op
        if not self._concerned():
            return [{} for _ in self.node.results]
        if Trait.EFFECT in op.traits:
            self.refuse("it shows padding to others")
        rule = self.padding.rules.get(op)
        if rule is not None:
            return rule(self)
        if op.kind is Kind.ELEMENTWISE:
            return self.elementwise()
        if Trait.IDENTITY in op.traits:
            return self.read
        if op.calls_graphs and Trait.COMBINES not in op.traits:
            self.refuse("there is no rule for the graph that it calls")
        return self.tried()

    def _concerned(self) -> bool:
        """Whether anything that the node reads or makes has a padded size."""
        node = self.node
        graphs = owner(node).module.graphs
        return (
            any(self.read)
            or any(padded(result.type, self.symbols) for result in node.results)
            or any(varies(dim, self.symbols) for dim in node.op.dims(node.attributes))
            or any(
                not graphs[name].mentioned_symbols.isdisjoint(self.symbols)
                for name in node.op.graph_names(node)
            )
        )

    def refuse(self, reason: str) -> NoReturn:
        """Raises the error that says why the node cannot be padded."""
        location = self.node.location
        layer = f" in layer '{location.path}'" if location and location.path else ""
        raise UnsupportedError(
            f"{self.node.op.name}{layer} cannot run on padded inputs: {reason}",
            received=", ".join(str(o.type) for o in self.node.operands)[:300],
            location=location,
            hint="compile for a list of sizes, for example --batch 1,8,32",
        )

    @property
    def sizes(self) -> list[Value]:
        """The sizes of all symbols without padding."""
        return [self.actual[name] for name in self.symbols]

    def callee(self, name: str, given: Sequence[State]) -> tuple[Graph, list[State]]:
        """A padded graph for one that the node calls, and its results' padded axes."""
        return self.padding.callee(self.node, self.bound, name, given)

    # -- values at the insertion point ---------------------------------------------

    def amount(self, dim: Dim) -> Operand:
        """A dim without padding, as i32."""
        if not isinstance(dim, SymbolicDim):
            return Literal(dim, I32)
        total: Operand | None = None
        for monomial, coefficient in dim.terms:
            term: Operand | None = None
            for atom, power in monomial:
                factor = (
                    self.actual[atom]
                    if isinstance(atom, str)
                    else divide(
                        self.amount(atom.numerator), self.amount(atom.denominator)
                    )
                )
                for _ in range(power):
                    term = factor if term is None else multiply(term, factor)
            scaled: Operand = Literal(coefficient, I32)
            if term is not None:
                scaled = term if coefficient == 1 else multiply(term, scaled)
            total = scaled if total is None else add(total, scaled)
        assert total is not None
        return total

    def bind(self, dim: Dim) -> int:
        """A dim with padding."""
        return int(substitute(dim, self.padding.sizes))

    def inside(self, factors: Factors) -> Value:
        """Which places along an axis hold elements: bool, of rank 1."""
        extents = [self.bind(factor) for factor in factors]
        line = iota(shape=(math.prod(extents),), axis=0, dtype=I32)
        found: Value | None = None
        for number, factor in enumerate(factors):
            if not varies(factor, self.symbols):
                continue
            below = math.prod(extents[number + 1 :])
            digit = divide(line, below) if below != 1 else line
            if number:
                digit = remainder(digit, extents[number])
            counts = compare(digit, self.amount(factor), direction="LT")
            found = counts if found is None else and_(found, counts)
        assert found is not None
        return found

    def filled(
        self, operand: Operand, fills: Mapping[Axis, Operand], i: int
    ) -> Operand:
        """The operand at position `i` with what lies outside along axes replaced."""
        source = self.node.operands[i].type
        value: Any = operand
        for (position, axis), number in fills.items():
            if position != i:
                continue
            factors = factors_of(source, self.read[i], axis)
            where = self.inside(factors)
            if source.rank > 1:
                shape = value.type.shape
                where = broadcast_in_dim(where, shape=shape, dims=[axis])
            value = select(where, value, number)
        return value

    def rewrite(self, rule: str, made: Callable[[], Any]) -> None:
        """Puts what `made` returns for the results of the bound node."""
        attempt: Callable[[], Proposal] = lambda: (rule, as_tuple(made()))  # noqa: E731
        self.padding.rewriter.rewrite(self.bound, attempt)

    def refill(
        self, fills: Mapping[Axis, Operand], adjust: Adjust | None = None
    ) -> None:
        """Makes the bound node read operands whose padding is filled, and adjusted."""
        if not fills and adjust is None:
            return
        bound = self.bound
        given = bound.op.decode(bound.attributes, owner(bound).module)

        def made() -> Any:
            operands = [self.filled(o, fills, i) for i, o in enumerate(bound.operands)]
            return bound.op(*(adjust(operands) if adjust else operands), **given)

        self.rewrite("fill" if fills else "clamp", made)

    # -- where elements are ----------------------------------------------------------

    def prefix(self, operand: int, axis: int) -> None:
        """Refuses unless the elements of an operand are the first along an axis."""
        type = self.node.operands[operand].type
        if factors_of(type, self.read[operand], axis) != (type.shape[axis],):
            self.refuse(f"elements do not lie together along axis {axis}")

    def joined(self, states: Sequence[State], axis: int) -> PaddedAxis:
        """An axis of what is made of elements at the same places of several values."""
        found = [state[axis] for state in states if axis in state]
        layouts = {each.factors for each in found if each.factors is not None}
        if len(layouts) > 1:
            self.refuse(f"operands have their elements at other places of axis {axis}")
        fills = {each.fill for each in found}
        known = fills.pop() if len(fills) == 1 and len(found) == len(states) else None
        return PaddedAxis(layouts.pop() if layouts else None, known)

    def joined_all(self, states: Sequence[State]) -> State:
        """All axes of what may be either of several values."""
        axes = sorted({axis for state in states for axis in state})
        return {axis: self.joined(states, axis) for axis in axes}

    # -- by kind -----------------------------------------------------------------------

    def elementwise(self) -> list[State]:
        """Padding of results is what the op makes of the operands' padding."""
        shaped = [
            state
            for operand, state in zip(self.node.operands, self.read, strict=True)
            if operand.type.shape
        ]
        states: list[dict[int, PaddedAxis]] = [{} for _ in self.node.results]
        for axis in padded(self.node.results[0].type, self.symbols):
            factors = self.joined(shaped, axis).factors
            fills = self._folded(axis)
            for state, fill in zip(states, fills, strict=True):
                state[axis] = PaddedAxis(factors, fill)
        return list(states)

    def _folded(self, axis: int) -> list[Literal | None]:
        known: list[Literal] = []
        for operand, state in zip(self.node.operands, self.read, strict=True):
            fill = operand if isinstance(operand, Literal) else None
            if axis in state:
                fill = state[axis].fill
            if fill is None:
                return [None for _ in self.node.results]
            known.append(fill)
        arrays = [literal.numpy() for literal in known]
        found = as_tuple(evaluate_op(self.node.op.name, *arrays, **self.attributes))
        return [
            Literal(array.item(), result.dtype)
            for array, result in zip(found, self.node.results, strict=True)
        ]

    def tried(self, clamp: Adjust | None = None) -> list[State]:
        """What trials of the node tell.

        Args:
            clamp: Keeps indices inside what they index, where that is padded.
        """
        inside = clamp is not None
        key = (
            self.node.op,
            json.dumps(self.node.attributes, sort_keys=True),
            *(o if isinstance(o, Literal) else o.type for o in self.node.operands),
            *(tuple(state.items()) for state in self.read),
        )
        trials = self.padding.trials
        if key not in trials:
            trials[key] = needed_fills(self.node, self.read, self.symbols, inside)
        found = trials[key]
        if found is None:
            self.refuse("its results depend on the padding")
        self.refill(found.fills, clamp)
        return list(found.results)
