"""The CUDA driver's functions, called through ctypes; loaded when first needed."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from ctypes import (
    POINTER,
    c_char_p,
    c_float,
    c_int,
    c_size_t,
    c_ubyte,
    c_uint,
    c_uint64,
    c_void_p,
)
from typing import Any, Protocol

from graphc.ir.errors import CompileError, GraphcError, TargetError

LIBRARY = "libcuda.so.1"

OLDEST_DRIVER = 12000
"""The oldest version of the driver that loads what Triton compiles: CUDA 12.0."""

_OUT_OF_MEMORY = 2
_COMPILE_CALLS = ("cuModuleLoadData", "cuModuleGetFunction", "cuFuncSetAttribute")
"""Calls that fail because of a kernel's code."""

_Address = c_uint64
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    # Devices and their contexts.
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (c_void_p,),
    # Kernels.
    "cuModuleLoadData": (POINTER(c_void_p), c_char_p),
    "cuModuleUnload": (c_void_p,),
    "cuModuleGetFunction": (POINTER(c_void_p), c_void_p, c_char_p),
    "cuFuncSetAttribute": (c_void_p, c_int, c_int),
    "cuLaunchKernel": (
        *(c_void_p, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint),
        *(c_void_p, POINTER(c_void_p), POINTER(c_void_p)),
    ),
    # Memory.
    "cuMemAlloc_v2": (POINTER(_Address), c_size_t),
    "cuMemFree_v2": (_Address,),
    "cuMemcpyHtoDAsync_v2": (_Address, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, _Address, c_size_t, c_void_p),
    "cuMemcpyDtoDAsync_v2": (_Address, _Address, c_size_t, c_void_p),
    "cuMemsetD8Async": (_Address, c_ubyte, c_size_t, c_void_p),
    "cuPointerGetAttribute": (c_void_p, c_int, _Address),
    # Streams and events.
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
    "cuEventCreate": (POINTER(c_void_p), c_uint),
    "cuEventDestroy_v2": (c_void_p,),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventSynchronize": (c_void_p,),
    "cuEventElapsedTime": (POINTER(c_float), c_void_p, c_void_p),
    # Graphs.
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cuGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_uint64),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphExecDestroy": (c_void_p,),
}
"""The functions and the types of their arguments; all return an error number."""


class Library(Protocol):
    """What has the driver's functions as attributes, such as a `ctypes.CDLL`."""

    def __getattr__(self, name: str) -> Any: ...


class Driver:
    """The functions of the driver, every one of which raises an error if it fails.

    Attributes:
        version: The newest version of CUDA that it serves: 12040 for 12.4.
    """

    def __init__(self, library: Library | None = None) -> None:
        """Loads the driver.

        Args:
            library: What has its functions; by default the one that is installed.

        Raises:
            TargetError: If there is none, it does not start, or it is too old.
        """
        if library is None:
            try:
                library = ctypes.CDLL(LIBRARY)
            except OSError as error:
                raise TargetError(
                    f"no NVIDIA driver is installed: {error}",
                    hint="target='triton:interpreter' runs on any machine",
                ) from error
        self._library = library
        self._functions = {
            name: self._function(name, types) for name, types in _FUNCTIONS.items()
        }
        self.call("cuInit", 0)
        version = c_int()
        self.call("cuDriverGetVersion", ctypes.byref(version))
        self.version = version.value
        if self.version < OLDEST_DRIVER:
            raise TargetError(
                f"the NVIDIA driver is too old: it serves CUDA {_dotted(self.version)},"
                f" kernels need {_dotted(OLDEST_DRIVER)}"
            )

    def call(self, name: str, *arguments: Any) -> None:
        """Calls one of the driver's functions.

        Raises:
            CompileError: If it does not take a kernel's code.
            TargetError: If anything else fails.
        """
        self._functions[name](*arguments)

    def function(self, name: str) -> Callable[..., object]:
        """One of the driver's functions, to be called often."""
        return self._functions[name]

    def new(self, name: str, *arguments: Any) -> int:
        """What a function puts where its first argument points to."""
        made = _FUNCTIONS[name][0]._type_()
        self.call(name, ctypes.byref(made), *arguments)
        return int(made.value or 0)

    def _function(self, name: str, types: tuple[Any, ...]) -> Any:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise TargetError(
                f"the NVIDIA driver is too old: it has no {name}"
            ) from error
        function.argtypes = types
        function.restype = c_int
        if not name.startswith("cuGetError"):
            function.errcheck = functools.partial(self._check, name)
        return function

    def _check(self, name: str, code: int, function: Any, arguments: Any) -> int:
        if code:
            text = f"{name} failed: {self._text('cuGetErrorString', code)}"
            received = f"{self._text('cuGetErrorName', code)} ({code})"
            if name in _COMPILE_CALLS:
                raise CompileError(text, received=received)
            if code == _OUT_OF_MEMORY:
                raise DeviceMemoryError(text, received=received)
            raise TargetError(text, received=received)
        return code

    def _text(self, name: str, code: int) -> str:
        found = c_char_p()
        self._functions[name](code, ctypes.byref(found))
        return (found.value or b"unknown error").decode()


class DeviceMemoryError(GraphcError):
    """The GPU has not that much memory left."""


@functools.cache
def driver() -> Driver:
    """The driver of this machine."""
    return Driver()


def unavailable(opened: Callable[[], Driver] | None = None) -> str | None:
    """Why no GPU can be used, or None if one can.

    Args:
        opened: What loads the driver; by default that of this machine is loaded.
    """
    try:
        count = (opened or driver)().new("cuDeviceGetCount")
    except GraphcError as error:
        return error.message
    return None if count else "the NVIDIA driver finds no GPU"


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
