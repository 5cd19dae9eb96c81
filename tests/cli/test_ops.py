"""The table of ops and its totals."""

import subprocess
import sys

from graphc.cli.ops import HEADER, NONE, op_rows, totals
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
