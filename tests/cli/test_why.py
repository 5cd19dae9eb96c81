"""Questions about saved models."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import graphc
from graphc.cli.main import commands


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layers = graphc.layers
    net = graphc.Sequential(
        [
            graphc.Input((64,)),
            layers.Dense(64, name="first"),
            layers.LayerNormalization(name="norm"),
            layers.Dense(8, name="second"),
        ],
        name="net",
    )
    path = tmp_path_factory.mktemp("why") / "model.graphc"
    net.save(path)
    return path


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (["--slow", "net/first"], "@net_first_dot_general"),
        (["--not-fused", "net/first", "net/second"], "@net_second_dot_general"),
        (["--float32", "net/norm", "-p", "precision,triton"], "in layer 'net/norm'"),
    ],
)
def test_nodes_of_a_saved_model_are_found_by_layer(
    model: Path, question: list[str], said: str
) -> None:
    result = CliRunner().invoke(commands, ["why", str(model), *question])
    assert result.exit_code == 0, result.output
    assert said in result.output


def test_a_place_is_in_the_models_file(model: Path) -> None:
    question = ["--float32", "-p", "precision,triton"]
    result = CliRunner().invoke(commands, ["why", str(model), *question])
    assert "at model.graphc:1:1, in layer" in result.output
    assert ".py" not in result.output
