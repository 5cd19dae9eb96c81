"""Writes an artifact and entries of a cache in processes that are killed.

The weights of the k-th artifact are all k. What is in the cache is intact after each
kill.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from graphc.artifacts import Contract, load
from graphc.artifacts.building import Source, write_artifact
from graphc.files.store import Store
from graphc.ir import parse
from tests.files.kills import kill_writers

GRAPH = """
graph @f(%x: f32[4], %w: f32[200000] {role="state"}) -> (f32[4], f32[200000]) {
  %0 = add(%w, 1.0) : f32[200000]
  return %x, %0
}
"""

path, store = Path(sys.argv[1]), Store(Path(sys.argv[1]).with_name("cache"))


def write(version: int) -> None:
    state = {"w": np.full(200_000, version, np.float32)}
    made = ("f", "train_step", parse(GRAPH), ("x",), ("y",), state, (0,))
    write_artifact(str(path), Source(*made), Contract({}), ["numpy"])
    key = hashlib.sha256(bytes([version % 5])).hexdigest()
    store.write("xla", key, bytes([version % 5]) * 500_000)


def written() -> int:
    (version,) = set(load(path, "numpy").state["w"].tolist())
    assert store.verify()[1] == 0
    return int(version)


def leftovers() -> list[Path]:
    unfinished = store.directory.glob("*/*/.unfinished-*")
    return [*path.parent.glob(".*.tmp"), *unfinished]


versions, during = kill_writers(write, written, leftovers, int(sys.argv[2]))
print(f"versions={versions} during={during}")
