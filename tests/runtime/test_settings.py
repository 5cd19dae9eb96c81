"""Environment variables."""

from pathlib import Path

import pytest

from graphc.ir import GraphcError
from graphc.runtime.settings import Settings


def test_nothing_is_asked_for_by_default():
    assert Settings.read({}) == Settings(dump=None, verify=False)
    assert Settings.read({"GRAPHC_DUMP": "", "GRAPHC_VERIFY": "0"}) == Settings()


def test_what_is_asked_for():
    environment = {"GRAPHC_DUMP": "there", "GRAPHC_VERIFY": "1", "GRAPHC_POISON": "1"}
    wanted = Settings(Path("there"), verify=True, poison=True)
    assert Settings.read(environment) == wanted
    assert Settings.read({}).cache == Path.home() / ".cache" / "graphc"
    assert Settings.read({"GRAPHC_CACHE": "kept"}).cache == Path("kept")
    assert Settings.read({"GRAPHC_CACHE": "off"}).store() is None
    store = Settings.read({"GRAPHC_CACHE": "kept", "GRAPHC_CACHE_LIMIT": "7"}).store()
    assert store is not None
    assert (store.directory, store.limit) == (Path("kept").absolute(), 7 << 20)


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("/elsewhere", Path("/elsewhere/graphc")), ("", None), ("relative", None)],
)
def test_where_caches_are(variable: str, folder: Path | None):
    usual = Path.home() / ".cache" / "graphc"
    found = Settings.read({"XDG_CACHE_HOME": variable}).cache
    assert found == (usual if folder is None else folder)


def test_who_has_no_home_has_no_cache(monkeypatch: pytest.MonkeyPatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert Settings.read({}).store() is None


def test_a_limit_is_a_number():
    with pytest.raises(GraphcError, match="GRAPHC_CACHE_LIMIT must be a number of MiB"):
        Settings.read({"GRAPHC_CACHE_LIMIT": "2GB"})


def test_a_switch_is_0_or_1():
    with pytest.raises(GraphcError, match="GRAPHC_VERIFY must be 0 or 1") as caught:
        Settings.read({"GRAPHC_VERIFY": "yes"})
    assert caught.value.received == "'yes'"
