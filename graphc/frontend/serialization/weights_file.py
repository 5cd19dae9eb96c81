"""Weights alone, in a safetensors file that any tool for the format reads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.files.atomic_file import write_file
from graphc.files.container import checked_path
from graphc.files.opening import opened
from graphc.files.tensors import (
    FORMAT,
    UNSEALED,
    WEIGHTS,
    Seal,
    file_size,
    read_header,
    read_tensors,
    sealed,
)
from graphc.frontend.layers.layer import Layer
from graphc.frontend.serialization.model_file import state_chunks
from graphc.frontend.serialization.variable_paths import (
    canonical_paths,
    seed_state_ids,
    variable_paths,
)
from graphc.frontend.variables import Variable
from graphc.ir import TensorType
from graphc.ir.errors import LoadError

SUFFIX = ".safetensors"

SHOWN = 5
"""How many mismatches an error lists."""


def save_weights(
    model: Any, filepath: str | os.PathLike[str], overwrite: bool = True
) -> None:
    """Saves the weights of a model, and the states of its random generators.

    Args:
        model: The model.
        filepath: A name that ends in ``.safetensors``.
        overwrite: Whether to replace a file that exists.

    Raises:
        ValueError: If the name has another ending, or the model is not built.
        FileExistsError: If the file exists and is not to be replaced.
        OSError: If the file cannot be written; an existing one stays as it was.
    """
    path = checked_path(filepath, SUFFIX, overwrite)
    state = canonical_paths(model)
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built, so it has no weights yet. Build it"
            " with model.build(input_shape) or by calling it."
        )
    write_file(path, sealed(state_chunks(state, {FORMAT: WEIGHTS, **UNSEALED})))


def load_weights(
    model: Any, filepath: str | os.PathLike[str], skip_mismatch: bool = False
) -> None:
    """Sets the weights of a model to those of a file.

    All names, shapes and dtypes are compared first, and the data are read and checked,
    before anything is assigned.

    Args:
        model: A model of the architecture that the weights were saved from.
        filepath: A name that ends in ``.safetensors``.
        skip_mismatch: Whether to load what fits, with a warning for each weight that
            does not.

    Raises:
        ValueError: If the name has another ending or the model is not built.
        LoadError: If the file is damaged or does not fit; lists the first mismatches.
            The model is as it was.
    """
    path = checked_path(filepath, SUFFIX, True)
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built, so it has no weights to load into."
            " Build it with model.build(input_shape) or by calling it."
        )
    with opened(path) as file:
        header = read_header(file, file_size(file))
        targets = match_variables(model, header.types, skip_mismatch)
        seal = Seal(header)
        arrays = dict(read_tensors(file, header, [seal]))
        seal.check()
    assign_all([(variable, arrays[name]) for variable, name in targets])


def match_variables(
    model: Layer, types: Mapping[str, TensorType], skip_mismatch: bool = False
) -> list[tuple[Variable, str]]:
    """The variables of a model, each with the name of its tensor in a file.

    Random state may be missing on either side.

    Args:
        model: The model.
        types: The tensors of the file.
        skip_mismatch: Whether to warn of what does not fit and leave it out.

    Raises:
        LoadError: Listing the first mismatches, if there are any.
    """
    seeds = seed_state_ids(model)
    paths: dict[int, list[str]] = {}
    variables: dict[int, Variable] = {}
    for path, variable in variable_paths(model).items():
        paths.setdefault(id(variable), []).append(path)
        variables[id(variable)] = variable
    problems: list[str] = []
    found: list[tuple[Variable, str]] = []
    used: set[str] = set()
    for key, variable in variables.items():
        names = [path for path in paths[key] if path in types]
        used.update(names)
        if names and (problem := mismatch(variable, types[names[0]])):
            problems.append(f"{names[0]}: {problem}")
        elif names:
            found.append((variable, names[0]))
        elif key not in seeds:
            problems.append(f"{paths[key][0]}: not in the file")
    for name in types.keys() - used:
        if not name.endswith("seed_generator_state"):
            problems.append(f"{shown(name)}: not in the model")
    if not skip_mismatch:
        refuse_mismatches(f"model '{model.name}'", problems)
    for problem in sorted(problems):
        warnings.warn(f"not loaded: {problem}", stacklevel=4)
    return found


def shown(name: str) -> str:
    """A name of unknown origin as a message shows it."""
    return ascii(name)[1:-1][:100]


def mismatch(variable: Variable, found: TensorType) -> str | None:
    """Why a tensor of a file cannot be the value of a variable, if it cannot."""
    wanted = variable.type
    alike = found.dtype is wanted.dtype or (
        found.dtype.is_float and wanted.dtype.is_float
    )
    if found.shape == wanted.shape and alike:
        return None
    return f"the file has {found}, the variable is {wanted}"


def refuse_mismatches(what: str, problems: Sequence[str]) -> None:
    """Raises an error that lists the first problems, if there are any."""
    if not problems:
        return
    listed = sorted(problems)
    shown = "".join(f"\n    {problem}" for problem in listed[:SHOWN])
    rest = f"\n    and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    raise LoadError(f"the file does not fit {what}:{shown}{rest}")


def assign_all(pairs: Sequence[tuple[Variable, np.ndarray[Any, Any]]]) -> None:
    """Gives variables new arrays, which they keep, in one step per state."""
    changed: dict[int, tuple[Any, list[Any]]] = {}
    for variable, array in pairs:
        state = variable.state
        _, arrays = changed.setdefault(id(state), (state, list(state.arrays)))
        wanted = variable.type.dtype.numpy
        arrays[variable.index] = (
            array if array.dtype == wanted else array.astype(wanted)
        )
    for state, arrays in changed.values():
        state.arrays = arrays
