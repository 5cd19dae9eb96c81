"""Bundles: C programs that launch what the runtime launches, on a driver in C."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers, ops
from graphc.artifacts import Contract, load
from graphc.artifacts.building import Source, write_artifact
from graphc.artifacts.bundling import write_bundle
from graphc.artifacts.contents import FORMAT
from graphc.artifacts.contract import Sizes
from graphc.artifacts.loading import described, read_program
from graphc.codegen.bundle import writing
from graphc.codegen.bundle.names import comment, expression, identifiers, quoted
from graphc.files.container import Container
from graphc.files.opening import opened
from graphc.ir import GraphcError, LoadError, TargetError, UnsupportedError
from graphc.ir.dims import parse_dim, substitute
from graphc.ir.evaluate import evaluate
from graphc.runtime import triton_runtime
from graphc.runtime.triton_packing import unpack_plan
from tests.artifacts.bundled import (
    REGION,
    STRICT,
    BuiltBundle,
    compile_c,
    compile_double,
    planned_launches,
)
from tests.artifacts.machine_code import MachineCode
from tests.artifacts.test_ranges import W, array, source
from tests.cli.test_artifacts import invoke
from tests.closeness import assert_close

TARGET = "triton:sm_90"
BAD_ARGUMENT, NO_DRIVER, WRONG_GPU, DRIVER_FAILED, NO_MEMORY = range(1, 6)


def controlled(x: Any, limit: Any) -> Any:
    """Loops that count, loops that end when they see fit, and a branch."""

    def step(total: Any, row: Any) -> tuple[Any, Any]:
        total = ops.tanh(total + row)
        return total, total * 2.0

    last, rows = ops.scan(step, ops.zeros((4,)), x)
    backwards, _ = ops.scan(step, last, x, reverse=True)
    grown = ops.while_loop(
        lambda v: ops.sum(v) < ops.sum(limit), lambda v: (v * 2.0 + 1.0,), (backwards,)
    )[0]
    chosen = ops.cond(ops.sum(x) > 0.0, lambda: grown + 1.0, lambda: grown - 1.0)
    return rows, chosen


class Built:
    """Artifacts for a GPU that is not there.

    Attributes:
        folder: Where they are.
        code: What knows what their kernels do.
        double: The driver in C.
    """

    def __init__(self, folder: Path, code: MachineCode) -> None:
        self.folder, self.code = folder, code
        self._opened: dict[str, BuiltBundle] = {}
        self.double = compile_double(folder)
        graphc.utils.set_random_seed(0)
        model = graphc.Sequential([graphc.Input((4,)), layers.Dense(3, "relu")])
        model.compile("adam", "mse", metrics=["mae"])
        model.export(folder / "train.gcx", "train_step", batch=[4, 2], targets=[TARGET])
        sizes = {"B": Sizes.between(2, 5), "T": Sizes((2, 3))}
        write_artifact(str(folder / "range.gcx"), source(), Contract(sizes), [TARGET])
        spec = graphc.TensorSpec
        graph = graphc.trace(controlled, spec((5, 4)), spec((2,)))
        names = Source("f", "graph", graph, ("x", "a limit"), ("int", "y/0"), {})
        write_artifact(str(folder / "control.gcx"), names, Contract({}), [TARGET])

    def bundle(self, name: str, trusted: bool = True) -> Path:
        folder = self.folder / f"{name}-{trusted}"
        if not folder.exists():
            write_bundle(self.folder / f"{name}.gcx", folder, trusted=trusted)
        return folder

    def opened(self, name: str) -> BuiltBundle:
        """A bundle that is closed, and compiled once."""
        if name not in self._opened:
            folder = self.bundle(name)
            self._opened[name] = BuiltBundle(folder, self.double, self.code)
        return self._opened[name]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    code = MachineCode()
    with pytest.MonkeyPatch.context() as patch:
        code.install(patch)
        patch.setattr(triton_runtime, "triton_unavailable", lambda: None)
        yield Built(tmp_path_factory.mktemp("bundles"), code)


# -- what it computes ------------------------------------------------------------------


def test_a_training_step_goes_on_where_it_is(built: Built) -> None:
    reference = load(built.folder / "train.gcx", "numpy")
    bundle = built.opened("train")
    rng = np.random.default_rng(0)
    for batch in (4, 2, 4, 2, 2):
        x, y = (rng.normal(size=(batch, n)).astype(np.float32) for n in (4, 3))
        loss, mae = np.zeros((), np.float32), np.zeros((), np.float32)
        assert bundle([x, y], [loss, mae], [batch]) == 0, bundle.error
        expected = reference(x, y)
        assert_close(loss, expected[0])
        assert_close(mae, expected[1])
        for number, tensor in enumerate(reference.state.values()):
            assert_close(bundle.read_state(number, tensor), tensor)
    first = np.full((4, 3), 7, np.float32)
    at = ctypes.c_void_p(first.ctypes.data)
    assert bundle.call("write_state", 0, at) == 0
    assert (bundle.read_state(0, first) == 7).all()
    assert bundle.call("read_state", 99, at) == BAD_ARGUMENT
    assert "there is no tensor 99" in bundle.error
    bundle.close()


def test_ranges_are_padded_and_cut(built: Built) -> None:
    bundle = built.opened("range")
    state = W
    for batch, length in ((2, 2), (5, 3), (3, 2), (4, 3)):
        x = array(batch, length)
        graph = source().graph.bind(B=batch, T=length)
        *wanted, state = evaluate(graph, x, state)
        outputs = [np.zeros(each.shape, each.dtype) for each in wanted]
        assert bundle([x], outputs, [batch, length]) == 0, bundle.error
        for found, expected in zip(outputs, wanted, strict=True):
            assert_close(found, expected)
        assert_close(bundle.read_state(0, state), state)
        assert bundle([x], [None, None, None, None], [batch, length]) == 0
        *_, state = evaluate(graph, x, state)
    bundle.close()


def test_loops_and_branches(built: Built) -> None:
    reference = load(built.folder / "control.gcx", "numpy")
    bundle = built.opened("control")
    for sign, limit in ((1, 50), (-1, 9)):
        x = sign * np.abs(array(5, 4))
        until = np.full(2, limit, np.float32)
        rows, chosen = np.zeros((5, 4), np.float32), np.zeros(4, np.float32)
        assert bundle([x, until], [rows, chosen]) == 0, bundle.error
        expected = reference(x, until)
        assert_close(rows, expected[0])
        assert_close(chosen, expected[1])
    bundle.close()


# -- what it launches ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "sizes"), [("train", 1, [4]), ("range", 2, [4, 2])]
)
def test_launches_are_those_of_the_runtime(
    built: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
    sizes: list[int],
) -> None:
    with opened(str(built.folder / f"{name}.gcx")) as file:
        container = Container(file, FORMAT)
        contents, _ = described(container)
        program = contents.programs[number]
        found = unpack_plan(read_program(container, program))
    assert [program.sizes[s] for s in sorted(program.sizes)] == sizes
    expected = planned_launches(found.plan, found.module)
    compiled = dict(zip(map(id, found.plan.kernels), found.compiled, strict=True))
    monkeypatch.setenv("BUNDLE_CALLS", str(tmp_path / "calls"))
    bundle = built.opened(name)
    inputs = [np.zeros((4, 4), np.float32), np.zeros((4, 3), np.float32)]
    assert bundle(inputs[: len(contents.inputs)], [None] * 4, sizes) == 0, bundle.error
    bundle.close()
    lines = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert len(lines) == len(expected) > 2
    regions: dict[int, str] = {}
    for (kernel, places), (entry, *rest) in zip(expected, lines, strict=True):
        code = compiled[id(kernel)]
        assert entry == code.entry
        assert [*map(int, rest[:5])] == [*kernel.programs, code.threads, code.shared]
        pairs = [place.split(":") for place in rest[5:]]
        assert [int(offset) for _, offset in pairs] == [p % REGION for p in places]
        for place, (block, _) in zip(places, pairs, strict=True):
            assert regions.setdefault(place // REGION, block) == block
    assert len(set(regions.values())) == len(regions)


def test_a_bundle_is_the_same_from_the_file_and_compiled_here(built: Built) -> None:
    def read(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    found = read(built.bundle("control"))
    assert found == read(built.bundle("control", trusted=False))
    assert sorted(found) == [
        *("Makefile", "model.c", "model.h", "model_data.S", "model_data.bin"),
        "model_runner.h",
    ]
    header = (built.bundle("control") / "model.h").read_text()
    assert "const float *a_limit; /* f32[2], a limit */" in header
    assert "float *int_; /* f32[5,4], int */" in header


def test_runs_that_come_again_are_graphs(
    built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BUNDLE_CALLS", str(tmp_path / "calls"))
    reference = load(built.folder / "train.gcx", "numpy")
    bundle = built.opened("train")
    calls, graphs = [], []
    rng = np.random.default_rng(1)
    for batch in (4, 4, 2, 4, 2, 2):
        x, y = (rng.normal(size=(batch, n)).astype(np.float32) for n in (4, 3))
        loss = np.zeros((), np.float32)
        before = bundle.graph_launches
        assert bundle([x, y], [loss, None], [batch]) == 0, bundle.error
        assert bundle.unrecorded == ""
        assert_close(loss, reference(x, y)[0])
        graphs.append(bundle.graph_launches - before)
        calls.append((tmp_path / "calls").read_text().splitlines())
        (tmp_path / "calls").unlink()
    # The first run of a program launches kernels; the others launch its graph.
    assert graphs == [0, 1, 0, 1, 1, 1]
    assert calls[0] == calls[1] == calls[3]
    assert calls[2] == calls[4] == calls[5] != calls[0]
    bundle.close()


def test_large_tensors_exchange_their_memory(
    built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(writing, "COPIED_BYTES", 0)
    write_bundle(built.folder / "train.gcx", tmp_path / "large", trusted=True)
    reference = load(built.folder / "train.gcx", "numpy")
    bundle = BuiltBundle(tmp_path / "large", built.double, built.code)
    before = bundle.graph_launches
    x, y = np.ones((4, 4), np.float32), np.ones((4, 3), np.float32)
    for _ in range(7):
        assert bundle([x, y], [None, None], [4]) == 0, bundle.error
        reference(x, y)
        for number, tensor in enumerate(reference.state.values()):
            assert_close(bundle.read_state(number, tensor), tensor)
    # Three places take turns.
    assert bundle.graph_launches - before == 7 - 3
    bundle.close()


@pytest.mark.parametrize(
    "call",
    ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"],
)
def test_where_nothing_can_be_recorded_kernels_are_launched(
    built: Built, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    reference = load(built.folder / "train.gcx", "numpy")
    bundle = built.opened("train")
    before = bundle.graph_launches
    monkeypatch.setenv("FAIL_CALL", call)
    for run in range(3):
        x, y = np.full((2, 4), run, np.float32), np.ones((2, 3), np.float32)
        loss = np.zeros((), np.float32)
        assert bundle([x, y], [loss, None], [2]) == 0, bundle.error
        assert_close(loss, reference(x, y)[0])
    assert bundle.unrecorded == f"{call} failed: an error of the double (700)"
    assert bundle.graph_launches == before
    bundle.close()
    assert bundle.unrecorded == ""


def test_what_the_host_decides_is_not_recorded(built: Built) -> None:
    bundle = built.opened("control")
    x, until = array(5, 4), np.full(2, 9, np.float32)
    assert bundle([x, until], [None, None]) == 0
    assert bundle.unrecorded in (
        "the host reads which branch to take",
        "the host reads whether a loop goes on",
    )
    bundle.close()


# -- what goes wrong -------------------------------------------------------------------


def test_bad_calls_are_refused_with_a_message(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = built.opened("range")
    x, outputs = array(2, 2), [None] * 4
    for inputs, sizes, said in (
        ([x], [1, 2], "the bundle is for B = 2 to 5, not 1"),
        ([x], [6, 2], "the bundle is for B = 2 to 5, not 6"),
        ([x], [2, 4], "the bundle is for T = 2 or 3, not 4"),
        ([x], [-1, 2], "not -1"),
        ([None], [2, 2], "input x is NULL"),
    ):
        assert bundle(inputs, outputs, sizes) == BAD_ARGUMENT
        assert said in bundle.error
    assert bundle.call("run", None, None) == BAD_ARGUMENT
    assert bundle.call("open", 1) == BAD_ARGUMENT
    assert "there is no GPU 1" in bundle.error
    for variable, value, usual, code, said in (
        ("architecture", 80, 90, WRONG_GPU, "is for sm_90, and GPU 0 (GPU in C) is"),
        ("version", 11080, 12080, NO_DRIVER, "too old: it serves CUDA 11.8"),
        ("gpus", 0, 1, BAD_ARGUMENT, "there is no GPU 0"),
    ):
        bundle.set(variable, value)
        assert bundle([x], outputs, [2, 2]) == code
        assert said in bundle.error
        bundle.set(variable, usual)
    for call, number, code, said in (
        ("cuMemAlloc_v2", "2", NO_MEMORY, "cuMemAlloc_v2 failed: out of memory (2)"),
        ("cuModuleLoadData", "200", DRIVER_FAILED, "cuModuleLoadData failed"),
    ):
        monkeypatch.setenv("FAIL_CALL", call)
        monkeypatch.setenv("FAIL_CODE", number)
        assert bundle([x], outputs, [2, 2]) == code
        assert said in bundle.error
    monkeypatch.delenv("FAIL_CALL")
    assert bundle([x], outputs, [2, 2]) == 0
    assert bundle.call("open", 0) == BAD_ARGUMENT
    assert "is open already" in bundle.error
    bundle.close()


MAIN = r"""
#include <stdio.h>
#include "model.h"

