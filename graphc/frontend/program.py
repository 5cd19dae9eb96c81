"""Programs: a traced function with the state it reads and writes, ready to run."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np

from graphc.frontend import trees
from graphc.frontend.dtypes import floatx
from graphc.frontend.execution import (
    CompileOptions,
    compile_step,
    evaluate_small,
    find_target,
    is_small,
)
from graphc.frontend.interrupts import DeferredInterrupts
from graphc.frontend.tensor import Array, Tensor
from graphc.frontend.tracing import Trace, value
from graphc.frontend.variables import State, Variable
from graphc.ir import Graph, TensorType, dtype
from graphc.ir.collection import collection_paused
from graphc.ir.evaluate import bind_shapes

logger = logging.getLogger("graphc")

HINT_AFTER = 5
"""How many shapes a program compiles for before a hint says how to avoid it."""

LARGEST_SIZE = 2**31 - 1
"""The largest size of a symbolic dimension whose range nobody declared."""


_EXECUTABLES: dict[Any, dict[Any, Any]] = {}
"""What eager programs were compiled to, by target and text, the oldest first."""

MAX_SHARED = 256


_F64 = np.dtype(np.float64)

_DLPACK_CUDA = 2
"""What DLPack calls the memory of an NVIDIA GPU."""


@dataclass(eq=False)
class Program:
    """A traced function.

    Attributes:
        name: What the function does, such as ``train_step``.
        graph: Inputs, then state, to outputs, then the new values of written state.
        inputs: How many parameters are inputs.
        state: The variables that the remaining parameters stand for.
        written: The variables that the last results are assigned to.
        structure: The tree structure of the outputs.
        options: What its compiles are asked for.
        compiles: One record per compile, in order.
        siblings: Programs of the same function for other types, traced before.
    """

    name: str
    graph: Graph
    inputs: int
    state: tuple[Variable, ...]
    written: tuple[Variable, ...]
    structure: Any
    options: CompileOptions = field(default_factory=CompileOptions)
    compiles: list[Compile] = field(default_factory=list)
    siblings: list[Program] = field(default_factory=list)
    on_status: Callable[[str], None] | None = None
    _executables: dict[Any, Any] = field(default_factory=dict)
    _joined: State | None = None
    _take: Callable[[list[Any]], tuple[Any, ...]] = lambda arrays: ()
    _put: tuple[int, ...] = ()
    _kept: tuple[int, ...] = ()
    _last: tuple[Any, Any] = (None, None)

    def __call__(self, inputs: Sequence[Any]) -> Any:
        """Runs the function once and returns its outputs, unwrapped arrays as leaves.

        Args:
            inputs: One array per input, of the parameter's dtype.
        """
        outputs = self.run(inputs)
        return trees.unflatten(self.structure, outputs)

    def run(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Runs the function once and returns the flat outputs."""
        if not self.graph.results:  # it neither returns nor assigns anything
            return []
        key = [a.shape for a in inputs]
        known, executable = self._last
        if known != key:
            executable = self._executable(key)
            self._last = (key, executable)
        state = self._joined
        if state is None or state.joined:
            state = self._join()
        arrays = state.arrays
        for index in self._kept:
            if type(arrays[index]) is np.ndarray:
                self._settle(arrays, executable)
                break
        if not self._put:
            return executable(*inputs, *self._take(arrays))
        with DeferredInterrupts():
            arrays = state.arrays
            results = executable(*inputs, *self._take(arrays))
            count = len(results) - len(self._put)
            updated = arrays.copy()
            for index, array in zip(self._put, results[count:], strict=True):
                updated[index] = array
            state.arrays = updated
        return results[:count]

    def _join(self) -> State:
        """Brings the variables into one state and notes where each one stands."""
        state = State.of((*self.state, *self.written))
        state.initialize()
        self._joined = state
        where = [v.index for v in self.state]
        if len(where) == 1:
            only = where[0]
            self._take = lambda arrays: (arrays[only],)
        elif where:
            self._take = itemgetter(*where)
        self._put = tuple(v.index for v in self.written)
        written = set(self.written)
        self._kept = tuple(v.index for v in self.state if v not in written)
        return state

    def _settle(self, arrays: list[Any], executable: Any) -> None:
        """Puts arrays that no run replaces where it reads them, once for all runs.

        The list is changed in place: a step of another thread that has replaced it
        meanwhile must not be undone.
        """
        for index in self._kept:
            if type(arrays[index]) is np.ndarray:
                arrays[index] = executable.program.place(arrays[index])

    def _executable(self, shapes: Sequence[tuple[int, ...]]) -> Any:
        every = [*shapes, *(v.shape for v in self.state)]
        return self.compile_for(bind_shapes(self.graph, every))

    @cached_property
    def is_small(self) -> bool:
        """Whether evaluating the graph costs less than compiling it."""
        return is_small(self.graph)

    def share_executables(self) -> None:
        """Takes what was compiled for an equal program, which was traced before."""
        if not self._executables:
            text = str(self.graph)
            key = (self.options, hashlib.sha256(text.encode()).digest())
            if len(_EXECUTABLES) >= MAX_SHARED and key not in _EXECUTABLES:
                del _EXECUTABLES[next(iter(_EXECUTABLES))]
            self._executables = _EXECUTABLES.setdefault(key, self._executables)

    @property
    def executables(self) -> list[Any]:
        """What has been compiled so far, in order."""
        return list(self._executables.values())

    def check_target(self) -> None:
        """Raises the error of an unknown or unavailable target, before any work."""
        find_target(self.options.target)

    def compile_for(self, bindings: dict[str, int]) -> Any:
        """The executable for these sizes of the dimension symbols."""
        key = tuple(sorted(bindings.items()))
        if key not in self._executables:
            self._executables[key] = self._compile(bindings)
        return self._executables[key]

    def _compile(self, bindings: dict[str, int]) -> Any:
        start = time.perf_counter()
        size = ", ".join(f"{s}={n}" for s, n in bindings.items())
        count = len(self.compiles) + sum(len(p.compiles) for p in self.siblings)
        if not self.compiles and count:
            types = [str(p.type) for p in self.graph.parameters[: self.inputs]]
            size = ", ".join([*types, *([size] if size else [])])
        cause = f"new shape {size}" if count else "first call"
        if self.on_status is not None:
            self.on_status(f"compiling {self.name}{f' for {size}' if size else ''}")
        written = set(self.written)
        donated = [self.inputs + i for i, v in enumerate(self.state) if v in written]
        executable = compile_step(self.graph, self.options, donated, bindings)
        seconds = time.perf_counter() - start
        self.compiles.append(Compile(self.name, dict(bindings), cause, seconds))
        logger.info(
            "compiled %s%s in %.2f s: %s",
            self.name,
            f" for {size}" if size else "",
            seconds,
            cause,
        )
        if count + 1 == HINT_AFTER:
            logger.warning(
                "%s has been compiled for %d shapes. Every new shape costs a compile:"
                " give batches of one size (drop or pad the last one), or round sizes"
                " up to a few buckets.",
                self.name,
                HINT_AFTER,
            )
        if self.on_status is not None:
            self.on_status("")
        return executable


