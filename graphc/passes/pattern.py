"""Rules written as two programs: wherever the first stands, the second is put.

pattern("square_root_of_square", lambda x: sqrt(multiply(x, x)), lambda x: abs_(x))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphc.ir.body import as_tuple
from graphc.ir.build import building
from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Trait
from graphc.ir.printer import attributes_text, literal_text
from graphc.ir.types import DTYPES, tensor_type
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.rule import EXACT, Example, Numerics, Replacement, Rule

Program = Callable[..., Any]
"""A function of operands that is written with ops."""

_Bound = Mapping[Value, Operand]


def pattern(
    name: str,
    left: Program,
    right: Program,
    *,
    types: tuple[str, ...] = (),
    numerics: Numerics = EXACT,
    algebraic: bool = True,
    late: bool = False,
) -> Rule:
    """The rule that puts `right` wherever `left` stands.

    An op of `left` stands for its uses with the same attributes, a number for itself in
    any dtype, a parameter for anything, and for the same thing wherever it is read. The
    first two operands of a commutative op may be swapped. The rule's example is `left`
    itself.

    Args:
        name: The name of the rule.
        left: What is looked for: one op at least, with one result.
        right: What is put, from what the parameters of `left` stand for.
        types: The types of the parameters in the example, ``"T[8]"`` each unless given;
            their dtypes are those that parameters may stand for, ``T`` for one that all
            have in common.
        numerics: How far the rule keeps results.
        algebraic: Whether it is a law of arithmetic; see `Rule`.
        late: Whether it holds only once nothing will be differentiated any more.

    Raises:
        TypeError: If `left` is not well typed, or is no op.
    """
    types = types or ("T[8]",) * len(inspect.signature(left).parameters)
    found = tuple(traced(Example(types, left)))
    roots = {_root(graph) for graph in found}
    if not roots or None in roots:
        raise TypeError(f"pattern {name!r}: what it looks for must be the use of an op")
    matcher = _Matcher(found, right)
    names = list(inspect.signature(left).parameters)
    put = next(traced(Example(types, right))).results[0]
    return Rule(
        name,
        f"`{expression(found[0].results[0], names)} = {expression(put, names)}`.",
        tuple(sorted({root.op.name for root in roots if root is not None})),
        numerics,
        algebraic,
        late,
        matcher,
        (Example(types, left),),
    )


def traced(example: Example) -> Iterator[Graph]:
    """An example as a graph, for its types or for each dtype that ``T`` may stand for.

    Raises:
        GraphError: If it is ill typed for the types that it gives.
    """
    generic = any(text.startswith("T[") for text in example.types)
    for name in DTYPES if generic else ["f32"]:
        graph = Graph("example")
        graph.ranges = {"B": (1, 8)}
        types = [tensor_type(t.replace("T[", f"{name}[")) for t in example.types]
        parameters = [graph.add_parameter(type) for type in types]
        try:
            with building(graph):
                graph.results = [
                    found if isinstance(found, Value | Literal) else Literal(found)
                    for found in as_tuple(example.program(*parameters))
                ]
        except GraphError:
            if not generic:
                raise
            continue
        yield graph


def expression(operand: Operand, names: list[str]) -> str:
    """An operand as one expression of the parameters, which have `names`."""
    if isinstance(operand, Literal):
        return literal_text(operand)
    if operand.node is None:
        return names[operand.index]
    node = operand.node
    read = ", ".join(expression(each, names) for each in node.operands)
    attributes = f" {attributes_text(node.attributes)}" if node.attributes else ""
    return f"{node.op.name}({read}){attributes}"


def _root(graph: Graph) -> Node | None:
    """The node that makes the only result of `graph`, if there is one."""
    result = graph.results[0] if len(graph.results) == 1 else None
    return result.node if isinstance(result, Value) else None


@dataclass(frozen=True, slots=True)
class _Matcher:
    """The function of a rule: looks for the left side and builds the right one."""

    lefts: tuple[Graph, ...]
    right: Program

    def __call__(self, node: Node) -> Replacement:
        for left in self.lefts:
            root = _root(left)
            if root is None or root.op is not node.op:
                continue
            for bound in _match_node(root, node, {}):
                found = [bound.get(parameter) for parameter in left.parameters]
                if all(isinstance(each, Literal) for each in found):
                    continue  # folding does more
                put = self.right(*found)
                if isinstance(put, int | float):
                    return Literal(put, node.results[0].dtype)
                return put
        return None


def _match(wanted: Operand, found: Operand, bound: _Bound) -> Iterator[_Bound]:
    """The ways in which `found` is what `wanted` stands for, beside what is bound."""
    if isinstance(wanted, Literal):
        if wanted == found:
            yield bound
    elif wanted.node is None:
        known = bound.get(wanted)
        if known is None and found.type.dtype is wanted.dtype:
            yield {**bound, wanted: found}
        elif known is found or (isinstance(known, Literal) and known == found):
            yield bound
    elif (
        isinstance(found, Value)
        and found.node is not None
        and found.index == wanted.index
    ):
        yield from _match_node(wanted.node, found.node, bound)


def _match_node(wanted: Node, found: Node, bound: _Bound) -> Iterator[_Bound]:
    same = wanted.op is found.op and wanted.attributes == found.attributes
    if not same or len(wanted.operands) != len(found.operands):
        return
    orders = [found.operands]
    if Trait.COMMUTATIVE in wanted.op.traits:
        first, second, *others = found.operands
        orders.append((second, first, *others))
    for operands in orders:
        ways = [bound]
        for each, operand in zip(wanted.operands, operands, strict=True):
            ways = [w for way in ways for w in _match(each, operand, way)]
        yield from ways