static int failures;

static void run(int64_t batch, int64_t length, const float *x, float **results)
{
    model_inputs inputs = {.B = batch, .T = length, .x = x};
    model_outputs outputs = {.softmax = results[0], .mean = results[1],
                             .wide = results[2], .size = (int32_t *)results[3]};
    int code = model_run(&inputs, &outputs);
    if (code != MODEL_OK) {
        failures++;
        printf("%d %s\n", code, model_error());
    }
}

int main(void)
{
    float x[15] = {0}, softmax[15], mean[3], wide[30], size[1], w[3];
    float *all[] = {softmax, mean, wide, size}, *none[4] = {0};
    for (int round = 0; round < 2; round++) {
        for (int64_t batch = 1; batch <= 6; batch++)
            for (int64_t length = 1; length <= 3; length++) {
                run(batch, length, x, all);
                run(batch, length, x, none);
                run(batch, length, NULL, all);
            }
        failures += model_read_state(0, w) != MODEL_OK;
        model_close();
        model_close();
    }
    return failures > 255 ? 255 : failures;
}
"""

CALLS = (
    *("cuInit", "cuModuleLoadData", "cuModuleGetFunction", "cuLaunchKernel"),
    *("cuMemAlloc_v2", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2"),
    *("cuMemcpyDtoDAsync_v2", "cuMemsetD8Async", "cuStreamCreate", "cuGraphLaunch"),
)
CAPTURE = (
    *("cuStreamBeginCapture_v2", "cuStreamEndCapture"),
    "cuGraphInstantiateWithFlags",
)


@pytest.mark.slow
def test_nothing_is_leaked_or_overrun(built: Built, tmp_path: Path) -> None:
    """The same in a program of C's own, watched by sanitizers, with every call failing."""
    folder = built.bundle("range")
    (tmp_path / "main.c").write_text(MAIN)
    program = compile_c(
        tmp_path / "main",
        *(*STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        *(f'-DCUDA_LIBRARY="{built.double}"', f"-I{folder}", f"-Wa,-I{folder}"),
        *(tmp_path / "main.c", folder / "model.c", folder / "model_data.S"),
    )

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **more}
        return subprocess.run(
            [program], capture_output=True, text=True, env=environment, timeout=60
        )

    found = run()
    assert found.stderr == ""
    # Of 6 x 3 sizes 4 x 2 are served, and each of them only if x is given.
    assert found.returncode == 2 * (2 * (18 - 8) + 18)
    for call in CALLS:
        failed = run(FAIL_CALL=call)
        assert failed.stderr == "", call
        if call not in ("cuMemcpyDtoDAsync_v2", "cuMemsetD8Async"):  # not in all plans
            assert f"{call} failed: an error of the double (700)" in failed.stdout
    for call in CAPTURE:
        failed = run(FAIL_CALL=call)
        assert (failed.stderr, failed.returncode) == ("", found.returncode), call


