"""The device that is an NVIDIA GPU."""

from __future__ import annotations

import ctypes
import functools
import heapq
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from graphc.codegen.triton.kernel import Kernel, LibraryCall
from graphc.ir.errors import CompileError, GraphcError
from graphc.ir.types import TensorType
from graphc.runtime import dlpack
from graphc.runtime.cublas import WORKSPACE, CublasLt, Product
from graphc.runtime.cuda_driver import DeviceMemoryError, Driver, driver
from graphc.runtime.triton_compile import CompiledKernel
from graphc.runtime.triton_device import (
    ALIGNMENT,
    Command,
    from_bytes,
    stored,
    stored_nbytes,
    to_bytes,
)

POINTER_ALIGNMENT = 16
"""What kernels take for granted of every pointer."""

# Numbers of the driver's interface.
_COMPUTE_CAPABILITY = (75, 76)
_SHARED_MEMORY_LIMIT = 97
_MAX_DYNAMIC_SHARED = 8
_DEVICE_ORDINAL = 9
_BLOCKING_STREAM = 0
_CAPTURE_THIS_THREAD = 1
_LEGACY_STREAM = 1

_DYNAMIC_SHARED_BY_DEFAULT = 48 * 1024
"""The shared memory that every kernel may take without asking, in bytes."""


