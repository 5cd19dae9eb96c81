"""Nested structures of tensors: lists, tuples, dicts and named tuples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

__all__ = [
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "map_structure",
    "pack_sequence_as",
]


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a container."""
    return not optree.tree_is_leaf(structure, none_is_leaf=True)


def flatten(structure: Any) -> list[Any]:
    """The leaves, dicts by sorted key."""
    return optree.tree_leaves(structure, none_is_leaf=True)


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """The leaves with the keys and indices that lead to them."""
    paths, leaves, _ = optree.tree_flatten_with_path(structure, none_is_leaf=True)
    return list(zip(paths, leaves, strict=True))


def map_structure(function: Callable[..., Any], *structures: Any) -> Any:
    """The structure of what `function` returns for each leaf."""
    return optree.tree_map(function, *structures, none_is_leaf=True)


def pack_sequence_as(structure: Any, flat_sequence: list[Any]) -> Any:
    """`flat_sequence` as the leaves of a structure like `structure`."""
    shape = optree.tree_structure(structure, none_is_leaf=True)
    return optree.tree_unflatten(shape, flat_sequence)


def assert_same_structure(a: Any, b: Any) -> None:
    """Raises a ValueError unless both structures nest alike."""
    first = optree.tree_structure(a, none_is_leaf=True)
    second = optree.tree_structure(b, none_is_leaf=True)
    if first != second:
        raise ValueError(
            f"The structures differ. Expected: {first}. Received: {second}"
        )
