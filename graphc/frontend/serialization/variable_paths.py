"""The names that variables have in files: the same for every model of one architecture.

A path is made of the names of the layers on the way and the variable's own. Names that
were made up (``dense_7``) are counted anew within each layer, so that they do not depend
on what else the process has created. A variable that is reached in several ways has
several paths; the first one names it.
"""

from __future__ import annotations

import re
from typing import Any

from graphc.frontend.layers.layer import Layer
from graphc.frontend.naming import snake_case
from graphc.frontend.variables import Variable
from graphc.ir.graph import fresh_name


def variable_paths(layer: Layer) -> dict[str, Variable]:
    """The variables of a layer and all layers inside it, by each of their paths."""
    found: dict[str, Variable] = {}
    _collect(layer, "", found, ())
    return found


def canonical_paths(layer: Layer) -> dict[str, Variable]:
    """The variables of a layer and all layers inside it, by the path that names them."""
    first: dict[int, str] = {}
    paths = variable_paths(layer)
    for path, variable in paths.items():
        first.setdefault(id(variable), path)
    return {path: v for path, v in paths.items() if first[id(v)] == path}


def _collect(
    layer: Layer, prefix: str, found: dict[str, Variable], around: tuple[int, ...]
) -> None:
    if id(layer) in around:
        return
    for name, variable in _own(layer):
        found[fresh_name(prefix + name, found)] = variable
    for sublayer, segment in segments(layer):
        _collect(sublayer, f"{prefix}{segment}/", found, (*around, id(layer)))


def segments(layer: Layer) -> list[tuple[Layer, str]]:
    """The layers inside a layer, each with its part of a path."""
    taken: set[str] = set()
    found: list[tuple[Layer, str]] = []
    for sublayer in layer.sublayers():
        segment = fresh_name(_segment(sublayer), taken)
        taken.add(segment)
        found.append((sublayer, segment))
    return found


def _own(layer: Layer) -> list[tuple[str, Variable]]:
    saved: dict[str, Variable] | None = getattr(layer, "saved_variables", None)
    if saved is not None:
        return list(saved.items())
    own: list[Any] = [*layer.own_variables(), *layer.seed_states()]
    return [(variable.name, variable) for variable in own]


def _segment(layer: Layer) -> str:
    """The layer's own name, or its class's if the name was made up from that."""
    given: str | None = getattr(layer, "saved_segment", None)
    if given is not None:
        return given
    made_up = snake_case(getattr(layer, "saved_class", type(layer).__name__))
    if re.fullmatch(rf"{re.escape(made_up)}(_[0-9]+)?", layer.name):
        return made_up
    return layer.name


def seed_state_ids(layer: Layer) -> set[int]:
    """The ids of the variables that hold random state and not weights."""
    return {id(v) for inner in layer._flatten_layers() for v in inner.seed_states()}


def created_trainable(layer: Layer) -> set[int]:
    """The ids of the variables that were created to be trained, frozen now or not."""
    return {id(v) for inner in layer._flatten_layers() for v in inner._own_trainable}
