"""Programs that once failed a check pass them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphc.fuzz import find_failure
from graphc.ir import parse

PROGRAMS = sorted((Path(__file__).parents[1] / "reproducers").glob("*.gir"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_it_passes_every_check(path: Path):
    failure = find_failure(parse(path.read_text(encoding="utf-8")))
    assert failure is None, str(failure)
