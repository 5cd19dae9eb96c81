"""Equality saturation: rules in any order and direction, and the cheapest of all results.

The greedy driver applies a rule where it can and forgets what was there. An e-graph keeps
all forms that rules make equal, so that no rule spoils another, and a cost model chooses at
the end. Source: Willsey et al., "egg: Fast and extensible equality saturation", 2021; the
e-graph is the package ``egglog``.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.errors import PassError
from graphc.ir.graph import Graph
from graphc.passes.cost_model import GPUS, Roofline
from graphc.passes.equivalent_forms import EquivalentForms
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.identities import algebra
from graphc.passes.plugins import find_rules
from graphc.passes.rebuilding import Rebuilding
from graphc.passes.rewrite import Rewriter
from graphc.passes.rule import NumericsClass, Rule
from graphc.passes.terms import Identity, identities

BIDIRECTIONAL = algebra.RULES
"""The rules that need saturation; importing them registers them as ``algebra``."""


@register
@final
@dataclass(frozen=True)
class Saturate(GraphPass):
    """Finds the cheapest form of a graph by equality saturation.

    Attributes:
        sets: The registered sets of rules; those that are identities of elementwise
            primitives take part.
        allow: The numerics classes beside ``exact`` that take part.
        late: Whether nothing will be differentiated any more.
        device: The GPU whose roofline says what is cheap.
        rounds: How often all rules are applied to all that is known.
        most: How many matches of rules end the search early.
    """

    sets: tuple[str, ...] = ("canonicalize", "algebra")
    allow: tuple[str, ...] = ("reassociates",)
    late: bool = False
    device: str = "H200"
    rounds: int = 4
    most: int = 20_000
    name: ClassVar[str] = "saturate"

    def __post_init__(self) -> None:
        classes = {each.value for each in NumericsClass}
        for wanted, known in (
            *((name, classes) for name in self.allow),
            (self.device, GPUS.keys()),
        ):
            _check_known(wanted, known)
        for name in self.sets:
            if find_rules(name) is None:
                raise PassError(f"saturate: there is no set of rules {name[:80]!r}")

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        model = Roofline(GPUS[self.device])
        space = EquivalentForms(graph, self.identities(), model)
        space.grow(self.rounds, self.most)
        found = space.cheaper()
        if found is None:
            root = graph.return_node
            rewriter.refuse(root, "saturate", "no form that was found costs less")
            return False
        return Rebuilding(space, found, rewriter).run()

    def identities(self) -> tuple[Identity, ...]:
        """The identities that take part."""
        rules = (rule for name in self.sets for rule in _rules(name))
        return tuple(
            identity
            for rule in rules
            if rule.algebraic
            and (self.late or not rule.late)
            and rule.numerics.kind.value in ("exact", *self.allow)
            for identity in identities(rule)
        )


def _rules(name: str) -> Sequence[Rule]:
    found = find_rules(name)
    return () if found is None else found.rules


def _check_known(name: str, known: AbstractSet[str]) -> None:
    if name not in known:
        raise PassError(
            f"saturate: unknown {name[:80]!r}", hint=f"there is {', '.join(known)}"
        )
