"""A CUDA driver in Python: it checks every call and runs kernels by other means.

Work on a stream is done when somebody waits for it, so a missing wait shows. The
binary of a kernel is its name.
"""

# Methods are called what the driver calls its functions.
# ruff: noqa: N802

import ctypes
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.codegen.triton.kernel import Kernel
from graphc.ir import Graph
from graphc.ir.types import TensorType
from graphc.runtime.triton_compile import CompiledKernel
from graphc.runtime.triton_device import from_bytes, stored_nbytes, to_bytes
from tests.evaluator_device import run_kernel

INVALID_VALUE, OUT_OF_MEMORY, INVALID_IMAGE = 1, 2, 200
INVALID_CONTEXT, INVALID_HANDLE, NOT_FOUND = 201, 400, 500
CAPTURE_UNSUPPORTED = 900
NAMES = {
    INVALID_VALUE: (b"CUDA_ERROR_INVALID_VALUE", b"invalid argument"),
    OUT_OF_MEMORY: (b"CUDA_ERROR_OUT_OF_MEMORY", b"out of memory"),
    INVALID_IMAGE: (b"CUDA_ERROR_INVALID_IMAGE", b"device kernel image is invalid"),
    INVALID_CONTEXT: (b"CUDA_ERROR_INVALID_CONTEXT", b"invalid device context"),
    INVALID_HANDLE: (b"CUDA_ERROR_INVALID_HANDLE", b"invalid resource handle"),
    NOT_FOUND: (b"CUDA_ERROR_NOT_FOUND", b"named symbol not found"),
    CAPTURE_UNSUPPORTED: (
        b"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
        b"operation not permitted when stream is capturing",
    ),
}
ATTRIBUTES = {75: 9, 76: 0, 97: 232_448}
WITHOUT_CONTEXT = (
    *("cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet"),
    *("cuDeviceGetName", "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain"),
    *("cuDevicePrimaryCtxRelease_v2", "cuCtxSetCurrent"),
    *("cuGetErrorName", "cuGetErrorString"),
)

Work = Callable[[], None]


def compiled(kernel: Kernel, **facts: Any) -> CompiledKernel:
    """What the double takes for the machine code of a kernel."""
    known = {
        "entry": kernel.name,
        "binary": kernel.name.encode(),
        "assembly": "",
        "threads": 128,
        "shared": 0,
        "registers": 32,
        "spills": 0,
        "global_scratch": 0,
        "global_scratch_alignment": 1,
    }
    return CompiledKernel(**(known | facts))


class FailedCallError(Exception):
    """A call that returns an error number."""


