"""What Keras returned, recorded: it compiles every call, which takes minutes.

``pytest --update-golden`` on a test file calls Keras and writes the file's archive
again. Results are found by the test's name and their order in it.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TESTS = Path(__file__).parents[1]


class Archive:
    """The results of the tests of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrays: dict[str, np.ndarray] = {}
        if path.exists():
            with np.load(path) as stored:
                self.arrays = dict(stored)

    def put(self, key: str, tree: Any) -> None:
        """Stores a nest of dicts, lists, tuples, text, numbers and arrays."""
        leaves: list[np.ndarray] = []
        text = json.dumps(_encode(tree, leaves))
        self.arrays[key] = np.frombuffer(text.encode(), np.uint8)
        self.arrays.update({f"{key}.{i}": leaf for i, leaf in enumerate(leaves)})

    def get(self, key: str) -> Any:
        """What `put` stored."""
        tree = json.loads(self.arrays[key].tobytes())
        return _decode(tree, lambda index: self.arrays[f"{key}.{index}"])

    def clear(self, test: str) -> None:
        """Forgets what a test stored."""
        for key in [key for key in self.arrays if key.startswith(f"{test}/")]:
            del self.arrays[key]

    def write(self) -> None:
        """Writes the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(self.path, allow_pickle=False, **self.arrays)


def _encode(tree: Any, leaves: list[np.ndarray]) -> Any:
    if isinstance(tree, dict):
        return {"dict": {k: _encode(v, leaves) for k, v in tree.items()}}
    if isinstance(tree, (list, tuple)):
        return {type(tree).__name__: [_encode(v, leaves) for v in tree]}
    if tree is None or isinstance(tree, (str, bool, int, float)):
        return tree
    leaves.append(np.asarray(tree))
    return {"array": len(leaves) - 1}


def _decode(tree: Any, array: Callable[[int], Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, parts),) = tree.items()
    if kind == "array":
        return array(parts)
    if kind == "dict":
        return {k: _decode(v, array) for k, v in parts.items()}
    decoded = [_decode(v, array) for v in parts]
    return tuple(decoded) if kind == "tuple" else decoded


class Recorded:
    """Returns what functions returned when they were recorded.

    Attributes:
        live: Whether functions are called now, to record them.
    """

    def __init__(self, archive: Archive, test: str, live: bool) -> None:
        self.archive = archive
        self.test = test
        self.live = live
        self._count = 0

    def __call__(self, function: Callable[[], Any]) -> Any:
        key = f"{self.test}/{self._count}"
        self._count += 1
        if self.live:
            self.archive.put(key, function())
        elif key not in self.archive.arrays:
            pytest.fail(f"{key} was not recorded; run with --update-golden", False)
        return self.archive.get(key)


@pytest.fixture(scope="module")
def archive(request: pytest.FixtureRequest) -> Iterator[Archive]:
    """The archive of a test file, written at the end with --update-golden."""
    path = request.path.relative_to(TESTS).with_suffix(".npz")
    found = Archive(TESTS / "golden" / path)
    yield found
    if request.config.getoption("update_golden"):
        found.write()


@pytest.fixture
def recorded(request: pytest.FixtureRequest, archive: Archive) -> Recorded:
    """Returns what functions of this test returned when it was recorded."""
    live = request.config.getoption("update_golden")
    if live:
        archive.clear(request.node.name)
    return Recorded(archive, request.node.name, live)


@pytest.fixture
def keras(recorded: Recorded) -> Any:
    """Keras while recording, else None."""
    return pytest.importorskip("keras") if recorded.live else None
