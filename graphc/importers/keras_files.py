"""Files that Keras wrote: models and weights, read with h5py and without Keras.

A file is data: names in it stand for layers that graphc has or that users register, and
nothing that it points at outside of itself is opened.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from graphc.files.json_text import load_json
from graphc.files.opening import opened
from graphc.frontend.layers.layer import Layer
from graphc.frontend.models.cloning import model_from_config
from graphc.frontend.models.model import Model
from graphc.frontend.naming import snake_case
from graphc.frontend.random import SeedGenerator
from graphc.frontend.serialization.objects import OPS
from graphc.frontend.serialization.weights_file import (
    assign_all,
    mismatch,
    refuse_mismatches,
)
from graphc.frontend.variables import Variable
from graphc.ir import TensorType, dtype
from graphc.ir.errors import LoadError

try:
    import h5py
except ImportError as error:
    raise ImportError(
        "Reading files of Keras needs h5py: pip install graphc[keras]"
    ) from error

__all__ = ["from_keras", "load_keras_weights"]

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_OPS = "keras.src.ops."
_LEFT_OUT = {"build_config", "compile_config", "shared_object_id"}
_UNUSED: dict[str, Any] = {
    "quantization_config": None,
    "renorm": False,
    "rms_scaling": False,
    "sparse": False,
}
"""Options that graphc's layers lack, with the value that means nothing."""


def from_keras(
    filepath: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None = None
) -> Model:
    """The model in a ``.keras`` file, with its weights; it is not compiled.

    Args:
        filepath: A file that Keras 3 saved: a functional or sequential model, or one
            whose class is registered.
        custom_objects: Classes and functions of your own by name.

    Raises:
        LoadError: If it is no such file, or weights do not fit.
        ValueError: If it names layers that graphc does not have.

    Example:
        ``model = graphc.from_keras("model.keras")``
    """
    path = os.fsdecode(filepath)
    config, weights = _members(path)
    model = model_from_config(_translated(config), custom_objects)
    if not model.built:
        raise LoadError(
            f"{path}: the model is not built by its config",
            hint="make it, build it, and give it to load_keras_weights",
        )
    _load(model, weights, path)
    return model


def load_keras_weights(model: Layer, filepath: str | os.PathLike[str]) -> None:
    """Sets the weights of a model to those of a ``.weights.h5`` or ``.keras`` file.

    Args:
        model: A built model of the same layers, in the same order or under the same
            attributes, as the one in Keras.
        filepath: The file's name.

    Raises:
        LoadError: If it is no such file, or lists the first weights that do not fit;
            the model is as it was.

    Example:
        ``graphc.importers.keras_files.load_keras_weights(model, "m.weights.h5")``
    """
    path = os.fsdecode(filepath)
    if path.endswith(".keras"):
        weights = _members(path)[1]
    else:
        with opened(path) as file:
            weights = file.read()
    _load(model, weights, path)


def _members(path: str) -> tuple[Any, bytes]:
    """The config and the bytes of the weights of a ``.keras`` file."""
    with opened(path) as file:
        try:
            archive = zipfile.ZipFile(file)
            found = {info.filename: info for info in archive.infolist()}
            for name in (_CONFIG, _WEIGHTS):
                if name not in found:
                    raise LoadError(f"{path}: no file of Keras 3: it has no {name!r}")
                if found[name].compress_type != zipfile.ZIP_STORED:
                    raise LoadError(f"{path}: {name!r} is compressed, as by no Keras")
            return load_json(archive.read(_CONFIG), _CONFIG), archive.read(_WEIGHTS)
        except zipfile.BadZipFile as error:
            raise LoadError(f"{path}: no file of Keras 3: {error}") from error


# -- configs ---------------------------------------------------------------------------


def _translated(config: Any) -> Any:
    """A config of Keras as graphc writes it."""
    if isinstance(config, list):
        return [_translated(item) for item in config]
    if not isinstance(config, dict):
        return config
    module, name = config.get("module"), config.get("class_name")
    if isinstance(module, str) and module.startswith(_OPS):
        return _operation(config)
    kept = {k: _translated(v) for k, v in config.items() if k not in _LEFT_OUT}
    if name == "Functional":
        kept |= {"module": "keras.layers", "registered_name": None}
    if module == "keras.layers" and isinstance(kept.get("config"), dict):
        kept["config"] = _used_options(kept["config"], config)
    return kept


