"""The triton targets: kernels for GPUs, run by a launch plan."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE, emit_kernels
from graphc.codegen.triton.plan import Plan
from graphc.codegen.triton.planning import make_plan
from graphc.codegen.triton.tuning import COST_MODEL, LOCK, choose_kernels, load_table
from graphc.files.lock import device_of
from graphc.files.store import Store
from graphc.ir.errors import CompileError, GraphcError, LoadError, TargetError
from graphc.ir.graph import Graph, Module
from graphc.runtime import cublas, cuda_driver
from graphc.runtime.backend import Memory, Packed, Program
from graphc.runtime.cuda_device import CudaDevice
from graphc.runtime.kernel_costs import KernelReport
from graphc.runtime.plan_costs import plan_cost, plan_kernels, plan_memory
from graphc.runtime.stages import Stages
from graphc.runtime.triton_cache import Cache
from graphc.runtime.triton_compile import CompiledKernel, Compiler
from graphc.runtime.triton_interpreter import InterpreterDevice
from graphc.runtime.triton_packing import check_interface, pack_plan, unpack_plan
from graphc.runtime.triton_program import TritonProgram
from graphc.runtime.triton_schedules import (
    INTERPRETER,
    LockedSchedule,
    locked_schedules,
    unoffered,
)
from graphc.runtime.triton_spills import without_spills
from graphc.runtime.triton_version import unavailable as triton_unavailable


def pipeline(device: str | None) -> str:
    """The passes that end with a graph for each kernel, on any device."""
    return "triton"


def unavailable(device: str | None, packed: bool = False) -> str | None:
    """Why a graph cannot be compiled for a device, or None if it can.

    Args:
        device: An architecture, which only needs Triton; the interpreter; or None for
            the GPU of this machine.
        packed: Whether machine code is there already, which needs no Triton.
    """
    missing = None if packed else triton_unavailable()
    return missing or (cuda_driver.unavailable() if device is None else None)


def device_name(device: str | None) -> str:
    """The architecture, with the GPU's name if one is here; or the interpreter."""
    if device == INTERPRETER or cuda_driver.unavailable() is not None:
        return f"triton:{device or cuda().architecture}"
    gpu = cuda()
    if device not in (None, gpu.architecture):
        return f"triton:{device}"
    return device_of(f"triton:{gpu.architecture}", gpu.name)


def emit(graph: Graph) -> str:
    """The source of all kernels of a lowered graph, then its launch plan."""
    return _text(make_plan(graph, emit_kernels(graph)))


def compile(
    graph: Graph, device: str | None, donate: Sequence[int], stages: Stages
) -> Program:
    """The program of a lowered graph."""
    architecture = _architecture(device)
    with stages.timed("emit"):
        emitted = _emitted(graph, architecture, stages, is_here=device is None)
    if architecture is not None:
        with stages.timed("compile"):
            emitted |= _relieved(graph.module, emitted, architecture, stages)
    with stages.timed("emit"):
        plan = make_plan(graph, emitted, donate)
        text = _text(plan)
    stages.dump("plan.txt", plan)
    directory = stages.place("kernels")
    if directory is not None:
        _dump_sources(directory, plan.kernels, emitted, graph)
    poison = stages.settings.poison
    with stages.timed("compile"):
        if architecture is None:
            return TritonProgram(
                text, plan, graph.module, interpreter(), on_host=True, poison=True
            )
        written = [kernel for kernel in plan.kernels if kernel.library is None]
        compiled = compiler(stages.settings.store()).compile(written, architecture)
        if directory is not None:
            _dump_compiled(directory, written, compiled)
        if device is not None:
            return CompiledProgram(
                text, plan, architecture, tuple(compiled), graph.module
            )
        gpu = cuda()
        return _loaded(text, plan, written, compiled, graph.module, gpu, poison)


def _emitted(
    graph: Graph, architecture: str | None, stages: Stages, is_here: bool
) -> dict[str, Kernel]:
    """The kernels, with the schedules of the lock, the table, or the cost model."""
    device = architecture or INTERPRETER
    made_for = architecture or DEFAULT_ARCHITECTURE

    def no_library() -> str | None:
        if not is_here:
            return "what is compiled for another machine does not know its libraries"
        return cublas.unavailable()

    locked: dict[str, LockedSchedule] = {}
    if stages.lock is not None:
        # What is compiled for an architecture is the same on whichever machine.
        name = device_name(None) if is_here else f"triton:{device}"
        locked = locked_schedules(graph, stages.lock, name, made_for, no_library)
    own = {name: each.schedule for name, each in locked.items() if each.schedule}
    table = load_table(device)
    schedules = [*own.values(), *(entry.schedule for entry in table.values())]
    called = any(schedule.library is not None for schedule in schedules)
    libraries = called and no_library() is None
    chosen = choose_kernels(graph, table, made_for, own, libraries)
    for name, each in locked.items():
        if each.schedule is not None and chosen[name].origin != LOCK:
            raise unoffered(each.lines[0])
        stages.lines |= dict.fromkeys(each.lines)
    stages.origins |= {
        each.kernel.name: each.origin + (locked[name].origin if name in locked else "")
        for name, each in chosen.items()
    }
    return {name: each.kernel for name, each in chosen.items()}


