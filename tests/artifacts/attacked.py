"""Artifacts as what is attacked.

The machine has a GPU whose driver knows no machine code that is not right, and launches
nothing. Files called ``trusted`` are loaded with trust, and files called ``compiled``,
too, are made ready to run.
"""

import hashlib
import json
from pathlib import Path

import pytest

import graphc
from graphc.artifacts.loading import Artifact
from tests.artifacts.machine_code import MachineCode

SUFFIXES = (".gcx",)

CODE = MachineCode()


class AnyImage(dict[str, int]):
    """What a driver knows that takes every image."""

    def __contains__(self, image: object) -> bool:
        return str(image).startswith("code_")


def warm_up(good: list[Path]) -> None:
    """Loads good files, all of whose code is used and compiled once."""
    CODE.double.pointers = AnyImage()
    CODE.install(pytest.MonkeyPatch())
    for path in good:
        fingerprint(graphc.load(path))
        for target in (None, "triton", "numpy"):
            graphc.load(path, target, trust="code").prepare()
        graphc.load(path, "xla").prepare()


def load(path: Path) -> Artifact:
    """Loads an artifact; its name says how far."""
    if path.name.startswith("trusted"):
        target = "triton" if "triton" in path.name else "xla"
        artifact = graphc.load(path, target, trust="code")
        artifact.prepare()
    else:
        artifact = graphc.load(path)
    if path.name.startswith("compiled"):
        artifact.prepare()
    assert "cuLaunchKernel" not in CODE.double.calls
    return artifact


def fingerprint(artifact: Artifact) -> str:
    """What an artifact computes, on which weights, for which sizes, as text."""
    contents = artifact.contents
    state = {
        name: hashlib.sha256(array.tobytes()).hexdigest()
        for name, array in artifact.state.items()
    }
    said = [contents.kind, contents.inputs, contents.outputs, contents.written]
    said += [contents.contract.to_json(), str(contents.options)]
    return json.dumps([said, state, str(artifact.graph), artifact.target])
