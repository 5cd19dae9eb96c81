"""Models and weights as what is attacked."""

import json
from pathlib import Path
from typing import Any

import graphc
from graphc.frontend.serialization.variable_paths import variable_paths

SUFFIXES = (".graphc", ".safetensors")


def warm_up(good: list[Path]) -> None:
    """Loads good files."""
    build_small()
    for path in good:
        fingerprint(load(path))


def load(path: Path) -> Any:
    """Loads a model or, by its ending, weights."""
    if path.suffix != ".safetensors":
        return graphc.load_model(path)
    model = build_small()
    model.load_weights(path)
    return model


def build_small() -> Any:
    return graphc.Sequential([graphc.Input((4,)), graphc.layers.Dense(3, name="d")])


def fingerprint(model: Any) -> str:
    """The architecture and the state of a model as text."""
    state = {
        path: v.numpy().tobytes().hex() for path, v in variable_paths(model).items()
    }
    if model.optimizer is not None:
        for i, variable in enumerate(model.optimizer.variables):
            state[str(i)] = variable.numpy().tobytes().hex()
    names = [(type(x).__name__, x.name) for x in model._flatten_layers()]
    return json.dumps([names, state], sort_keys=True)
