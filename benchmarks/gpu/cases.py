"""What a row measures: cases that are checked against float64 before they are timed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import numpy as np

import graphc
from benchmarks.gpu import frameworks
from benchmarks.gpu.frameworks import (
    COMPILED,
    EAGER,
    JAX,
    OURS,
    TUNED,
    Options,
    captured,
    compiled_by_torch,
    jax_gradients,
    numpy_dtype,
    our_gradients,
    random_array,
    relative_error,
    to_ours,
    to_torch,
    torch_gradients,
)
from benchmarks.gpu.measure import Contestant, compared, interleaved

ROTATED = 120 << 20
"""Bytes of inputs to rotate over: twice the L2 cache."""

MOST_SETS = 8
"""For more sets of addresses graphc does not keep CUDA graphs."""

ERRORS = {"bfloat16": 2e-2, "float16": 4e-3, "float32": 1e-3, "float64": 1e-6}
"""How far the norm of a result may be off, by the narrowest dtype of the inputs."""

Result = dict[str, Any]
Forward = Callable[..., tuple[Any, ...]]


class Case(Protocol):
    """Something that all contestants do with the same data."""

    @property
    def name(self) -> str:
        """What it is called in the table."""
        ...

    def run(self, options: Options) -> Result:
        """Checks the contestants, times them, and says what came out."""
        ...


class WrongError(Exception):
    """A contestant's results are not those of the reference."""


