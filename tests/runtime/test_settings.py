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


def test_a_switch_is_0_or_1():
    with pytest.raises(GraphcError, match="GRAPHC_VERIFY must be 0 or 1") as caught:
        Settings.read({"GRAPHC_VERIFY": "yes"})
    assert caught.value.received == "'yes'"
