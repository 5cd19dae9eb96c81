"""Rules of a registered set as a pass: a user's own, or some of canonicalize's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.errors import PassError
from graphc.ir.graph import Graph
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.plugins import find_rules
from graphc.passes.rewrite import Rewriter
from graphc.passes.rule import (
    NUMERICS,
    ROUNDING,
    RULE_SETS,
    Numerics,
    RuleSet,
    rewrite_greedily,
)


@register
@final
@dataclass(frozen=True)
class ApplyRules(GraphPass):
    """Applies the rules of a set until none fires, whatever their numerics class.

    Attributes:
        set: The name that the set is registered as.
        only: The names of the rules to apply; all of the set if there are none.
        late: Whether nothing will be differentiated any more.
    """

    set: str = "canonicalize"
    only: tuple[str, ...] = ()
    late: bool = False
    name: ClassVar[str] = "apply_rules"
    rounding: ClassVar[Set[str]] = ROUNDING
    numerics: ClassVar[Mapping[str, Numerics]] = NUMERICS

    def __post_init__(self) -> None:
        known = [rule.name for rule in self._set().rules]
        for wanted in self.only:
            if wanted not in known:
                near = difflib.get_close_matches(wanted, known, 1)
                raise PassError(
                    f"apply_rules: set {self.set!r} has no rule {wanted[:80]!r}",
                    hint=f"did you mean {near[0]!r}?" if near else None,
                )

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        rules = self._set().where(
            lambda rule: (
                (not self.only or rule.name in self.only)
                and (self.late or not rule.late)
            )
        )
        return rewrite_greedily(graph, rewriter, rules)

    def _set(self) -> RuleSet:
        found = find_rules(self.set)
        if found is None:
            raise PassError(
                f"apply_rules: no set of rules is registered as {self.set[:80]!r}",
                hint=f"there is {', '.join(sorted(RULE_SETS))}; --load imports a module"
                " that registers others",
            )
        return found
