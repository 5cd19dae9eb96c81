"""A model's outputs as a flat list with names, and what users give for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.frontend import trees


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a model.

    Attributes:
        structure: The tree that they come in.
        names: Their names, in the order of the tree's leaves.
    """

    structure: Any
    names: tuple[str, ...]

    @classmethod
    def of(cls, y_pred: Any, names: Sequence[str] | None = None) -> Outputs:
        """The outputs of which `y_pred` is one batch.

        Args:
            y_pred: A nested structure of tensors.
            names: The model's names for them. Those in a dict are named by their keys.
        """
        paths, leaves, structure = trees.flatten_with_path(y_pred, none_is_leaf=True)
        if isinstance(y_pred, Mapping) or names is None or len(names) != len(leaves):
            names = [_name(path) for path in paths]
        return cls(structure, tuple(names))

    @property
    def single(self) -> bool:
        """Whether there is one output."""
        return len(self.names) == 1

    def flatten(self, tree: Any, argument: str) -> list[Any]:
        """The parts of `tree` that belong to the outputs, in their order.

        Args:
            tree: Of the structure of the outputs; or a list, or a dict by name, with
                one item for each output. None stands for None everywhere.
            argument: What it is called in messages.

        Raises:
            ValueError: If `tree` does not fit.
        """
        if tree is None:
            return [None] * len(self.names)
        leaves, structure = trees.flatten(tree, none_is_leaf=True)
        if structure == self.structure:
            return leaves
        if isinstance(tree, Mapping) and set(tree) == set(self.names):
            return [tree[name] for name in self.names]
        listed = isinstance(tree, (list, tuple))
        if listed and len(leaves) == len(tree) == len(self.names):
            return leaves
        if self.single and len(leaves) == 1:
            return leaves
        raise ValueError(
            f"`{argument}` must have the structure of the model's outputs, "
            f"{self._described()}. Received: {argument} of structure {_shown(structure)}"
        )

    def assign(self, given: Any, argument: str) -> list[Any]:
        """The item of `given` for each output.

        Args:
            given: One item, which is for every output; a list with one item for each; or
                a dict by output name.
            argument: What it is called in messages.

        Raises:
            ValueError: If a list has the wrong length, or a dict an unknown name.
        """
        if isinstance(given, Mapping):
            unknown = [name for name in given if name not in self.names]
            if unknown:
                raise ValueError(
                    f"`{argument}` names outputs that the model does not have. Expected "
                    f"keys among {list(self.names)}. Received: {argument} with the keys "
                    f"{list(given)}"
                )
            return [given.get(name) for name in self.names]
        if not isinstance(given, (list, tuple)):
            return [given] * len(self.names)
        if len(given) != len(self.names):
            raise ValueError(
                f"`{argument}` must have one entry for each output of the model, "
                f"{self._described()}. Received: {argument} with {len(given)} entries: "
                f"{given}"
            )
        return list(given)

    def _described(self) -> str:
        return f"{_shown(self.structure)} named {list(self.names)}"


def _name(path: tuple[Any, ...]) -> str:
    if not path:
        return "output"
    if len(path) == 1 and isinstance(path[0], int):
        return f"output_{path[0]}"
    return "_".join(map(str, path))


def _shown(structure: Any) -> str:
    """A tree structure as in ``[*, {'a': *}]``."""
    return str(structure).removeprefix("PyTreeSpec(").partition(", NoneIsLeaf")[0]
