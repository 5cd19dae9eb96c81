"""How the kernels of attention are cut into tiles, for each architecture."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.codegen.triton.attention.facts import Attention, padded


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a kernel is cut into tiles, and how much runs at a time.

    Attributes:
        rows: How many queries a tile has.
        keys: How many keys a tile has.
        num_warps: How many warps run a program.
        num_stages: How many blocks that are visited are in flight.
    """

    rows: int
    keys: int
    num_warps: int
    num_stages: int


_SCHEDULES: dict[tuple[str, str, int], dict[int, Schedule]] = {
    ("forward", "sm_80", 16): {
        64: Schedule(128, 64, 4, 2),
        128: Schedule(128, 64, 8, 3),
        256: Schedule(64, 64, 8, 2),
    },
    ("forward", "sm_80", 32): {
        64: Schedule(32, 32, 4, 2),
        128: Schedule(32, 32, 4, 2),
        256: Schedule(32, 16, 4, 2),
    },
    ("forward", "sm_90", 16): {
        64: Schedule(128, 64, 4, 3),
        128: Schedule(128, 64, 8, 3),
        256: Schedule(64, 64, 8, 2),
    },
    ("forward", "sm_90", 32): {
        64: Schedule(32, 32, 4, 2),
        128: Schedule(32, 16, 4, 2),
        256: Schedule(32, 16, 4, 2),
    },
    ("query_gradient", "sm_80", 16): {
        64: Schedule(64, 64, 4, 3),
        128: Schedule(64, 64, 4, 2),
        256: Schedule(64, 32, 8, 2),
    },
    ("query_gradient", "sm_80", 32): {
        64: Schedule(32, 32, 4, 2),
        128: Schedule(32, 16, 4, 2),
        256: Schedule(16, 16, 4, 2),
    },
    ("query_gradient", "sm_90", 16): {
        64: Schedule(128, 64, 8, 3),
        128: Schedule(128, 64, 8, 2),
        256: Schedule(64, 32, 8, 2),
    },
    ("query_gradient", "sm_90", 32): {
        64: Schedule(32, 32, 4, 2),
        128: Schedule(32, 16, 4, 2),
        256: Schedule(16, 16, 4, 2),
    },
    ("key_value_gradient", "sm_80", 16): {
        64: Schedule(64, 128, 8, 2),
        128: Schedule(64, 64, 8, 2),
        256: Schedule(32, 32, 8, 2),
    },
    ("key_value_gradient", "sm_80", 32): {
        64: Schedule(32, 32, 4, 2),
        128: Schedule(16, 32, 4, 2),
        256: Schedule(16, 16, 4, 2),
    },
    ("key_value_gradient", "sm_90", 16): {
        64: Schedule(64, 128, 8, 2),
        128: Schedule(32, 128, 8, 2),
        256: Schedule(32, 32, 8, 2),
    },
    ("key_value_gradient", "sm_90", 32): {
        64: Schedule(16, 32, 4, 2),
        128: Schedule(16, 32, 4, 2),
        256: Schedule(16, 16, 4, 2),
    },
    ("forward", "gfx942", 16): {
        64: Schedule(128, 64, 4, 1),
        128: Schedule(128, 64, 4, 1),
        256: Schedule(64, 32, 4, 1),
    },
    ("forward", "gfx942", 32): {
        64: Schedule(32, 32, 4, 1),
        128: Schedule(32, 16, 4, 1),
        256: Schedule(32, 16, 4, 1),
    },
    ("query_gradient", "gfx942", 16): {
        64: Schedule(64, 64, 4, 1),
        128: Schedule(64, 64, 4, 1),
        256: Schedule(32, 32, 4, 1),
    },
    ("query_gradient", "gfx942", 32): {
        64: Schedule(32, 32, 4, 1),
        128: Schedule(32, 16, 4, 1),
        256: Schedule(16, 16, 4, 1),
    },
    ("key_value_gradient", "gfx942", 16): {
        64: Schedule(64, 64, 4, 1),
        128: Schedule(64, 64, 4, 1),
        256: Schedule(32, 32, 4, 1),
    },
    ("key_value_gradient", "gfx942", 32): {
        64: Schedule(32, 32, 4, 1),
        128: Schedule(16, 32, 4, 1),
        256: Schedule(16, 16, 4, 1),
    },
}
"""For each kernel, architecture and size of an element in bits, by the largest depth."""


def schedule(of: Attention, kernel: str, architecture: str) -> Schedule:
    """The schedule for an attention, with tiles no larger than that.

    Args:
        of: The attention.
        kernel: The name of the template.
        architecture: The name of a GPU's architecture; for one that has no schedules
            of its own those of the nearest are taken.
    """
    depth = max(padded(of.depth), padded(of.width))
    found = _SCHEDULES[kernel, _nearest(architecture), of.bits]
    best = found[next(most for most in found if depth <= most)]
    rows = best.rows
    if kernel == "key_value_gradient" and of.mask and of.mask[2]:
        rows = min(rows, 32)  # tiles of a mask take registers as well
    return Schedule(
        min(rows, padded(of.time)),
        min(best.keys, padded(of.source)),
        best.num_warps,
        best.num_stages,
    )


def _nearest(architecture: str) -> str:
    """The architecture whose schedules are taken."""
    if architecture.startswith("gfx"):
        return "gfx942"
    return "sm_90" if int(architecture.removeprefix("sm_")) >= 90 else "sm_80"
