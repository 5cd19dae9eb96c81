"""What kernels cost: counted, expected of a GPU, and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphc.codegen.triton.kernel import Kernel
from graphc.passes.cost_model import GPUS, Rates


@dataclass(frozen=True, slots=True)
class KernelCost:
    """One kernel of a plan, with all its launches.

    Attributes:
        kernel: The kernel.
        launches: How often it runs; 1 for each launch in a loop or branch of which
            nobody knows how often it runs.
        seconds: How long all launches took together, or None if not measured.
    """

    kernel: Kernel
    launches: int
    seconds: float | None = None

    def roofline(self, gpu: Rates) -> float:
        """The least seconds that a launch takes on a GPU."""
        floats = [t.dtype.bits for t in self.kernel.pointers if t.dtype.is_float]
        narrow = min(floats, default=32) <= 16
        return gpu.roofline(self.kernel.bytes, self.kernel.flops, narrow)


@dataclass(frozen=True, slots=True)
class KernelReport:
    """What the kernels of a program cost. As text it is a table.

    Attributes:
        costs: One entry for each kernel, in the order of the first launches.
        gpu: The GPU whose roofline the table compares with.
        origins: Where the schedules are from, by the names of kernels, if that is known.
    """

    costs: tuple[KernelCost, ...]
    gpu: Rates = GPUS["H200"]
    origins: Mapping[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        return _table(self.costs, self.gpu, self.origins)


def find_gpu(name: str) -> Rates:
    """The GPU that a device's name mentions; the H200 if it mentions none that is known."""
    known = (gpu for key, gpu in GPUS.items() if key in name)
    return next(known, GPUS["H200"])


def _table(costs: Sequence[KernelCost], gpu: Rates, origins: Mapping[str, str]) -> str:
    """The costs as a table, the most expensive kernel first."""
    rows = [("us", f"{gpu.name} us", "launches", "grid", "MB", "MFLOP", "kernel")]
    for cost in sorted(costs, key=lambda c: -(c.seconds or _expected(c, gpu))):
        kernel = cost.kernel
        origin = origins.get(kernel.name)
        scheduled = [] if origin is None else [f"({kernel.schedule} by {origin})"]
        rows.append(
            (
                "-" if cost.seconds is None else f"{cost.seconds * 1e6:.1f}",
                f"{_expected(cost, gpu) * 1e6:.1f}",
                str(cost.launches),
                "x".join(str(n) for n in kernel.programs),
                f"{kernel.bytes / 1e6:.3f}",
                f"{kernel.flops / 1e6:.3f}",
                " ".join((kernel.name, *kernel.layers, *scheduled)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(
        "  ".join([*(c.rjust(w) for c, w in zip(row[:6], widths, strict=True)), row[6]])
        for row in rows
    )


def _expected(cost: KernelCost, gpu: Rates) -> float:
    return cost.roofline(gpu) * cost.launches
