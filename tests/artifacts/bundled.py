"""Bundles built by the C compiler and run on a driver in C, whose kernels Python runs."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.plan import Plan
from graphc.ir.graph import Module
from graphc.ir.types import TensorType
from graphc.runtime.triton_commands import Commands
from graphc.runtime.triton_device import from_bytes, stored_nbytes, to_bytes
from tests.artifacts.machine_code import MachineCode

DOUBLE = Path(__file__).parent / "cuda_double.c"
STRICT = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wvla")


def compile_c(output: Path, *arguments: str | Path) -> Path:
    """Runs the C compiler."""
    command = ["cc", "-o", str(output), *map(str, arguments), "-ldl"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return output


def compile_double(folder: Path) -> Path:
    """The driver, as a library."""
    return compile_c(folder / "double.so", "-std=gnu11", "-shared", "-fPIC", DOUBLE)


class HostMemory:
    """Memory by address, which kernels read and write."""

    def write(self, address: int, array: np.ndarray[Any, Any]) -> None:
        content = to_bytes(array)
        ctypes.memmove(address, content.ctypes.data, content.size)

    def read(self, address: int, type: TensorType) -> np.ndarray[Any, Any]:
        content = ctypes.string_at(address, stored_nbytes(type))
        return from_bytes(np.frombuffer(content, np.uint8).copy(), type)


class BuiltBundle:
    """A bundle in this process.

    Args:
        folder: The bundle's folder.
        double: The driver.
        code: What knows what kernels do.
        name: What its names begin with.
    """

    def __init__(
        self, folder: Path, double: Path, code: MachineCode, name: str = "model"
    ) -> None:
        self._name = name
        library = compile_c(
            folder.with_suffix(".so"),
            *(*STRICT, "-shared", "-fPIC", f'-DCUDA_LIBRARY="{double}"'),
            *(f"-I{folder}", folder / f"{name}.c"),
            *(f"-Wa,-I{folder}", folder / f"{name}_data.S"),
        )
        self._library = ctypes.CDLL(str(library))
        self.function("error").restype = ctypes.c_char_p
        self.function("unrecorded").restype = ctypes.c_char_p
        self._driver = ctypes.CDLL(str(double))
        memory = HostMemory()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64))

        def run(entry: bytes, pointers: Any) -> None:
            count = int(entry.decode().rpartition("_")[2])
            code.run(memory, entry.decode(), pointers[:count])

        self._run = kind(run)
        _CALLED.append(self._run)
        self.set("run", ctypes.cast(self._run, ctypes.c_void_p).value, ctypes.c_void_p)

    def function(self, name: str) -> Any:
        return getattr(self._library, f"{self._name}_{name}")

    def set(self, name: str, value: int | None, type: Any = ctypes.c_int) -> None:
        """Sets a variable of the driver."""
        type.in_dll(self._driver, f"double_{name}").value = value

    def __call__(
        self,
        inputs: Sequence[np.ndarray[Any, Any] | None],
        outputs: Sequence[np.ndarray[Any, Any] | None],
        sizes: Sequence[int] = (),
    ) -> int:
        """Runs it; every member of its structures takes eight bytes."""
        held = [None if x is None else np.ascontiguousarray(x) for x in inputs]
        given = _members([*sizes, *map(_address, held)])
        return self.function("run")(given, _members([*map(_address, outputs)]))

    def call(self, name: str, *arguments: Any) -> int:
        return self.function(name)(*arguments)

    def read_state(self, number: int, like: np.ndarray[Any, Any]) -> Any:
        found = np.empty_like(like)
        assert self.call("read_state", number, ctypes.c_void_p(found.ctypes.data)) == 0
        return found

    @property
    def error(self) -> str:
        return self.function("error")().decode()

    @property
    def unrecorded(self) -> str:
        return self.function("unrecorded")().decode()

    @property
    def graph_launches(self) -> int:
        """How many graphs the driver has launched."""
        return ctypes.c_int.in_dll(self._driver, "double_graph_launches").value

    def close(self) -> None:
        self.function("close")()


_CALLED: list[Any] = []
"""What the driver, which all bundles share, may still call when a bundle is gone."""


def _address(array: np.ndarray[Any, Any] | None) -> int:
    return 0 if array is None else array.ctypes.data


def _members(values: Sequence[int]) -> Any:
    return (ctypes.c_uint64 * max(1, len(values)))(*values)


class _Recorder:
    """A device that notes launches."""

    def __init__(self, kernels: Sequence[Kernel]) -> None:
        self.kernels = kernels
        self.launches: list[tuple[Kernel, list[int]]] = []

    def bind(self, number: int, places: Sequence[int]) -> Any:
        return lambda: self.launches.append((self.kernels[number], list(places)))

    def copy(self, *arguments: int) -> None: ...

    def fill(self, *arguments: int) -> None: ...


REGION = 1 << 40
"""How far regions are from each other where launches are noted."""


def planned_launches(plan: Plan, module: Module) -> list[tuple[Kernel, list[int]]]:
    """The launches of a plan as the runtime makes them, regions far from each other."""
    recorder: Any = _Recorder(plan.kernels)
    commands = Commands(recorder, range(len(plan.kernels)), module)
    bases = [REGION * (1 + number) for number in range(len(plan.regions))]
    for command in commands.of(plan.steps, bases, {}):
        command()
    return recorder.launches


def environment(double: Path, calls: Path, **more: str) -> Mapping[str, str]:
    """What a program that uses the driver is started with."""
    return {"BUNDLE_CALLS": str(calls), "ASAN_OPTIONS": "detect_leaks=1", **more}