class CudaDevice:
    """A GPU, with one stream on which everything happens in order.

    The stream is one that waits for the default stream and is waited for by it, so what
    a library does on the default stream comes before and after as the program says.

    Memory that is given back is kept and handed out again: what used it before comes
    first on the stream.

    Attributes:
        ordinal: The number of the GPU.
        name: What the GPU is called.
        architecture: What kernels are compiled for, such as ``sm_90``.
        stream: The stream's handle.
    """

    def __init__(
        self,
        ordinal: int = 0,
        opened: Driver | None = None,
        blas: Callable[[], CublasLt] = CublasLt,
    ) -> None:
        """Takes the GPU's primary context, which other libraries use too.

        Args:
            ordinal: The number of the GPU.
            opened: The driver; by default that of this machine.
            blas: Loads the library for products of matrices when one is first asked for.

        Raises:
            TargetError: If there is no such GPU.
        """
        self._driver = opened or driver()
        self.ordinal = ordinal
        self._device = self._driver.new("cuDeviceGet", ordinal)
        self._context = self._driver.new("cuDevicePrimaryCtxRetain", self._device)
        self._entered = threading.local()
        name = ctypes.create_string_buffer(256)
        self._driver.call("cuDeviceGetName", name, len(name), self._device)
        self.name = name.value.decode()
        major, minor = map(self._attribute, _COMPUTE_CAPABILITY)
        self.architecture = f"sm_{major}{minor}"
        self._shared_limit = self._attribute(_SHARED_MEMORY_LIMIT)
        self.call("cuCtxSetCurrent", self._context)
        self.stream = self._new("cuStreamCreate", _BLOCKING_STREAM)
        self._start, self._end = (self._new("cuEventCreate", 0) for _ in range(2))
        self._launch = self._driver.function("cuLaunchKernel")
        self._compiled: dict[int, CompiledKernel] = {}
        self._kernels: list[_Loaded | Product] = []
        self._load_blas = functools.cache(blas)
        self._workspace = 0
        self._sizes: dict[int, int] = {}
        self._spare: dict[int, list[int]] = {}

    # -- memory ------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> int:
        """The address of memory, new or given back before."""
        size = max(1, -(-nbytes // ALIGNMENT)) * ALIGNMENT
        spare = self._spare.get(size)
        if spare:
            # The lowest first, so that in a loop the same addresses come again.
            address = heapq.heappop(spare)
        else:
            try:
                address = self._new("cuMemAlloc_v2", size)
            except DeviceMemoryError:
                self._release_spare()
                address = self._new("cuMemAlloc_v2", size)
        self._sizes[address] = size
        return address

    def free(self, address: int) -> None:
        """Keeps an allocation for the next one of its size."""
        size = self._sizes.pop(address, None)
        if size is not None:  # closed since
            heapq.heappush(self._spare.setdefault(size, []), address)

    def write(self, address: int, array: np.ndarray[Any, Any]) -> None:
        """Copies an array of the host to memory."""
        content = to_bytes(array)
        if content.size:
            place = content.ctypes.data
            self.call("cuMemcpyHtoDAsync_v2", address, place, content.size, self.stream)

    def read(self, address: int, type: TensorType) -> np.ndarray[Any, Any]:
        """A copy of the tensor at an address."""
        content = self._bytes(address, stored_nbytes(type))
        return from_bytes(content, type)

    def fill(self, address: int, nbytes: int, byte: int) -> None:
        """Sets each of so many bytes."""
        if nbytes:
            self.call("cuMemsetD8Async", address, byte, nbytes, self.stream)

    def copy(self, destination: int, source: int, nbytes: int) -> None:
        """Copies memory to memory."""
        self.call("cuMemcpyDtoDAsync_v2", destination, source, nbytes, self.stream)

    def find(self, array: Any, type: TensorType) -> tuple[int, object] | None:
        """Where an array of another library lies; see `Device.find`.

        What is on the GPU but not as kernels need it is copied to where it is.
        """
        found = self._foreign(array)
        if found is None:
            return None
        if not found.is_of(type):
            raise ValueError(f"expected {type}")
        contiguous = dlpack.is_contiguous(found.shape, found.strides)
        if contiguous and found.address % POINTER_ALIGNMENT == 0:
            return found.address, found.owner
        address = self.allocate(stored_nbytes(type))
        owner = _Owned(self, address)
        if contiguous:
            self.copy(address, found.address, stored_nbytes(type))
        else:
            self.write(address, self._gathered(found, type))
        return address, owner

    # -- kernels -----------------------------------------------------------------------

    def add(self, kernel: Kernel, compiled: CompiledKernel) -> None:
        """Tells the machine code of a kernel, which can then be loaded."""
        self._compiled[id(kernel)] = compiled

    def load(self, kernel: Kernel) -> int:
        """Loads the machine code of a kernel, or prepares the call in place of it."""
        if kernel.library is not None:
            return self._prepare(kernel, kernel.library)
        compiled = self._compiled.pop(id(kernel))
        if compiled.shared > self._shared_limit:
            raise CompileError(
                f"kernel {kernel.name!r} needs {compiled.shared} bytes of shared memory",
                received=f"{self.name}, which has {self._shared_limit}",
            )
        try:
            module = self._new("cuModuleLoadData", compiled.binary)
            function = self._new("cuModuleGetFunction", module, compiled.entry.encode())
            if compiled.shared > _DYNAMIC_SHARED_BY_DEFAULT:
                self.call(
                    *("cuFuncSetAttribute", function),
                    *(_MAX_DYNAMIC_SHARED, compiled.shared),
                )
        except CompileError as error:
            layers = f" of {', '.join(kernel.layers)}" if kernel.layers else ""
            raise CompileError(
                f"kernel {kernel.name!r}{layers} cannot be loaded: {error.message}",
                received=error.received,
            ) from error
        scratch = 0
        if compiled.global_scratch:
            programs = math.prod(kernel.programs)
            scratch = self.allocate(compiled.global_scratch * programs)
        self._kernels.append(
            _Loaded(module, function, kernel.programs, compiled, scratch)
        )
        return len(self._kernels) - 1

    def _prepare(self, kernel: Kernel, call: LibraryCall) -> int:
        """Prepares a call of a library; all of them share memory to work in."""
        self._enter()
        try:
            product = self._load_blas().product(call)
        except GraphcError as error:
            raise CompileError(
                f"kernel {kernel.name!r} is no call of a library here: {error.message}",
                received=error.received,
            ) from error
        self._workspace = self._workspace or self.allocate(WORKSPACE)
        self._kernels.append(product)
        return len(self._kernels) - 1

    def launch(self, number: int, addresses: Sequence[int]) -> None:
        """Runs a loaded kernel."""
        self.bind(number, addresses)()

    def bind(self, number: int, addresses: Sequence[int]) -> Command:
        """A launch with all its arguments packed."""
        self._enter()
        loaded = self._kernels[number]
        if isinstance(loaded, Product):
            return loaded.bind(addresses, self._workspace, self.stream)
        # Compiled kernels take two more pointers: scratch memory, and that of Triton's
        # profiler.
        values = (*addresses, loaded.scratch, 0)
        packed = (ctypes.c_uint64 * len(values))(*values)
        start = ctypes.addressof(packed)
        pointers = (ctypes.c_void_p * len(values))(
            *(start + 8 * position for position in range(len(values)))
        )
        launch = partial(
            self._launch,
            loaded.function,
            *loaded.grid,
            *(loaded.compiled.threads, 1, 1),
            loaded.compiled.shared,
            self.stream,
            pointers,
            None,
        )
        return _Bound(launch, packed)

    def record(self, commands: Sequence[Command]) -> Command | None:
        """The commands as one CUDA graph."""
        self.call("cuStreamBeginCapture_v2", self.stream, _CAPTURE_THIS_THREAD)
        try:
            for command in commands:
                command()
        finally:
            graph = ctypes.c_void_p()
            self.call("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        try:
            ready = self._new("cuGraphInstantiateWithFlags", graph, 0)
        finally:
            self.call("cuGraphDestroy", graph)
        return _Recording(self, ready, commands)

    def timed(self, command: Command) -> float:
        """Runs a command, and how many seconds the GPU took."""
        self.call("cuEventRecord", self._start, self.stream)
        command()
        self.call("cuEventRecord", self._end, self.stream)
        self.call("cuEventSynchronize", self._end)
        passed = ctypes.c_float()
        self.call("cuEventElapsedTime", ctypes.byref(passed), self._start, self._end)
        return passed.value / 1e3

    # -- order -------------------------------------------------------------------------

    @property
    def queue(self) -> CudaDevice:
        """This device: it has a stream."""
        return self

    def let_wait(self, stream: int | None) -> None:
        """Lets another stream wait for all work so far; None is the default stream."""
        self._order(self.stream, _LEGACY_STREAM if stream is None else stream)

    def synchronize(self) -> None:
        """Returns once all work has ended."""
        self.call("cuStreamSynchronize", self.stream)

    def close(self) -> None:
        """Frees everything."""
        self.synchronize()
        self._release_spare()
        for address in self._sizes:
            self.call("cuMemFree_v2", address)
        self._sizes.clear()
        for loaded in self._kernels:
            if isinstance(loaded, _Loaded):
                self.call("cuModuleUnload", loaded.module)
        for event in (self._start, self._end):
            self.call("cuEventDestroy_v2", event)
        self.call("cuStreamDestroy_v2", self.stream)
        self._driver.call("cuDevicePrimaryCtxRelease_v2", self._device)

    # -- the driver --------------------------------------------------------------------

    def _enter(self) -> None:
        """Makes the context current in this thread."""
        if not getattr(self._entered, "done", False):
            self._driver.call("cuCtxSetCurrent", self._context)
            self._entered.done = True

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function of the driver in the GPU's context."""
        self._enter()
        self._driver.call(name, *arguments)

    def _new(self, name: str, *arguments: Any) -> int:
        self._enter()
        return self._driver.new(name, *arguments)

    def _attribute(self, number: int) -> int:
        return self._driver.new("cuDeviceGetAttribute", number, self._device)

    def _release_spare(self) -> None:
        self.synchronize()
        for addresses in self._spare.values():
            for address in addresses:
                self.call("cuMemFree_v2", address)
        self._spare.clear()

    def _order(self, first: int, then: int) -> None:
        """Lets what comes on one stream wait for what another has been given."""
        event = self._new("cuEventCreate", 0)
        self.call("cuEventRecord", event, first)
        self.call("cuStreamWaitEvent", then, event, 0)
        self.call("cuEventDestroy_v2", event)

    def _bytes(self, address: int, nbytes: int) -> np.ndarray[Any, Any]:
        content = np.empty(nbytes, np.uint8)
        if nbytes:
            place = content.ctypes.data
            self.call("cuMemcpyDtoHAsync_v2", place, address, nbytes, self.stream)
        self.synchronize()
        return content

    # -- arrays of others --------------------------------------------------------------

    def _foreign(self, array: Any) -> dlpack.Imported | None:
        """What another library says of its array, if it is on this GPU."""
        if hasattr(array, "__dlpack__"):
            if tuple(array.__dlpack_device__()) != (dlpack.CUDA, self.ordinal):
                return None
            return dlpack.imported(array.__dlpack__(stream=self.stream))
        interface = getattr(array, "__cuda_array_interface__", None)
        if interface is None:
            return None
        found = dlpack.from_interface(interface, array)
        if found.address:
            ordinal = ctypes.c_int()
            place = ctypes.addressof(ordinal)
            self.call("cuPointerGetAttribute", place, _DEVICE_ORDINAL, found.address)
            if ordinal.value != self.ordinal:
                return None
        if interface.get("stream"):
            self._order(interface["stream"], self.stream)
        return found

    def _gathered(
        self, found: dlpack.Imported, type: TensorType
    ) -> np.ndarray[Any, Any]:
        """The elements of an array with gaps, brought to the host."""
        assert found.strides is not None
        dtype = stored(type)
        reach = [
            stride * (size - 1) * dtype.itemsize
            for stride, size in zip(found.strides, found.shape, strict=True)
        ]
        low = sum(step for step in reach if step < 0)
        span = sum(map(abs, reach)) + dtype.itemsize
        content = self._bytes(found.address + low, span)
        return np.ndarray(
            found.shape,
            dtype,
            content,
            -low,
            [stride * dtype.itemsize for stride in found.strides],
        )


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A kernel that is ready to be launched."""

    module: int
    function: int
    grid: tuple[int, int, int]
    compiled: CompiledKernel
    scratch: int


@dataclass(frozen=True, slots=True)
class _Bound:
    """A launch, with the memory that holds its arguments."""

    launch: Callable[[], object]
    arguments: object

    def __call__(self) -> None:
        self.launch()


class _Owned:
    """Gives memory back when nobody needs it any more."""

    def __init__(self, device: CudaDevice, address: int) -> None:
        self._device = device
        self._address = address

    def __del__(self) -> None:
        self._device.free(self._address)


class _Recording:
    """A CUDA graph that can be launched."""

    def __init__(
        self, device: CudaDevice, ready: int, commands: Sequence[Command]
    ) -> None:
        self._device = device
        self._ready = ready
        self._commands = commands  # keeps what they refer to
        self._queued = partial(device.call, "cuGraphLaunch", ready, device.stream)

    def __call__(self) -> None:
        self._queued()

    def __del__(self) -> None:
        with suppress(GraphcError):  # the device may be closed
            self._device.call("cuGraphExecDestroy", self._ready)
