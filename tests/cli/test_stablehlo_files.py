"""StableHLO files on the command line."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from graphc.cli.main import commands
from graphc.ir import ParseError, parse

DOUBLE = """
module @double {
  func.func public @main(%x: tensor<3xf32> loc("x")) -> tensor<3xf32> {
    %0 = stablehlo.add %x, %x : tensor<3xf32>
    return %0 : tensor<3xf32>
  }
}
"""


@pytest.fixture
def mlir(tmp_path: Path) -> Path:
    path = tmp_path / "double.mlir"
    path.write_text(DOUBLE)
    return path


def test_show_and_opt_print_the_graph(mlir: Path):
    shown = CliRunner().invoke(commands, ["show", str(mlir), "--graph"])
    lowered = CliRunner().invoke(commands, ["opt", str(mlir)])
    for result in (shown, lowered):
        graph = parse(result.output)
        assert graph.name == "double"
        assert [p.name for p in graph.parameters] == ["x"]


def test_run_runs_the_program(mlir: Path, tmp_path: Path):
    np.save(tmp_path / "x.npy", np.float32([1, 2, 3]))
    given = ["run", str(mlir), "-i", f"x={tmp_path / 'x.npy'}", "--target", "numpy"]
    result = CliRunner().invoke(commands, given)
    assert "[2. 4. 6.]" in result.output


def test_a_damaged_file_is_an_error_of_graphc(mlir: Path):
    mlir.write_text(DOUBLE.replace("add", "ad d"))
    result = CliRunner().invoke(commands, ["show", str(mlir)])
    assert result.exit_code
    assert isinstance(result.exception, (ParseError, SystemExit))
