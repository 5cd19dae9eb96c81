"""``graphc view`` writes pages of all kinds of files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import graphc
from graphc.cli import view as module
from graphc.cli.main import commands
from graphc.ir.errors import GraphcError
from graphc.passes import PIPELINES

SCALE = """\
graph @scale(%x: f32[B,3], %w: f32[3] {role="state"}) -> (f32[B,3]) where B in 1..8 {
  %0 = broadcast_in_dim(%w) {dims=[1], shape=["B",3]} : f32[B,3]
  %1 = multiply(%x, %0) : f32[B,3]  loc("scale" model.py:3:5)
  return %1
}
"""


def invoke(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(commands, list(map(str, arguments)), input=text)


def data(path: Path) -> dict[str, Any]:
    found = re.search('id="data">([^<]*)<', path.read_text())
    assert found
    return json.loads(found[1])


@pytest.fixture
def model() -> Any:
    model = graphc.Sequential(
        [graphc.Input((4,)), graphc.layers.Dense(2, name="out")], name="small"
    )
    model.compile("sgd", "mean_squared_error")
    return model


def test_a_graph_becomes_a_page(tmp_path: Path) -> None:
    source, page = tmp_path / "scale.gir", tmp_path / "page.html"
    source.write_text(SCALE)
    result = invoke("view", source, "--batch", 4, "-o", page)
    assert result.exit_code == 0, result.output
    assert result.output == f"{page}: 1 nodes, {page.stat().st_size:,} bytes\n"
    found = data(page)
    assert found["title"] == "scale.gir (B=4)"
    assert found["pipeline"].startswith("fuse_linear_cross_entropy")
    assert "f32[4,3]" in found["tables"]["types"]
    assert "model.py:3:5" in found["tables"]["lines"]
    assert len(found["kernels"]) == 1


def test_the_pipeline_is_the_targets_unless_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("view", "-", "--target", "xla", text=SCALE).exit_code == 0
    whole = data(tmp_path / "graph.html")["pipeline"]
    assert whole.startswith(PIPELINES["xla:cpu"])
    options = ("--pipeline", "dce,cse", "--stop-after", "dce", "--gpu", "A100")
    assert invoke("view", "-", *options, text=SCALE).exit_code == 0
    found = data(tmp_path / "graph.html")
    assert [stage["name"] for stage in found["stages"]] == ["dce"]
    assert found["gpu"] == "A100"


def test_a_saved_model_and_an_artifact(model: Any, tmp_path: Path) -> None:
    saved, packed = tmp_path / "small.graphc", tmp_path / "small.gcx"
    model.save(saved)
    result = invoke(
        "view", saved, "--kind", "train_step", "-o", tmp_path / "saved.html"
    )
    assert result.exit_code == 0, result.output
    found = data(tmp_path / "saved.html")
    assert found["before"][0]["name"] == "train_step"
    assert "small/out" in found["tables"]["paths"]
    assert set(found["tables"]["lines"]) <= {"", "small.graphc"}
    result = invoke("compile", saved, "-o", packed, "--batch", 2, "--target", "numpy")
    assert result.exit_code == 0, result.output
    result = invoke("view", packed, "-o", tmp_path / "packed.html")
    assert result.exit_code == 0, result.output
    found = data(tmp_path / "packed.html")
    assert "dot_general" in {node[0] for node in found["before"][0]["nodes"]}


def test_the_page_opens_in_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(module.webbrowser, "open", opened.append)
    page = tmp_path / "page.html"
    result = invoke("view", "-", "-o", page, "--open", text=SCALE)
    assert result.exit_code == 0, result.output
    assert opened == [page.as_uri()]


def test_mistakes_leave_no_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = invoke("view", "-", "-p", "no_such_pass", "-o", page, text=SCALE)
    assert isinstance(result.exception, GraphcError)
    assert "no_such_pass" in str(result.exception)
    result = invoke("view", "-", "--target", "no", "-o", page, text=SCALE)
    assert "unknown target" in str(result.exception)
    assert not list(tmp_path.iterdir())