@pytest.mark.slow
def test_the_makefile_makes_a_library(built: Built, tmp_path: Path) -> None:
    folder = built.bundle("control")
    made = subprocess.run(["make", "-s"], cwd=folder, capture_output=True, text=True)
    assert (made.returncode, made.stderr) == (0, "")
    (tmp_path / "main.c").write_text(
        '#include "model.h"\n#include <stdio.h>\n'
        "int main(void) { model_inputs in = {0}; model_outputs out = {0};\n"
        "  int code = model_run(&in, &out); puts(model_error()); return code; }\n"
    )
    program = compile_c(
        *(tmp_path / "main", tmp_path / "main.c", f"-I{folder}"),
        folder / "libmodel.a",
    )
    found = subprocess.run([program], capture_output=True, text=True)
    assert found.returncode == BAD_ARGUMENT
    assert found.stdout == "input x is NULL\n"


def test_what_no_bundle_can_be_made_of(built: Built, tmp_path: Path) -> None:
    file, new = built.folder / "control.gcx", tmp_path / "new"
    cases: tuple[tuple[Mapping[str, Any], type[GraphcError], str], ...] = (
        ({"target": "xla:cpu"}, TargetError, "for a GPU of NVIDIA"),
        ({"target": "triton:sm_80", "trusted": True}, LoadError, "no machine code for"),
        ({"name": "1st"}, GraphcError, "must be one in C"),
    )
    for options, error, said in cases:
        with pytest.raises(error, match=said):
            write_bundle(file, new, **options)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "kept").touch()
    with pytest.raises(GraphcError, match="exists"):
        write_bundle(file, tmp_path / "old")
    spoken = graphc.trace(lambda x: ops.print(x) + 1, graphc.TensorSpec((2,)))
    names = Source("f", "graph", spoken, ("x",), ("y",), {})
    write_artifact(str(tmp_path / "f.gcx"), names, Contract({}), ["numpy"])
    with pytest.raises(TargetError, match="for no GPU of NVIDIA"):
        write_bundle(tmp_path / "f.gcx", new)
    with pytest.raises(UnsupportedError, match="runs on the host"):
        write_bundle(tmp_path / "f.gcx", new, TARGET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.gcx", "old"]
    said = invoke("bundle", file, "-o", new, "--trust-code", "--name", "net").output
    assert str(new / "net.h") in said
    assert "int net_run(const net_inputs *inputs" in (new / "net.h").read_text()


# -- how C spells it -------------------------------------------------------------------


def test_names_in_c() -> None:
    names = ["x", "a/b", "a b", "int", "0", "_y", "", "x", "class", "a_b_2"]
    assert identifiers(names) == [
        *("x", "a_b", "a_b_2", "int_", "x0", "x_y", "x_2", "x_3", "class_", "a_b_2_2")
    ]
    assert quoted('a"\\?\né') == '"a\\042\\134\\077\\012\\303\\251"'
    assert comment("a*/b\\\n") == "a* /b/?"


@pytest.mark.parametrize("text", ["2*B+3", "(B-1)//2+1", "B*B-2*T", "(3*B+T)//(T+1)"])
def test_dims_in_c(text: str) -> None:
    dim = parse_dim(text)
    spelled = expression(dim, {"B": "B", "T": "T"})
    for sizes in ({"B": 5, "T": 2}, {"B": 1, "T": 7}):
        scope = {**sizes, "floor_divide": lambda a, b: a // b}
        assert eval(spelled, scope) == substitute(dim, sizes)
