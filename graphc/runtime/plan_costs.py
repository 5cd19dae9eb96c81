"""What a plan costs: its memory and its kernels."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.codegen.triton.plan import Plan
from graphc.passes.cost_model import GPUS, Rates
from graphc.runtime.backend import Memory
from graphc.runtime.cublas import WORKSPACE
from graphc.runtime.kernel_costs import KernelCost, KernelReport


def plan_memory(plan: Plan, code: int = 0) -> Memory:
    """The memory of one run.

    Args:
        plan: The plan.
        code: The bytes of its kernels' machine code.
    """
    return Memory(
        parameters=plan.bytes("parameter"),
        results=sum(plan.regions[region].bytes for _, region in plan.results),
        aliased=plan.aliased,
        temporaries=plan.bytes("arena") + plan.bytes("constants") + _workspace(plan),
        code=code,
    )


def _workspace(plan: Plan) -> int:
    """The memory that calls of a library work in, one after the other."""
    called = any(kernel.library is not None for kernel in plan.kernels)
    return WORKSPACE if called else 0


def plan_cost(plan: Plan) -> dict[str, float]:
    """The floating-point operations and bytes moved of the kernels of one run."""
    costs = plan_kernels(plan).costs
    return {
        "flops": sum(cost.kernel.flops * cost.launches for cost in costs),
        "bytes accessed": sum(cost.kernel.bytes * cost.launches for cost in costs),
    }


def plan_kernels(
    plan: Plan,
    seconds: Mapping[int, float] | None = None,
    gpu: Rates = GPUS["H200"],
) -> KernelReport:
    """What each kernel of a plan costs.

    Args:
        plan: The plan.
        seconds: How long all launches of a kernel took, by the kernel's number.
        gpu: Whose roofline to compare with.
    """
    launches = [0] * len(plan.kernels)
    for number, times in plan.launches():
        launches[number] += 1 if times is None else times
    counted = enumerate(zip(plan.kernels, launches, strict=True))
    costs = [
        KernelCost(kernel, count, (seconds or {}).get(number))
        for number, (kernel, count) in counted
    ]
    return KernelReport(tuple(costs), gpu)
