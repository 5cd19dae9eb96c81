"""The command line, run as a user runs it."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import graphc
from graphc.cli.demo import data, models
from graphc.cli.main import commands
from graphc.ir import evaluate, parse
from graphc.ir.errors import GraphcError, LoadError, ParseError, TargetError

SCALE = """\
graph @scale(%x: f32[B,3], %w: f32[3] {role="state"}) -> (f32[B,3]) where B in 1..8 {
  %0 = broadcast_in_dim(%w) {dims=[1], shape=["B",3]} : f32[B,3]
  %1 = multiply(%x, %0) : f32[B,3]
  %2 = multiply(%x, %0) : f32[B,3]
  %3 = add(%1, %2) : f32[B,3]
  return %3
}
"""


@pytest.fixture
def gir(tmp_path: Path) -> Path:
    path = tmp_path / "scale.gir"
    path.write_text(SCALE)
    return path


def invoke(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(commands, list(map(str, arguments)), input=text)


def test_help_names_the_commands() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for name in ("demo", "show", "opt", "run", "vote", "ops", "doctor"):
        assert name in result.output


INTERRUPTED_IMPORT = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, *rest):
        if name == "graphc.cli.vote":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
runpy.run_module("graphc", run_name="__main__")
"""


def test_it_can_be_interrupted_while_it_is_imported() -> None:
    command = [sys.executable, "-c", INTERRUPTED_IMPORT]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "interrupted\n")


def test_show_counts_nodes_cost_and_state(gir: Path) -> None:
    result = invoke("show", gir, "--batch", 2)
    assert result.exit_code == 0, result.output
    assert "4 nodes in 1 graphs" in result.output
    assert "state: 1 tensors, 3 numbers" in result.output
    assert "18 FLOPs" in result.output
    assert "f32[2,3]" in result.output


def test_show_graph_prints_what_parses(gir: Path) -> None:
    assert parse(invoke("show", gir, "--graph").output) == parse(SCALE)


def test_opt_reads_standard_input_and_writes_text() -> None:
    result = invoke("opt", "-", "-p", "cse,dce", text=SCALE)
    graph = parse(result.output)
    assert [n.op.name for n in graph.nodes] == ["broadcast_in_dim", "multiply", "add"]
    x, w = np.ones((2, 3), "f"), np.arange(3, dtype="f")
    np.testing.assert_array_equal(
        evaluate(graph, x, w)[0], evaluate(parse(SCALE), x, w)[0]
    )


def test_opt_times_dumps_and_writes_a_file(gir: Path, tmp_path: Path) -> None:
    out, dumps = tmp_path / "out.gir", tmp_path / "dumps"
    options = ("--check", "--time-passes", "--dump-dir", dumps)
    result = invoke("opt", gir, "-p", "cse,dce", "-o", out, *options)
    assert result.exit_code == 0, result.output
    assert len(parse(out.read_text())) == 3
    assert any("cse" in p.name for p in dumps.iterdir())
    assert "cse" in result.stderr


def test_opt_says_what_was_checked_and_what_is_promised() -> None:
    text = SCALE.replace("multiply", "power")
    checked = invoke("opt", "-", "-p", "canonicalize,cse", "--check", text=SCALE)
    assert checked.exit_code == 0, checked.output
    assert "rewrites: equal over finite fields; the same bits" in checked.stderr
    assert "result 0: exact" in checked.stderr
    promised = invoke("opt", "-", "-p", "cse", "--numerics", text=text)
    assert promised.stderr.strip() == "result 0: exact"


def test_opt_counts_kernels() -> None:
    bound = str(parse(SCALE).bind(B=2))
    result = invoke("opt", "-", "-p", "triton", "--time-passes", text=bound)
    assert result.exit_code == 0, result.output
    assert "1 kernel (1 distinct: 1 pointwise), 60 bytes moved" in result.stderr


def test_opt_lists_passes() -> None:
    result = invoke("opt", "-", "--list")
    assert "canonicalize" in result.output
    assert "default" in result.output
    assert "saturate" in result.output


