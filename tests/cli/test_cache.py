"""``graphc cache``."""

from pathlib import Path

import pytest

from graphc.files.store import Store
from tests.cli.test_commands import invoke

KEYS = ["0" * 64, "1" * 64]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    made = Store(tmp_path / "cache")
    for key in KEYS:
        made.write("xla", key, bytes(1000))
    return made


def test_info(store: Store) -> None:
    result = invoke("cache", "info")
    assert result.exit_code == 0
    assert str(store.directory) in result.output
    assert "xla        2 entries, 0.0 MiB" in result.output


def test_info_says_why_the_cache_is_not_used(store: Store) -> None:
    store.directory.chmod(0o777)
    assert "not used   others may write to it" in invoke("cache", "info").output


def test_verify(store: Store) -> None:
    assert invoke("cache", "verify").output.startswith(
        "2 entries are intact, none damaged"
    )
    next(store.entries()).path.write_bytes(b"")
    result = invoke("cache", "verify")
    assert result.output.startswith("1 entries are intact, 1 were damaged")
    assert store.read("xla", KEYS[1]) == bytes(1000)


def test_clear(store: Store) -> None:
    (store.directory / "sources").mkdir()
    assert invoke("cache", "clear").output.startswith("removed 2 entries")
    assert list(store.directory.rglob("*.*")) == []
    assert not (store.directory / "sources").exists()


def test_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", "off")
    result = invoke("cache", "info")
    assert result.exit_code != 0
    assert "the cache is off" in str(result.exception)
