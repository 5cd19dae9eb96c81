"""What passes are worth: the variants of a pipeline, their programs and errors."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from graphc.cli.ablate import table
from graphc.cli.main import commands
from graphc.ir import Graph, PassError, UnsupportedError, parse
from graphc.ir.random_inputs import random_inputs
from graphc.ir.tolerance import tolerance
from graphc.ir.types import F32
from graphc.passes import parse_pipeline
from graphc.runtime.ablation import (
    ALL,
    NONE,
    Variant,
    ablate,
    optional_passes,
    relative_error,
    restricted,
)
from graphc.runtime.compile import compile_graph
from graphc.runtime.executable import Executable

TEXT = """\
graph @f(%x: f32[B,8], %w: f32[8,8] {role="state"}) -> (f32[B,8]) where B in 1..8 {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[B,8]
  %1 = multiply(%0, 1.0) : f32[B,8]
  %2 = silu(%1) : f32[B,8]
  %3 = silu(%1) : f32[B,8]
  %4 = add(%2, %3) : f32[B,8]
  return %4
}
"""
MOST = 7
PIPELINE = "(canonicalize,cse)*,decompose,dce"


@pytest.fixture(scope="module")
def variants() -> dict[str, Variant]:
    graph = parse(TEXT).bind(B=4)
    found = ablate(graph, random_inputs(graph), PIPELINE, target="numpy", rounds=2)
    return {each.name: each for each in found}


def test_each_pass_is_left_out_and_stands_alone(variants: dict[str, Variant]):
    assert list(variants) == [
        *(ALL, NONE, "without canonicalize", "canonicalize alone", "without cse"),
        *("cse alone", "without dce", "dce alone"),
    ]
    assert variants["without cse"].pipeline == "(canonicalize)*,decompose,dce"
    assert variants["cse alone"].pipeline == "(cse)*,decompose"
    assert variants[NONE].pipeline == "decompose"
    nodes = {name: each.nodes for name, each in variants.items()}
    assert (nodes[ALL], nodes[NONE]) == (4, 7)
    assert nodes["without canonicalize"] == nodes["cse alone"] == 5
    assert nodes["without cse"] == nodes["canonicalize alone"] == 6


def test_ratios_say_how_much_is_noise(monkeypatch: pytest.MonkeyPatch):
    def interleaved(contestants: dict[str, Any], rounds: int, inner: int) -> Any:
        assert inner > 1  # the program takes less than `SHORTEST`
        return {name: [1.0] * 4 for name in contestants} | {NONE: [1.0, 2.0, 3.0, 4.0]}

    monkeypatch.setattr("graphc.runtime.ablation.interleaved", interleaved)
    graph = parse(TEXT).bind(B=4)
    pipeline = "canonicalize,decompose"
    every, none, *_ = ablate(graph, random_inputs(graph), pipeline, target="numpy")
    assert (every.ratio, every.spread) == (1.0, 0.0)
    assert (none.ratio, none.spread) == (2.5, 0.75)


def test_equal_programs_are_one(variants: dict[str, Variant]):
    assert variants["without dce"].same_as == ALL
    assert variants["dce alone"].same_as == NONE
    assert variants["without dce"].seconds == variants[ALL].seconds
    assert variants[ALL].same_as is None
    assert variants[ALL].ratio == 1.0


def test_errors_are_against_float64(variants: dict[str, Variant]):
    for each in variants.values():
        assert each.error is not None
        assert 0 < each.error < tolerance(F32).absolute
    want = np.array([3.0, -4.0])
    assert math.isclose(relative_error([want + 0.5], [want]), 0.5 / np.sqrt(12.5))
    assert relative_error([np.array([3])], [np.array([4])]) == 0.0


def test_a_variant_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch):
    def refusing(graph: Graph, target: str, pipeline: str) -> Executable:
        if len(graph) == MOST:
            raise UnsupportedError("too many nodes")
        return compile_graph(graph, target, pipeline)

    monkeypatch.setattr("graphc.runtime.ablation.compile_graph", refusing)
    graph = parse(TEXT).bind(B=4)
    given = (graph, random_inputs(graph), PIPELINE)
    found = ablate(*given, passes=["dce"], target="numpy", rounds=1)
    assert [each.failure for each in found] == [None, "too many nodes"] * 2
    assert table(found).count("cannot run: too many nodes") == 2


def test_passes_that_are_required_or_missing_are_errors():
    graph = parse(TEXT).bind(B=4)
    for name in ("decompose", "inline"):
        with pytest.raises(PassError, match=f"'{name}' is no optional pass") as caught:
            ablate(graph, random_inputs(graph), PIPELINE, passes=[name])
        assert caught.value.hint == "there is canonicalize, cse, dce"


def test_groups_that_become_empty_vanish():
    pipeline = parse_pipeline("((cse)*,dce)*,decompose")
    assert optional_passes(pipeline) == ["cse", "dce"]
    assert str(restricted(pipeline, lambda each: each.name != "cse")) == (
        "(dce)*,decompose"
    )
    assert str(restricted(pipeline, lambda each: each.required)) == "decompose"


def test_the_command_prints_a_table_and_json(tmp_path):
    path = tmp_path / "f.gir"
    path.write_text(TEXT)
    arguments = [
        "ablate",
        str(path),
        "-p",
        PIPELINE,
        "--rounds",
        "1",
        "--passes",
        "cse",
    ]
    result = CliRunner().invoke(commands, [*arguments, "--target", "numpy"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].split()[:2] == ["ms", "ratio"]
    names = [line[:13].strip() for line in lines[1:]]
    assert names == ["all passes", "required only", "without cse", "cse alone"]
    result = CliRunner().invoke(commands, [*arguments, "--json"])
    first, *_ = json.loads(result.output)
    assert first["name"] == ALL
    assert first["temporaries"] is not None