class CudaDouble:
    """The library that the driver is, with one GPU.

    Attributes:
        calls: The names of the functions called, in order.
        limit: The bytes that the GPU has.
    """

    def __init__(
        self,
        run: Callable[["CudaDouble", str, Sequence[int]], None] | None = None,
        pointers: dict[str, int] | None = None,
        version: int = 12080,
        gpus: int = 1,
        limit: int = 1 << 30,
    ) -> None:
        """A double.

        Args:
            run: Runs the kernel of a name at addresses.
            pointers: How many pointers each kernel takes.
            version: The driver's version.
            gpus: How many GPUs there are.
            limit: The bytes that the GPU has.
        """
        self.run = run
        self.pointers = pointers or {}
        self.version = version
        self.gpus = gpus
        self.limit = limit
        self.calls: list[str] = []
        self.blocks: dict[int, np.ndarray[Any, Any]] = {}
        self.handles = itertools.count(0x1000)
        self.modules: dict[int, str] = {}
        self.functions: dict[int, str] = {}
        self.shared: dict[int, int] = {}
        self.streams: dict[int, list[Work]] = {1: []}
        self.events: dict[int, int] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.ready: dict[int, list[Work]] = {}
        self.capturing: dict[int, list[Work]] = {}
        self.current = threading.local()
        self._made: dict[str, Function] = {}

    def __getattr__(self, name: str) -> "Function":
        if not name.startswith("cu"):
            raise AttributeError(name)
        made = self.__dict__["_made"]
        if name not in made:
            made[name] = Function(self, name)
        return made[name]

    # -- what kernels do ---------------------------------------------------------------

    def memory(self, address: int, nbytes: int) -> np.ndarray[Any, Any]:
        """Some bytes of one allocation."""
        for start, block in self.blocks.items():
            if start <= address and address + nbytes <= start + len(block):
                return block[address - start :][:nbytes]
        raise FailedCallError(INVALID_VALUE)

    def write(self, address: int, array: np.ndarray[Any, Any]) -> None:
        content = to_bytes(array)
        self.memory(address, len(content))[:] = content

    def read(self, address: int, type: TensorType) -> np.ndarray[Any, Any]:
        return from_bytes(self.memory(address, stored_nbytes(type)), type)

    # -- helpers -----------------------------------------------------------------------

    def enqueue(self, stream: int, work: Work) -> None:
        if stream not in self.streams:
            raise FailedCallError(INVALID_HANDLE)
        self.capturing.get(stream, self.streams[stream]).append(work)

    def finish(self, stream: int) -> None:
        self.forbid_capture()
        while self.streams[stream]:
            self.streams[stream].pop(0)()

    def forbid_capture(self) -> None:
        if self.capturing:
            raise FailedCallError(CAPTURE_UNSUPPORTED)

    # -- the functions: those of devices -------------------------------------------------

    def do_cuInit(self, flags: int) -> None:
        assert flags == 0

    def do_cuDriverGetVersion(self, version: Any) -> None:
        version.value = self.version

    def do_cuGetErrorName(self, code: int, text: Any) -> None:
        text.value = NAMES[code][0]

    def do_cuGetErrorString(self, code: int, text: Any) -> None:
        text.value = NAMES[code][1]

    def do_cuDeviceGetCount(self, count: Any) -> None:
        count.value = self.gpus

    def do_cuDeviceGet(self, device: Any, ordinal: int) -> None:
        if ordinal >= self.gpus:
            raise FailedCallError(INVALID_VALUE)
        device.value = ordinal

    def do_cuDeviceGetName(self, name: Any, size: int, device: int) -> None:
        name.value = b"NVIDIA H100 in Python"

    def do_cuDeviceGetAttribute(self, value: Any, number: int, device: int) -> None:
        value.value = ATTRIBUTES[number]

    def do_cuDevicePrimaryCtxRetain(self, context: Any, device: int) -> None:
        context.value = 0xC0

    def do_cuDevicePrimaryCtxRelease_v2(self, device: int) -> None: ...

    def do_cuCtxSetCurrent(self, context: int) -> None:
        if context != 0xC0:
            raise FailedCallError(INVALID_CONTEXT)
        self.current.context = context

    # -- memory --------------------------------------------------------------------------

    def do_cuMemAlloc_v2(self, address: Any, size: int) -> None:
        self.forbid_capture()
        if size == 0:
            raise FailedCallError(INVALID_VALUE)
        if sum(map(len, self.blocks.values())) + size > self.limit:
            raise FailedCallError(OUT_OF_MEMORY)
        whole = np.full(size + 256, 0xFF, np.uint8)
        start = -whole.ctypes.data % 256
        address.value = whole.ctypes.data + start
        self.blocks[address.value] = whole[start:][:size]

    def do_cuMemFree_v2(self, address: int) -> None:
        self.forbid_capture()
        if self.blocks.pop(address, None) is None:
            raise FailedCallError(INVALID_VALUE)

    def do_cuMemcpyHtoDAsync_v2(
        self, target: int, source: int, size: int, stream: int
    ) -> None:
        content = np.frombuffer(ctypes.string_at(source, size), np.uint8)
        place = self.memory(target, size)
        self.enqueue(stream, lambda: place.__setitem__(slice(None), content))

    def do_cuMemcpyDtoHAsync_v2(
        self, target: int, source: int, size: int, stream: int
    ) -> None:
        place = self.memory(source, size)
        self.enqueue(
            stream, lambda: (ctypes.memmove(target, place.tobytes(), size), None)[1]
        )

    def do_cuMemcpyDtoDAsync_v2(
        self, target: int, source: int, size: int, stream: int
    ) -> None:
        assert abs(target - source) >= size
        to, of = self.memory(target, size), self.memory(source, size)
        self.enqueue(stream, lambda: to.__setitem__(slice(None), of))

    def do_cuMemsetD8Async(
        self, target: int, byte: int, size: int, stream: int
    ) -> None:
        place = self.memory(target, size)
        self.enqueue(stream, lambda: place.__setitem__(slice(None), byte))

    def do_cuPointerGetAttribute(self, out: int, number: int, address: int) -> None:
        assert number == 9
        self.memory(address, 1)
        ctypes.c_int.from_address(out).value = 0

    # -- kernels -------------------------------------------------------------------------

    def do_cuModuleLoadData(self, module: Any, image: bytes) -> None:
        if image.decode() not in self.pointers:
            raise FailedCallError(INVALID_IMAGE)
        module.value = next(self.handles)
        self.modules[module.value] = image.decode()

    def do_cuModuleUnload(self, module: int) -> None:
        del self.modules[module]

    def do_cuModuleGetFunction(self, function: Any, module: int, name: bytes) -> None:
        if self.modules[module] != name.decode():
            raise FailedCallError(NOT_FOUND)
        function.value = next(self.handles)
        self.functions[function.value] = name.decode()

    def do_cuFuncSetAttribute(self, function: int, number: int, value: int) -> None:
        assert number == 8
        if value > ATTRIBUTES[97]:
            raise FailedCallError(INVALID_VALUE)
        self.shared[function] = value

    def do_cuLaunchKernel(self, function: int, *arguments: Any) -> None:
        *sizes, shared, stream, parameters, extra = arguments
        name = self.functions[function]
        grid, block = sizes[:3], sizes[3:]
        assert extra is None
        assert all(1 <= count <= 65535 for count in grid[1:])
        assert 1 <= grid[0] < 2**31
        assert block[1:] == [1, 1]
        assert block[0] % 32 == 0
        if block[0] > 1024 or shared > self.shared.get(function, 48 * 1024):
            raise FailedCallError(INVALID_VALUE)
        count = self.pointers[name]
        assert len(parameters) == count + 2
        values = [
            ctypes.c_uint64.from_address(parameters[i]).value for i in range(count + 2)
        ]
        assert values[-1] == 0
        assert not any(address % 16 for address in values[:-1])
        if values[-2]:
            self.memory(values[-2], 1)
        assert self.run is not None
        run = self.run
        self.enqueue(stream, lambda: run(self, name, values[:count]))

    # -- streams, events, graphs ---------------------------------------------------------

    def do_cuStreamCreate(self, stream: Any, flags: int) -> None:
        assert flags == 0  # one that the default stream waits for
        stream.value = next(self.handles)
        self.streams[stream.value] = []

    def do_cuStreamDestroy_v2(self, stream: int) -> None:
        del self.streams[stream]

    def do_cuStreamSynchronize(self, stream: int) -> None:
        self.finish(stream)

    def do_cuStreamWaitEvent(self, stream: int, event: int, flags: int) -> None:
        first = self.events[event]
        self.enqueue(stream, lambda: self.finish(first))

    def do_cuEventCreate(self, event: Any, flags: int) -> None:
        event.value = next(self.handles)

    def do_cuEventDestroy_v2(self, event: int) -> None: ...

    def do_cuEventRecord(self, event: int, stream: int) -> None:
        self.enqueue(stream, lambda: None)
        self.events[event] = stream

    def do_cuEventSynchronize(self, event: int) -> None:
        self.finish(self.events[event])

    def do_cuEventElapsedTime(self, passed: Any, start: int, end: int) -> None:
        if start not in self.events or end not in self.events:
            raise FailedCallError(INVALID_HANDLE)
        passed.value = 0.5

    def do_cuStreamBeginCapture_v2(self, stream: int, mode: int) -> None:
        assert mode in (0, 1, 2)
        self.forbid_capture()
        self.capturing[stream] = []

    def do_cuStreamEndCapture(self, stream: int, graph: Any) -> None:
        graph.value = next(self.handles)
        self.graphs[graph.value] = self.capturing.pop(stream)

    def do_cuGraphInstantiateWithFlags(
        self, ready: Any, graph: int, flags: int
    ) -> None:
        assert flags == 0
        ready.value = next(self.handles)
        self.ready[ready.value] = self.graphs[graph]

    def do_cuGraphLaunch(self, ready: int, stream: int) -> None:
        for work in self.ready[ready]:
            self.enqueue(stream, work)

    def do_cuGraphDestroy(self, graph: int) -> None:
        del self.graphs[graph]

    def do_cuGraphExecDestroy(self, ready: int) -> None:
        del self.ready[ready]


