"""Compiled launch plans as bytes: the plan, its constants, machine code by digest."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.plan import Constant, Plan
from graphc.codegen.triton.plan_check import check_plan
from graphc.codegen.triton.plan_json import plan_from_json, plan_to_json
from graphc.files.container import check_keys
from graphc.files.json_text import load_json
from graphc.files.tensors import dump_tensors, parse_tensors
from graphc.ir.errors import GraphcError, LoadError
from graphc.ir.graph import Graph, Module
from graphc.ir.opdef import operand_types
from graphc.runtime.backend import Packed
from graphc.runtime.triton_cache import digest
from graphc.runtime.triton_compile import CompiledKernel

PLAN, CONSTANTS, KERNELS = "plan.json", "constants.safetensors", "kernels.json"

MAX_NAME, MAX_THREADS, MAX_BYTES = 1000, 1024, 1 << 40
"""The longest name of an entry point, the most threads of one program, and more bytes
than there are of any kind of memory."""

MAX_SCRATCH = 1 << 16
"""The most bytes of memory of its own for a program of a kernel: Triton keeps some
descriptors of 128 bytes there."""

SHORT = 16
"""How many digits of its digest machine code is named by."""


@dataclass(frozen=True, slots=True)
class UnpackedPlan:
    """A plan with its machine code.

    Attributes:
        plan: The plan; the source of its kernels is not there.
        compiled: The machine code of each kernel.
        module: What holds the constants.
    """

    plan: Plan
    compiled: tuple[CompiledKernel, ...]
    module: Module


def pack_plan(
    plan: Plan, compiled: Sequence[CompiledKernel], module: Module, architecture: str
) -> Packed:
    """A plan with its machine code, as a file can hold them.

    The source of the kernels stays behind: it must never be run from a file.
    """
    bare = [dataclasses.replace(kernel, source="") for kernel in plan.kernels]
    text = plan_to_json(dataclasses.replace(plan, kernels=tuple(bare)))
    suffix = "hsaco" if architecture.startswith("gfx") else "cubin"
    binaries = [f"kernels/{digest(c.binary)[:SHORT]}.{suffix}" for c in compiled]
    facts = [
        {**_facts(each), "binary": name}
        for each, name in zip(compiled, binaries, strict=True)
    ]
    names = [c.name for c in plan.constants if c.name is not None]
    constants = dump_tensors({name: module.constants[name] for name in names})
    files = {
        PLAN: text.encode(),
        CONSTANTS: b"".join(constants),
        KERNELS: json.dumps(facts, sort_keys=True).encode(),
    }
    code = {n: c.binary for n, c in zip(binaries, compiled, strict=True)}
    return Packed({"architecture": architecture}, files | code)


def unpack_plan(packed: Packed) -> UnpackedPlan:
    """What `pack_plan` packed.

    Raises:
        LoadError: If it is damaged.
    """
    files: Mapping[str, bytes] = packed.files
    if missing := {PLAN, CONSTANTS, KERNELS} - files.keys():
        raise LoadError(f"a packed plan lacks {', '.join(sorted(missing))}")
    try:
        plan = plan_from_json(files[PLAN].decode())
        check_plan(plan)
    except (GraphcError, UnicodeDecodeError) as error:
        raise LoadError(f"a packed launch plan is damaged: {error}") from error
    listed = load_json(files[KERNELS], KERNELS)
    if not isinstance(listed, list) or len(listed) != len(plan.kernels):
        raise LoadError("a packed plan has machine code for other kernels")
    compiled = tuple(
        _compiled(each, kernel, files)
        for each, kernel in zip(listed, plan.kernels, strict=True)
    )
    module = Module()
    module.constants |= parse_tensors(files[CONSTANTS])
    for constant in plan.constants:
        _check_constant(constant, module)
    return UnpackedPlan(plan, compiled, module)


def check_interface(plan: Plan, graph: Graph, donate: Sequence[int]) -> None:
    """Raises a `LoadError` unless a packed plan is for a graph's arrays.

    Args:
        plan: The plan.
        graph: A graph with the parameters and results that it should have.
        donate: The parameters that it may overwrite.
    """
    if plan.parameters != tuple(p.type for p in graph.parameters):
        raise LoadError("a packed plan has other parameters than its graph")
    if [type for type, _ in plan.results] != operand_types(graph.results):
        raise LoadError("a packed plan has other results than its graph")
    if set(plan.donated) - set(donate):
        raise LoadError("a packed plan overwrites parameters that it must not")


def _facts(compiled: CompiledKernel) -> dict[str, Any]:
    fields = dataclasses.fields(CompiledKernel)
    kept = [field.name for field in fields if field.name not in ("binary", "assembly")]
    return {name: getattr(compiled, name) for name in kept}


def _compiled(found: Any, kernel: Kernel, files: Mapping[str, bytes]) -> CompiledKernel:
    """The machine code that an entry of `KERNELS` is about.

    Raises:
        LoadError: If it is about none, or says what no launch can need.
    """
    numbers = {field.name for field in dataclasses.fields(CompiledKernel)}
    numbers -= {"entry", "binary", "assembly"}
    check_keys(found, {"entry", "binary", *numbers}, "a packed kernel")
    entry, binary = found["entry"], found["binary"]
    whole = (
        isinstance(entry, str)
        and 0 < len(entry) <= MAX_NAME
        and entry.isprintable()
        and isinstance(binary, str)
        and binary in files
        and all(type(found[n]) is int and 0 <= found[n] < MAX_BYTES for n in numbers)
        and 0 < found["threads"] <= MAX_THREADS
        and found["global_scratch"] <= MAX_SCRATCH
        and found["global_scratch"] * math.prod(kernel.programs) < MAX_BYTES
    )
    if not whole:
        raise LoadError(
            f"what a packed plan says of kernel {ascii(kernel.name)[:80]} is wrong"
        )
    if digest(files[binary])[:SHORT] != PurePosixPath(binary).stem:
        raise LoadError(
            f"the machine code of kernel {ascii(kernel.name)[:80]} is another's",
            received=f"what is called {ascii(binary)[:80]} has another digest",
        )
    facts = {name: found[name] for name in numbers}
    return CompiledKernel(entry, files[binary], "", **facts)


def _check_constant(constant: Constant, module: Module) -> None:
    """Raises a `LoadError` unless the module holds a named constant of a plan."""
    if constant.name is None:
        return
    array = module.constants.get(constant.name)
    type = constant.type
    if array is None or (array.shape, array.dtype) != (type.shape, type.dtype.numpy):
        raise LoadError(
            "a packed plan lacks a constant", received=ascii(constant.name)[:80]
        )
