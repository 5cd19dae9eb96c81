"""No moment to be killed at leaves half an artifact or half an entry of a cache."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphc.artifacts import load
from graphc.files.store import Store

CHILD = Path(__file__).with_name("kill_child.py")
ROOT = Path(__file__).parents[2]

SOURCE = """\
graph @f(%x: f32[B,64]) -> (f32[B,64]) where B in 1..64 {
  %0 = tanh(%x) : f32[B,64]
  %1 = softmax(%0) {axis=1} : f32[B,64]
  return %1
}
"""


def kill(path: Path, kills: int) -> tuple[int, int]:
    """The number of artifacts written, and of kills that hit a write."""
    done = subprocess.run(
        [sys.executable, CHILD, path, str(kills)], cwd=path.parent, text=True,
        capture_output=True, env={"PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"versions=(\d+) during=(\d+)\n", done.stdout)
    assert found is not None
    return int(found[1]), int(found[2])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twenty_kills(tmp_path: Path):
    versions, during = kill(tmp_path / "f.gcx", 20)
    assert versions > 20
    assert during > 1


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path):
    kill(tmp_path / "f.gcx", 200)


@pytest.mark.slow
def test_the_command_is_killed(tmp_path: Path):
    """`graphc compile` from start to end, with a cache that it fills."""
    source, path = tmp_path / "f.gir", tmp_path / "f.gcx"
    source.write_text(SOURCE)
    batches = ",".join(map(str, range(1, 33)))
    main = "from graphc.cli.main import main; main()"
    command = [sys.executable, "-c", main, "compile", source, "-o", path, "--force"]
    cache, rng = tmp_path / "cache", random.Random(0)
    variables = os.environ | {"GRAPHC_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    for _ in range(10):
        child = subprocess.Popen(
            [*command, "--batch", batches], env=variables, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(1.0, 6.0))
        child.send_signal(signal.SIGKILL)
        child.wait()
        if path.exists():
            load(path).prepare()
        assert Store(cache).verify()[1] == 0
    subprocess.run([*command, "--batch", "2"], env=variables, check=True)
    load(path).prepare()
