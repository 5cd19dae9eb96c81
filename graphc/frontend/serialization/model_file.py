"""Writing a model to one file: its layers, the graphs of users' code, all state."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from graphc.files.container import Chunks, Format, checked_path, write_container
from graphc.files.json_text import dump_json
from graphc.files.tensors import make_header, tensor_bytes
from graphc.frontend.seeds import drawing_path
from graphc.frontend.serialization.compile_config import describe_compile
from graphc.frontend.serialization.describe import Description
from graphc.frontend.serialization.variable_paths import (
    canonical_paths,
    created_trainable,
    variable_paths,
)
from graphc.frontend.variables import Variable
from graphc.ir.printer import print_module

FORMAT = Format("graphc-model", 1)

SUFFIX = ".graphc"

CONFIG, GRAPH, WEIGHTS = "config.json", "graph.gir", "weights.safetensors"

MODEL, OPTIMIZER = "model/", "optimizer/"
"""What the names of tensors start with."""

MAX_JSON = 1 << 26
MAX_GRAPH = 1 << 28
"""The largest config and the largest graph text, in bytes."""

MAX_NAME = 1000
"""How many characters the name of a layer may have."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def save_model(
    model: Any, filepath: str | os.PathLike[str], overwrite: bool = True
) -> None:
    """Saves a model to a file, from which `load_model` makes it again.

    The file holds the architecture, the graphs of the code of custom layers, all
    variables, and, if the model is compiled, the optimizer with its state, the losses
    and the metrics. It holds no code. An existing file is replaced in one step, when
    the new one is complete and on the disk.

    Args:
        model: The model.
        filepath: A name that ends in ``.graphc``.
        overwrite: Whether to replace a file that exists.

    Raises:
        ValueError: If the name has another ending, or the model cannot be saved, with
            the layer and the reason.
        FileExistsError: If the file exists and is not to be replaced.
        OSError: If the file cannot be written; an existing one stays as it was.
    """
    path = checked_path(filepath, SUFFIX, overwrite)
    write_container(path, FORMAT, model_members(model))


def model_members(model: Any) -> dict[str, Chunks]:
    """The members of the file of a model by name, without the manifest."""
    description = Description(model)
    compiled = describe_compile(model, description)
    variables = canonical_paths(model) | description.extra
    state = {f"{MODEL}{path}": variable for path, variable in variables.items()}
    optimizer = model.optimizer if compiled is not None else None
    if optimizer is not None:
        for index, variable in enumerate(optimizer.variables):
            state[f"{OPTIMIZER}{index}"] = variable
    config = {
        "model": description.entry,
        "compile": compiled,
        "optimizer_built": optimizer is not None and optimizer.built,
        "aliases": _aliases(model),
        "frozen": _frozen(model),
        "drawn_as": _drawn_as(description.entry),
    }
    if problem := name_problem(config):
        raise ValueError(
            f"Expected names of layers that fit a file. Received: {problem}"
        )
    members: dict[str, Chunks] = {CONFIG: [_limited(dump_json(config), MAX_JSON)]}
    if description.module.graphs:
        text = print_module(description.module).encode()
        members[GRAPH] = [_limited(text, MAX_GRAPH)]
    members[WEIGHTS] = state_chunks(state, {"format": FORMAT.name})
    return members


def name_problem(config: Any) -> str | None:
    """The first name in a config that is no name: endless, or with control characters."""
    for name in _names(config):
        if len(name) > MAX_NAME or _CONTROL.search(name):
            return f"{name[:80]!a}, {len(name)} characters long"
    return None


def _names(config: Any) -> Iterator[str]:
    """What is called ``name`` in a config, level by level."""
    level = [config]
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if isinstance(name := item.get("name"), str):
                    yield name
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = below


def _limited(data: bytes, limit: int) -> bytes:
    """`data`, if a reader would accept as much."""
    if len(data) > limit:
        raise ValueError(
            f"The model's layers and graphs take {len(data)} bytes of text, more than"
            f" the {limit} that can be loaded. Keep large arrays in weights instead of"
            " arguments and constants."
        )
    return data


def state_chunks(state: Mapping[str, Variable], metadata: Mapping[str, str]) -> Chunks:
    """The bytes of a safetensors file of variables."""
    header = make_header({name: v.type for name, v in state.items()}, metadata)
    arrays = (np.asarray(state[name].array()) for name in header.types)
    return [header.text, *map(tensor_bytes, arrays)]


def _aliases(model: Any) -> dict[str, str]:
    """The further paths of variables that have several, with the one that is used."""
    names = {id(v): path for path, v in canonical_paths(model).items()}
    paths = variable_paths(model).items()
    return {path: names[id(v)] for path, v in paths if names[id(v)] != path}


def _drawn_as(entry: Any) -> dict[str, str]:
    """The names of layers below which random numbers are those of another name."""
    drawn = {name: drawing_path(name) for name in sorted(set(_names(entry)))}
    return {name: other for name, other in drawn.items() if other != name}


def _frozen(model: Any) -> list[str]:
    """The paths of the variables that were made to be trained and are not now."""
    created = created_trainable(model)
    named = canonical_paths(model).items()
    return sorted(p for p, v in named if id(v) in created and not v.trainable)