def _relieved(
    module: Module, emitted: Mapping[str, Kernel], architecture: str, stages: Stages
) -> dict[str, Kernel]:
    """Kernels in place of those for which the cost model has chosen too large tiles."""
    origins = stages.origins
    own = {n: each for n, each in emitted.items() if origins[each.name] == COST_MODEL}
    made_by = compiler(stages.settings.store())
    found = without_spills(own, module, made_by, architecture)
    origins |= {each.name: "cost model, registers" for each in found.values()}
    return found


def unpack(
    packed: Packed, graph: Graph, device: str | None, donate: Sequence[int]
) -> Program | None:
    """The program of a packed launch plan, if this machine's GPU can run it.

    Neither Triton nor a compiler is needed for it.
    """
    if cuda_driver.unavailable() is not None:
        return None
    gpu = cuda()
    if packed.facts.get("architecture") != gpu.architecture:
        return None
    found = unpack_plan(packed)
    plan = found.plan
    check_interface(plan, graph, donate)
    try:
        code = found.compiled
        return _loaded("", plan, plan.kernels, code, found.module, gpu, poison=False)
    except CompileError as error:
        raise LoadError(f"packed machine code is damaged: {error}") from error


def _loaded(
    text: str,
    plan: Plan,
    written: Sequence[Kernel],
    compiled: Sequence[CompiledKernel],
    module: Module,
    gpu: CudaDevice,
    poison: bool,
) -> TritonProgram:
    """A plan on a GPU, with the machine code of those of its kernels that have some."""
    for kernel, each in zip(written, compiled, strict=True):
        gpu.add(kernel, each)
    code = sum(len(each.binary) for each in compiled)
    return TritonProgram(text, plan, module, gpu, poison=poison, code=code)


class CompiledProgram:
    """A graph compiled for a GPU that need not be there: it can be read, not run.

    Attributes:
        text: The source of all kernels, then the plan.
        plan: The plan.
        architecture: What the kernels were compiled for.
        compiled: The machine code of each kernel of the plan.
    """

    def __init__(
        self,
        text: str,
        plan: Plan,
        architecture: str,
        compiled: tuple[CompiledKernel, ...],
        module: Module,
    ) -> None:
        self.text = text
        self.plan = plan
        self.architecture = architecture
        self.compiled = compiled
        self._module = module

    def place(self, array: Any) -> Any:
        """`array` itself: nothing runs."""
        return array

    def pack(self) -> Packed:
        """The launch plan, its constants and the machine code."""
        return pack_plan(self.plan, self.compiled, self._module, self.architecture)

    def run(self, *arrays: Any) -> tuple[Any, ...]:
        """Raises a `TargetError`: this is for another machine."""
        raise TargetError(
            f"the graph was compiled for {self.architecture} to be looked at, not run",
            hint="target='triton' runs on this machine's GPU,"
            " 'triton:interpreter' on any machine",
        )

    def explain(self, error: Exception) -> GraphcError | None:
        """None: the error speaks for itself."""
        return None

    def memory(self) -> Memory:
        """The memory that one run takes."""
        return plan_memory(self.plan, sum(len(each.binary) for each in self.compiled))

    def cost(self) -> dict[str, float]:
        """The floating-point operations and bytes moved of the kernels of one run."""
        return plan_cost(self.plan)

    def kernels(self, *arrays: Any) -> KernelReport:
        """What each kernel costs."""
        return plan_kernels(self.plan)


@functools.cache
def interpreter() -> InterpreterDevice:
    """The interpreter that all programs of this process share."""
    return InterpreterDevice()


@functools.cache
def cuda() -> CudaDevice:
    """The GPU that all programs of this process share."""
    return CudaDevice()


@functools.cache
def compiler(store: Store | None) -> Compiler:
    """The compiler that keeps its results in a store."""
    return Compiler(None if store is None else Cache(store))


def _architecture(device: str | None) -> str | None:
    """What kernels are compiled for; None for the interpreter."""
    if device == INTERPRETER:
        return None
    return device or cuda().architecture


def _text(plan: Plan) -> str:
    files = (
        f"# -- {name}.py --\n\n{kernel.source}"
        for name, kernel in zip(_names(plan.kernels), plan.kernels, strict=True)
    )
    return "\n\n".join([*files, f"# -- plan --\n\n{plan}"])


def _names(kernels: Sequence[Kernel]) -> list[str]:
    """A name for the files of each kernel."""
    width = len(str(len(kernels)))
    return [f"{n:0{width}}-{kernel.name}" for n, kernel in enumerate(kernels)]


def _dump_sources(
    directory: Path,
    kernels: Sequence[Kernel],
    emitted: Mapping[str, Kernel],
    graph: Graph,
) -> None:
    """Writes the source of each kernel and the graph that it computes."""
    directory.mkdir()
    graphs = {id(kernel): name for name, kernel in emitted.items()}
    for name, kernel in zip(_names(kernels), kernels, strict=True):
        computed = graph.module.graphs[graphs[id(kernel)]]
        (directory / f"{name}.gir").write_text(str(computed))
        (directory / f"{name}.py").write_text(kernel.source)


def _dump_compiled(
    directory: Path, kernels: Sequence[Kernel], compiled: Sequence[CompiledKernel]
) -> None:
    """Writes the assembly of each kernel and what a launch of it takes."""
    for name, each in zip(_names(kernels), compiled, strict=True):
        (directory / f"{name}.ptx").write_text(each.assembly)
        resources = {
            "threads": each.threads,
            "registers": each.registers,
            "spilled bytes": each.spills,
            "shared memory": each.shared,
            "machine code": len(each.binary),
        }
        text = json.dumps(resources, indent=1) + "\n"
        (directory / f"{name}.json").write_text(text)
