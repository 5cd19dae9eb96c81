"""``graphc bench``: what is measured, compared and shown."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import graphc
from graphc import ops
from graphc.ir import Graph
from graphc.ir.tolerance import tolerance
from graphc.ir.types import F32
from graphc.tuning.bench import op_rows
from tests.cli.test_commands import invoke


def product() -> Graph:
    spec = graphc.TensorSpec(("B", 16))
    return graphc.trace(lambda x: ops.tanh(ops.matmul(x, ops.transpose(x))), spec)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "f.gir"
    path.write_text(str(product()))
    return str(path)


def test_targets_and_pipelines_take_turns(file: str) -> None:
    result = invoke(
        *("bench", file, "--batch", "8", "--rounds", "4", "--json"),
        *("--compare", "numpy", "--compare", "inline,decompose"),
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [each["name"] for each in found] == ["xla:cpu", "numpy", "inline,decompose"]
    assert found[0]["ratio"] == 1.0
    assert found[0]["memory"]["parameters"] == 8 * 16 * 4
    for each in found:
        assert 0 < each["p10"] <= each["median"] <= each["p90"]
        assert math.isclose(each["throughput"], 8 / each["median"])
    assert all(each["error"] < tolerance(F32).absolute for each in found[1:])


def test_a_table_is_shown(file: str) -> None:
    result = invoke("bench", file, "--rounds", "2")
    assert "median us" in result.output
    assert "dot_general" in result.output


def test_ops_count_as_often_as_loops_run() -> None:
    def steps(x):  # type: ignore[no-untyped-def]
        return ops.scan(lambda c, _: (ops.tanh(c), None), x, length=5)[0]

    looped = graphc.passes.run(graphc.trace(steps, graphc.TensorSpec((4,))), "xla")
    once = graphc.trace(ops.tanh, graphc.TensorSpec((4,)))
    (single,) = [row for row in op_rows(once) if row.op == "tanh"]
    (repeated,) = [row for row in op_rows(looped) if row.op == "tanh"]
    assert repeated.flops == 5 * single.flops


def test_what_has_no_line_is_refused(file: str, tmp_path: Path) -> None:
    lock = tmp_path / "graphc.lock"
    lock.write_text("nonsense")
    result = invoke("bench", file, "--compare", str(lock))
    assert "no lock file of this release" in str(result.exception)


def test_an_artifact_of_several_sizes(file: str, tmp_path: Path) -> None:
    """Dimensions that are no batch have sizes of their own."""
    graph = tmp_path / "g.gir"
    spec = graphc.TensorSpec(("B", "T", 3))
    graph.write_text(str(graphc.trace(lambda x: ops.softmax(x, 1), spec)))
    path = tmp_path / "g.gcx"
    sizes = ("--size", "B=4,6", "--range", "T=2..5", "--target", "numpy")
    invoke("compile", graph, "-o", path, *sizes)
    bench = ("bench", path, "--target", "numpy", "--rounds", "2")
    for options, shown in (
        ((), "B = 4, T = 2"),
        (("--batch", "6", "--size", "T=3"), "B = 6, T = 3"),
    ):
        result = invoke(*bench, *options)
        assert result.exit_code == 0, result.output
        assert shown in result.output
    assert (
        "no dimension Q; its dimensions: B, T" in invoke(*bench, "--size", "Q=1").stderr
    )
    assert "is compiled for T = 2 to 5" in str(
        invoke(*bench, "--size", "T=9").exception
    )
    assert (
        "--weights is for artifacts" in invoke("bench", file, "--weights", "w").stderr
    )


def test_what_is_compared_or_bound_must_be_there(file: str) -> None:
    result = invoke("bench", file, "--compare", "nonsense")
    assert "no target, no lock file and no pipeline" in result.stderr
    result = invoke("bench", file, "--size", "T=3")
    assert "the graph has no dimension T; its dimensions: B" in result.stderr
