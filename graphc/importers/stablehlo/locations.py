"""MLIR locations as graphc's."""

from __future__ import annotations

from jax.extend.mlir import ir

from graphc.ir.location import Location

_MAX_LENGTH = 1000
"""How many characters of a name are kept."""

_MAX_STEPS = 1000
"""How many locations within a location are looked at."""


def read_location(location: ir.Location) -> Location | None:
    """The place a location names, with the outermost name as its path; None for none.

    Of a call the place of the callee counts, of fused locations the first one.
    """
    name: str | None = None
    pending = [location]
    for _ in range(_MAX_STEPS):
        if not pending:
            break
        each = pending.pop()
        if isinstance(each, ir.FileLineColLoc):
            line, column = max(each.start_line, 1), max(each.start_col, 1)
            return Location(each.filename[:_MAX_LENGTH], line, column, name)
        if isinstance(each, ir.NameLoc):
            name = name or each.name_str[:_MAX_LENGTH] or None
            pending.append(each.child_loc)
        elif isinstance(each, ir.CallSiteLoc):
            pending.append(each.callee)
        elif isinstance(each, ir.FusedLoc):
            pending += list(each.locations)[::-1]
    return None


def given_name(location: ir.Location) -> str | None:
    """The name that a location gives what stands there."""
    return location.name_str if isinstance(location, ir.NameLoc) else None