def _used_options(options: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """The options of a layer without those that say what is so in graphc anyway."""
    if entry["class_name"] == "InputLayer":
        return {name: options[name] for name in ("batch_shape", "dtype", "name")}
    unused = {k for k, v in _UNUSED.items() if k in options and options[k] is v}
    if "renorm" in unused:
        unused |= {"renorm_clipping", "renorm_momentum"}
    return {name: given for name, given in options.items() if name not in unused}


def _operation(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry of an op, whose options Keras keeps apart from its calls."""
    name = snake_case(str(entry["class_name"]))
    if name not in OPS:
        raise LoadError(f"graphc has no operation {name[:80]!a} for a model's calls")
    options = {
        key: _translated(given)
        for key, given in entry["config"].items()
        if key not in ("name", "dtype") and given is not None
    }
    nodes = [
        {"args": node["args"], "kwargs": {**options, **node["kwargs"]}}
        for node in entry["inbound_nodes"]
    ]
    return {
        "name": entry["name"],
        "module": "graphc.ops",
        "class_name": "function",
        "config": name,
        "registered_name": "function",
        "inbound_nodes": nodes,
    }


# -- weights ---------------------------------------------------------------------------


def _load(model: Layer, data: bytes, path: str) -> None:
    """Compares all weights first, then assigns them."""
    found: dict[int, tuple[Variable, np.ndarray[Any, Any]]] = {}
    problems: list[str] = []
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            _check_links(file)
            for variable, name, stored in _pairs(model, file, "", problems):
                problem = _difference(variable, stored)
                if problem:
                    problems.append(f"{name}: {problem}")
                else:
                    found[id(variable)] = variable, np.asarray(stored[()])
    except (OSError, RuntimeError, KeyError) as error:
        raise LoadError(f"{path}: no weights of Keras 3: {error}") from error
    problems += [
        f"{variable.path}: not in the file"
        for variable in model.weights
        if id(variable) not in found
    ]
    refuse_mismatches(f"'{model.name}'", problems)
    assign_all(list(found.values()))


def _check_links(group: Any) -> None:
    """Refuses a file with links, which may lead to other files."""
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise LoadError(f"the weights hold a link: {group.name}/{ascii(key)[:80]}")
        if isinstance(group[key], h5py.Group):
            _check_links(group[key])


def _difference(variable: Variable, stored: Any) -> str | None:
    """Why a data set cannot be the value of a variable, if it cannot."""
    if not isinstance(stored, h5py.Dataset) or stored.dtype.kind not in "fiub":
        return "the file has no numbers"
    if stored.external or stored.is_virtual:
        return "the file has its numbers elsewhere"
    return mismatch(variable, TensorType(stored.shape, dtype(stored.dtype)))


def _pairs(
    layer: Layer, group: Any, name: str, problems: list[str]
) -> Iterator[tuple[Variable, str, Any]]:
    """The variables of a layer, with what the file has for them and how it calls that."""
    for key in group:
        inner = f"{name}/{key}" if name else key
        part = group[key]
        if key == "vars" and len(part):
            own = layer.own_variables()
            if len(own) != len(part):
                problems.append(f"{inner}: {len(part)} of {len(own)} variables")
            for number, variable in enumerate(own[: len(part)]):
                yield variable, f"{inner}/{number}", part[str(number)]
        elif key != "vars" and not (key == "optimizer" and not name):
            yield from _child_pairs(layer, key, part, inner, problems)


def _child_pairs(
    layer: Layer, key: str, part: Any, name: str, problems: list[str]
) -> Iterator[tuple[Variable, str, Any]]:
    """The variables of what a layer has under an attribute."""
    child = getattr(layer, key, getattr(layer, f"_{key}", None))
    if isinstance(child, Layer):
        yield from _pairs(child, part, name, problems)
    elif isinstance(child, (list, tuple, dict)):
        held = child.values() if isinstance(child, dict) else child
        named = _named([item for item in held if isinstance(item, Layer)])
        for entry in part:
            if entry in named:
                inner = f"{name}/{entry}"
                yield from _pairs(named[entry], part[entry], inner, problems)
            elif _has_data(part[entry]):
                problems.append(f"{name}/{entry}: not in the model")
    elif not isinstance(child, SeedGenerator) and _has_data(part):
        problems.append(f"{name}: not in the model")


def _named(layers: list[Layer]) -> dict[str, Layer]:
    """Layers of a list by the names of their classes, counted, as Keras calls them."""
    named: dict[str, Layer] = {}
    counts: dict[str, int] = {}
    for layer in layers:
        kind = "Functional" if type(layer) is Model else type(layer).__name__
        name = snake_case(kind)
        counts[name] = counts.get(name, -1) + 1
        named[f"{name}_{counts[name]}" if counts[name] else name] = layer
    return named


def _has_data(part: Any) -> bool:
    """Whether a group holds data sets, or is one."""
    return not hasattr(part, "keys") or any(_has_data(part[key]) for key in part)
