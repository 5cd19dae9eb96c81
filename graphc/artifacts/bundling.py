"""C programs from artifacts: folders of sources that need neither graphc nor Python."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from graphc.artifacts import compiler
from graphc.artifacts.building import Say, compiling
from graphc.artifacts.contents import FORMAT, Contents, donated
from graphc.artifacts.loading import described, read_program, read_state
from graphc.codegen.bundle import Array, Bundle, Symbol, bundle_files
from graphc.files.atomic_file import write_file
from graphc.files.container import Container
from graphc.files.opening import opened
from graphc.ir.errors import GraphcError, LoadError, TargetError
from graphc.ir.graph import Graph
from graphc.runtime.backend import Packed
from graphc.runtime.triton_bundle import bundled_program, tensor

_TARGET = re.compile(r"triton:sm_\d{2,3}")


def write_bundle(
    filepath: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    target: str | None = None,
    trusted: bool = False,
    weights: str | os.PathLike[str] | None = None,
    name: str = "model",
    say: Say = lambda stage: None,
) -> list[Path]:
    """Writes a C program that runs an artifact on a GPU, by the CUDA driver alone.

    Args:
        filepath: The artifact.
        directory: A folder that does not exist yet, or is empty. It is there whole or
            not at all.
        target: The GPU, such as ``triton:sm_90``; by default the first that the artifact
            was compiled for.
        trusted: Whether to take the machine code of the file; otherwise the graph is
            compiled here.
        weights: The file of the weights, where the artifact does not hold them.
        name: What names in C begin with.
        say: Told what is being done.

    Returns:
        The files.

    Raises:
        LoadError: As `load`, or if there is no machine code for the target in the file.
        TargetError: If the target is no GPU of NVIDIA, or cannot be compiled for here.
        UnsupportedError: If the program needs graphc on the host, or has too many
            weights to be linked.
        OSError: If the folder cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,60}", name):
        raise GraphcError("the name must be one in C", received=ascii(name)[:80])
    folder = Path(directory)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GraphcError(f"{str(folder)!a} exists", hint="name a new folder")
    say("reading")
    with opened(os.fsdecode(filepath)) as file:
        container = Container(file, FORMAT)
        contents, graph = described(container)
        state = read_state(container, contents, graph, weights)
        chosen = _target(contents, target)
        packed = _packed(container, contents, chosen) if trusted else None
    if packed is None:
        packed = _compiled(graph, contents, chosen, say)
    say("writing")
    files = bundle_files(_bundle(contents, graph, state, packed, chosen, name))
    _write(folder, files)
    return [folder / file for file in sorted(files)]


def _target(contents: Contents, wanted: str | None) -> str:
    """The target of a bundle: the wanted one, or else the first that fits."""
    if wanted is not None:
        if not _TARGET.fullmatch(wanted):
            raise TargetError(
                "a bundle is for a GPU of NVIDIA, such as triton:sm_90",
                received=ascii(wanted)[:80],
                hint="XLA's programs need jaxlib where they run: load artifacts there",
            )
        return wanted
    found = [name for name in contents.targets if _TARGET.fullmatch(name)]
    if not found:
        raise TargetError(
            "the artifact was compiled for no GPU of NVIDIA",
            received=", ".join(contents.targets) or "no compiled program",
            hint="name one, such as --target triton:sm_90",
        )
    return found[0]


def _packed(
    container: Container, contents: Contents, target: str
) -> list[tuple[Mapping[str, int], Packed]]:
    """The programs that the file holds for a target.

    Raises:
        LoadError: If there are none.
    """
    found = [
        (program.sizes, read_program(container, program))
        for program in contents.programs
        if program.target == target
    ]
    if len(found) < len(list(contents.contract.programs())):
        raise LoadError(
            f"the artifact holds no machine code for {target}",
            received=", ".join(contents.targets) or "no compiled program",
            hint="without trust it is compiled here",
        )
    return found


def _compiled(
    graph: Graph, contents: Contents, target: str, say: Say
) -> list[tuple[Mapping[str, int], Packed]]:
    """The programs of an artifact's graph, compiled here."""
    programs = compiler.programs(graph, contents, trusted=False)
    donate = donated(len(contents.inputs), contents.written)
    found: list[tuple[Mapping[str, int], Packed]] = []
    for sizes in contents.contract.programs():
        say(compiling(target, sizes))
        packed = programs.compile(sizes, target, donate).program.pack()
        assert packed is not None
        found.append((sizes, packed))
    return found


def _bundle(
    contents: Contents,
    graph: Graph,
    state: Mapping[str, np.ndarray],
    packed: list[tuple[Mapping[str, int], Packed]],
    target: str,
    name: str,
) -> Bundle:
    contract, count = contents.contract, len(contents.inputs)
    own = [parameter.type for parameter in graph.parameters]
    results = [result.type for result in graph.results]
    donate = donated(count, contents.written)
    return Bundle(
        name=name,
        title=f"{contents.kind} of {contents.name}",
        architecture=target.partition(":")[2],
        symbols=tuple(
            Symbol(symbol, sizes.compiled, sizes.low)
            for symbol, sizes in sorted(contract.symbols.items())
        ),
        inputs=tuple(map(Array, contents.inputs, own)),
        outputs=tuple(map(Array, contents.outputs, results)),
        state=tuple(
            tensor(key, type, state[key])
            for key, type in zip(contents.state, own[count:], strict=True)
        ),
        written=contents.written,
        programs=tuple(
            bundled_program(each, contract.interface(graph, sizes), donate, sizes)
            for sizes, each in packed
        ),
    )


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes a folder of files, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, data in files.items():
            write_file(str(temporary / name), [data])
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
