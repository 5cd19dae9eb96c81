"""Comparing models by the paths of their variables."""

from typing import Any

import numpy as np
import optree

from graphc.frontend.serialization.variable_paths import variable_paths


def state_of(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    """All variables of a model and its optimizer, by path."""
    found = {path: v.numpy() for path, v in variable_paths(model).items()}
    if model.optimizer is not None:
        for index, variable in enumerate(model.optimizer.variables):
            found[f"optimizer/{index}"] = variable.numpy()
    return found


def assert_same_state(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Fails unless all that is in both is equal bit for bit, and all is in `found`
    that the original has by a path of its own."""
    shared = found.keys() & wanted.keys()
    assert len(shared) >= min(len(found), len(wanted)) - 1
    for name in shared:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


def assert_same_outputs(found: Any, wanted: Any) -> None:
    """Fails unless both have the same structure and equal arrays."""
    a, b = optree.tree_leaves(found), optree.tree_leaves(wanted)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
