"""Kernels written by hand, to test what runs and compiles kernels."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.codegen.triton.kernel import Kernel, Tiles
from graphc.ir.types import TensorType, dtype, tensor_type
from graphc.runtime.triton_device import Device, stored_nbytes

HEADER = "import triton\nimport triton.language as tl\n\n\n"


def kernel_of(
    body: str,
    parameters: Sequence[str] = (),
    results: Sequence[str] = (),
    *,
    helpers: str = "",
    programs: int = 1,
    **facts: Any,
) -> Kernel:
    """The kernel ``kernel(p0, p1, ...)`` with a body, of parameters of given types."""
    types = [tuple(map(tensor_type, texts)) for texts in (parameters, results)]
    count = len(parameters) + len(results) - len(facts.get("in_place", {}))
    arguments = ", ".join(
        [f"p{n}" for n in range(count)]
        + [f"{name}: tl.constexpr" for name in facts.get("constants", {})]
    )
    source = textwrap.dedent(helpers).strip() + "\n\n\n" if helpers else ""
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    source = f"{HEADER}{source}@triton.jit\ndef kernel({arguments}):\n{lines}\n"
    return Kernel("kernel", source, *types, grid=((Tiles(programs),),), **facts)


def run_kernel(device: Device, kernel: Kernel, *arrays: np.ndarray) -> list[np.ndarray]:
    """The results of a kernel; those made in place are what is left of a parameter."""
    number = device.load(kernel)
    addresses = []
    try:
        for type in kernel.pointers:
            addresses.append(device.allocate(stored_nbytes(type)))
        for address, array in zip(addresses, arrays, strict=False):
            device.write(address, array)
        own = iter(addresses[len(kernel.parameters) :])
        places = [
            addresses[kernel.in_place[n]] if n in kernel.in_place else next(own)
            for n in range(len(kernel.results))
        ]
        for n in kernel.zeroed:
            device.fill(places[n], stored_nbytes(kernel.results[n]), 0)
        device.launch(number, addresses)
        return [
            device.read(place, type)
            for place, type in zip(places, kernel.results, strict=True)
        ]
    finally:
        for address in addresses:
            device.free(address)


def compute(
    device: Device,
    body: str,
    *arrays: np.ndarray,
    results: Sequence[str],
    **facts: Any,
) -> list[np.ndarray]:
    """The results of a kernel with a body, whose parameters are of the arrays' types."""
    parameters = [str(TensorType(array.shape, dtype(array.dtype))) for array in arrays]
    return run_kernel(device, kernel_of(body, parameters, results, **facts), *arrays)
