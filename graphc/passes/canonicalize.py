"""Canonicalization: local identities, applied until none fires."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, final

from graphc.ir.errors import PassError
from graphc.ir.graph import Graph
from graphc.ir.opdef import OPS
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.identities import (
    arithmetic,
    contraction,
    control,
    gathering,
    logic,
    movement,
    reduction,
    shape,
    uniform,
)
from graphc.passes.rewrite import Rewriter
from graphc.passes.rule import (
    NUMERICS,
    Numerics,
    NumericsClass,
    Rule,
    RuleSet,
    register_rules,
    rewrite_greedily,
)

FAMILIES = (
    arithmetic,
    logic,
    uniform,
    shape,
    movement,
    gathering,
    reduction,
    contraction,
    control,
)
RULES = register_rules(
    "canonicalize",
    RuleSet([rule for family in FAMILIES for rule in family.RULES.rules]),
)
"""All identities, in the order in which they are tried."""


@register
@final
@dataclass(frozen=True)
class Canonicalize(GraphPass):
    """Applies identities that make graphs smaller or more alike.

    Results keep their bits, except where the rewritten op itself is allowed an error
    that is at least as large as the rule's.

    Attributes:
        allow: Further numerics classes of rules to apply: ``reassociates``.
        late: Whether nothing will be differentiated any more.
    """

    allow: tuple[str, ...] = ()
    late: bool = False
    name: ClassVar[str] = "canonicalize"
    rounding: ClassVar[Set[str]] = frozenset(
        rule.name for rule in RULES.rules if not rule.algebraic
    )
    numerics: ClassVar[Mapping[str, Numerics]] = NUMERICS

    def __post_init__(self) -> None:
        optional = {rule.numerics.kind.value for rule in RULES.rules} - _BY_DEFAULT
        for wanted in self.allow:
            if wanted not in optional:
                raise PassError(
                    f"canonicalize: no rule is of the class {wanted!r}",
                    hint=f"there is {', '.join(sorted(optional))}",
                )

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        return rewrite_greedily(graph, rewriter, _rules(self))


_BY_DEFAULT = {NumericsClass.EXACT.value, NumericsClass.APPROX.value}


@lru_cache
def _rules(options: Canonicalize) -> RuleSet:
    """The rules that the options admit."""
    return RULES.where(lambda rule: _admits(options, rule))


def _admits(options: Canonicalize, rule: Rule) -> bool:
    if rule.late and not options.late:
        return False
    if rule.numerics.kind is NumericsClass.APPROX:
        # Within what every executor may do: the op is not held to more.
        roots = [op for op in OPS.values() if rule.starts_at(op)]
        return all(rule.numerics.ulp <= op.ulp for op in roots)
    return (
        rule.numerics.kind is NumericsClass.EXACT
        or rule.numerics.kind.value in options.allow
    )