def test_run_on_arrays(gir: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 3), "f"))
    np.save(tmp_path / "w.npy", np.arange(3, dtype="f"))
    result = invoke(
        *("run", gir, "-i", tmp_path / "x.npy", "-i", f"w={tmp_path / 'w.npy'}"),
        *("-o", tmp_path / "out", "--target", "numpy"),
    )
    assert result.exit_code == 0, result.output
    found = np.load(tmp_path / "out" / "result_0.npy")
    np.testing.assert_array_equal(found, np.tile([0.0, 2.0, 4.0], (2, 1)))


def test_show_and_run_a_saved_model(tmp_path: Path) -> None:
    model = graphc.Sequential([graphc.Input((4,)), graphc.layers.Dense(2)])
    model.save(tmp_path / "m.graphc")
    shown = invoke("show", tmp_path / "m.graphc")
    assert shown.exit_code == 0, shown.output
    assert "Total params: 10" in shown.output
    assert f'loc("{model.name}/{model.layers[0].name}" m.graphc:1:1)' in shown.output
    lowered = invoke("opt", tmp_path / "m.graphc", "--batch", 3)
    assert "%x: f32[3,4]" in lowered.output
    assert f'loc("{model.name}/{model.layers[0].name}"' in lowered.output
    x = np.ones((3, 4), "f")
    np.save(tmp_path / "x.npy", x)
    result = invoke(
        "run", tmp_path / "m.graphc", "-i", tmp_path / "x.npy", "-o", tmp_path / "o"
    )
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(
        np.load(tmp_path / "o" / "result_0.npy"), model.predict(x, verbose=0)
    )
    asked = ("run", tmp_path / "m.graphc", "-i", tmp_path / "x.npy")
    assert isinstance(invoke(*asked, "--target", "cuda").exception, TargetError)
    assert "are for .gcx files" in invoke(*asked, "--trust-code").output


def test_run_names_missing_and_unknown_inputs(gir: Path) -> None:
    assert "missing inputs: x, w" in invoke("run", gir).output
    result = invoke("run", gir, "-i", "q=none.npy")
    assert "'q' is not an input; inputs: x, w" in result.output
    assert result.exit_code == 2


def test_text_that_is_no_graph_names_the_file(gir: Path) -> None:
    gir.write_text("def f(): ...")
    result = invoke("show", gir)
    assert isinstance(result.exception, ParseError)
    assert str(result.exception).startswith(
        f"{gir}, line 1, column 1: expected 'graph'"
    )


def test_damaged_input_is_a_load_error(gir: Path, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"nonsense")
    result = invoke("run", gir, "-i", tmp_path / "x.npy")
    assert isinstance(result.exception, LoadError)
    buffer = io.BytesIO()
    np.save(buffer, np.array([object()]), allow_pickle=True)
    (tmp_path / "x.npy").write_bytes(buffer.getvalue())
    result = invoke("run", gir, "-i", tmp_path / "x.npy")
    assert isinstance(result.exception, LoadError)


def test_unknown_pass_is_an_error(gir: Path) -> None:
    result = invoke("opt", gir, "-p", "cannonicalize")
    assert isinstance(result.exception, GraphcError)
    assert "did you mean 'canonicalize'" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "missing.gir"], 2, "missing.gir"),
        (["frobnicate"], 2, "No such command"),
        (["opt", "-"], 2, "line 1, column 1"),
    ],
)
def test_errors_are_one_message(arguments: list[str], code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "graphc", *arguments],
        input="not a graph\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_checks_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [t for t in graphc.targets() if t.kind != "architecture"]
    monkeypatch.setattr("graphc.cli.doctor.targets", lambda: quick)
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    assert "numpy          works" in result.output
    assert "triton         no" in result.output
    assert "triton:interpreter works" in result.output


@pytest.mark.slow
def test_doctor_compiles_for_gpus_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    assert "triton:sm_90   works (compiled a small graph" in result.output


def test_demo_models_build_and_data_is_real() -> None:
    (x, y), (test_x, test_y) = data.digits()
    assert len(x) + len(test_x) == 1797
    assert set(np.unique(np.concatenate([y, test_y]))) == set(range(10))
    assert models.digits_cnn().output_shape == (None, 10)
    source = data.text()
    characters = data.Characters(source)
    assert characters.decode(characters.encode(source[:99])) == source[:99]
    assert models.transformer(16, len(characters)).output_shape[1:] == (
        16,
        len(characters),
    )
