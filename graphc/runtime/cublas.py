"""cuBLASLt's functions, called through ctypes: products of matrices on an NVIDIA GPU.

Nothing here is needed to run programs. A call comes into a program where tuning has
measured that it is faster than every generated kernel.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import suppress
from ctypes import (
    POINTER,
    byref,
    c_double,
    c_float,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from typing import Any

from graphc.codegen.triton.kernel import LibraryCall, Matrix
from graphc.ir.errors import CompileError, GraphcError, TargetError
from graphc.runtime.cuda_driver import Library

WORKSPACE = 32 << 20
"""Bytes of memory that a call may use while it runs: what NVIDIA advises for sm_90."""

ALIGNMENT = 16
"""What the addresses of operands and results are multiples of, in bytes."""

# Numbers of the library's interface.
_DATA = {"f16": 2, "bf16": 14, "f32": 0, "f64": 1}
_COMPUTE_F32, _COMPUTE_TF32, _COMPUTE_F64 = 68, 77, 70
_TRANSPOSE_A, _TRANSPOSE_B, _EPILOGUE, _BIAS_POINTER = 3, 4, 7, 8
_BATCH_COUNT, _BATCH_STRIDE = 5, 6
_MAX_WORKSPACE, _LEAST_ALIGNMENTS = 1, (5, 6, 7, 8)
_TRANSPOSED, _ADD_BIAS = 1, 4

_Handle = c_void_p
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cublasLtCreate": (POINTER(_Handle),),
    "cublasLtMatmulDescCreate": (POINTER(_Handle), c_int, c_int),
    "cublasLtMatmulDescSetAttribute": (_Handle, c_int, c_void_p, c_size_t),
    "cublasLtMatmulDescDestroy": (_Handle,),
    "cublasLtMatrixLayoutCreate": (
        *(POINTER(_Handle), c_int, c_uint64, c_uint64, c_int64),
    ),
    "cublasLtMatrixLayoutSetAttribute": (_Handle, c_int, c_void_p, c_size_t),
    "cublasLtMatrixLayoutDestroy": (_Handle,),
    "cublasLtMatmulPreferenceCreate": (POINTER(_Handle),),
    "cublasLtMatmulPreferenceSetAttribute": (_Handle, c_int, c_void_p, c_size_t),
    "cublasLtMatmulPreferenceDestroy": (_Handle,),
    "cublasLtMatmulAlgoGetHeuristic": (
        *(_Handle, _Handle, _Handle, _Handle, _Handle, _Handle, _Handle),
        *(c_int, c_void_p, POINTER(c_int)),
    ),
    "cublasLtMatmul": (
        *(_Handle, _Handle, c_void_p, c_void_p, _Handle, c_void_p, _Handle),
        *(c_void_p, c_void_p, _Handle, c_void_p, _Handle),
        *(c_void_p, c_void_p, c_size_t, c_void_p),
    ),
}
"""The functions and the types of their arguments; all return an error number."""

_NAMES = ("libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so")
_WHEELS = ("nvidia.cu13", "nvidia.cublas")
"""Packages that have the library in their folder ``lib``."""


class _Found(ctypes.Structure):
    """An algorithm that the library has chosen for a product."""

    _fields_ = (
        ("algorithm", c_uint64 * 8),
        ("workspace", c_size_t),
        ("status", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    )


class CublasLt:
    """The functions of the library, every one of which raises an error if it fails."""

    def __init__(self, library: Library | None = None) -> None:
        """Loads the library; a CUDA context must be current.

        Args:
            library: What has its functions; by default the one that is installed.

        Raises:
            TargetError: If there is none, or it does not start.
        """
        self._library = library or _installed()
        self._functions = {
            name: self._function(name, types) for name, types in _FUNCTIONS.items()
        }
        self._handle = self.new("cublasLtCreate")

    def call(self, name: str, *arguments: Any) -> None:
        """Calls one of the library's functions.

        Raises:
            CompileError: If it fails.
        """
        self._functions[name](*arguments)

    def new(self, name: str, *arguments: Any) -> int:
        """What a function puts where its first argument points to."""
        made = _Handle()
        self.call(name, byref(made), *arguments)
        return int(made.value or 0)

    def product(self, call: LibraryCall) -> Product:
        """A product that is ready to be bound to addresses.

        Raises:
            CompileError: If the library has no algorithm for it.
        """
        return Product(self, self._functions["cublasLtMatmul"], self._handle, call)

    def set(self, what: str, handle: int, attribute: int, value: Any) -> None:
        """Sets an attribute of a descriptor: ``MatmulDesc``, ``MatrixLayout`` and so on."""
        size = ctypes.sizeof(value)
        self.call(f"cublasLt{what}SetAttribute", handle, attribute, byref(value), size)

    def _function(self, name: str, types: tuple[Any, ...]) -> Any:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise TargetError(f"cuBLASLt is too old: it has no {name}") from error
        function.argtypes = types
        function.restype = c_int
        function.errcheck = functools.partial(_check, name)
        return function


class Product:
    """A product of matrices, with all that the library must be told of it but addresses.

    Args:
        library: The library.
        run: Its function that multiplies.
        handle: Its handle.
        call: The product.
    """

    def __init__(
        self,
        library: CublasLt,
        run: Callable[..., object],
        handle: int,
        call: LibraryCall,
    ) -> None:
        self._library = library
        self._run = run
        self._handle = handle
        self._call = call
        dtypes = call.operand_dtype, call.operand_dtype, call.result_dtype
        matrices = call.first, call.second, call.result
        pairs = zip(dtypes, matrices, strict=True)
        self._layouts = [self._layout(dtype, matrix) for dtype, matrix in pairs]
        wide = call.operand_dtype == "f64"
        self._one, self._zero = ((c_double if wide else c_float)(n) for n in (1, 0))
        self._algorithm = self._chosen()

    def bind(self, addresses: Sequence[int], workspace: int, stream: int) -> Bound:
        """The product at addresses.

        Args:
            addresses: Those of the kernel's pointers.
            workspace: That of `WORKSPACE` bytes that nothing else uses meanwhile.
            stream: The stream that it runs on.
        """
        call = self._call
        description = self._description(addresses)
        places = [addresses[each.pointer] for each in (call.first, call.second)]
        result = addresses[call.result.pointer]
        first, second, made = self._layouts
        run = functools.partial(
            self._run,
            *(self._handle, description.handle, byref(self._one)),
            *(places[0], first.handle, places[1], second.handle),
            *(byref(self._zero), result, made.handle, result, made.handle),
            *(byref(self._algorithm.algorithm), workspace, WORKSPACE, stream),
        )
        return Bound(run, (self, description))

    def _description(self, addresses: Sequence[int] | None = None) -> _Description:
        """What is done with the matrices; without addresses, for matrices anywhere."""
        call = self._call
        sums = (_COMPUTE_TF32 if call.tf32 else _COMPUTE_F32), _DATA["f32"]
        if call.operand_dtype == "f64":
            sums = _COMPUTE_F64, _DATA["f64"]
        made = _Description(self._library, "MatmulDesc", *sums)
        for attribute, is_so in zip(
            (_TRANSPOSE_A, _TRANSPOSE_B), call.transposed, strict=True
        ):
            if is_so:
                made.set(attribute, c_int32(_TRANSPOSED))
        if call.bias is not None:
            place = ALIGNMENT if addresses is None else addresses[call.bias]
            made.set(_EPILOGUE, c_uint32(_ADD_BIAS))
            made.set(_BIAS_POINTER, c_void_p(place))
        return made

    def _layout(self, dtype: str, matrix: Matrix) -> _Description:
        sizes = matrix.rows, matrix.columns, matrix.stride
        made = _Description(self._library, "MatrixLayout", _DATA[dtype], *sizes)
        if self._call.batch > 1:
            made.set(_BATCH_COUNT, c_int32(self._call.batch))
            made.set(_BATCH_STRIDE, c_int64(matrix.apart))
        return made

    def _chosen(self) -> _Found:
        """The algorithm that the library expects to be the fastest."""
        library = self._library
        preference = _Description(library, "MatmulPreference")
        preference.set(_MAX_WORKSPACE, c_uint64(WORKSPACE))
        for attribute in _LEAST_ALIGNMENTS:
            preference.set(attribute, c_uint32(ALIGNMENT))
        description, count, found = self._description(), c_int(), _Found()
        first, second, made = (layout.handle for layout in self._layouts)
        library.call(
            "cublasLtMatmulAlgoGetHeuristic",
            *(self._handle, description.handle, first, second, made, made),
            *(preference.handle, 1, byref(found), byref(count)),
        )
        if count.value < 1 or found.status:
            raise CompileError(
                f"cuBLASLt has no algorithm for {self._call}",
                received=f"status {found.status}",
            )
        return found


class _Description:
    """A descriptor of the library, which lives as long as this object."""

    def __init__(self, library: CublasLt, kind: str, *arguments: Any) -> None:
        self._library = library
        self._kind = kind
        self.handle = library.new(f"cublasLt{kind}Create", *arguments)

    def set(self, attribute: int, value: Any) -> None:
        """Sets an attribute."""
        self._library.set(self._kind, self.handle, attribute, value)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            with suppress(GraphcError):
                self._library.call(f"cublasLt{self._kind}Destroy", self.handle)


class Bound:
    """A call with its arguments, and with what they point to."""

    def __init__(self, run: Callable[[], object], kept: object) -> None:
        self._run = run
        self._kept = kept

    def __call__(self) -> None:
        self._run()


def _check(name: str, code: int, function: Any, arguments: Any) -> int:
    if code:
        raise CompileError(f"{name} failed", received=f"status {code}")
    return code


def _installed() -> Library:
    """The library of this machine.

    Raises:
        TargetError: If there is none.
    """
    failed = ""
    for name in [*_NAMES, *_in_wheels()]:
        try:
            return ctypes.CDLL(str(name))
        except OSError as error:
            failed = failed or str(error)
    raise TargetError(
        f"cuBLASLt is not installed: {failed}",
        hint="kernels that graphc generates need it not",
    )


def _in_wheels() -> list[Path]:
    """The libraries in packages of NVIDIA's."""
    found: list[Path] = []
    for package in _WHEELS:
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for place in (spec and spec.submodule_search_locations) or ():
            found += sorted(Path(place, "lib").glob("libcublasLt.so*"))
    return found


def unavailable() -> str | None:
    """Why the library cannot be called, or None if it can be loaded."""
    try:
        _installed()
    except GraphcError as error:
        return error.message
    return None
