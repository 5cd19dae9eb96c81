"""Kernels compiled to machine code for GPUs that need not be there."""

from __future__ import annotations

import base64
import json
import os
import queue
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from graphc.codegen.triton.kernel import Kernel, signature
from graphc.ir.errors import CompileError, GraphcError, TargetError
from graphc.runtime.triton_cache import (
    Cache,
    digest,
    temporary_cache,
    temporary_directory,
)
from graphc.runtime.triton_version import unavailable, version
from graphc.runtime.worker_process import RequestError, WorkerProcess

FORMAT = 2
"""The number of the format in which compiled kernels are kept."""

SHARED_MEMORY = {
    "sm_80": 166_912,
    "sm_86": 101_376,
    "sm_87": 166_912,
    "sm_89": 101_376,
    "sm_90": 232_448,
    "sm_100": 232_448,
    "sm_120": 101_376,
    "gfx90a": 65_536,
    "gfx942": 65_536,
}
"""The most shared memory that one program may take, in bytes, by architecture."""

GpuTarget: TypeAlias = tuple[str, int | str, int]


@dataclass(frozen=True, slots=True)
class CompiledKernel:
    """The machine code of a kernel, and what a launch of it needs.

    The entry point takes the kernel's pointers, then two more: to the global scratch
    memory and to that of Triton's profiler, which may be null where the sizes are 0.

    Attributes:
        entry: The name of the entry point.
        binary: The cubin, or the hsaco of an AMD architecture.
        assembly: The PTX, or the assembly of an AMD architecture.
        threads: The number of threads that run one program.
        shared: The shared memory of one program, in bytes.
        registers: The number of registers of one thread.
        spills: How many bytes one thread moves because registers did not suffice.
        global_scratch: Bytes of scratch memory that each program needs.
        global_scratch_alignment: What its address must be a multiple of.
    """

    entry: str
    binary: bytes
    assembly: str
    threads: int
    shared: int
    registers: int
    spills: int
    global_scratch: int
    global_scratch_alignment: int


class Compiler:
    """Compiles kernels in several processes, and keeps the results in files.

    The processes start when there is something to compile that is not kept.

    Args:
        cache: Where results are kept, or None to keep none.
        workers: How many processes compile at once; by default one per CPU core that
            this process may use, but at most eight.

    Raises:
        TargetError: If Triton is not installed.

    Example:
        with Compiler() as compiler:
            (compiled,) = compiler.compile([kernel], "sm_90")
    """

    def __init__(self, cache: Cache | None = None, workers: int | None = None) -> None:
        if reason := unavailable():
            raise TargetError(reason, hint="pip install 'graphc[triton]'")
        self._cache = cache or temporary_cache(self)
        # One slot for each process; the one used last is used first.
        self._slots: queue.LifoQueue[WorkerProcess | None] = queue.LifoQueue()
        self._limit = workers or min(8, len(os.sched_getaffinity(0)))
        for _ in range(self._limit):
            self._slots.put(None)

    def compile(
        self,
        kernels: Sequence[Kernel],
        architecture: str,
        *,
        enable_fp_fusion: bool = False,
    ) -> list[CompiledKernel]:
        """The machine code of each kernel, in order.

        Args:
            kernels: The kernels; equal ones are compiled once.
            architecture: What to compile for: ``sm_80``, ``sm_90``, ``gfx942``.
            enable_fp_fusion: Whether a product and a sum may become one operation that
                rounds once. It is faster where arithmetic is the limit, but results
                then differ more from those of the reference and of other backends.

        Raises:
            CompileError: If a kernel does not compile; names it and its layers.
            TargetError: If the architecture is unknown.
        """
        jobs = [_Job(kernel, architecture, enable_fp_fusion) for kernel in kernels]
        results = {job.key: self._kept(job) for job in jobs}
        missing = {job.key: job for job in jobs if results[job.key] is None}
        if missing:
            with ThreadPoolExecutor(self._limit) as threads:
                compiled = threads.map(self._compile, missing.values())
                results |= dict(zip(missing, compiled, strict=True))
        return [compiled for job in jobs if (compiled := results[job.key])]

    def close(self) -> None:
        """Ends the processes. They start again when there is something to compile."""
        for _ in range(self._limit):
            worker = self._slots.get()
            if worker is not None:
                worker.close()
        for _ in range(self._limit):
            self._slots.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _kept(self, job: _Job) -> CompiledKernel | None:
        payload = self._cache.read(job.key)
        return None if payload is None else _decoded(payload)

    def _compile(self, job: _Job) -> CompiledKernel:
        path = self._cache.source(job.kernel)
        worker = self._slots.get()
        try:
            worker = worker or self._start()
            fields = worker.request("compile", path=str(path), **job.request)
        except RequestError as error:
            details = error.details or (worker and worker.log())
            raise job.failure(error.message, details, path) from error
        except GraphcError as error:
            worker = None
            raise job.failure(error.message, error.received, path) from error
        finally:
            self._slots.put(worker)
        payload = json.dumps(fields).encode()
        compiled = _decoded(payload)
        limit = job.shared_memory()
        if limit is not None and compiled.shared > limit:
            message = f"it needs {compiled.shared} bytes of shared memory, of {limit}"
            raise job.failure(message, None, path)
        self._cache.write(job.key, payload)
        return compiled

    def _start(self) -> WorkerProcess:
        environment = {
            # Triton does not check what it reads from its own cache.
            "TRITON_CACHE_DIR": str(temporary_directory(self)),
            "TRITON_ALWAYS_COMPILE": "1",
            "TRITON_DUMP_PTXAS_LOG": "1",
            # Paths of sources would be in the machine code: other users', other bytes.
            "TRITON_DISABLE_LINE_INFO": "1",
        }
        module = "graphc.runtime.triton_compiler"
        return WorkerProcess(module, "Triton's compiler", environment)


