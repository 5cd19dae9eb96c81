"""Locations: capture of the user's line, late resolution, description and equality."""

from collections.abc import Callable
from pathlib import Path

import pytest

from graphc.ir import Location
from graphc.ir.location import PACKAGE_ROOT

Capture = Callable[..., Location]


@pytest.fixture
def capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Capture:
    """Runs a program that calls `capture`; returns the location it captures."""
    monkeypatch.chdir(tmp_path)

    def run(source: str, file: str = str(tmp_path / "model.py")) -> Location:
        path = Path(file)
        if path.parent.exists():
            path.write_text(source, encoding="utf-8")
        found: list[Location] = []
        names = {"capture": Location.capture, "keep": found.append}
        exec(compile(source, file, "exec"), names)
        return found[0]

    return run


def test_captures_the_callers_line_and_column(capture: Capture):
    location = capture("\nx = 1\nkeep( capture('encoder/mlp'))\n")
    assert location == Location("model.py", 3, 7, "encoder/mlp")
    assert repr(location) == "Location(model.py:3:7, 'encoder/mlp', None)"


def test_skips_frames_of_the_package():
    names = {"capture": Location.capture}
    inside = PACKAGE_ROOT + "frontend/layer.py"
    exec(compile("def call():\n    return capture()", inside, "exec"), names)
    exec(compile("\nfound = call()", "/users/model.py", "exec"), names)
    assert names["found"] == Location("/users/model.py", 2, 9)


def test_there_may_be_no_frame_outside_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graphc.ir.location.PACKAGE_ROOT", "")
    assert Location.capture() is None


def test_files_outside_the_working_directory_stay_absolute(capture: Capture):
    location = capture("\n\nkeep(capture())", "/elsewhere/m.py")
    assert (location.file, location.line) == ("/elsewhere/m.py", 3)


def test_describes_the_line_with_carets(capture: Capture):
    location = capture("if True:\n    keep(capture('hidden'))\n")
    assert location.describe() == (
        "  at model.py:2:10, in layer 'hidden'\n"
        "      keep(capture('hidden'))\n"
        "           ^^^^^^^^^^^^^^^^^"
    )


def test_columns_count_characters_and_not_bytes(capture: Capture):
    location = capture("größe = 'ž'; keep(capture('über'))\n")
    assert location.column == 19
    assert location.describe() == (
        "  at model.py:1:19, in layer 'über'\n"
        "      größe = 'ž'; keep(capture('über'))\n"
        "                        ^^^^^^^^^^^^^^^"
    )


def test_describes_a_call_that_spans_lines(capture: Capture):
    location = capture("keep(capture(\n  'a'\n))\n")
    assert location.describe() == (
        "  at model.py:1:6, in layer 'a'\n      keep(capture(\n           ^^^^^^^^"
    )


def test_describes_a_place_without_source():
    location = Location("gone.py", 5, 2, "mlp", "gradient of %3")
    assert location.describe() == "  at gone.py:5:2, in layer 'mlp' (gradient of %3)"


def test_derived_locations_keep_the_place(capture: Capture):
    location = capture("keep(capture('a'))")
    derived = location.derive("gradient of %0").with_path("b")
    assert derived == Location("model.py", 1, 6, "b", "gradient of %0")
    assert location == Location("model.py", 1, 6, "a")


@pytest.mark.parametrize(
    "other",
    [
        Location("g.py", 1, 2, "a", "b"),
        Location("f.py", 2, 2, "a", "b"),
        Location("f.py", 1, 1, "a", "b"),
        Location("f.py", 1, 2, None, "b"),
        Location("f.py", 1, 2, "a", None),
        "f.py:1:2",
    ],
)
def test_equality(other: object):
    location = Location("f.py", 1, 2, "a", "b")
    assert location == Location("f.py", 1, 2, "a", "b")
    assert hash(location) == hash(Location("f.py", 1, 2, "a", "b"))
    assert location != other


def test_a_file_that_a_text_names_is_not_opened(tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("password\n")
    shown = Location(str(secret), 1, 1, "layer").describe()
    assert str(secret) in shown
    assert "password" not in shown
