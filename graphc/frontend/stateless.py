"""Running code that assigns variables as a function from old values to new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.frontend.variables import Variable

__all__ = ["call_stateless"]


def call_stateless(
    variables: Sequence[Variable], values: Sequence[Any], function: Callable[[], Any]
) -> tuple[Any, list[Any]]:
    """Calls `function` while `variables` have `values`; they keep their own.

    Args:
        variables: What the function reads and assigns.
        values: The value that each has when the function starts.
        function: Takes no arguments.

    Returns:
        What the function returned, and the values of the variables at its end.

    Raises:
        ValueError: If there is not one value per variable.
    """
    if len(variables) != len(values):
        raise ValueError(
            "Expected one value for each variable. Received: "
            f"{len(values)} values for the {len(variables)} variables "
            f"{[v.path for v in variables]}"
        )
    kept = [variable.value for variable in variables]
    try:
        for variable, given in zip(variables, values, strict=True):
            variable.assign(given)
        result = function()
        return result, [variable.value for variable in variables]
    finally:
        for variable, own in zip(variables, kept, strict=True):
            variable.assign(own)
