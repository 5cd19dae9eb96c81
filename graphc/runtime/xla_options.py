"""What XLA is asked for beside a module."""

from __future__ import annotations

import re
from collections.abc import Sequence

from graphc.ir.types import TensorType

_BARRIER = "stablehlo.optimization_barrier"

_LOOP = re.compile(r'^( +)\S.*"stablehlo\.while"\(.*\n(?:\1[ }].*\n)*', re.MULTILINE)
_FUNCTION = re.compile(r"^  func\.func \w+ @(\S+?)\(.*\n(?:   .*\n)*", re.MULTILINE)
_CALL = re.compile(r"func\.call @([^\s(]+)\(")


def compiler_options(text: str, platform: str) -> dict[str, str]:
    """Where XLA must not do as it does by default.

    For CPUs, it takes barriers away before it merges what computes the same, which
    undoes rematerialization. Small loops it makes one kernel of, in whose body it
    aborts at a barrier.
    """
    if platform != "cpu" or _BARRIER not in text:
        return {}
    passes = ["cse_barrier_expander"]
    if _BARRIER in _in_loops(text):
        passes.append("small-while-loop-hoisting")
    return {"xla_disable_hlo_passes": ",".join(passes)}


def _in_loops(text: str) -> str:
    """What stands in the loops of a module, with the functions that they call."""
    functions = {match[1]: match[0] for match in _FUNCTION.finditer(text)}
    found = [match[0] for match in _LOOP.finditer(text)]
    for part in found:
        called = (functions.pop(name, "") for name in _CALL.findall(part))
        found += filter(None, called)
    return "".join(found)


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
