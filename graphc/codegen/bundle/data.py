"""The data of a bundle: machine code, constants and weights in one run of bytes."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field

from graphc.codegen.bundle.records import Bundle, Code
from graphc.codegen.triton.kernel import Kernel
from graphc.ir.errors import UnsupportedError

ALIGNMENT = 64
"""What offsets of parts are a multiple of."""

MOST = 1 << 30
"""The most bytes of data: more is too far from code for usual linking."""

Part = tuple[int, int]
"""An offset and a number of bytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table of kernels.

    Attributes:
        image: The number of its machine code.
        entry: The name of the entry point.
        grid: The programs along each axis.
        threads: How many threads run one program.
        shared: The shared memory of one program, in bytes.
        scratch: The bytes of memory of their own that all programs need.
    """

    image: int
    entry: str
    grid: tuple[int, int, int]
    threads: int
    shared: int
    scratch: int


@dataclass
class Data:
    """Bytes that C finds by offsets; equal parts are there once.

    Attributes:
        content: The bytes.
        images: Where each machine code lies.
        kernels: The kernels of all programs, equal ones once.
        numbers: For each program, the numbers of its kernels.
        constants: Where the constants of each program lie.
        state: Where each tensor lies.
    """

    content: bytearray = field(default_factory=bytearray)
    images: list[Part] = field(default_factory=list[Part])
    kernels: list[Entry] = field(default_factory=list[Entry])
    numbers: list[list[int]] = field(default_factory=list[list[int]])
    constants: list[Part] = field(default_factory=list[Part])
    state: list[Part] = field(default_factory=list[Part])
    _known: dict[bytes, Part] = field(default_factory=dict[bytes, Part])

    def add(self, part: bytes) -> Part:
        """Where a part lies, which is put there."""
        key = hashlib.sha256(part).digest()
        if key not in self._known:
            # A byte more, so that text ends.
            self.content += bytes(1 + (-len(self.content) - 1) % ALIGNMENT)
            self._known[key] = len(self.content), len(part)
            self.content += part
        return self._known[key]

    def add_kernel(self, kernel: Kernel, code: Code) -> int:
        """The number of a kernel, which is put among the others."""
        image = self.add(code.image)
        if image not in self.images:
            self.images.append(image)
        entry = Entry(
            self.images.index(image),
            code.entry,
            kernel.programs,
            code.threads,
            code.shared,
            code.scratch * math.prod(kernel.programs),
        )
        if entry not in self.kernels:
            self.kernels.append(entry)
        return self.kernels.index(entry)


def data_of(bundle: Bundle) -> Data:
    """The data of a bundle.

    Raises:
        UnsupportedError: If there are too many bytes.
    """
    data = Data()
    for program in bundle.programs:
        pairs = zip(program.plan.kernels, program.code, strict=True)
        data.numbers.append([data.add_kernel(kernel, code) for kernel, code in pairs])
        data.constants.append(data.add(program.constants))
    data.state.extend(data.add(tensor.content) for tensor in bundle.state)
    data.content += bytes(1 + (-len(data.content) - 1) % ALIGNMENT)
    if len(data.content) > MOST:
        raise UnsupportedError(
            "a bundle has its weights in the program",
            received=f"{len(data.content)} bytes of data; at most {MOST}",
            hint="graphc run loads artifacts of any size",
        )
    return data