@dataclass(frozen=True, slots=True)
class Compile:
    """One compile of a program: for which sizes, why, and how long it took."""

    name: str
    bindings: dict[str, int]
    cause: str
    seconds: float


def trace_program(
    name: str,
    function: Callable[..., Any],
    arguments: Any,
    types: Sequence[TensorType],
    names: Sequence[str | None] = (),
    ranges: dict[str, tuple[int, int]] | None = None,
) -> Program:
    """Traces ``function(*arguments)`` into a program.

    Args:
        name: The graph's name.
        function: Takes and returns nested structures of tensors.
        arguments: A tuple of nested structures; leaves that stand for inputs are
            `Slot`s, everything else is passed as it is.
        types: The type of each slot's input.
        names: A name for each input, if wanted.
        ranges: The declared range of each symbol of `types`.
    """
    trace = Trace(Graph(name))
    with collection_paused(), trace():
        labels = [*names, *[None] * (len(types) - len(names))]
        inputs = [trace.parameter(t, n) for t, n in zip(types, labels, strict=True)]
        filled = trees.map_leaves(
            lambda leaf: inputs[leaf.index] if isinstance(leaf, Slot) else leaf,
            arguments,
        )
        outputs = function(*filled)
        leaves, structure = trees.flatten(outputs)
        results = [value(leaf) for leaf in leaves]
        # In the order of the parameters: an array is reused for the first result of its
        # type, which costs a copy unless that is the same variable's next value.
        written = [v for v in trace.state if v in trace.written]
        written += [v for v in trace.written if v not in trace.state]
        results += [trace.read(v).value for v in written]
    trace.graph.results = results
    for graph in trace.module.graphs.values():
        graph.ranges = {
            symbol: (ranges or {}).get(symbol, (0, LARGEST_SIZE))
            for symbol in sorted(graph.mentioned_symbols)
        }
    return Program(
        name,
        trace.graph,
        len(types),
        tuple(trace.state),
        tuple(written),
        structure,
    )