@dataclass(frozen=True)
class Input:
    """An array to draw.

    Attributes:
        shape: Its shape.
        dtype: Its dtype.
        below: The bound of integers.
        scale: The standard deviation of floats.
    """

    shape: tuple[int, ...]
    dtype: str = "bfloat16"
    below: int = 0
    scale: float = 1.0

    def array(self, rng: np.random.Generator) -> np.ndarray[Any, Any]:
        """An array of random numbers."""
        return random_array(rng, self.shape, self.dtype, self.below, self.scale)

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return int(np.prod(self.shape)) * numpy_dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Kernels:
    """A function of arrays and, if wanted, its gradients.

    Attributes:
        name: What it is called.
        inputs: Its arguments.
        ours: The function in graphc; all return tuples.
        torch: The same in torch.
        jax: The same in jax.
        wrt: The arguments to differentiate with respect to.
        cotangents: For each result what its gradient is multiplied by.
        flops: Floating-point operations, of which the rate is to be reported.
        bytes: Bytes that must be moved, likewise.
        others: More baselines in torch.
        workspace: Bytes that memory besides inputs and results is compared with.
    """

    name: str
    inputs: tuple[Input, ...]
    ours: Forward
    torch: Forward
    jax: Forward
    wrt: tuple[int, ...] = ()
    cotangents: tuple[Input, ...] = ()
    flops: int = 0
    bytes: int = 0
    others: Mapping[str, Forward] = field(default_factory=dict[str, Forward])
    workspace: int = 0

    def run(self, options: Options) -> Result:
        """Checks the contestants against float64, then times them."""
        sets = self._sets()
        made = self._ours(sets, options)
        executable, passes = made
        contestants = [
            Contestant(
                OURS, passes, lambda: frameworks.wait_for_ours(options), len(sets)
            )
        ]
        exact = self._exact(sets[0])
        errors = {OURS: self._error(executable.first, exact)}
        for name, forward in self._in_torch(options).items():
            contestant, found = _torch_contestant(name, forward, self, sets)
            contestants.append(contestant)
            errors[name] = self._error(found, exact)
            del found
        if options.wants(JAX):
            contestant, found = _jax_contestant(self, sets)
            contestants.append(contestant)
            errors[JAX] = self._error(found, exact)
            del found
        del exact
        executable.first = ()
        free_memory()
        self._check(errors)
        result = timed(contestants, options)
        for name, error in errors.items():
            result["contestants"][name]["error"] = error
        return result | rates(result, self) | self._workspace(executable)

    # -- contestants -----------------------------------------------------------------------

    def _sets(self) -> list[list[np.ndarray[Any, Any]]]:
        """Arguments, in as many sets as do not fit into the cache."""
        every = (*self.inputs, *self.cotangents)
        nbytes = sum(each.nbytes for each in every)
        count = min(MOST_SETS, -(-ROTATED // max(nbytes, 1)))
        return [
            [
                each.array(np.random.default_rng([seed, n]))
                for n, each in enumerate(every)
            ]
            for seed in range(count)
        ]

    def _ours(self, sets: Sequence[Any], options: Options) -> Any:
        specs = [
            graphc.TensorSpec(each.shape, each.dtype)
            for each in (*self.inputs, *self.cotangents)
        ]
        function = our_gradients(self.ours, len(self.inputs), self.wrt)
        (compiled,) = graphc.compile(
            function, *specs, target=options.target
        ).executables
        placed = [[to_ours(array, options) for array in each] for each in sets]
        made = Ours(compiled, compiled(*placed[0]))

        def passes() -> None:
            for arguments in placed:
                compiled(*arguments)

        return made, passes

    def _in_torch(self, options: Options) -> dict[str, Forward]:
        names = [name for name in (EAGER, COMPILED, TUNED) if options.wants(name)]
        found: dict[str, Forward] = dict.fromkeys(names, self.torch)
        if options.on_gpu and options.wants(EAGER):
            found |= self.others
        return found

    def _exact(self, arguments: Sequence[Any]) -> list[Any]:
        """The results of the reference in float64."""
        if frameworks.torch is None:
            with jax.enable_x64(True):
                wide = [jax.numpy.asarray(widened(array)) for array in arguments]
                function = jax_gradients(self.jax, len(self.inputs), self.wrt)
                return [np.asarray(each) for each in function(*wide)]
        tensors = _tensors([_wide(to_torch(a)) for a in arguments], self.wrt)
        function = torch_gradients(self.torch, len(self.inputs), self.wrt)
        found = [each.detach() for each in function(*tensors)]
        del tensors
        free_memory()
        return found

    # -- what came out ---------------------------------------------------------------------

    def _error(self, found: Sequence[Any], exact: Sequence[Any]) -> float:
        pairs = zip(found, exact, strict=True)
        return max(relative_error(got, want) for got, want in pairs)

    def _check(self, errors: Mapping[str, float]) -> None:
        narrow = [each.dtype for each in self.inputs if not each.below]
        allowed = max(ERRORS[dtype] for dtype in narrow)
        for name, error in errors.items():
            if error > allowed:
                raise WrongError(
                    f"{name}: relative error {error:.3g}, allowed are {allowed:.3g}"
                )

    def _workspace(self, executable: Any) -> Result:
        memory = executable.compiled.memory()
        if not self.workspace or memory is None:
            return {}
        return {"workspace": memory.temporaries / self.workspace}


@dataclass
class Ours:
    """What graphc made, and its first results."""

    compiled: Any
    first: Sequence[Any]


def _tensors(arrays: Sequence[Any], wrt: Sequence[int]) -> list[Any]:
    return [
        array.requires_grad_() if index in wrt else array
        for index, array in enumerate(arrays)
    ]


def _wide(tensor: Any) -> Any:
    return tensor.double() if tensor.is_floating_point() else tensor


def widened(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Floats in float64."""
    return array if np.issubdtype(array.dtype, np.integer) else array.astype(np.float64)


def _torch_contestant(
    name: str, forward: Forward, case: Kernels, sets: Sequence[Any]
) -> tuple[Contestant, Sequence[Any]]:
    mode = name if name in (COMPILED, TUNED) else EAGER
    made = compiled_by_torch(forward, mode, whole=False)
    function = torch_gradients(made, len(case.inputs), case.wrt)
    tensors = [_tensors([to_torch(a) for a in each], case.wrt) for each in sets]
    found = [each.detach().clone() for each in function(*tensors[0])]
    run, note = captured(function, tensors)
    waits = frameworks.wait_for_torch
    return Contestant(name, run, waits, len(sets), note), found


def _jax_contestant(
    case: Kernels, sets: Sequence[Any]
) -> tuple[Contestant, Sequence[Any]]:
    function = jax.jit(jax_gradients(case.jax, len(case.inputs), case.wrt))
    placed = [[jax.numpy.asarray(array) for array in each] for each in sets]
    found = function(*placed[0])
    last: list[Any] = [found]

    def run() -> None:
        for arguments in placed:
            last[0] = function(*arguments)

    return Contestant(
        JAX, run, lambda: jax.block_until_ready(last[0]), len(sets)
    ), found


# -- steps ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Runner:
    """A contestant that goes on from step to step.

    Attributes:
        step: Runs a step and returns what to compare: a loss, or outputs.
        wait: Returns when all steps have ended.
        calls: How many steps a call is.
        memory: The most bytes of memory that it has taken, or None.
        running: Whether a loss is the mean of all steps so far.
    """

    step: Callable[[], Any]
    wait: Callable[[], object]
    calls: int = 1
    memory: Callable[[], int | None] = lambda: None
    running: bool = False


@dataclass(frozen=True)
class Steps:
    """Training steps or inference, whole models.

    Attributes:
        name: What it is called.
        runners: Makes each contestant by name; graphc's first.
        trains: Whether results are losses, to be compared after many steps, or outputs,
            to be compared after one.
        allowed: How far results may be from those of float32.
        flops: Floating-point operations of a step.
        bytes: Bytes that a step must move.
        exact: The outputs in float64, of inference.
    """

    name: str
    runners: Mapping[str, Callable[[Options], Runner]]
    trains: bool
    allowed: float
    flops: int = 0
    bytes: int = 0
    exact: Callable[[], Any] | None = None

    def run(self, options: Options) -> Result:
        """Compares what contestants compute, then times them."""
        wanted = {
            name: make
            for name, make in self.runners.items()
            if name.startswith(OURS) or options.wants(name)
        }
        made: dict[str, Runner] = {}
        values: dict[str, Any] = {}
        memory: dict[str, int | None] = {}
        for name, make in wanted.items():
            made[name] = make(options)
            values[name] = self._value(made[name], options)
            memory[name] = made[name].memory()
        self._check(values)
        contestants = [
            Contestant(name, each.step, each.wait, each.calls)
            for name, each in made.items()
        ]
        result = timed(contestants, options)
        for name in made:
            found = result["contestants"][name]
            found["memory"] = memory[name]
            if self.trains:
                found["loss"] = values[name]
        return result | rates(result, self)

    def _value(self, runner: Runner, options: Options) -> Any:
        """The mean loss of the first steps, or the outputs."""
        if not self.trains:
            return runner.step()
        count = -(-options.steps // runner.calls)
        losses = [runner.step() for _ in range(count)]
        runner.wait()
        counted = losses[-1:] if runner.running else losses
        return float(np.mean([host(loss) for loss in counted]))

    def _check(self, values: Mapping[str, Any]) -> None:
        if self.trains:
            wanted: Any = np.float64(values[OURS])
        else:
            wanted = self.exact() if self.exact else values[OURS]
        for name, value in values.items():
            error = relative_error(np.asarray(value) if self.trains else value, wanted)
            if not error <= self.allowed:
                raise WrongError(
                    f"{name}: relative error {error:.3g}, allowed are {self.allowed:.3g}"
                )


def host(value: Any) -> np.ndarray[Any, Any]:
    """A result as NumPy's array."""
    if frameworks.torch is not None and isinstance(value, frameworks.torch.Tensor):
        return value.detach().float().cpu().numpy()
    return np.asarray(value, np.float32)


def timed(contestants: Sequence[Contestant], options: Options) -> Result:
    """The times of all contestants, if they are to be measured."""
    found: Result = {each.name: {} for each in contestants}
    if options.rounds:
        found = compared(interleaved(contestants, options.rounds), OURS)
    result: Result = {"contestants": found, "rounds": options.rounds}
    for each in contestants:
        if each.note:
            result["contestants"][each.name]["note"] = each.note
    return result


class Work(Protocol):
    """What is known of the work that a case does."""

    @property
    def flops(self) -> int:
        """Floating-point operations, or 0."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes that must be moved, or 0."""
        ...


def rates(result: Result, work: Work) -> Result:
    """How much of a case's work graphc does per second."""
    if not result["rounds"]:
        return {}
    seconds = result["contestants"][OURS]["seconds"]["median"]
    found = {"flops_per_second": work.flops, "bytes_per_second": work.bytes}
    return {name: amount / seconds for name, amount in found.items() if amount}


def free_memory() -> None:
    """Gives memory back that nobody holds any more."""
    gc.collect()
    if frameworks.torch is not None:
        frameworks.torch.cuda.empty_cache()
