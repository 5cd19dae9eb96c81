"""Whether Triton is installed, and which version, without importing it."""

from __future__ import annotations

import re
from importlib import metadata

OLDEST = (3, 6)
"""The oldest version of Triton whose compiler and interpreter graphc knows."""


def version() -> str | None:
    """The version of Triton that is installed, or None."""
    try:
        return metadata.version("triton")
    except metadata.PackageNotFoundError:
        return None


def unavailable() -> str | None:
    """Why Triton cannot be used here, or None if it can."""
    found = version()
    if found is None:
        return "triton is not installed"
    if tuple(map(int, re.findall(r"\d+", found)[:2])) < OLDEST:
        return f"triton {found} is older than {'.'.join(map(str, OLDEST))}"
    return None