@dataclass(frozen=True, slots=True)
class Slot:
    """Where input number `index` goes in the arguments of a traced function."""

    index: int


def is_array(x: Any) -> bool:
    """Whether `x` is a concrete array: NumPy's, ours, or of another framework."""
    if isinstance(x, (np.ndarray, Array)):
        return True
    return not isinstance(x, Tensor) and hasattr(x, "__array__") and hasattr(x, "shape")


def array_type(x: Any) -> TensorType:
    """The type of a concrete array."""
    return TensorType(tuple(x.shape), dtype(_array_dtype(x)))


def _array_dtype(x: Any) -> Any:
    found = x.data.dtype if isinstance(x, Array) else x.dtype
    # Torch has dtypes of its own, called as NumPy's.
    return str(found).removeprefix("torch.") if _is_on_gpu(x) else np.dtype(found)


def raw(x: Any) -> Any:
    """The array to hand to an executable; those of the runtime's own kind stay."""
    if isinstance(x, Array):
        return x.data
    if isinstance(x, np.ndarray) or type(x).__module__.startswith("jax"):
        return x
    return x if _is_on_gpu(x) else np.asarray(x)


def _is_on_gpu(x: Any) -> bool:
    if isinstance(x, Array):
        x = x.data
    where = getattr(x, "__dlpack_device__", None)
    return where is not None and where()[0] == _DLPACK_CUDA


def as_input(x: Any) -> Any:
    """`raw`, with NumPy's default float64, which nobody chose, as ``config.floatx()``."""
    array = raw(x)
    if array.dtype == _F64 and isinstance(x, (np.ndarray, np.generic)):
        return array.astype(dtype(floatx()).numpy)
    return array


def wrap(structure: Any, outputs: Sequence[Any]) -> Any:
    """The outputs of a program with `Array`s as leaves."""
    return trees.unflatten(structure, [Array(o) for o in outputs])


def run_program(program: Program, arrays: Sequence[Any]) -> Sequence[Any]:
    """The outputs of an eager program.

    Small programs run on the evaluator, which costs less than compiling them; which
    one runs depends on sizes alone, so equal calls give equal bits.
    """
    if not program.is_small:
        program.share_executables()
        return program.run(arrays)
    state = [v.array() for v in program.state]
    results = evaluate_small(program.graph, [*arrays, *state])
    count = len(results) - len(program.written)
    for variable, array in zip(program.written, results[count:], strict=True):
        variable.assign(array)
    return results[:count]
