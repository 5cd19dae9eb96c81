"""Loading artifacts, and running them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np

from graphc.artifacts.building import MAX_GRAPH, donated
from graphc.artifacts.contents import (
    FORMAT,
    GRAPH,
    SUFFIX,
    WEIGHTS,
    Contents,
    PackedProgram,
)
from graphc.artifacts.fitting import Fitted
from graphc.artifacts.programs import Programs
from graphc.files.atomic_file import write_file
from graphc.files.container import Container
from graphc.files.opening import opened
from graphc.files.tensors import dump_tensors, read_tensor_file
from graphc.ir import parse
from graphc.ir.errors import GraphcError, GraphError, LoadError, TargetError
from graphc.ir.evaluate import bind_shapes
from graphc.ir.graph import Graph
from graphc.passes.plugins import closed
from graphc.runtime import load_backend
from graphc.runtime.backend import Packed
from graphc.runtime.executable import Executable
from graphc.runtime.targets import Target, backend_name, find_runner, find_target

MAX_PART = 1 << 32
"""The largest part of a compiled program that is read, in bytes."""

CODE = "code"
"""What `trust` says to run machine code from an artifact."""


class Artifact:
    """A program from a file. Call it with one array per input.

    Attributes:
        contents: What the file holds.
        graph: The graph as it was traced.
        target: The target that it runs on.
        used: For the sizes that were run so far, whether the program came from the
            file (``"file"``) or was compiled here (``"compiled"``).
    """

    def __init__(
        self,
        contents: Contents,
        graph: Graph,
        state: Mapping[str, np.ndarray[Any, Any]],
        target: Target,
        packed: Mapping[tuple[tuple[str, int], ...], Sequence[Packed]],
        trusted: bool = False,
    ) -> None:
        self.contents = contents
        self.graph = graph
        self.target = target.name
        self.used: dict[tuple[tuple[str, int], ...], str] = {}
        self._target = target
        self._packed = packed
        self._trusted = trusted
        self._programs = Programs(graph, contents.contract, contents.options)
        self._executables: dict[tuple[tuple[str, int], ...], Executable] = {}
        self._by_shapes: dict[tuple[tuple[int, ...], ...], Fitted] = {}
        self._state: list[Any] = [state[name] for name in contents.state]
        self._placed = False

    @property
    def inputs(self) -> dict[str, Any]:
        """The types of the inputs by name, with the symbols of the contract."""
        parameters = self.graph.parameters
        return {
            n: p.type for n, p in zip(self.contents.inputs, parameters, strict=False)
        }

    @property
    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The weights, and what else the program keeps between runs, by name."""
        arrays = map(np.asarray, self._state)
        return dict(zip(self.contents.state, arrays, strict=True))

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        """The outputs for some inputs; a training step replaces its state, too.

        Args:
            *arrays: Inputs in order, of the dtypes that `inputs` says. Python numbers
                and lists become arrays.
            **named: Inputs by name.

        Returns:
            An array, or a tuple of arrays if there are several outputs.

        Raises:
            GraphError: If the inputs do not fit, or have sizes that the artifact is not
                compiled for; says for which it is.
        """
        given = self._given(arrays, named)
        shapes = tuple(array.shape for array in given)
        fitted = self._by_shapes.get(shapes)
        if fitted is None:
            fitted = self._by_shapes[shapes] = self._serving(shapes)
        if not self._placed:
            place = fitted.executable.program.place
            self._state = [place(array) for array in self._state]
            self._placed = True
        results = fitted(given, self._state)
        count = len(self.contents.outputs)
        if written := self.contents.written:
            state = self._state.copy()
            for place, array in zip(written, results[count:], strict=True):
                state[place] = array
            self._state = state
        outputs = tuple(results[:count])
        return outputs[0] if count == 1 else outputs

    def prepare(self) -> None:
        """Makes the programs of all sizes ready to run."""
        for sizes in self.contents.contract.programs():
            self._executable(sizes)

    def save_state(
        self,
        filepath: str | os.PathLike[str],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Writes the state to a safetensors file, which `load_state` reads.

        Args:
            filepath: The file's name.
            metadata: Texts to keep with it, by name.

        Raises:
            OSError: If the file cannot be written; an existing one stays as it was.
        """
        write_file(os.fsdecode(filepath), dump_tensors(self.state, metadata))

    def load_state(self, filepath: str | os.PathLike[str]) -> dict[str, str]:
        """Takes the state from a safetensors file.

        Returns:
            The texts that were kept with it.

        Raises:
            LoadError: If it is damaged, or has other tensors than the program.
        """
        found, metadata = _read_weights(os.fsdecode(filepath), None)
        self._state = [
            found[name] for name in _matching(self.contents, self.graph, found)
        ]
        self._placed = False
        return metadata

    def _given(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """One array per input, in order."""
        names = self.contents.inputs
        if len(arrays) > len(names):
            raise GraphError(
                f"the artifact takes {len(names)} inputs", received=str(len(arrays))
            )
        given = dict(zip(names, arrays, strict=False))
        if wrong := [n for n in named if n in given or n not in names]:
            raise GraphError(
                f"{wrong[0]!r} is given twice or no input",
                hint=f"the inputs are {', '.join(names)}",
            )
        given |= named
        if missing := [name for name in names if name not in given]:
            raise GraphError(f"inputs are missing: {', '.join(missing)}")
        types = self.inputs
        return [_array(given[name], name, types[name].dtype.numpy) for name in names]

    def _serving(self, shapes: tuple[tuple[int, ...], ...]) -> Fitted:
        every = [*shapes, *(np.shape(array) for array in self._state)]
        sizes = bind_shapes(self.graph, every)
        room = self.contents.contract.program_sizes(sizes)
        return Fitted(
            self._executable(room),
            self.graph,
            len(self.contents.inputs),
            len(self.contents.outputs),
            sizes,
            room,
            self._programs.padded,
        )

    def _executable(self, sizes: Mapping[str, int]) -> Executable:
        key = tuple(sorted(sizes.items()))
        if key not in self._executables:
            self._executables[key] = self._made(key)
        return self._executables[key]

    def _made(self, key: tuple[tuple[str, int], ...]) -> Executable:
        donate = donated(len(self.contents.inputs), self.contents.written)
        sizes = dict(key)
        for packed in self._packed.get(key, ()):
            bound = self._programs.interface(sizes)
            backend = load_backend(self._target.backend)
            device = self._target.device
            program = backend.unpack(packed, bound, device, donate)
            if program is not None:
                self.used[key] = "file"
                return Executable(bound, self.target, program, {})
        self.used[key] = "compiled"
        # A pipeline that a file names must not import what is installed here.
        with nullcontext() if self._trusted else closed():
            return self._programs.compile(sizes, self.target, donate)

    def __repr__(self) -> str:
        types = ", ".join(f"{name}: {type}" for name, type in self.inputs.items())
        return f"<Artifact {self.contents.name} ({types}) for {self.target}>"


def load(
    filepath: str | os.PathLike[str],
    target: str | None = None,
    trust: str | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Artifact:
    """Loads an artifact that ``graphc compile`` or `Model.export` wrote.

    Loading reads data alone: the graph and the weights. Programs are compiled here when
    they are first needed, unless this machine has compiled them before. What the file
    holds of machine code is used only if it is trusted: machine code can do anything.

    Args:
        filepath: The file's name, which ends in ``.gcx``.
        target: The target to run on; by default the first that the artifact was
            compiled for and that this machine has, or else ``"xla"``.
        trust: ``"code"`` to run the machine code in the file, or None.
        weights: The file of the weights, where the artifact does not hold them.

    Returns:
        The program, which is called with arrays.

    Raises:
        LoadError: If the file is missing, damaged, of an unknown version, or no
            artifact.
        TargetError: If the target is unknown or not available here.
    """
    if trust not in (None, CODE):
        raise LoadError(f"trust must be {CODE!r} or None", received=repr(trust)[:80])
    path = os.fsdecode(filepath)
    with opened(path) as file:
        container = Container(file, FORMAT)
        contents, graph = _described(container)
        if contents.weights is None:
            header = container.tensor_header(WEIGHTS)
            _matching(contents, graph, header.types)
            state = container.tensors(WEIGHTS, header)
        else:
            if weights is None:
                raise LoadError(
                    f"{path} does not hold its weights",
                    hint="give their file: load(path, weights='model.safetensors')",
                )
            state, _ = _read_weights(os.fsdecode(weights), contents.weights)
            _matching(contents, graph, state)
        for name in sorted(contents.parts):
            container.check(name)
        chosen = _target(contents, target, trust == CODE)
        packed = {}
        if trust == CODE:
            packed = _read_programs(container, contents, chosen)
    return Artifact(contents, graph, state, chosen, packed, trust == CODE)


def inspect(
    filepath: str | os.PathLike[str],
) -> tuple[Contents, Graph, dict[str, int]]:
    """What an artifact says that it holds, its graph, and the sizes of its members.

    Nothing of it runs, and no tensor is read.

    Raises:
        LoadError: If the file is missing, damaged, of an unknown version, or no
            artifact.
    """
    with opened(os.fsdecode(filepath)) as file:
        container = Container(file, FORMAT)
        return *_described(container), container.sizes


def _described(container: Container) -> tuple[Contents, Graph]:
    """What a container says that it holds, and its graph, which fit together."""
    contents = Contents.from_json(container.description)
    own = {GRAPH} if contents.weights else {GRAPH, WEIGHTS}
    container.require(own | contents.parts)
    return contents, _read_graph(container, contents)


def _target(contents: Contents, wanted: str | None, trusted: bool) -> Target:
    """The target to run on: the wanted one, or else the first that is there."""
    if wanted is not None:
        return find_runner(wanted, trusted)
    for name in contents.targets:
        with suppress(GraphcError):
            return find_runner(name, trusted)
    with suppress(TargetError):
        return find_target("xla")
    return find_target("numpy")


def _read_graph(container: Container, contents: Contents) -> Graph:
    """The graph of an artifact, which is what its manifest says.

    Raises:
        LoadError: If it is not.
    """
    data = container.read(GRAPH, MAX_GRAPH)
    try:
        graph = parse(data.decode("utf-8"))
        graph.verify()
        contents.contract.check(graph.symbols)
    except (GraphcError, UnicodeDecodeError) as error:
        raise LoadError(f"{GRAPH} is not valid: {error}") from error
    parameters = len(contents.inputs) + len(contents.state)
    results = len(contents.outputs) + len(contents.written)
    if (len(graph.parameters), len(graph.results)) != (parameters, results):
        raise LoadError(
            f"{GRAPH} has other parameters or results than the manifest says"
        )
    own = [p.type for p in graph.parameters[len(contents.inputs) :]]
    replaced = [r.type for r in graph.results[len(contents.outputs) :]]
    if replaced != [own[place] for place in contents.written]:
        raise LoadError("what the artifact writes has other types than its state")
    return graph


def _matching(contents: Contents, graph: Graph, found: Mapping[str, Any]) -> list[str]:
    """The names of the state, which are those of `found` with the types of the graph."""
    if found.keys() != set(contents.state):
        wrong = sorted(found.keys() ^ set(contents.state))
        raise LoadError(
            "the weights are not those of the artifact",
            received=ascii(", ".join(wrong[:5]))[:200],
        )
    parameters = graph.parameters[len(contents.inputs) :]
    for name, parameter in zip(contents.state, parameters, strict=True):
        type, array = parameter.type, found[name]
        have = getattr(array.dtype, "numpy", array.dtype)
        if (array.shape, have) != (type.shape, type.dtype.numpy):
            raise LoadError(
                f"the tensor {ascii(name)[:200]} is not {type}",
                received=f"{array.dtype}{list(array.shape)}",
            )
    return list(contents.state)


def _read_weights(
    path: str, digest: str | None
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """The tensors and the metadata of a safetensors file, compared with its digest."""
    running = hashlib.sha256()
    arrays, metadata = read_tensor_file(path, [running])
    if digest is not None and running.hexdigest() != digest:
        raise LoadError(f"{path} has other weights than the artifact was built with")
    return arrays, metadata


def _read_programs(
    container: Container, contents: Contents, target: Target
) -> dict[tuple[tuple[str, int], ...], list[Packed]]:
    """What a target's backend compiled, by sizes, for all its devices."""
    found: dict[tuple[tuple[str, int], ...], list[Packed]] = {}
    for program in contents.programs:
        if backend_name(program.target) == target.backend:
            key = tuple(sorted(program.sizes.items()))
            found.setdefault(key, []).append(_packed(container, program))
    return found


def _packed(container: Container, program: PackedProgram) -> Packed:
    files = {
        name: container.read(member, MAX_PART)
        for name, member in program.members.items()
    }
    return Packed(program.facts, files)


def _array(given: Any, name: str, wanted: Any) -> Any:
    """What is given for an input, as an array of its dtype."""
    array = given if hasattr(given, "shape") else np.asarray(given)
    dtype = getattr(array, "dtype", None)
    if dtype == wanted:
        return array
    # NumPy's own dtypes, which nobody chose.
    if not hasattr(given, "shape") or dtype == np.float64 or _fits(array, wanted):
        return np.asarray(array).astype(wanted)
    raise GraphError(
        f"input {name!r} is of dtype {np.dtype(wanted)}", received=f"dtype {dtype}"
    )


def _fits(array: Any, wanted: Any) -> bool:
    """Whether these are 64-bit integers that fit into a smaller integer dtype."""
    if getattr(array, "dtype", None) != np.int64 or np.dtype(wanted).kind not in "iu":
        return False
    numbers, limits = np.asarray(array), np.iinfo(wanted)
    return not numbers.size or bool(
        limits.min <= numbers.min() and numbers.max() <= limits.max
    )


__all__ = ["SUFFIX", "Artifact", "inspect", "load"]
