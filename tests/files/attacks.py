"""Loading hostile files in a process of their own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("attack_child.py")
ROOT = Path(__file__).parents[2]

SECONDS = 2.0
"""How long refusing one file may take."""


def attempts(subject: str, folder: Path, files: dict[str, bytes]) -> dict[str, Any]:
    """Loads files in a process of their own; what each led to, by name.

    Args:
        subject: The module that says how; see `tests.files.attack_child`.
        folder: Where to put the files.
        files: The files by name. At least one is called ``good``.
    """
    for name, data in files.items():
        (folder / name).write_bytes(data)
    before = sorted(path.name for path in folder.iterdir())
    output = folder.parent / f"{folder.name}.json"
    subprocess.run(
        [sys.executable, "-W", "error", CHILD, subject, folder, output], check=True,
        cwd=folder, env={"PYTHONPATH": str(ROOT)}, timeout=600,
    )  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == before
    found = json.loads(output.read_text())
    assert found["grown"] < 512 << 20
    return found["results"]


def check_mutants(
    subject: str, files: dict[str, bytes], good: tuple[str, bytes], folder: Path
) -> dict[str, int]:
    """Fails unless each file is refused by the one kind of error, or loads.

    Returns:
        How many were refused, how many loaded, and how many of these ``different``
        from the good one.
    """
    return counted(attempts(subject, folder, files | dict([good])), good[0])


def counted(found: dict[str, Any], good: str) -> dict[str, int]:
    """Fails unless each file was refused by the one kind of error, or loaded.

    Args:
        found: What `attempts` returned.
        good: The name of the good file.
    """
    counts = {"refused": 0, "loaded": 0}
    for name, result in found.items():
        assert result["events"] == [], (name, result)
        assert result["seconds"] < SECONDS, (name, result)
        if result["error"] is None:
            counts["loaded"] += 1
        else:
            assert result["is_load_error"], (name, result)
            counts["refused"] += 1
    return counts | {"different": sum(
        r["error"] is None and r["fingerprint"] != found[good]["fingerprint"]
        for r in found.values()
    )}  # fmt: skip
