"""Choosing a graph from an e-graph: for each class of equal values one way to compute it.

What is shared is paid for once. Finding the cheapest such choice is NP-hard (Stepp,
"Equality saturation", 2011), so a local search improves on the graph that came in, by
single choices and by the cheapest trees below them; the result never costs more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MAX_TRIALS = 1500
"""How many choices are tried; each costs a walk through the graph."""

Class = str
"""The name of a class of equal values."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to compute the values of a class.

    Attributes:
        head: What is applied.
        payload: Which leaf or number, for heads that stand for one.
        children: The classes that it is applied to.
    """

    head: str
    payload: int | None
    children: tuple[Class, ...]


Choice = dict[Class, Form]


def extract(
    classes: Mapping[Class, Sequence[Form]],
    roots: Sequence[Class],
    initial: Mapping[Class, Form],
    cost: Callable[[Form], float],
) -> Choice:
    """The forms of all classes that the roots need.

    Args:
        classes: All forms of each class.
        roots: The classes that must be computed.
        initial: The forms to start from; they must cover what the roots need.
        cost: What a form costs beside its children.

    Returns:
        A choice without cycles that costs no more than the initial one.
    """
    trees = cheapest_trees(classes, cost)
    best = dict(initial)
    least = graph_cost(best, roots, cost)
    trials = 0
    improved = True
    while improved and trials < MAX_TRIALS:
        improved = False
        for name in needed(best, roots) or ():
            for form in classes[name]:
                if trials >= MAX_TRIALS or not _may_gain(form, best[name], cost):
                    continue
                trials += 1
                found = _with(best, name, form, trees)
                total = graph_cost(found, roots, cost)
                if total < least * (1 - 1e-9):
                    best, least, improved = found, total, True
    return {name: best[name] for name in needed(best, roots) or ()}


def _may_gain(form: Form, than: Form, cost: Callable[[Form], float]) -> bool:
    """Whether a form can be better: not if it costs as much and needs no less."""
    return cost(form) < cost(than) or not set(form.children) >= set(than.children)


def cheapest_trees(
    classes: Mapping[Class, Sequence[Form]], cost: Callable[[Form], float]
) -> Choice:
    """For each class the form whose tree is cheapest, as if nothing were shared."""
    least: dict[Class, float] = {}
    best: Choice = {}
    changed = True
    while changed:
        changed = False
        for name, forms in classes.items():
            for form in forms:
                total = cost(form) + sum(least.get(c, math.inf) for c in form.children)
                if total < least.get(name, math.inf):
                    least[name], best[name] = total, form
                    changed = True
    return best


def graph_cost(
    choice: Mapping[Class, Form],
    roots: Sequence[Class],
    cost: Callable[[Form], float],
) -> float:
    """What a choice costs, shared classes once; infinite if it goes in a circle."""
    order = needed(choice, roots)
    return math.inf if order is None else sum(cost(choice[name]) for name in order)


def needed(choice: Mapping[Class, Form], roots: Sequence[Class]) -> list[Class] | None:
    """What the roots need, children first; None if the choice goes in a circle."""
    order: dict[Class, None] = {}
    open_: set[Class] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        name, done = stack.pop()
        if done:
            open_.discard(name)
            order[name] = None
        elif name in open_:
            return None
        elif name not in order:
            open_.add(name)
            stack.append((name, True))
            stack += [(child, False) for child in reversed(choice[name].children)]
    return list(order)


def _with(choice: Choice, name: Class, form: Form, trees: Choice) -> Choice:
    """The choice with another form of one class, and trees for what that needs."""
    found = {**choice, name: form}
    stack = list(form.children)
    while stack:
        child = stack.pop()
        if child not in found:
            found[child] = trees[child]
            stack += found[child].children
    return found
