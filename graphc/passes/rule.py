"""Local rewrites as rules, and the driver that applies them until none fires."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from graphc.ir.errors import PassError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import RETURN, Kind, OpDef, Trait
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.effects import Effects, is_dead
from graphc.passes.numerics import (
    EXACT,
    REASSOCIATES,
    Numerics,
    NumericsClass,
    approx,
    distance,
    precision,
)
from graphc.passes.rewrite import Proposal, Rewriter
from graphc.passes.sweep import sweep

__all__ = [
    "EXACT",
    "NUMERICS",
    "REASSOCIATES",
    "ROUNDING",
    "RULE_SETS",
    "Example",
    "Numerics",
    "NumericsClass",
    "Replacement",
    "Root",
    "Rule",
    "RuleSet",
    "approx",
    "example",
    "precision",
    "register_rules",
    "rewrite_greedily",
]

MAX_MAKERS = 8
"""Of how many operands it is remembered which rules may apply to what makes them."""

MAX_VISITS = 24
"""How often the rules may come back to a node, on average."""

Replacement: TypeAlias = "Operand | Sequence[Operand] | None"
"""What a rule puts for a node's results; None if the rule does not apply."""

Root = str | Kind | Trait
"""The nodes a rule may start from: an op by name, or all of a kind or with a trait."""


@dataclass(frozen=True, slots=True)
class Example:
    """A program that makes a rule fire; the rule's tests are generated from it.

    Attributes:
        types: The types of the parameters. ``"T[3]"`` stands for a tensor of every
            dtype that the program accepts.
        program: From parameters to results, written with ops.
    """

    types: tuple[str, ...]
    program: Callable[..., Any]


