"""What measurements were made on: the device, the versions, and the machine's state."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from importlib import metadata
from typing import Any

from graphc.files.lock import plain, target_of
from graphc.runtime import cuda_driver, load_backend
from graphc.runtime.targets import find_target

_QUERIES = ("clocks.sm", "clocks.mem", "temperature.gpu", "power.draw")
_PACKAGES = {"xla": ("jaxlib",), "triton": ("triton",), "numpy": ("numpy",)}


@functools.cache
def device_name(target: str) -> str:
    """What choices for a target are about.

    That is a target and what it runs on: ``xla:cpu on Xeon(R), 2 cores`` or
    ``triton:sm_90 on NVIDIA H100``. A GPU that is not here has no name.

    Raises:
        TargetError: If it is not available.
    """
    found = find_target(target)
    return plain(load_backend(found.backend).device_name(found.device))


def is_device(found: str, wanted: str) -> bool:
    """Whether a device is the one that is wanted, or one of its kind if it has no name."""
    return wanted in (found, target_of(found))


@functools.cache
def versions(target: str) -> str:
    """What decides how fast programs are: packages with versions, and the GPU."""
    found = find_target(target)
    names = ("graphc", *_PACKAGES[found.backend])
    parts = [f"{name} {metadata.version(name)}" for name in names]
    if found.backend == "triton" and (gpu := _gpu()) is not None:
        parts.append(plain(gpu))
    return ", ".join(parts)


def conditions() -> dict[str, Any]:
    """The machine's state now: its load, and clocks and temperature of a GPU."""
    found: dict[str, Any] = {"load": os.getloadavg()[0]}
    if (line := _gpu_state()) is not None:
        found |= dict(zip(_QUERIES, line, strict=False))
    return found


def _gpu_state() -> list[str] | None:
    line = _nvidia_smi(",".join(_QUERIES))
    return None if line is None else [part.strip() for part in line.split(",")]


def _gpu() -> str | None:
    return _nvidia_smi("name")


def _nvidia_smi(query: str) -> str | None:
    """What NVIDIA's tool says of the first GPU; None without tool or GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None or cuda_driver.unavailable():
        return None
    command = [tool, f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = result.stdout.splitlines()
    return lines[0].strip() if result.returncode == 0 and lines else None