class Function:
    """One function of the double, which is declared and called as ctypes' are."""

    def __init__(self, library: CudaDouble, name: str) -> None:
        self.library = library
        self.name = name
        self.argtypes: tuple[Any, ...] = ()
        self.restype: Any = None
        self.errcheck: Any = None
        self.action = getattr(type(library), f"do_{name}")

    def __call__(self, *arguments: Any) -> int:
        assert len(arguments) == len(self.argtypes), self.name
        assert self.restype is ctypes.c_int
        values = [
            self._value(given, type)
            for given, type in zip(arguments, self.argtypes, strict=True)
        ]
        library = self.library
        library.calls.append(self.name)
        code = 0
        try:
            if self.name not in WITHOUT_CONTEXT and not hasattr(
                library.current, "context"
            ):
                raise FailedCallError(INVALID_CONTEXT)
            self.action(library, *values)
        except FailedCallError as failure:
            (code,) = failure.args
        return self.errcheck(code, self, arguments) if self.errcheck else code

    def _value(self, given: Any, type: Any) -> Any:
        type.from_param(given)  # what ctypes would refuse is refused
        if hasattr(given, "_obj"):  # made by byref
            return given._obj
        if isinstance(given, int) and not isinstance(given, bool):
            assert type(given).value == given, f"{self.name}: {given} is cut off"
        if isinstance(given, ctypes._SimpleCData):
            return given.value
        return given


def running(graph: Graph, kernels: dict[str, Kernel]) -> CudaDouble:
    """A double on which the kernels of `graph` are run by the evaluator."""

    def run(double: CudaDouble, name: str, addresses: Sequence[int]) -> None:
        run_kernel(double, graph.module.graphs[name], kernels[name], addresses)

    return CudaDouble(run, {name: len(k.pointers) for name, k in kernels.items()})
