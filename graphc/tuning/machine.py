"""What measurements were made on: the device, the versions, and the machine's state."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from typing import Any

from graphc.runtime import cuda_driver
from graphc.runtime.targets import find_target
from graphc.runtime.triton_runtime import cuda
from graphc.runtime.xla_cache import processor

_QUERIES = ("clocks.sm", "clocks.mem", "temperature.gpu", "power.draw")
_PACKAGES = {"xla": ("jaxlib",), "triton": ("triton",), "numpy": ("numpy",)}


@functools.cache
def device_name(target: str) -> str:
    """What a target runs on here, such as ``xla:cpu on Intel(R) Xeon(R), 2 cores``.

    Raises:
        TargetError: If it is not available.
    """
    found = find_target(target)
    if found.backend == "triton" and found.kind == "device":
        return _plain(f"{target} on {cuda().name}")
    if found.device == "cuda":
        return _plain(f"{target} on {_gpu() or 'a GPU'}")
    model = processor().partition("model name")[2].partition(":")[2].strip()
    cores = len(os.sched_getaffinity(0))
    return _plain(f"{target} on {model or platform.machine()}, {cores} cores")


@functools.cache
def versions(target: str) -> str:
    """The packages that decide how fast programs are, with their versions."""
    names = ("graphc", *_PACKAGES[find_target(target).backend])
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


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


def _plain(text: str) -> str:
    """A name without what separates fields of a lock file."""
    return re.sub(r"[^\x21-\x7e]+|\|", " ", text).strip()
