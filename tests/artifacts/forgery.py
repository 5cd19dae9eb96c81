"""Artifacts that nobody would write: parts of a good one changed, all digests right."""

import json
from collections.abc import Callable
from typing import Any

from graphc.artifacts.contents import FORMAT, GRAPH, WEIGHTS
from graphc.files.container import MANIFEST
from tests.files.forgery import Forger


class ArtifactForger(Forger):
    """Makes changed files of an artifact."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, FORMAT)

    def contents(self, change: Callable[[Any], Any]) -> bytes:
        """With contents that `change` changed in place or returned."""
        manifest = json.loads(self.members[MANIFEST])
        changed = change(manifest) or manifest
        return self.pack(self.members | {MANIFEST: json.dumps(changed).encode()})

    def program(self, number: int, **changes: Any) -> bytes:
        """With other facts about a program."""
        return self.contents(lambda m: m["programs"][number].update(changes))

    def graph(self, old: str, new: str) -> bytes:
        """With another graph text."""
        text = self.members[GRAPH].decode()
        assert old in text
        return self.pack(self.members | {GRAPH: text.replace(old, new, 1).encode()})


__all__ = ["GRAPH", "MANIFEST", "WEIGHTS", "ArtifactForger"]
