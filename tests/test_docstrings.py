"""The examples in docstrings and in the README do what they say."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import graphc

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(graphc.__path__, "graphc.")
    if ".__main__" not in module.name
)
FINDER = doctest.DocTestFinder(exclude_empty=True)


def with_examples(name: str) -> list[doctest.DocTest]:
    source = Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
    if ">>> " not in source:
        return []
    module = importlib.import_module(name)
    return [test for test in FINDER.find(module, name) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    tests = with_examples(name)
    for test in tests:
        report: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        result = runner.run(test, out=report.append)
        assert not result.failed, "".join(report)


@pytest.mark.parametrize("file", ["README.md", "ARCHITECTURE.md"])
def test_python_blocks_run(file: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / file).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    space: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, file, "exec"), space)