class _Job:
    """A kernel to be compiled for a target.

    Attributes:
        kernel: The kernel.
        request: All that the result depends on but the kernel's source and Triton.
        key: What the result is kept under.
    """

    def __init__(
        self, kernel: Kernel, architecture: str, enable_fp_fusion: bool
    ) -> None:
        self.kernel = kernel
        self._architecture = architecture
        self.request: dict[str, Any] = {
            "name": kernel.name,
            "signature": signature(kernel),
            "constants": dict(kernel.constants),
            "target": gpu_target(architecture),
            "options": {
                "num_warps": kernel.num_warps,
                "num_stages": _stages(kernel, architecture),
                "enable_fp_fusion": enable_fp_fusion,
            },
        }
        made_from = [FORMAT, version(), kernel.source, self.request]
        self.key = digest(json.dumps(made_from, sort_keys=True).encode())

    def shared_memory(self) -> int | None:
        """The most shared memory that a program may take, if that is known."""
        return SHARED_MEMORY.get(self._architecture)

    def failure(self, message: str, details: str | None, path: Path) -> CompileError:
        """The error that says why the kernel does not compile."""
        layers = ", ".join(self.kernel.layers)
        where = f" of {layers}" if layers else ""
        return CompileError(
            f"kernel {self.kernel.name!r}{where} does not compile for "
            f"{self._architecture}: {message}",
            received=details or None,
            hint=f"its source is {path}",
        )


def _stages(kernel: Kernel, architecture: str) -> int:
    """The iterations in flight: AMD's shared memory has no room for more than two."""
    gfx = architecture.startswith("gfx")
    return min(2, kernel.num_stages) if gfx else kernel.num_stages


def gpu_target(architecture: str) -> GpuTarget:
    """What Triton calls an architecture: backend, architecture and threads per warp.

    Raises:
        TargetError: If there is no such architecture.
    """
    if found := re.fullmatch(r"sm_(\d{2,3})", architecture):
        return "cuda", int(found[1]), 32
    if re.fullmatch(r"gfx[0-9a-f]{3,4}", architecture):
        return "hip", architecture, 64 if architecture.startswith("gfx9") else 32
    raise TargetError(
        "unknown GPU architecture",
        received=repr(architecture)[:80],
        hint="it is called sm_90 (NVIDIA) or gfx942 (AMD), for example",
    )


def _decoded(payload: bytes) -> CompiledKernel:
    fields = json.loads(payload)
    fields["binary"] = base64.b64decode(fields["binary"])
    return CompiledKernel(**fields)
