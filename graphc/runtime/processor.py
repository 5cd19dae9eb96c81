"""What is known of this machine's processor."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path


@functools.cache
def processor() -> str:
    """The instruction set of this machine's processor and its extensions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    wanted = ("flags", "Features", "model name")
    found = {line.partition(":")[0].strip(): line for line in reversed(lines)}
    described = [found[name] for name in wanted if name in found]
    return f"{platform.machine()} {' '.join(described) or platform.processor()}"


def processor_name() -> str:
    """The model of this machine's processor, and on how many cores this process runs."""
    model = processor().partition("model name")[2].partition(":")[2].strip()
    return f"{model or platform.machine()}, {len(os.sched_getaffinity(0))} cores"
