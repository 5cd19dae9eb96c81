"""What XLA compiled is kept between processes, and never makes a program fail."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from graphc.files.store import Store
from graphc.ir import parse
from graphc.runtime import xla_cache
from graphc.runtime.compile import compile_graph
from graphc.runtime.xla_cache import StoredExecutables, keeping

GRAPH = """
graph @f(%x: f32[8]) -> (f32[8]) {
  %0 = exponential(%x) : f32[8]
  %1 = add(%0, 1.0) : f32[8]
  return %1
}
"""
X = np.linspace(-1, 1, 8, dtype=np.float32)


class Counting:
    """Executables in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.hits = 0

    def read(self, key: str) -> bytes | None:
        self.hits += key in self.kept
        return self.kept.get(key)

    def write(self, key: str, payload: bytes) -> None:
        self.kept[key] = payload


def compiled_twice(kept: Counting) -> None:
    for _ in range(2):
        lowered = jax.jit(lambda x: x * 2 + 1).lower(X)
        with keeping(kept):
            run = lowered.compile()
        np.testing.assert_array_equal(run(X), X * 2 + 1)


def test_what_was_compiled_is_found():
    kept = Counting()
    compiled_twice(kept)
    assert (len(kept.kept), kept.hits) == (1, 1)


def test_other_processors_have_other_keys(monkeypatch: pytest.MonkeyPatch):
    kept = Counting()
    compiled_twice(kept)
    monkeypatch.setattr(xla_cache, "processor", lambda: "another")
    compiled_twice(kept)
    assert len(kept.kept) == 2


def test_jax_has_its_own_cache_back():
    before = xla_cache.compilation_cache._cache
    with keeping(Counting()):
        assert xla_cache.compilation_cache._cache is not before
    assert xla_cache.compilation_cache._cache is before


def test_a_jax_without_such_a_cache(monkeypatch: pytest.MonkeyPatch):
    kept = Counting()
    monkeypatch.setattr(xla_cache, "_works", lambda: False)
    compiled_twice(kept)
    assert not kept.kept


SCRIPT = f"""
import sys, jax, numpy as np
from graphc.ir import parse
from graphc.runtime.compile import compile_graph
hits = []
jax.monitoring.register_event_listener(lambda name, **k: hits.append(name))
run = compile_graph(parse('''{GRAPH}'''))
print(float(np.sum(run(np.linspace(-1, 1, 8, dtype=np.float32))[0])))
print(sum("cache_hits" in h for h in hits), sum("cache_misses" in h for h in hits))
"""


def started(cache: Path) -> list[str]:
    environment = os.environ | {"GRAPHC_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:2]


def test_the_second_start_compiles_nothing_and_damage_heals(tmp_path: Path):
    cache = tmp_path / "cache"
    first, second = started(cache), started(cache)
    assert first[1].split()[0] == "0"
    assert second[1] == "1 0"
    assert first[0] == second[0]
    (entry,) = Store(cache).entries()
    content = entry.path.read_bytes()
    entry.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    healed = started(cache)
    assert (healed[0], healed[1].split()[0]) == (first[0], "0")
    assert started(cache)[1] == "1 0"


def test_a_cache_that_cannot_be_used_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    with caplog.at_level(logging.WARNING, "graphc"):
        (found,) = compile_graph(parse(GRAPH))(X)
    assert float(found[0]) > 1
    assert [r.getMessage().count("others may write") for r in caplog.records] == [1]
    assert not list((tmp_path / "cache").iterdir())


def test_executables_are_kept_by_kind(tmp_path: Path):
    store = Store(tmp_path / "cache")
    kept = StoredExecutables(store)
    kept.write("0" * 64, b"code")
    assert kept.read("0" * 64) == b"code"
    assert [entry.kind for entry in store.entries()] == ["xla"]
