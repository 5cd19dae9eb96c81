"""Kernels compiled without a GPU: machine code, resources, what is kept, errors."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from graphc.codegen.triton.kernel import Kernel
from graphc.files.store import Store
from graphc.ir.errors import CompileError, TargetError
from graphc.runtime import triton_version
from graphc.runtime.triton_cache import Cache
from graphc.runtime.triton_compile import SHARED_MEMORY, Compiler, _Job, gpu_target
from graphc.runtime.triton_interpreter import InterpreterDevice
from tests.triton_kernels import kernel_of

ARCHITECTURES = ["sm_80", "sm_90", "gfx942"]


def scaled(factor: float = 2.0, **facts: object) -> Kernel:
    """A kernel that multiplies and adds."""
    return kernel_of(
        f"x = tl.arange(0, BLOCK)\ntl.store(p1 + x, tl.load(p0 + x) * {factor} + 1.0)",
        ["f32[1024]"],
        ["f32[1024]"],
        constants={"BLOCK": 1024},
        **facts,
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_machine_code_and_resources(architecture: str, triton_compiler: Compiler):
    compiled, again = triton_compiler.compile([scaled(num_warps=8)] * 2, architecture)
    assert compiled == again
    assert compiled.binary.startswith(b"\x7fELF")
    assert compiled.entry == "kernel"
    assert compiled.entry.encode() in compiled.binary
    # Paths of sources are another user's other bytes.
    assert b".py" not in compiled.binary
    assert compiled.threads == 8 * (64 if architecture == "gfx942" else 32)
    assert 0 < compiled.registers < 256
    assert compiled.spills == compiled.global_scratch == 0
    if architecture != "gfx942":
        # 16 bytes at once: pointers are known to be aligned.
        assert "ld.global.v4" in compiled.assembly
        assert "fma" not in compiled.assembly


def test_fused_multiply_add_is_a_choice(triton_compiler: Compiler):
    (compiled,) = triton_compiler.compile([scaled()], "sm_80", enable_fp_fusion=True)
    assert "fma.rn.f32" in compiled.assembly


def test_results_are_kept_and_damaged_ones_made_again(
    triton_compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(triton_compiler, "_cache", Cache(Store(tmp_path / "kept")))
    compiled = triton_compiler.compile([scaled()], "sm_80")
    (entry,) = tmp_path.glob("kept/kernels/*/*")
    intact = entry.read_bytes()
    entry.write_bytes(intact.replace(b'"registers"', b'"Registers"'))
    assert triton_compiler.compile([scaled()], "sm_80") == compiled
    assert entry.read_bytes() == intact
    monkeypatch.setattr(triton_compiler, "_compile", pytest.fail)
    assert triton_compiler.compile([scaled()], "sm_80") == compiled


def test_what_results_depend_on():
    kernel = scaled()
    jobs = [
        _Job(kernel, "sm_80", False),
        _Job(kernel, "sm_90", False),
        _Job(kernel, "sm_80", True),
        _Job(scaled(3.0), "sm_80", False),
        _Job(replace(kernel, constants={"BLOCK": 512}), "sm_80", False),
        _Job(replace(kernel, num_warps=8), "sm_80", False),
        _Job(replace(kernel, num_stages=3), "sm_80", False),
    ]
    assert len({job.key for job in jobs}) == len(jobs)
    assert _Job(replace(kernel, layers=("a",)), "sm_80", False).key == jobs[0].key


ILL: dict[str, tuple[str, str, str]] = {
    "in the kernel": (
        "",
        "x = tl.arange(0, 1000)",
        "arange's range must be a power of 2",
    ),
    "in a function that it calls": (
        "@triton.jit\ndef helper(x):\n    return x.missing",
        "helper(tl.arange(0, 8))",
        "'tensor' object has no attribute 'missing'",
    ),
    "before it is read": (
        "",
        "x = = 1",
        "SyntaxError: invalid syntax",
    ),
}


@pytest.mark.parametrize("where", ILL)
def test_errors_are_shown_with_a_caret(where: str, triton_compiler: Compiler):
    helpers, body, message = ILL[where]
    kernel = kernel_of(body, helpers=helpers, layers=("decoder/norm",))
    with pytest.raises(CompileError) as caught:
        triton_compiler.compile([kernel], "sm_90")
    start = "kernel 'kernel' of decoder/norm does not compile for sm_90: "
    assert caught.value.message.startswith(start)
    assert message in caught.value.message
    *_, line, caret = (caught.value.received or "").splitlines()
    assert set(caret.strip()) == {"^"}
    assert line[caret.index("^") :].startswith(("tl.arange", "x.missing", "= 1"))
    path = (caught.value.hint or "").removeprefix("its source is ")
    assert Path(path).read_text() == kernel.source


def test_too_much_shared_memory(
    triton_compiler: Compiler, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(SHARED_MEMORY, "sm_80", 8)
    body = "tl.store(p1, tl.sum(tl.load(p0 + tl.arange(0, 1024)), 0))"
    kernel = kernel_of(body, ["f32[1024]"], ["f32[1]"])
    with pytest.raises(CompileError, match="needs 16 bytes of shared memory, of 8"):
        triton_compiler.compile([kernel], "sm_80")


def test_a_dead_process_is_replaced(triton_compiler: Compiler):
    (worker,) = triton_compiler._slots.queue
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(CompileError) as caught:
        triton_compiler.compile([scaled(5.0)], "sm_80")
    assert caught.value.message == (
        "kernel 'kernel' does not compile for sm_80: "
        "the process of Triton's compiler has ended: SIGKILL"
    )
    assert triton_compiler._slots.queue == [None]


@pytest.mark.parametrize("name", ["sm_9", "sm90", "gfx", "cuda", "sm_90; rm"])
def test_unknown_architectures(name: str):
    with pytest.raises(TargetError, match="unknown GPU architecture"):
        gpu_target(name)


def test_warps_of_amd_architectures():
    assert gpu_target("gfx942") == ("hip", "gfx942", 64)
    assert gpu_target("gfx1100") == ("hip", "gfx1100", 32)


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (None, "triton is not installed"),
        ("3.5.1", "triton 3.5.1 is older than 3.6"),
        ("3.6.0", None),
        ("3.10.0+git1234", None),
        ("4.0.0", None),
    ],
)
def test_versions(
    version: str | None, reason: str | None, monkeypatch: pytest.MonkeyPatch
):
    def find(package: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(package)
        return version

    monkeypatch.setattr(metadata, "version", find)
    assert triton_version.unavailable() == reason
    for make in (Compiler, InterpreterDevice):
        if reason is not None:
            with pytest.raises(TargetError, match=reason):
                make()


def test_this_process_neither_imports_triton_nor_changes_its_settings():
    script = """
