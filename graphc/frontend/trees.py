"""Nested structures of lists, tuples and dicts, by optree.

None is an empty structure and no leaf, unless ``none_is_leaf=True`` is given. These
functions say ``Any`` where optree's own types cannot follow a structure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import optree

Wanted = TypeVar("Wanted")


def flatten(tree: Any, **options: Any) -> tuple[list[Any], Any]:
    """The leaves, dicts by sorted key, and the structure to put them back in."""
    return optree.tree_flatten(tree, **options)


def flatten_with_path(
    tree: Any, **options: Any
) -> tuple[list[tuple[Any, ...]], list[Any], Any]:
    """The keys and indices that lead to each leaf, the leaves, and the structure."""
    return optree.tree_flatten_with_path(tree, **options)


def leaves(tree: Any, **options: Any) -> list[Any]:
    """The leaves, dicts by sorted key."""
    return optree.tree_leaves(tree, **options)


def structure(tree: Any) -> Any:
    """The structure without its leaves."""
    return optree.tree_structure(tree)


def unflatten(structure: Any, leaves: Any) -> Any:
    """A structure with leaves put in."""
    return structure.unflatten(leaves)


def map_leaves(
    function: Callable[..., Any], tree: Any, *more: Any, **options: Any
) -> Any:
    """The structure of what `function` returns for each leaf."""
    return optree.tree_map(function, tree, *more, **options)


_WITHOUT_PARTS = {type(None), bool, int, float, str}
"""What most attributes are."""


def collect(
    attributes: Mapping[str, Any], wanted: type[Wanted], left_out: Collection[str] = ()
) -> list[Wanted]:
    """The instances of `wanted` in attributes, in lists and dicts too, each once."""
    found: dict[int, Wanted] = {}
    for name, attribute in attributes.items():
        if type(attribute) not in _WITHOUT_PARTS and name not in left_out:
            _collect(attribute, wanted, found)
    return list(found.values())


def _collect(attribute: Any, wanted: type[Wanted], found: dict[int, Wanted]) -> None:
    if isinstance(attribute, wanted):
        found[id(attribute)] = attribute
    elif isinstance(attribute, (list, tuple, set)):
        for item in attribute:
            if type(item) not in _WITHOUT_PARTS:
                _collect(item, wanted, found)
    elif isinstance(attribute, dict):
        for item in attribute.values():
            _collect(item, wanted, found)
