"""What must be true of a launch plan whose origin is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.codegen.triton.kernel import Kernel, Tiles
from graphc.codegen.triton.plan import (
    Address,
    Branch,
    Constant,
    Copy,
    Fill,
    HostCall,
    Launch,
    Limit,
    Loop,
    Plan,
    Step,
)
from graphc.codegen.triton.planning import stored_bytes
from graphc.ir.errors import GraphcError
from graphc.ir.opdef import OPS, Trait
from graphc.ir.types import BOOL, TensorType

LARGEST = 2**48
"""More bytes, and more steps, than any plan has."""

MAX_GRID = (2**31 - 1, 65_535, 65_535)
"""The most programs along each axis of a grid."""

MAX_WARPS, MAX_STAGES = 32, 64


def check_plan(plan: Plan) -> None:
    """Raises a `GraphcError` unless the plan stays in the memory that it declares.

    What its kernels do is not known: they are machine code.
    """
    _check_regions(plan)
    for constant in plan.constants:
        _check_constant(plan, constant)
    for kernel in plan.kernels:
        _check_kernel(kernel)
    _check_steps(plan, plan.steps, {})


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise GraphcError(f"a launch plan is damaged: {what}")


def _check_regions(plan: Plan) -> None:
    count, regions = len(plan.parameters), plan.regions
    kinds = [region.kind for region in regions]
    own = ["parameter"] * count + ["constants", "arena"]
    own += ["result"] * (len(kinds) - len(own))
    _demand(kinds == own, "its regions are not in order")
    _demand(
        all(0 <= region.bytes < LARGEST for region in regions) and plan.bound >= 0,
        "a region has no size",
    )
    types = (*plan.parameters, *(type for type, _ in plan.results))
    _demand(not any(type.symbols for type in types), "a type has a symbol")
    for type, region in zip(plan.parameters, regions, strict=False):
        _demand(region.bytes == stored_bytes(type), "a parameter has another size")
    donated = set(plan.donated)
    _demand(
        donated <= set(range(count)) and len(donated) == len(plan.donated),
        "it overwrites what is no parameter",
    )
    taken = [region for _, region in plan.results]
    places = donated | set(range(count + 2, len(regions)))
    _demand(
        set(taken) <= places and len(set(taken)) == len(taken),
        "a result is nowhere of its own",
    )
    for type, region in plan.results:
        _demand(regions[region].bytes == stored_bytes(type), "a result does not fit")


def _check_constant(plan: Plan, constant: Constant) -> None:
    _demand(not constant.type.symbols, "a constant's type has a symbol")
    _check_place(plan, Address(plan.constants_region, constant.offset), constant.type)
    _demand((constant.name is None) != (constant.value is None), "a constant is none")
    _demand(constant.name is not None or constant.type.rank == 0, "a literal has axes")


def _check_kernel(kernel: Kernel) -> None:
    types = (*kernel.parameters, *kernel.results)
    _demand(not any(type.symbols for type in types), "a kernel's type has a symbol")
    _demand(kernel.library is None, "a kernel is a call of a library")
    _demand(
        0 < kernel.num_warps <= MAX_WARPS and 0 < kernel.num_stages <= MAX_STAGES,
        "a kernel has no threads",
    )
    _demand(
        all(0 < size < 2**31 for size in kernel.constants.values()),
        "a tile has no size",
    )
    _demand(len(kernel.grid) <= len(MAX_GRID), "a grid has too many axes")
    pending = [tiles for axis in kernel.grid for tiles in axis]
    while pending:
        tiles = pending.pop()
        _check_tiles(tiles, kernel.constants)
        pending += tiles.more
    _demand(
        all(n <= most for n, most in zip(kernel.programs, MAX_GRID, strict=True)),
        "a grid is too large",
    )
    _demand(
        all(
            0 <= result < len(kernel.results)
            and 0 <= parameter < len(kernel.parameters)
            and kernel.results[result] == kernel.parameters[parameter]
            for result, parameter in kernel.in_place.items()
        ),
        "a result is in no parameter's place",
    )


def _check_tiles(tiles: Tiles, constants: Mapping[str, int]) -> None:
    _demand(0 <= tiles.extent < LARGEST, "a grid has no extent")
    _demand(tiles.block is None or tiles.block in constants, "a tile has no size")


def _check_steps(plan: Plan, steps: Sequence[Step], loops: Mapping[int, int]) -> None:
    """Checks steps inside of loops, of which the last number of a step is given."""
    for step in steps:
        match step:
            case Launch(kernel=number, arguments=arguments):
                _demand(0 <= number < len(plan.kernels), "it launches no kernel")
                pointers = plan.kernels[number].pointers
                _demand(len(pointers) == len(arguments), "a kernel lacks arguments")
                for place, type in zip(arguments, pointers, strict=True):
                    _check_place(plan, place, type, loops)
            case Copy(source=source, target=target, bytes=size):
                _check_bytes(plan, source, size, loops)
                _check_bytes(plan, target, size, loops)
            case Fill(target=target, bytes=size):
                _check_bytes(plan, target, size, loops)
            case HostCall():
                _check_call(plan, step, loops)
            case Loop():
                _check_loop(plan, step, loops)
            case Branch(index=index, type=type, branches=branches):
                known = not type.shape and not type.dtype.is_float
                _demand(known and bool(branches), "a branch has no index")
                _check_place(plan, index, type, loops)
                for branch in branches:
                    _check_steps(plan, branch, loops)


def _check_call(plan: Plan, step: HostCall, loops: Mapping[int, int]) -> None:
    op = OPS.get(step.op)
    known = op is not None and Trait.EFFECT in op.traits and op.reference is not None
    _demand(known, "the host runs an op without an effect")
    for place, type in (*step.operands, *step.results):
        _check_place(plan, place, type, loops)


def _check_loop(plan: Plan, step: Loop, loops: Mapping[int, int]) -> None:
    _demand(step.number not in loops, "two loops have one number")
    inside = loops
    if step.length is None:
        _demand(step.predicate is not None, "a loop does not end")
    elif isinstance(step.length, Limit):
        _check_limit(plan, step.length)
    else:
        _demand(0 <= step.length < 2**31, "a loop has no length")
        inside = {**loops, step.number: max(0, step.length - 1)}
    if step.predicate is not None:
        _check_place(plan, step.predicate, TensorType((), BOOL), loops)
    if step.length != 0:  # of what never runs, the places need not exist
        _check_steps(plan, step.condition, inside)
        _check_steps(plan, step.body, inside)


def _check_limit(plan: Plan, limit: Limit) -> None:
    _demand(0 <= limit.parameter < len(plan.parameters), "a loop has no limit")
    type = plan.parameters[limit.parameter]
    whole = type.dtype.is_integer and not type.shape
    _demand(whole and abs(limit.start) < LARGEST, "a loop has no whole limit")


def _check_place(
    plan: Plan, place: Address, type: TensorType, loops: Mapping[int, int] | None = None
) -> None:
    _demand(not type.symbols, "a type has a symbol")
    _check_bytes(plan, place, stored_bytes(type), loops or {})


def _check_bytes(
    plan: Plan, place: Address, size: int, loops: Mapping[int, int]
) -> None:
    """Demands that bytes lie in their region, in every step of the loops around."""
    _demand(0 <= place.region < len(plan.regions), "an address is in no region")
    low = high = place.offset
    for term in place.terms:
        _demand(
            term.loop in loops and term.period >= 0 and term.phase >= 0,
            "an address moves with no loop",
        )
        last = loops[term.loop] + term.phase
        most = min(last, term.period - 1) if term.period else last
        low += min(0, term.stride * most)
        high += max(0, term.stride * most)
    fits = low >= 0 <= size and high + size <= plan.regions[place.region].bytes
    _demand(fits, "an address is outside of its region")
