"""The fixed graphs that results are compared on: what their script makes, and valid."""

from __future__ import annotations

import pytest

from benchmarks.graphs import make
from graphc.ir import parse

MOST_BYTES = 300_000


@pytest.mark.parametrize(
    ("name", "purpose"), [(name, purpose) for _, name, purpose in make.paths()]
)
def test_graphs_are_what_their_script_makes(name: str, purpose: str):
    path = make.HERE / f"{name}_{purpose}.gir"
    text = path.read_text(encoding="utf-8")
    assert len(text) < MOST_BYTES
    graph = parse(text)
    graph.verify()
    assert not graph.symbols
    same = str(make.make(name, purpose)) == text  # their difference takes a minute
    assert same, f"run {make.__file__} again"
    assert str(graph) == text


def test_the_readme_names_every_graph():
    readme = (make.HERE / "README.md").read_text(encoding="utf-8")
    for path, _, _ in make.paths():
        assert f"`{path.name}`" in readme
