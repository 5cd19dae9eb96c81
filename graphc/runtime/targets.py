"""The targets that graphs are compiled for."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from graphc.ir.errors import TargetError, UnsupportedError
from graphc.runtime import BACKENDS, load_backend
from graphc.runtime.backend import Backend

CHECK = "graphc doctor"
"""The command that checks what this machine can run."""


TargetKind: TypeAlias = Literal["device", "interpreter", "architecture"]


@dataclass(frozen=True, slots=True)
class Target:
    """Something that graphs are compiled for.

    Attributes:
        name: The name, as ``compile_graph(graph, target=name)`` takes it.
        backend: The backend that serves it.
        device: The kind of device, or None for the backend's default.
        available: Whether graphs compile for it here.
        reason: Why not.
        extra: What to install for it with pip.
        check: The command that checks it.
        kind: What runs programs: a ``device``; an ``interpreter``, slow and thorough;
            or nothing, if it is an ``architecture`` that programs are compiled for to
            be looked at.
    """

    name: str
    backend: str
    device: str | None = None
    available: bool = False
    reason: str | None = None
    extra: str | None = None
    check: str = CHECK
    kind: TargetKind = "device"

    @property
    def pipeline(self) -> str:
        """The passes that graphs for this target go through; empty for none."""
        return load_backend(self.backend).pipeline(self.device)


_TRITON = "graphc[triton]"

_TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("xla", "xla", extra="jax"),
        Target("xla:cpu", "xla", "cpu", extra="jax"),
        Target("xla:cuda", "xla", "cuda", extra="jax[cuda12]"),
        Target("triton", "triton", extra=_TRITON),
        Target(
            *("triton:interpreter", "triton", "interpreter"),
            extra=_TRITON,
            kind="interpreter",
        ),
        *(
            Target(f"triton:{name}", "triton", name, extra=_TRITON, kind="architecture")
            for name in ("sm_80", "sm_90", "gfx942")
        ),
        Target("numpy", "numpy"),
    )
}

JAXLIB = Target("jaxlib", "jaxlib", "cpu", extra="jax")
"""What artifacts for XLA run on where jax is not loaded: it starts much faster. Arrays
are its own, so it is none of the targets that users choose from."""


def targets() -> list[Target]:
    """All targets, with what this machine says about each."""
    return [_checked(target) for target in _TARGETS.values()]


def find_target(name: str) -> Target:
    """The target called `name`, which is available.

    Raises:
        TargetError: If there is no such target, or its packages or device are missing.
        UnsupportedError: If this release generates no code for it.
    """
    target = _checked(_named(name))
    if target.backend not in BACKENDS:
        raise UnsupportedError(
            f"target {name!r}: {target.reason}", hint="target='xla' works"
        )
    if not target.available:
        raise TargetError(
            f"target {name!r} is not available: {target.reason}",
            hint=f"`{target.check}` checks this machine; what is needed of packages comes"
            f" with pip install '{target.extra}'",
        )
    return target


def find_runner(name: str, packed: bool = False) -> Target:
    """The target that runs here what is compiled for the target called `name`.

    Programs for an architecture run on the device of their backend.

    Args:
        name: The name of a target.
        packed: Whether it is only to run what was compiled before: what compiles may
            then be missing.

    Raises:
        TargetError, UnsupportedError: As `find_target`.
    """
    target = _named(name)
    if target.kind == "architecture":
        target = _named(target.backend)
    if without_jax(target.name):
        return replace(target, available=True)
    if packed and target.backend in BACKENDS and _unavailable(target, packed) is None:
        return replace(target, available=True)
    return find_target(target.name)


def without_jax(name: str) -> bool:
    """Whether jax is not loaded, and not needed for a target: `JAXLIB` can run it."""
    target = _named(name)
    if target.backend != "xla" or "jax" in sys.modules:
        return False
    try:
        return load_backend(JAXLIB.backend).unavailable(target.device) is None
    except ImportError:
        return False


def backend_name(name: str) -> str:
    """The name of the backend that serves the target called `name`."""
    return name.partition(":")[0]


def find_emitter(name: str) -> tuple[Backend, str | None]:
    """What emits text for the target called `name`, and the kind of device it is for.

    No device is needed here.

    Raises:
        TargetError, UnsupportedError: As `find_target`, but for the device.
    """
    target = _named(name)
    try:
        return load_backend(target.backend), target.device
    except (ImportError, KeyError):
        found = find_target(name)  # which says what is missing
        return load_backend(found.backend), found.device


def _named(name: str) -> Target:
    """The target called `name`, whether it is available or not."""
    if not isinstance(name, str):
        raise TargetError("a target is given by its name", received=repr(name)[:80])
    if name == JAXLIB.name:
        return JAXLIB
    if name not in _TARGETS:
        near = difflib.get_close_matches(name[:40], _TARGETS, 1)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else f"use one of {', '.join(_TARGETS)}"
        )
        raise TargetError("unknown target", received=repr(name)[:80], hint=hint)
    return _TARGETS[name]


def _checked(target: Target) -> Target:
    reason = _unavailable(target)
    return replace(target, available=reason is None, reason=reason)


def _unavailable(target: Target, packed: bool = False) -> str | None:
    if target.backend not in BACKENDS:
        return f"this release generates no {target.backend.capitalize()} code"
    try:
        backend = load_backend(target.backend)
    except ImportError as error:
        return f"{target.backend} cannot be loaded: {error}"
    return backend.unavailable(target.device, packed)
