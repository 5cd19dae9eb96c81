"""What XLA is asked for beside a module."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.types import TensorType


def compiler_options(text: str, platform: str) -> dict[str, str]:
    """Where XLA must not do as it does by default.

    For CPUs, it takes barriers away before it merges what computes the same, which
    undoes rematerialization.
    """
    if platform == "cpu" and "stablehlo.optimization_barrier" in text:
        return {"xla_disable_hlo_passes": "cse_barrier_expander"}
    return {}


def aliases(
    donate: Sequence[int], types: Sequence[TensorType], returned: Sequence[TensorType]
) -> dict[int, int]:
    """For each donated position that a result can use, that result.

    A parameter's memory goes to the first result of its type that has none yet.
    """
    free: dict[TensorType, list[int]] = {}
    for place, type in enumerate(returned):
        free.setdefault(type, []).append(place)
    found: dict[int, int] = {}
    for position in donate:
        if places := free.get(types[position]):
            found[position] = places.pop(0)
    return found
