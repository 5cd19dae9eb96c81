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
    lost = invoke(*made[:3], tmp_path / "lost" / "f.gcx")
    assert lost.exit_code == 2
    assert "there is no directory" in lost.output
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


MODELS = """
import graphc
from graphc import layers


class Unbuilt(graphc.Model):
    def __init__(self):
        super().__init__(name="unbuilt")
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


unbuilt = Unbuilt()
x = graphc.Input((3,))
named = graphc.Model(x, {"second": x * 2.0, "first": layers.ReLU()(x)})
"""


def test_models_of_a_module_are_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "models_of_a_user.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    options = ("-o", "m.gcx", "--batch", 2, "--target", "numpy")
    result = invoke("compile", "models_of_a_user:unbuilt", *options)
    assert isinstance(result.exception, LoadError)
    assert "unbuilt' has no symbolic inputs" in result.exception.message
    result = invoke("compile", "models_of_a_user:named", *options)
    assert "outputs  first, second" in result.output
    missing = invoke("compile", "missing.graphc", *options, "--force").exception
    assert isinstance(missing, LoadError)
    assert missing.message.startswith("cannot read 'missing.graphc'")