def example(program: Callable[..., Any], *types: str) -> list[Example]:
    """One example, over a tensor of any dtype or over tensors of the given types."""
    return [Example(types or ("T[8]",), program)]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A local identity.

    Attributes:
        name: The name it has in the ledger.
        doc: The identity.
        roots: The nodes it may start from.
        numerics: How far it keeps results.
        algebraic: Whether it is a law of arithmetic that `graphc.ir.exact` keeps; if
            not, a check of its results allows for rounding.
        late: Whether it holds only once nothing will be differentiated any more.
        apply: From a node to what stands for its results. May build nodes, which go
            before the node, and may look at any node; changes nothing itself.
        examples: Programs that make it fire.
        reads: The ops of which one must make the first operand, if it is any of a few.
            Rules that look for one there need not be asked about other nodes.
        reads_any: The same of some operand, whichever it is; as roots are written.
        literal: Whether the first or the last operand must be a literal.
    """

    name: str
    doc: str
    roots: tuple[Root, ...]
    numerics: Numerics
    algebraic: bool
    late: bool
    apply: Callable[[Node], Replacement]
    examples: tuple[Example, ...]
    reads: tuple[str, ...] = ()
    reads_any: tuple[Root, ...] = ()
    literal: bool = False

    def starts_at(self, op: OpDef) -> bool:
        """Whether nodes of `op` are among the roots."""
        return _is_any(self.roots, op)

    def may_apply(self, makers: Sequence[OpDef | None]) -> bool:
        """Whether it may apply to a root whose operands are made by these ops.

        Literals are made by `LITERAL`, parameters of the graph by None.
        """
        if self.reads and (makers[0] is None or makers[0].name not in self.reads):
            return False
        if self.literal and LITERAL not in (makers[0], makers[-1]):
            return False
        return not self.reads_any or any(
            maker is not None and _is_any(self.reads_any, maker) for maker in makers
        )


def _is_any(roots: Sequence[Root], op: OpDef) -> bool:
    return any(
        root == op.name or root is op.kind or root in op.traits for root in roots
    )


LITERAL = dataclasses.replace(RETURN, name="literal")
"""What stands for the maker of a literal, which has none."""


@dataclass(slots=True)
class RuleSet:
    """Rules in the order in which they are tried.

    Attributes:
        rules: The rules.
    """

    rules: list[Rule] = field(default_factory=list[Rule])
    _by_op: dict[OpDef, tuple[Rule, ...]] = field(
        default_factory=dict[OpDef, tuple[Rule, ...]]
    )
    _by_makers: dict[tuple[OpDef | None, ...], tuple[Rule, ...]] = field(
        default_factory=dict[tuple["OpDef | None", ...], tuple[Rule, ...]]
    )

    def rule(
        self,
        *roots: Root,
        examples: Sequence[Example],
        numerics: Numerics = EXACT,
        algebraic: bool = True,
        late: bool = False,
        reads: tuple[str, ...] = (),
        reads_any: tuple[Root, ...] = (),
        literal: bool = False,
    ) -> Callable[[Callable[[Node], Replacement]], Rule]:
        """Adds the decorated function as a rule; its docstring is the identity."""

        def register(function: Callable[[Node], Replacement]) -> Rule:
            doc = (function.__doc__ or "").strip()
            if not doc or not roots or not examples:
                raise TypeError(f"rule {function.__name__} lacks a part of its record")
            rule = Rule(
                function.__name__,
                doc,
                roots,
                numerics,
                algebraic,
                late,
                function,
                tuple(examples),
                reads,
                reads_any,
                literal,
            )
            self.rules.append(rule)
            return rule

        return register

    def where(self, accepted: Callable[[Rule], bool]) -> RuleSet:
        """The rules that are accepted."""
        return RuleSet([rule for rule in self.rules if accepted(rule)])

    def at(self, op: OpDef) -> tuple[Rule, ...]:
        """The rules that may start from a node of `op`."""
        found = self._by_op.get(op)
        if found is None:
            found = tuple(rule for rule in self.rules if rule.starts_at(op))
            self._by_op[op] = found
        return found

    def for_node(self, node: Node) -> tuple[Rule, ...]:
        """The rules that may start from `node`, told by a look at its operands."""
        op, operands = node.op, node.operands
        starting = self.at(op)
        if not starting or not 0 < len(operands) <= MAX_MAKERS:
            return starting
        makers = [
            LITERAL if isinstance(o, Literal) else o.node.op if o.node else None
            for o in operands
        ]
        key = op, *makers
        found = self._by_makers.get(key)
        if found is None:
            found = tuple([rule for rule in starting if rule.may_apply(makers)])
            self._by_makers[key] = found
        return found


RULE_SETS: dict[str, RuleSet] = {}
"""Sets of rules by the name under which the pass ``apply_rules`` finds them."""

ROUNDING: set[str] = set()
"""The names of all rules of `RULE_SETS` that hold up to rounding alone."""

NUMERICS: dict[str, Numerics] = {}
"""The class of each rule of `RULE_SETS`, the farthest from exact of equal names."""


def register_rules(name: str, rules: RuleSet) -> RuleSet:
    """Makes a set of rules known as `name`; the set must have its rules by then.

    Raises:
        TypeError: If another set has the name.
    """
    if RULE_SETS.setdefault(name, rules) is not rules:
        raise TypeError(f"there already is a set of rules {name!r}")
    ROUNDING.update(rule.name for rule in rules.rules if not rule.algebraic)
    for rule in rules.rules:
        known = NUMERICS.get(rule.name, EXACT)
        NUMERICS[rule.name] = max(known, rule.numerics, key=distance)
    return rules


def rewrite_greedily(graph: Graph, rewriter: Rewriter, rules: RuleSet) -> bool:
    """Applies `rules` until none fires and nothing that the rewrites left is dead.

    Every node is visited once, and again when a neighbour changed.

    Returns:
        Whether anything changed.

    Raises:
        PassError: If the rules undo one another and would never end.
    """
    effects = Effects()
    ledger = rewriter.ledger
    most, made = ledger.visits + MAX_VISITS * (len(graph) + 100), ledger.count
    for node in sweep(graph, rewriter):
        if ledger.visits > most:
            raise PassError(f"{rewriter.pass_name}: the rules do not come to an end")
        if is_dead(node, effects):
            rewriter.erase(node)
        elif candidates := rules.for_node(node):
            rewriter.rewrite(node, partial(_first, node, candidates))
    return ledger.count > made


def _first(node: Node, rules: Sequence[Rule]) -> Proposal | None:
    for rule in rules:
        found = rule.apply(node)
        if isinstance(found, (Value, Literal)):
            return rule.name, (found,)
        if found is not None:
            return rule.name, found
    return None