import os, sys
import graphc.runtime.triton_interpreter, graphc.runtime.triton_compile
device = graphc.runtime.triton_interpreter.InterpreterDevice()
device.close()
print({"torch", "triton"} & set(sys.modules), [n for n in os.environ if "TRITON" in n])
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert (result.stdout, result.stderr) == ("set() []\n", "")


@pytest.mark.slow
def test_several_at_once():
    kernels = [
        scaled(factor, num_warps=warps) for factor in (1.5, 2.5) for warps in (4, 8)
    ]
    with Compiler(workers=2) as compiler:
        compiled = compiler.compile(kernels, "sm_90")
        assert [each.threads for each in compiled] == [128, 256, 128, 256]
        assert len({each.binary for each in compiled}) == 4
        ill = kernel_of("tl.missing()")
        with pytest.raises(CompileError, match="missing"):
            compiler.compile([*kernels, ill], "sm_80")
        assert len(compiler.compile(kernels, "sm_80")) == 4


@pytest.mark.slow
def test_spills_are_counted(triton_compiler: Compiler):
    # One warp keeps 8,192 values for the division: 256 for each thread.
    body = """
    x = tl.arange(0, 8192)
    a = tl.load(p0 + x)
    tl.store(p1 + x, a / tl.sum(a, 0))
    """
    kernel = kernel_of(body, ["f32[8192]"], ["f32[8192]"], num_warps=1)
    (compiled,) = triton_compiler.compile([kernel], "sm_90")
    assert compiled.registers == 255
    assert compiled.spills > 0
