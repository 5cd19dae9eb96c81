"""Files that nobody would save: parts of a good file changed, all digests right."""

import copy
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphc.files import container
from graphc.files.archive import archive_chunks
from graphc.frontend.serialization import model_file
from tests.frontend.saving import zoo

CONFIG, GRAPH, MANIFEST, WEIGHTS = (
    model_file.CONFIG, model_file.GRAPH, container.MANIFEST, model_file.WEIGHTS
)  # fmt: skip


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


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(members: dict[str, bytes], manifest: bool = True) -> bytes:
    """An archive of members, with a new manifest unless they bring one."""
    parts: dict[str, Any] = {name: [data] for name, data in members.items()}
    if manifest:
        del parts[MANIFEST]
        parts[MANIFEST] = [container.make_manifest(model_file.FORMAT, parts, {})]
    names = sorted(parts)
    listed = [container._member(name, parts[name]) for name in names]
    return b"".join(archive_chunks(listed, [parts[name] for name in names]))


class Forger:
    """Makes changed files of a good one."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.members = members_of(data)

    def replaced(self, **parts: bytes) -> bytes:
        """With other data for members; names have underscores for dots."""
        named = {name.replace("__", "."): data for name, data in parts.items()}
        return pack(self.members | named)

    def config(self, change: Callable[[Any], Any]) -> bytes:
        """With a config that `change` changed in place or returned."""
        config = json.loads(self.members[CONFIG])
        config = change(config) or config
        return pack(self.members | {CONFIG: json.dumps(config).encode()})

    def manifest(self, change: Callable[[Any], Any]) -> bytes:
        """With a manifest that `change` changed in place or returned."""
        manifest = json.loads(self.members[MANIFEST])
        manifest = change(manifest) or manifest
        members = self.members | {MANIFEST: json.dumps(manifest).encode()}
        return pack(members, manifest=False)

    def graph(self, old: str, new: str) -> bytes:
        """With another graph text."""
        text = self.members[GRAPH].decode()
        assert old in text
        return pack(self.members | {GRAPH: text.replace(old, new, 1).encode()})

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


def mutate(data: bytes, rng: Any) -> bytes:
    """Data with one to three random changes of random kinds."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, max(1, len(changed))))
        length = int(rng.integers(1, 40))
        kind = int(rng.integers(0, 6))
        if kind == 0 and changed:
            changed[place % len(changed)] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            changed[place:place] = rng.bytes(length)
        elif kind == 3:
            changed[place : place + length] = bytes(length)
        elif kind == 4:
            other = int(rng.integers(0, max(1, len(changed))))
            changed[place:place] = changed[other : other + length]
        else:
            del changed[place:]
    return bytes(changed)


STRANGE: list[Any] = [
    None, True, -1, 0, 2**31, 2**70, 1e300, "", "x", "../../etc/passwd", [], [[]], {},
    {"class_name": "Dense"}, {"class_name": "__tuple__", "items": 3},
    {"class_name": "__numpy__", "config": {"value": [1, [2]], "dtype": "O"}},
    {"class_name": "__keras_tensor__"}, {"class_name": "__tensor__", "config": 99},
    "os.system", ["x", 0, 0],
]  # fmt: skip


def mutate_json(value: Any, rng: Any) -> Any:
    """JSON with one value exchanged for a strange one, moved, or left out."""
    changed = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []

    def collect(item: Any) -> None:
        keys = range(len(item)) if isinstance(item, list) else list(item)
        for key in keys:
            places.append((item, key))
            if isinstance(item[key], (list, dict)):
                collect(item[key])

    collect(changed)
    container, key = places[int(rng.integers(0, len(places)))]
    kind = int(rng.integers(0, 4))
    if kind == 0:
        del container[key]
    elif kind == 1:
        other, other_key = places[int(rng.integers(0, len(places)))]
        container[key] = copy.deepcopy(other[other_key])
    else:
        container[key] = STRANGE[int(rng.integers(0, len(STRANGE)))]
    return changed
