"""``graphc compile`` and ``graphc show``: what is made, what is said of it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from graphc.cli.main import commands
from graphc.ir.errors import LoadError

GRAPH = """\
graph @f(%x: f32[B,4]) -> (f32[B]) where B in 1..64 {
  %0 = reduce_sum(%x) {axes=[1]} : f32[B]
  return %0
}
"""


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(commands, list(map(str, arguments)))


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    (tmp_path / "f.gir").write_text(GRAPH)
    made = ("compile", tmp_path / "f.gir", "-o", tmp_path / "f.gcx", "--batch", "2,4")
    result = invoke(*made)
    assert result.exit_code == 0, result.output
    assert "sizes    B = 2 or 4" in result.output
    again = invoke(*made)
    assert again.exit_code == 2
    assert "exists; --force replaces it" in again.output
    return tmp_path / "f.gcx"


def test_what_an_artifact_holds_is_shown(artifact: Path):
    said = invoke("show", artifact).output
    for line in (
        "graph of f, ",
        "  targets  xla",
        "program for xla B = 4: ",
        "  result 0: exact",
        "xla/0.module.mlirbc",
        "graph @f(%x: f32[B,4])",
    ):
        assert line in said
    only = invoke("show", artifact, "--graph")
    assert only.output == GRAPH
    bound = invoke("show", artifact, "--graph", "--batch", 2)
    assert "%x: f32[2,4]" in bound.output


def test_what_an_artifact_holds_as_json(artifact: Path):
    said = json.loads(invoke("show", artifact, "--json").output)
    assert said["contract"] == {"B": {"compiled": [2, 4], "low": None}}
    assert [program["sizes"] for program in said["programs"]] == [{"B": 2}, {"B": 4}]
    assert said["bytes"]["graph.gir"] == len(GRAPH)
    result = invoke("show", artifact.with_suffix(".gir"), "--json")
    assert result.exit_code == 2


def test_what_is_no_artifact_is_not_shown(artifact: Path):
    data = artifact.read_bytes()
    artifact.write_bytes(data[:-3])
    result = invoke("show", artifact)
    assert isinstance(result.exception, LoadError)
