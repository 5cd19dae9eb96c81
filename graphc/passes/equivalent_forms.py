"""A graph as an e-graph: all forms of its values that identities make equal.

The only file that imports ``egglog`` (the extra ``egraph``). Each op with its attributes
and result type is a constructor; an identity of terms is a rewrite for each type of tensor
in the graph. What the e-graph then holds is read into plain classes of forms.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from egglog.bindings import EGraph

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, OpDef
from graphc.ir.types import TensorType
from graphc.ir.values import Attributes, Literal, Operand, Value
from graphc.passes.cost_model import CostModel
from graphc.passes.effects import Effects
from graphc.passes.extraction import Choice, Class, Form, extract, graph_cost
from graphc.passes.terms import Identity, Side, Term

LEAF, NUMBER, STRETCH = "leaf", "number", "stretch"
"""Heads that are no op: a value from outside, a number, a scalar as a tensor."""

_SORTS = f"""
(sort T)
(constructor {LEAF} (i64) T)
(constructor {NUMBER} (i64) T)
(constructor {STRETCH} (i64 T) T)
"""

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Signature:
    """What the nodes of one constructor have in common.

    Attributes:
        op: The op.
        attributes: Its attributes as JSON with sorted keys.
        type: The type of the result.
        operands: The types that operands are read as.
    """

    op: OpDef
    attributes: str
    type: TensorType
    operands: tuple[TensorType, ...]

    def decoded(self) -> Attributes:
        """The attributes as nodes hold them."""
        return json.loads(self.attributes)


class EquivalentForms:
    """The forms of a graph's values.

    Attributes:
        graph: The graph.
        leaves: The values that nothing is known of: parameters, results of effects.
        numbers: The numbers, each with the type of tensor that it stands for.
        types: The types that scalars are stretched to.
        signatures: What the heads ``op0``, ``op1``, ... stand for.
        forms: The form of each node that is no leaf.
        values: The class of each value.
        classes: All forms of each class, once `grow` has been called.
    """

    def __init__(
        self, graph: Graph, identities: tuple[Identity, ...], model: CostModel
    ) -> None:
        self.graph = graph
        self.leaves: dict[Value, int] = {}
        self.numbers: dict[tuple[Literal, TensorType], int] = {}
        self.types: dict[TensorType, int] = {}
        self.signatures: dict[Signature, int] = {}
        self.forms: dict[Node, Form] = {}
        self.values: dict[Value, Class] = {}
        self.classes: dict[Class, list[Form]] = {}
        self._identities = identities
        self._model = model
        self._costs: dict[str, float] = {}
        self._effects = Effects()

    def grow(self, rounds: int, most: int) -> None:
        """Applies the identities until nothing is new, or enough has been found.

        Args:
            rounds: How often at most.
            most: How many matches are enough.
        """
        egraph = EGraph()
        lets = list(self._lets())
        rewrites = dict.fromkeys(self._rewrites())  # rules may say the same
        constructors = [
            f"(constructor op{number} ({' '.join('T' for _ in each.operands)}) T)"
            for each, number in self.signatures.items()
        ]
        _run(egraph, [_SORTS, *constructors, *rewrites, *lets])
        matches = 0
        for _ in range(rounds):
            report = _run(egraph, ["(run 1)"])[-1].report
            matches += sum(report.num_matches_per_rule.values())
            if not report.updated or matches > most:
                break
        self._read(egraph)

    def cheaper(self) -> Choice | None:
        """The cheapest choice of forms; None if the graph as it is costs no more."""
        initial = {self.values[leaf]: self._leaf_form(leaf) for leaf in self.leaves}
        for name, forms in self.classes.items():
            for form in forms:
                if form.head in (NUMBER, STRETCH):
                    initial.setdefault(name, form)
        for node, form in self.forms.items():
            initial.setdefault(self.values[node.results[0]], form)
        roots = [self.values[value] for value in self._read_from_outside()]
        found = extract(self.classes, roots, initial, self.cost)
        return found if graph_cost(found, roots, self.cost) < self._present() else None

    def _present(self) -> float:
        """What the nodes that are there cost, without those that nothing needs."""
        stack = [v.node for v in self._read_from_outside() if v.node is not None]
        live: set[Node] = set()
        while stack:
            node = stack.pop()
            if node not in live:
                live.add(node)
                values = [o for o in node.operands if isinstance(o, Value)]
                stack += [value.node for value in values if value.node is not None]
        return sum(self.cost(form) for n, form in self.forms.items() if n in live)

    def cost(self, form: Form) -> float:
        """What a form costs beside its children."""
        if form.head in (LEAF, NUMBER, STRETCH):
            return 0.0
        if form.head not in self._costs:
            signature = self.signature(form)
            graph = Graph("form")
            operands = [graph.add_parameter(type) for type in signature.operands]
            node = Node(signature.op, operands, signature.decoded(), [signature.type])
            self._costs[form.head] = self._model.node_seconds(node)
        return self._costs[form.head]

    def signature(self, form: Form) -> Signature:
        """What the head of a form stands for."""
        return list(self.signatures)[int(form.head[2:])]

    def is_leaf(self, node: Node) -> bool:
        """Whether nothing is known of the results of a node."""
        return len(node.results) != 1 or node.op.calls_graphs or self._effects.of(node)

    def _read_from_outside(self) -> Iterator[Value]:
        """The values that must be there: results, and what leaves read."""
        nodes = [node for node in self.graph.nodes if self.is_leaf(node)]
        for node in [*nodes, self.graph.return_node]:
            for operand in node.operands:
                if isinstance(operand, Value):
                    yield operand

    # -- what the e-graph gets -------------------------------------------------------

    def _lets(self) -> Iterator[str]:
        names: dict[Value, str] = {}

        def let(value: Value, expression: str) -> str:
            names[value] = f"$v{len(names)}"
            return f"(let {names[value]} {expression})"

        for parameter in self.graph.parameters:
            yield let(parameter, f"({LEAF} {_place(self.leaves, parameter)})")
        for node in self.graph.nodes:
            if self.is_leaf(node):
                for result in node.results:
                    yield let(result, f"({LEAF} {_place(self.leaves, result)})")
                continue
            head = self._head(node)
            self._costs[head] = self._model.node_seconds(node)
            operands = [self._operand(node, each, names) for each in node.operands]
            yield let(node.results[0], f"({' '.join([head, *operands])})")

    def _head(self, node: Node) -> str:
        text = json.dumps(node.attributes, sort_keys=True)
        operands = tuple(operand_type(node, operand) for operand in node.operands)
        signature = Signature(node.op, text, node.results[0].type, operands)
        return f"op{_place(self.signatures, signature)}"

    def _operand(self, node: Node, operand: Operand, names: dict[Value, str]) -> str:
        wanted = operand_type(node, operand)
        if isinstance(operand, Literal):
            return f"({NUMBER} {_place(self.numbers, (operand, wanted))})"
        if operand.type == wanted:
            return names[operand]
        return f"({STRETCH} {_place(self.types, wanted)} {names[operand]})"

    def _rewrites(self) -> Iterator[str]:
        """The identities for each type of tensor whose left sides can occur."""
        emitted: set[tuple[Identity, TensorType]] = set()
        grown = True
        while grown:
            size = len(self.signatures)
            types = {
                each.type
                for each in self.signatures
                if each.op.kind is Kind.ELEMENTWISE and not each.op.is_composite
            }
            for identity in self._identities:
                for type in types:
                    key = (identity, type)
                    if type.dtype is not identity.dtype or key in emitted:
                        continue
                    if not self._occurs(identity.left, type):
                        continue
                    emitted.add(key)
                    if _variables(identity.right) <= _variables(identity.left):
                        left = self._pattern(identity.left, type)
                        yield f"(rewrite {left} {self._pattern(identity.right, type)})"
            grown = len(self.signatures) > size

    def _occurs(self, side: Side, type: TensorType) -> bool:
        """Whether the graph, or the right side of an identity, has ops like these."""
        if not isinstance(side, Term):
            return True
        return _signature(side, type) in self.signatures and all(
            self._occurs(each, type) for each in side.operands
        )

    def _pattern(self, side: Side, type: TensorType) -> str:
        if isinstance(side, int):
            return f"x{side}"
        if isinstance(side, Literal):
            place = _place(self.numbers, (side, type.with_dtype(side.dtype)))
            return f"({NUMBER} {place})"
        signature = _signature(side, type)
        operands = [self._pattern(each, type) for each in side.operands]
        return f"({' '.join([f'op{_place(self.signatures, signature)}', *operands])})"

    # -- what it says ----------------------------------------------------------------

    def _read(self, egraph: EGraph) -> None:
        serialized = egraph.serialize(
            [],
            max_functions=None,
            max_calls_per_function=None,
            include_temporary_functions=False,
        )
        nodes: dict[str, dict[str, Any]] = json.loads(serialized.to_json())["nodes"]
        found: dict[Form, Class] = {}
        for each in nodes.values():
            if each["eclass"].startswith("i64"):
                continue
            read = [nodes[child] for child in each["children"]]
            payload = None
            if each["op"] in (LEAF, NUMBER, STRETCH):
                payload = int(read.pop(0)["op"])
            form = Form(each["op"], payload, tuple(child["eclass"] for child in read))
            found[form] = each["eclass"]
            self.classes.setdefault(each["eclass"], []).append(form)
        for leaf in self.leaves:
            self.values[leaf] = found[self._leaf_form(leaf)]
        for node in self.graph.nodes:
            if not self.is_leaf(node):
                head = self._head(node)
                children = [self._class(node, each, found) for each in node.operands]
                self.forms[node] = form = Form(head, None, tuple(children))
                self.values[node.results[0]] = found[form]

    def _leaf_form(self, value: Value) -> Form:
        return Form(LEAF, self.leaves[value], ())

    def _class(self, node: Node, operand: Operand, found: dict[Form, Class]) -> Class:
        wanted = operand_type(node, operand)
        if isinstance(operand, Literal):
            return found[Form(NUMBER, self.numbers[operand, wanted], ())]
        inner = self.values[operand]
        if operand.type == wanted:
            return inner
        return found[Form(STRETCH, self.types[wanted], (inner,))]


def operand_type(node: Node, operand: Operand) -> TensorType:
    """The type that a node reads an operand as: elementwise ops stretch scalars."""
    if node.op.kind is Kind.ELEMENTWISE and not operand.type.shape:
        return operand.type.with_shape(node.results[0].type.shape)
    return operand.type


def _place(table: dict[Item, int], item: Item) -> int:
    """The number of an item, the next one if it is new."""
    return table.setdefault(item, len(table))


def _signature(of: Term, type: TensorType) -> Signature:
    """The signature of a term over tensors of a type; numbers may have other dtypes."""
    operands = [
        type.with_dtype(each.dtype) if isinstance(each, Literal) else type
        for each in of.operands
    ]
    return Signature(of.op, of.attributes, type, tuple(operands))


def _variables(side: Side) -> set[int]:
    if isinstance(side, int):
        return {side}
    if isinstance(side, Literal):
        return set()
    return set[int]().union(*map(_variables, side.operands))


def _run(egraph: EGraph, lines: list[str]) -> list[Any]:
    return egraph.run_program(*egraph.parse_program("\n".join(lines)))
