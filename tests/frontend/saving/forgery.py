"""Saved models that nobody would save: parts of a good file changed, digests right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphc.files.container import MANIFEST
from graphc.frontend.serialization.model_file import CONFIG, FORMAT, GRAPH, WEIGHTS
from tests.files.forgery import STRANGE, Forger
from tests.frontend.saving import zoo


def good_file(folder: Path) -> bytes:
    """A trained model with a layer, a loss and a penalty of users' code."""
    model = zoo.functional()
    model.compile(
        "adam", loss=zoo.absolute_difference, metrics=["mae"], run_eagerly=True
    )
    x, y = zoo.batch("functional")
    model.train_on_batch(x, y)
    path = folder / "good.graphc"
    model.save(path)
    return path.read_bytes()


class ModelForger(Forger):
    """Makes changed files of a saved model."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, FORMAT)

    def config(self, change: Callable[[Any], Any]) -> bytes:
        """With a config that `change` changed in place or returned."""
        config = json.loads(self.members[CONFIG])
        config = change(config) or config
        return self.pack(self.members | {CONFIG: json.dumps(config).encode()})

    def graph(self, old: str, new: str) -> bytes:
        """With another graph text."""
        text = self.members[GRAPH].decode()
        assert old in text
        return self.pack(self.members | {GRAPH: text.replace(old, new, 1).encode()})

    def layer(self, **changes: Any) -> bytes:
        """With another entry for the first Dense layer."""
        return self.config(lambda config: layer_entry(config, "Dense").update(changes))

    def layer_config(self, **changes: Any) -> bytes:
        """With another config for the first Dense layer."""
        return self.config(
            lambda config: layer_entry(config, "Dense")["config"].update(changes)
        )


def layer_entry(config: Any, class_name: str) -> Any:
    """The first entry of a layer of that class."""
    entries = config["model"]["config"]["layers"]
    return next(e for e in entries if e["class_name"] == class_name)


STRANGE_CONFIGS: list[Any] = [
    *STRANGE, {"class_name": "Dense"}, {"class_name": "__tuple__", "items": 3},
    {"class_name": "__numpy__", "config": {"value": [1, [2]], "dtype": "O"}},
    {"class_name": "__keras_tensor__"}, {"class_name": "__tensor__", "config": 99},
]  # fmt: skip

__all__ = ["CONFIG", "GRAPH", "MANIFEST", "WEIGHTS", "ModelForger", "good_file"]
