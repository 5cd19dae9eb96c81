"""The way to compile what an artifact holds, imported when something is to be compiled.

Running what was compiled before needs neither passes nor code generation, which take
longer to import than a small program takes to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from graphc.files.container import check_keys
from graphc.ir.errors import GraphcError, LoadError
from graphc.ir.graph import Graph

if TYPE_CHECKING:
    from graphc.artifacts.contents import Contents
    from graphc.artifacts.programs import Programs
    from graphc.runtime.options import CompileOptions

NOT_KEPT = ("target", "lock")
"""The options of a compile that the manifest does not say: the one is chosen when an
artifact is loaded, the other is a member."""


def kept_options(options: CompileOptions) -> dict[str, Any]:
    """What a manifest says of options."""
    named = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in named.items() if name not in NOT_KEPT}


def checked_options(found: Any) -> Mapping[str, Any]:
    """What a manifest says of options, if it is what a compile can be asked for.

    Raises:
        LoadError: If it is not.
    """
    from graphc.runtime.options import CompileOptions

    known = {field.name for field in fields(CompileOptions)} - {*NOT_KEPT}
    check_keys(found, known, "an artifact's options")
    if not isinstance(found["passes"], str | None) or found["check"] is not None:
        raise LoadError("an artifact's options are none")
    try:
        CompileOptions(**found)
    except (GraphcError, TypeError) as error:
        raise LoadError(f"an artifact's options are none: {error}") from error
    return found


def programs(graph: Graph, contents: Contents, trusted: bool) -> Programs:
    """What compiles an artifact's graph."""
    from graphc.artifacts.programs import Programs
    from graphc.runtime.options import CompileOptions

    options = CompileOptions(**contents.options, lock=contents.lock)
    return Programs(graph, contents.contract, options, trusted)
