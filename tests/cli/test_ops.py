"""The table of ops and its totals."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from graphc.cli.main import commands
from graphc.cli.ops import HEADER, NONE, op_rows, totals
from graphc.ir import parse
from graphc.ir.ops import OPS


def test_every_op_has_every_part():
    rows = op_rows()
    assert [row.op.name for row in rows] == sorted(OPS)
    for part in ("reference", "stablehlo", "triton", "vjp"):
        assert [r.op.name for r in rows if getattr(r, part) in ("", NONE)] == []
    assert [r.op.name for r in rows if not r.samples or not r.ill_typed] == []
    for line in list(totals(rows))[1:]:
        assert f"{len(OPS)} of {len(OPS)}, 100.0 %" in line


def test_the_module_prints_the_table():
    command = [sys.executable, "-m", "graphc.ir.ops"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    table, _, counts = result.stdout.partition("\n\n")
    lines = table.splitlines()
    assert lines[0].split() == " ".join(HEADER).split()
    assert len(lines) == len(OPS) + 1
    forms = ["numpy", "spelling", "spelling"]
    cells = ["abs", "elementwise", *forms, "3", "21", "6", "1"]
    assert lines[1].split() == [*cells, "rule", "a", "signed", "number"]
    titles = [line.split("  ")[0] for line in counts.splitlines()[1:]]
    assert titles == [
        "reference",
        "vjp or reason",
        "StableHLO",
        "Triton or reason",
        "tests",
    ]


@pytest.mark.parametrize("name", ["scan", "attention", "constant", "add"])
def test_an_op_is_described_with_an_example_that_parses(name: str):
    text = CliRunner().invoke(commands, ["ops", name]).output
    head, _, example = text.partition("\n\ngraph ")
    assert head.startswith(f"{name}(")
    assert OPS[name].doc.splitlines()[0] in head
    assert f"kind       {OPS[name].kind.value}\n" in head
    graph = parse(f"graph {example}")
    assert [node.op.name for node in graph.nodes] == [name]


def test_an_unknown_op_gets_the_nearest():
    result = CliRunner().invoke(commands, ["ops", "gelo"])
    assert result.exit_code == 2
    assert "there is no op gelo; did you mean gelu?" in result.output
