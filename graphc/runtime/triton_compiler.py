"""The process in which Triton compiles kernels for `graphc.runtime.triton_compile`.

In a process of its own Triton's settings are its alone, several kernels compile at once,
and a crash of its compiler is an error that names the kernel. No GPU is needed, nor torch.
"""

from __future__ import annotations

import base64
import contextlib
import io
import re
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as triton_compile
from triton.compiler.errors import CompilationError

from graphc.runtime.triton_cache import import_kernel
from graphc.runtime.worker_process import RequestError, serve

ALIGNMENT = [["tt.divisibility", 16]]
"""What may be relied on of every pointer, as Triton writes it."""


def compile_source(
    path: str,
    name: str,
    signature: dict[str, str],
    constants: dict[str, Any],
    target: tuple[str, int | str, int],
    options: dict[str, Any],
) -> dict[str, Any]:
    """Compiles a file of kernel source; returns the fields of a `CompiledKernel`."""
    messages = io.StringIO()
    try:
        function = import_kernel(path, name)
        signature = {argument: signature[argument] for argument in function.arg_names}
        pointers = [n for n, type in enumerate(signature.values()) if type[0] == "*"]
        source = ASTSource(
            function,
            signature,
            constants,
            {(number,): ALIGNMENT for number in pointers},
        )
        with contextlib.redirect_stdout(messages):
            compiled = triton_compile(source, GPUTarget(*target), options)
    except Exception as error:
        raise RequestError(*_explained(error)) from error
    metadata, texts = compiled.metadata, compiled.asm
    cuda = target[0] == "cuda"
    assembly = texts["ptx" if cuda else "amdgcn"]
    usage = _cuda_usage(messages.getvalue()) if cuda else _hip_usage(assembly)
    return usage | {
        "entry": metadata.name,
        "binary": base64.b64encode(texts["cubin" if cuda else "hsaco"]).decode(),
        "assembly": assembly,
        "threads": metadata.num_warps * target[2],
        "shared": metadata.shared,
        "global_scratch": getattr(metadata, "global_scratch_size", 0),
        "global_scratch_alignment": getattr(metadata, "global_scratch_align", 1),
    }


def _cuda_usage(log: str) -> dict[str, int]:
    """What `ptxas -v` says about the kernel. It spills by storing and loading bytes."""
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    registers = re.search(r"Used (\d+) registers", log)
    if spills is None or registers is None:
        raise RequestError("ptxas does not say which registers are used", log or None)
    stored, loaded = map(int, spills.groups())
    return {"registers": int(registers[1]), "spills": stored + loaded}


def _hip_usage(assembly: str) -> dict[str, int]:
    """What the metadata in the assembly says; a spilled register has four bytes."""
    counts = dict(re.findall(r"^ +\.(\w+_count): +(\d+)$", assembly, re.MULTILINE))
    spilled = int(counts["vgpr_spill_count"]) + int(counts["sgpr_spill_count"])
    return {"registers": int(counts["vgpr_count"]), "spills": 4 * spilled}


def _explained(error: Exception) -> tuple[str, str | None]:
    """What is wrong, and the source with a caret if the compiler shows it."""
    innermost: BaseException = error
    while isinstance(innermost.__cause__, CompilationError):
        innermost = innermost.__cause__
    cause = innermost.__cause__ or innermost
    if isinstance(innermost, CompilationError):
        place = str(innermost).removesuffix(str(innermost.error_message)).rstrip()
        if cause is innermost:
            return str(innermost.error_message).splitlines()[0], place
        return f"{type(cause).__name__}: {cause}".splitlines()[0], place
    *lines, last = traceback.format_exception_only(error)
    if isinstance(error, SyntaxError):
        return last.strip(), "".join(lines).rstrip()
    first, *more = f"{type(error).__name__}: {error}".strip().splitlines()
    return first, "\n".join(more[:20]) or None


def _calls(connection: Connection) -> Mapping[str, Callable[..., Any]]:
    return {"compile": compile_source}


if __name__ == "__main__":
    serve(_calls)
