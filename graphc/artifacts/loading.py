"""Loading artifacts, and running them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from graphc.artifacts import compiler
from graphc.artifacts.contents import (
    FORMAT,
    GRAPH,
    LOCK,
    MAX_GRAPH,
    SUFFIX,
    WEIGHTS,
    Contents,
    PackedProgram,
    donated,
)
from graphc.artifacts.fitting import Fitted
from graphc.artifacts.kept import KeptPrograms
from graphc.files.atomic_file import write_file
from graphc.files.container import Container
from graphc.files.lock import MAX_BYTES, Locked, parse_lock
from graphc.files.opening import opened
from graphc.files.tensors import FORMAT as TENSOR_FORMAT
from graphc.files.tensors import (
    STATE,
    UNSEALED,
    dump_tensors,
    read_tensor_file,
    sealed,
)
from graphc.ir import parse
from graphc.ir.errors import (
    GraphcError,
    GraphError,
    LoadError,
    TargetError,
    UnsupportedError,
)
from graphc.ir.evaluate import match_shapes
from graphc.ir.graph import Graph
from graphc.runtime import load_backend, prepared
from graphc.runtime.backend import Packed
from graphc.runtime.calling import CallableProgram
from graphc.runtime.host_arrays import HostArray
from graphc.runtime.targets import (
    JAXLIB,
    Target,
    backend_name,
    find_runner,
    find_target,
    without_jax,
)

if TYPE_CHECKING:
    from graphc.artifacts.programs import Programs

MAX_PART = 1 << 32
"""The largest part of a compiled program that is read, in bytes."""

CODE = "code"
"""What `trust` says to run machine code from an artifact."""


Key: TypeAlias = tuple[tuple[str, int], ...]
"""The sizes of a program, sorted by their symbols."""


class Artifact:
    """A program from a file. Call it with one array per input.

    Attributes:
        contents: What the file holds.
        graph: The graph as it was traced.
        target: The target that it runs on.
        used: For the sizes that were run so far, where the program is from: the file
            (``"file"``), this user's cache (``"cache"``), or neither (``"compiled"``).
    """

    def __init__(
        self,
        contents: Contents,
        graph: Graph,
        state: Mapping[str, np.ndarray[Any, Any]],
        target: Target,
        packed: Mapping[Key, Sequence[Packed]],
        kept: KeptPrograms,
        trusted: bool = False,
    ) -> None:
        self.contents = contents
        self.graph = graph
        self.target = target.name
        self.used: dict[Key, str] = {}
        self._runner = JAXLIB if without_jax(target.name) else target
        self._packed = packed
        self._trusted = trusted
        self._kept = kept
        self._programs: Programs | None = None
        self._executables: dict[Key, CallableProgram[Any]] = {}
        self._dtypes = [np.dtype(type.dtype.numpy) for type in self.inputs.values()]
        self._by_shapes: dict[tuple[tuple[int, ...], ...], Fitted] = {}
        self._state: list[Any] = [state[name] for name in contents.state]
        self._fresh = {n: np.array(self._state[n]) for n in contents.metrics}
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
            An array, or a tuple of arrays if there are several outputs: NumPy's on a
            processor where jax is not loaded, otherwise those of the target.

        Raises:
            GraphError: If the inputs do not fit, or have sizes that the artifact is not
                compiled for; says for which it is.
        """
        given = self._given(arrays, named)
        shapes = tuple([array.shape for array in given])
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
        outputs = [
            result.view() if result.__class__ is HostArray else result
            for result in results[:count]
        ]
        return outputs[0] if count == 1 else tuple(outputs)

    def reset_metrics(self) -> None:
        """Starts the metrics of a training or evaluation step afresh, as an epoch does."""
        for place, array in self._fresh.items():
            self._state[place] = array.copy()  # whose memory runs may take
        self._placed = False

    def prepare(self) -> None:
        """Makes the programs of all sizes ready to run."""
        for sizes in self.contents.contract.programs():
            self._executable(sizes)

    def save_state(
        self,
        filepath: str | os.PathLike[str],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Writes the state to a safetensors file with its digest, for `load_state`.

        Args:
            filepath: The file's name.
            metadata: Texts to keep with it, by name.

        Raises:
            OSError: If the file cannot be written; an existing one stays as it was.
        """
        texts = {**(metadata or {}), TENSOR_FORMAT: STATE, **UNSEALED}
        write_file(os.fsdecode(filepath), sealed(dump_tensors(self.state, texts)))

    def load_state(self, filepath: str | os.PathLike[str]) -> dict[str, str]:
        """Takes the state from a safetensors file.

        Returns:
            The texts that were kept with it.

        Raises:
            LoadError: If it is damaged, or has other tensors than the program.
        """
        path = os.fsdecode(filepath)
        found, metadata = _read_weights(path, None)
        try:
            names = _matching(self.contents, self.graph, found)
        except LoadError as error:
            error.message = f"{path!a}: {error.message}"
            raise
        self._state = [found[name] for name in names]
        self._placed = False
        return metadata

    def _given(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """One array per input, in order."""
        names = self.contents.inputs
        if named or len(arrays) != len(names):
            arrays = self._in_order(arrays, named)
        return [
            array
            if array.__class__ is np.ndarray and array.dtype == dtype
            else _array(array, name, dtype)
            for name, array, dtype in zip(names, arrays, self._dtypes, strict=True)
        ]

    def _in_order(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """What is given for each input, in their order."""
        names = self.contents.inputs
        if len(arrays) > len(names):
            raise GraphError(
                f"too many inputs: {len(arrays)}",
                hint=f"the inputs are {', '.join(names)}",
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
        return [given[name] for name in names]

    def _serving(self, shapes: tuple[tuple[int, ...], ...]) -> Fitted:
        every = [*shapes, *(np.shape(array) for array in self._state)]
        sizes = match_shapes(self.graph, every, self.contents.inputs)
        room = self.contents.contract.program_sizes(sizes)
        return Fitted(
            self._executable(room),
            self.graph,
            len(self.contents.inputs),
            len(self.contents.outputs),
            sizes,
            room,
            self.contents.contract.padded,
        )

    def _executable(self, sizes: Mapping[str, int]) -> CallableProgram[Any]:
        key = tuple(sorted(sizes.items()))
        if key not in self._executables:
            self._executables[key] = self._made(key)
        return self._executables[key]

    def _made(self, key: Key) -> CallableProgram[Any]:
        if self._runner is JAXLIB:
            try:
                return self._made_without_jax(key)
            except UnsupportedError:
                self._load_jax()
        for packed in self._packed.get(key, ()):
            if program := self._unpacked(packed, key):
                self.used[key] = "file"
                return program
        self.used[key] = "compiled"
        return self._compiler().compile(dict(key), self.target, self._donated())

    def _made_without_jax(self, key: Key) -> CallableProgram[Any]:
        """A program from the file or the cache, or else compiled and kept.

        Raises:
            UnsupportedError: If jax is needed after all.
        """
        for packed in self._packed.get(key, ()):
            if program := self._unpacked(packed, key):
                self.used[key] = "file"
                return program
            raise UnsupportedError("jax may find more in what the file holds")
        if self._kept.watched:
            raise UnsupportedError("whoever looks at a compile sees all of it with jax")
        sizes = dict(key)
        packed = self._kept.read(sizes)
        if packed is not None and (program := self._unpacked(packed, key)):
            self.used[key] = "cache"
            return program
        made = self._compiler().compile(sizes, JAXLIB.name, self._donated())
        packed = made.program.pack()
        if packed is not None:
            self._kept.write(sizes, packed)
        self.used[key] = "compiled"
        return made

    def _unpacked(self, packed: Packed, key: Key) -> CallableProgram[Any] | None:
        """A program that was compiled before, or None if it cannot run here."""
        bound = self.contents.contract.interface(self.graph, dict(key))
        backend = load_backend(self._runner.backend)
        device, donate = self._runner.device, self._donated()
        program = prepared.unpack(backend, packed, bound, device, donate)
        return None if program is None else CallableProgram(bound, program)

    def _load_jax(self) -> None:
        """Goes on with jax, which has what jaxlib alone has not."""
        self._runner = find_target(self.target)
        self._executables.clear()
        self._by_shapes.clear()
        self._state = [np.asarray(array) for array in self._state]
        self._placed = False

    def _donated(self) -> tuple[int, ...]:
        return donated(len(self.contents.inputs), self.contents.written)

    def _compiler(self) -> Programs:
        if self._programs is None:
            self._programs = compiler.programs(self.graph, self.contents, self._trusted)
        return self._programs

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
    with opened(os.fsdecode(filepath)) as file:
        container = Container(file, FORMAT)
        contents, graph = described(container)
        state = read_state(container, contents, graph, weights)
        for name in sorted(contents.parts):
            container.check(name)
        chosen = _target(contents, target, trust == CODE)
        packed = {}
        if trust == CODE:
            packed = _read_programs(container, contents, chosen)
        kept = KeptPrograms(container.digest(GRAPH), contents)
    return Artifact(contents, graph, state, chosen, packed, kept, trust == CODE)


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
        return *described(container), container.sizes


def described(container: Container) -> tuple[Contents, Graph]:
    """What a container says that it holds, and its graph, which fit together."""
    contents = Contents.from_json(container.description)
    own = {GRAPH} if contents.weights else {GRAPH, WEIGHTS}
    container.require(own | contents.parts, {LOCK})
    if LOCK in container.names:
        text = container.read(LOCK, MAX_BYTES).decode("ascii", "replace")
        lock = Locked(tuple(parse_lock(text, LOCK).values()))
        contents = replace(contents, lock=lock)
    return contents, _read_graph(container, contents)


def read_state(
    container: Container,
    contents: Contents,
    graph: Graph,
    weights: str | os.PathLike[str] | None,
) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an artifact's state, from its own member or a file of weights.

    Raises:
        LoadError: If they are damaged, not those of the artifact, or nowhere.
    """
    if contents.weights is None:
        header = container.tensor_header(WEIGHTS)
        _matching(contents, graph, header.types)
        return container.tensors(WEIGHTS, header)
    if weights is None:
        raise LoadError(
            "the artifact does not hold its weights",
            hint="give their file: load(path, weights='model.safetensors'), or"
            " --weights FILE",
        )
    state, _ = _read_weights(os.fsdecode(weights), contents.weights)
    _matching(contents, graph, state)
    return state


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
        contents.contract.check(graph, contents.inputs)
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
        lacking = sorted(set(contents.state) - found.keys())
        unknown = sorted(found.keys() - set(contents.state))
        raise LoadError(
            "the weights are not those of the artifact: "
            + "; ".join(
                f"{word} {ascii(', '.join(names[:5]))[:200]}"
                for word, names in (("lacking", lacking), ("unknown", unknown))
                if names
            ),
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
) -> dict[Key, list[Packed]]:
    """What a target's backend compiled, by sizes, for all its devices."""
    found: dict[Key, list[Packed]] = {}
    for program in contents.programs:
        if backend_name(program.target) == target.backend:
            key = tuple(sorted(program.sizes.items()))
            found.setdefault(key, []).append(read_program(container, program))
    return found


def read_program(container: Container, program: PackedProgram) -> Packed:
    """What an artifact holds of a compiled program."""
    files = {
        name: container.read(member, MAX_PART)
        for name, member in program.members.items()
    }
    return Packed(program.facts, files)


def _array(given: Any, name: str, wanted: Any) -> Any:
    """What is given for an input, as an array of its dtype."""
    if getattr(given, "dtype", None) == wanted:
        return given
    # NumPy's own dtypes, which nobody chose.
    dtype = getattr(given, "dtype", None)
    if not hasattr(given, "shape") or dtype == np.float64 or _fits(given, wanted):
        try:
            return np.asarray(given).astype(wanted)
        except (TypeError, ValueError) as error:
            raise GraphError(
                f"input {name!r} is no array of dtype {np.dtype(wanted)}",
                received=repr(given)[:80],
            ) from error
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
