"""No moment to be killed at loses a file that was there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("kill_child.py")
ROOT = Path(__file__).parents[3]


def kill(path: Path, kills: int) -> tuple[int, int]:
    """The number of saves, and of kills that hit one."""
    done = subprocess.run(
        [sys.executable, CHILD, path, str(kills)], cwd=path.parent, text=True,
        capture_output=True, env={"PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"versions=(\d+) during=(\d+)\n", done.stdout)
    assert found is not None
    return int(found[1]), int(found[2])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", ["m.graphc", "w.safetensors"])
def test_twenty_kills(name: str, tmp_path: Path):
    versions, during = kill(tmp_path / name, 20)
    assert versions > 20
    assert during > 1


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path):
    kill(tmp_path / "m.graphc", 200)
