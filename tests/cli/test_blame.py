"""``graphc blame``, run as a user runs it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from graphc.cli.main import commands
from graphc.passes import PASSES

TEXT = """\
graph @f(%x: f32[B,3], %w: f32[3]) -> (f32[B,3]) where B in 1..8 {
  %0 = broadcast_in_dim(%w) {dims=[1], shape=["B",3]} : f32[B,3]
  %1 = multiply(%x, %0) : f32[B,3]
  %2 = tanh(%1) : f32[B,3]  loc("net/act" model.py:12:9)
  %3 = negate(%2) : f32[B,3]
  return %3
}
"""

PASS = '''
from dataclasses import dataclass
from typing import ClassVar

from graphc.ir.opdef import OPS
from graphc.passes import GraphPass, register


@register
@dataclass(frozen=True)
class SineForTanh(GraphPass):
    """Is wrong about tanh."""

    name: ClassVar[str] = "sine_for_tanh"

    def run(self, graph, rewriter):
        made = rewriter.ledger.count
        for node in graph.nodes:
            if node.op.name == "tanh":
                rewriter.rewrite(node, lambda: ("sine", [OPS["sine"](*node.operands)]))
        return rewriter.ledger.count > made
'''


@pytest.fixture
def gir(tmp_path: Path) -> Path:
    path = tmp_path / "f.gir"
    path.write_text(TEXT)
    return path


@pytest.fixture
def wrong_pass(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "wrong.py"
    path.write_text(PASS)
    yield path
    PASSES.pop("sine_for_tanh", None)
    sys.modules.pop(f"graphc_loaded:{path}", None)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(commands, ["blame", *map(str, arguments)])


def test_nothing_is_wrong(gir: Path) -> None:
    result = invoke(gir, "--target", "numpy")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("differs: does not show\n")


def test_a_users_pass_is_named_and_the_script_shows_it_again(
    gir: Path, wrong_pass: Path, tmp_path: Path
) -> None:
    inputs = tmp_path / "x.npz"
    np.savez(inputs, x=np.float32([[1, 2, 3], [4, 5, 6]]))
    output = tmp_path / "out"
    options = ("--load", wrong_pass, "--passes", "default,sine_for_tanh")
    result = invoke(gir, "--inputs", inputs, *options, "-o", output, "--seconds", 20)
    assert result.exit_code == 1, result.output
    assert "sine_for_tanh/sine in @f: tanh(" in result.output
    assert "at model.py:12:9, in layer 'net/act'" in result.output
    assert "reduced to 1 node, " in result.output
    assert sorted(path.name for path in output.iterdir()) == [
        "inputs.npz",
        "reduced.gir",
        "rerun.sh",
    ]
    again = subprocess.run(
        ["/bin/sh", output / "rerun.sh"],
        capture_output=True,
        text=True,
        env={"PATH": f"{Path(sys.executable).parent}:/bin:/usr/bin"},
    )
    assert again.returncode == 1, again.stderr
    assert "rewrite #1 sine_for_tanh/sine in @f: tanh(" in again.stdout
