"""The guides do what they say: their files are written, their code and commands run.

In a guide, a block ``python file=NAME`` is (a part of) a file, a block ``python`` runs,
and a block ``console`` holds commands with what they print, in which ``...`` stands for
anything. Each guide runs in a process of its own, because it registers passes and ops.
README.md and ARCHITECTURE.md run in `test_docstrings.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
GUIDES = (
    *("writing_a_pass.md", "writing_a_rule.md", "adding_an_op.md", "debugging.md"),
    *("artifacts.md", "cost_models.md"),
)
PAGES = ("keras.md", "memory.md", "numerics.md", "precision.md", "stablehlo_import.md")
"""What has code but no commands."""
EXAMPLES = sorted((DOCS.parent / "examples").glob("*.py"))
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAX_PASS_LINES = 30

COMMANDS = """
import re, shlex
from click.testing import CliRunner
from graphc.cli.main import commands

def run_command(line, printed):
    name, *arguments = shlex.split(line)
    assert name == "graphc"
    result = CliRunner().invoke(commands, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception  # to exit is how a check says that it failed
    wanted = ".*?".join(map(re.escape, printed.split("...")))
    assert re.fullmatch(wanted, result.output, re.DOTALL), line + "\\n" + result.output
"""


def blocks(guide: str) -> Iterator[tuple[str, str, str]]:
    """The language, the file and the text of each block."""
    text = (DOCS / guide).read_text(encoding="utf-8")
    yield from BLOCK.findall(text)


def program(guide: str, directory: Path) -> str:
    """The code and the commands of a guide as a program; its files are written."""
    parts = [COMMANDS]
    for language, file, body in blocks(guide):
        if file:
            with open(directory / file, "a", encoding="utf-8") as written:
                written.write(body)
        elif language == "python":
            parts.append(body)
        elif language == "console":
            for part in body.split("$ ")[1:]:
                command, _, printed = part.partition("\n")
                parts.append(f"run_command({command!r}, {printed!r})\n")
    return "".join(parts)


@pytest.mark.parametrize(
    "guide", [*GUIDES, *(pytest.param(page, marks=pytest.mark.slow) for page in PAGES)]
)
def test_guides_do_what_they_say(guide: str, tmp_path: Path):
    text = program(guide, tmp_path)
    assert ("run_command('graphc" in text) == (guide in GUIDES)
    (tmp_path / "program.py").write_text(text, encoding="utf-8")
    check_runs(tmp_path / "program.py", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example: Path, tmp_path: Path):
    check_runs(example, tmp_path)


def check_runs(script: Path, directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_a_pass_is_short():
    (body,) = [
        b for _, file, b in blocks("writing_a_pass.md") if file == "log_of_sum.py"
    ]
    lines = [line for line in body.splitlines() if line.strip()]
    assert len(lines) <= MAX_PASS_LINES
