"""Compiling a function or a graph ahead of its first call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.frontend import trees
from graphc.frontend.execution import CompileOptions
from graphc.frontend.program import Program, array_type, is_array, raw, wrap
from graphc.frontend.transforms import lock_of, program_of
from graphc.ir import Graph
from graphc.ir.errors import GraphError
from graphc.ir.evaluate import is_default


class Executable:
    """A compiled function or graph. Call it with one array per input.

    A graph with dimension symbols is compiled once for each size it is called with,
    any other graph at once.

    Attributes:
        program: The graph, what state it reads and writes, and its compiles so far.
    """

    def __init__(self, program: Program) -> None:
        self.program = program

    @property
    def graph(self) -> Graph:
        """The graph as traced, before passes."""
        return self.program.graph

    def __call__(self, *arrays: Any) -> Any:
        """The outputs for `arrays`, as `Array`s in the function's structure.

        Args:
            *arrays: One array (or nested structure of arrays) per argument.

        Raises:
            GraphError: If the number, a dtype or a shape does not fit.
        """
        wanted = [p.type for p in self.graph.parameters[: self.program.inputs]]
        given = _leaves(arrays)
        if len(given) != len(wanted):
            raise GraphError(
                f"graph @{self.graph.name} takes {len(wanted)} arrays",
                received=str(len(given)),
            )
        inputs: list[Any] = []
        for position, (type, leaf) in enumerate(zip(wanted, given, strict=True)):
            if leaf.__class__ is np.ndarray and leaf.dtype == type.dtype.numpy:
                inputs.append(leaf)
                continue
            array = leaf if is_array(leaf) else np.asarray(leaf)
            found = array_type(array)
            if found.dtype is not type.dtype:
                if is_array(leaf) and not is_default(array, type.dtype):
                    raise GraphError(
                        f"graph @{self.graph.name}: input {position} is {type}",
                        received=f"an array of type {found}",
                        hint=f"convert it, for example with x.astype('{type.dtype.long_name}')",
                    )
                array = array.astype(type.dtype.numpy)
            inputs.append(raw(array))
        return wrap(self.program.structure, self.program.run(inputs))

    @property
    def executables(self) -> list[Any]:
        """What the runtime made, one per compile."""
        return self.program.executables

    @property
    def text(self) -> str:
        """The text that the target compiled last: StableHLO for XLA.

        Raises:
            GraphError: If nothing has been compiled yet.
        """
        return self._latest().text

    @property
    def compile_seconds(self) -> dict[str, float]:
        """How long each stage of the last compile took."""
        return self._latest().compile_seconds

    def memory(self) -> Any:
        """The memory of one run, or None where the target does not know."""
        return self._latest().memory()

    def memory_plan(self) -> Any:
        """What memory a run is predicted to need, and what for; print it for a bill."""
        return self._latest().memory_plan()

    def cost(self) -> Any:
        """The target's estimates of one run, or None where it has none."""
        return self._latest().cost()

    def kernels(self) -> Any:
        """What each kernel costs; print it for a table.

        None where graphc does not make the kernels, as for XLA.
        """
        return self._latest().kernels()

    def _latest(self) -> Any:
        if not self.executables:
            raise GraphError(
                f"graph @{self.graph.name} has not been compiled yet: it has dimension"
                " symbols, which the first call binds",
                hint="call it, or compile graph.bind(...)",
            )
        return self.executables[-1]

    def __repr__(self) -> str:
        return f"<Executable @{self.graph.name} for {self.program.options.target}>"


def compile(
    function_or_graph: Callable[..., Any] | Graph,
    *specs: Any,
    target: str = "xla",
    passes: str | None = None,
    precision: str = "float32",
    check: str | None = None,
    memory_budget: int | str | None = None,
    lock: str | os.PathLike[str] | None = None,
    locked: bool = False,
) -> Executable:
    """Compiles a function of tensors, or a graph, for a target.

    Args:
        function_or_graph: A function to trace, or a graph.
        *specs: For a function, one `TensorSpec` (or example array) per argument.
        target: The name of a target; `graphc.targets()` lists them.
        passes: The pipeline to run instead of the target's own.
        precision: How float32 is computed: ``"float32"``, ``"mixed_bfloat16"``,
            ``"mixed_float16"``, ``"bfloat16"`` or ``"float16"``. Inputs and outputs
            keep their dtypes.
        check: ``"numerics"`` compares each pass and the executable with the evaluator
            on samples of the inputs; ``"nan"`` makes a call whose results are not
            finite raise, and name the node that made that.
        memory_budget: The bytes that a run may need by prediction, as a number or as
            text such as ``"20GiB"``: values are computed again instead of kept, and
            batches cut into parts, until it fits. `Executable.memory_plan` says how.
        lock: A lock file of ``graphc tune``, which chooses the schedules of Triton
            kernels, and pipelines for other targets; by default the one that
            ``GRAPHC_LOCK`` names. What it has no line about is compiled as usual;
            `Executable.kernels` says which kernels those are.
        locked: Whether it is an error that `lock` has no line about something.

    Returns:
        A callable that takes arrays and returns `Array`s.

    Raises:
        TargetError: For an unknown or unavailable target, or one whose code this
            release does not generate.
        GraphError: If the function cannot be traced, or a graph does not verify.
        CompileError: If the target's compiler refuses the graph.
        PassError: For an unknown precision, or if nothing fits into the budget.
        LoadError: If the lock file cannot be read, or is damaged.
        ValueError: If `locked` is given without `lock`.

    Example:
        >>> import graphc
        >>> double = graphc.compile(lambda x: x * 2.0, graphc.TensorSpec((2,)))
        >>> double([1.0, 2.0]).numpy()
        array([2., 4.], dtype=float32)
    """
    if isinstance(function_or_graph, Graph):
        if specs:
            raise TypeError("A graph has its types; specs are for functions.")
        function_or_graph.verify()
        program = program_of_graph(function_or_graph)
    else:
        program = program_of(function_or_graph, specs)
    program.options = CompileOptions(
        target, passes, precision, memory_budget, check, lock_of(lock, locked)
    )
    program.check_target()
    if not program.graph.symbols:
        program.compile_for({})
    return Executable(program)


def program_of_graph(graph: Graph) -> Program:
    """A program that runs a graph: all parameters are inputs, results a tuple."""
    count = len(graph.results)
    structure = trees.structure((0,) * count if count != 1 else 0)
    return Program(graph.name, graph, len(graph.parameters), (), (), structure)


def _leaves(arguments: tuple[Any, ...]) -> list[Any]:
    """The arrays among the arguments; a list of numbers is one array."""
    leaves: list[Any] = []
    for argument in arguments:
        if argument.__class__ is np.ndarray:
            leaves.append(argument)
            continue
        nested = trees.leaves(argument)
        numbers = nested and all(isinstance(x, (bool, int, float)) for x in nested)
        leaves += [np.asarray(argument)] if numbers else nested
    return leaves
