"""cuBLASLt in Python: it checks every call and multiplies matrices with NumPy.

Memory and streams are those of the CUDA driver's double.
"""

# Methods are called what the library calls its functions.
# ruff: noqa: N802, N815

import ctypes
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from tests.cuda_double import CudaDouble, FailedCallError, Function

INVALID, NOT_SUPPORTED = 7, 15
DTYPES = {0: np.float32, 1: np.float64, 2: np.float16, 14: ml_dtypes.bfloat16}
HANDLE = 0xB1A5
TF32 = 77


@dataclass
class Descriptor:
    """What a handle stands for: how it was made, and the attributes it was given."""

    made: tuple[int, ...]
    attributes: dict[int, int | None] = field(default_factory=dict)


class CublasDouble:
    """The library, on one GPU.

    Attributes:
        gpu: The driver's double.
        serves: Whether it has an algorithm for anything.
        computed: In what each product was summed.
    """

    def __init__(self, gpu: CudaDouble, serves: bool = True) -> None:
        self.gpu = gpu
        self.serves = serves
        self.calls: list[str] = []
        self.current = gpu.current
        self.handles = itertools.count(0x9000)
        self.descriptors: dict[int, Descriptor] = {}
        self.computed: list[int] = []

    def __getattr__(self, name: str) -> Function:
        if not name.startswith("cublasLt"):
            raise AttributeError(name)
        return Function(self, name)  # type: ignore[arg-type]

    def make(self, handle: Any, *made: int) -> None:
        handle.value = next(self.handles)
        self.descriptors[handle.value] = Descriptor(made)

    def set(self, handle: int, attribute: int, value: Any, size: int) -> None:
        assert size == ctypes.sizeof(value)
        self.descriptors[handle].attributes[attribute] = value.value

    def destroy(self, handle: int) -> None:
        del self.descriptors[handle]

    def do_cublasLtCreate(self, handle: Any) -> None:
        handle.value = HANDLE

    do_cublasLtMatmulDescCreate = do_cublasLtMatrixLayoutCreate = make
    do_cublasLtMatmulPreferenceCreate = make
    do_cublasLtMatmulDescSetAttribute = set
    do_cublasLtMatrixLayoutSetAttribute = set
    do_cublasLtMatmulPreferenceSetAttribute = set
    do_cublasLtMatmulDescDestroy = do_cublasLtMatrixLayoutDestroy = destroy
    do_cublasLtMatmulPreferenceDestroy = destroy

    def do_cublasLtMatmulAlgoGetHeuristic(
        self,
        handle: int,
        description: int,
        *more: Any,
    ) -> None:
        *layouts, preference, requested, found, count = more
        assert (handle, requested) == (HANDLE, 1)
        assert self.descriptors[preference].made == ()
        self.check(self.descriptors[description], layouts)
        if not self.serves:
            count.value = 0
            raise FailedCallError(NOT_SUPPORTED)
        found.algorithm[0], found.status, count.value = 7, 0, 1

    def check(self, description: Descriptor, layouts: Sequence[int]) -> None:
        """Refuses matrices that are not a product, as the library does."""
        a, b, c, d = (self.descriptors[layout] for layout in layouts)
        assert c is d
        sizes: list[tuple[int, int]] = []
        for layout, transposed in ((a, 3), (b, 4)):
            _, rows, columns, stride = layout.made
            assert stride >= rows
            turned = description.attributes.get(transposed)
            sizes.append((columns, rows) if turned else (rows, columns))
        (m, k), (other, n) = sizes
        if k != other or d.made[1:3] != (m, n):
            raise FailedCallError(INVALID)
        assert a.made[0] == b.made[0]
        assert len({layout.attributes.get(5, 1) for layout in (a, b, d)}) == 1

    def do_cublasLtMatmul(
        self, handle: int, description: int, alpha: Any, *more: Any
    ) -> None:
        a, of_a, b, of_b, beta, c, of_c, d, of_d, algorithm, *rest = more
        workspace, size, stream = rest
        assert (handle, alpha.value, beta.value, c) == (HANDLE, 1.0, 0.0, d)
        assert algorithm[0] == 7
        self.gpu.memory(workspace, size)
        how = self.descriptors[description]
        self.check(how, (of_a, of_b, of_c, of_d))
        wide = ctypes.c_double if how.made[0] == 70 else ctypes.c_float
        assert isinstance(alpha, wide)
        self.computed.append(how.made[0])

        def work() -> None:
            left, right = self.matrices(a, of_a), self.matrices(b, of_b)
            left = left.swapaxes(1, 2) if how.attributes.get(3) else left
            right = right.swapaxes(1, 2) if how.attributes.get(4) else right
            sums = np.float64 if how.made[0] == 70 else np.float32
            made = left.astype(sums) @ right.astype(sums)
            place = self.matrices(d, of_d)
            if how.attributes.get(7, 1) == 4:
                rows = place.shape[1] * place.itemsize
                bias = self.gpu.memory(how.attributes[8] or 0, rows)
                made = made + bias.view(place.dtype).astype(sums)[:, None]
            place[...] = made.astype(place.dtype)

        self.gpu.enqueue(stream, work)

    def matrices(self, address: int, layout: int) -> np.ndarray[Any, Any]:
        """The matrices at an address: an array of three dimensions on their memory."""
        descriptor = self.descriptors[layout]
        number, rows, columns, stride = descriptor.made
        dtype = np.dtype(DTYPES[number])
        batch = descriptor.attributes.get(5) or 1
        apart = descriptor.attributes.get(6) or 0
        count = (batch - 1) * apart + (columns - 1) * stride + rows
        held = self.gpu.memory(address, count * dtype.itemsize).view(dtype)
        strides = [step * dtype.itemsize for step in (apart, 1, stride)]
        return np.lib.stride_tricks.as_strided(held, (batch, rows, columns), strides)
