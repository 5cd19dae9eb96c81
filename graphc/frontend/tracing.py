"""Tracing: running Python once with traced tensors to build a graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.frontend.dtypes import result_type
from graphc.frontend.tensor import KEEP, Array, Tensor, TracedTensor
from graphc.ir import Graph, Literal, Operand, TensorType, Value
from graphc.ir import dtype as ir_dtype
from graphc.ir import ops as ir_ops
from graphc.ir.build import GraphBuilder, entered
from graphc.ir.dims import Dim, FloorDiv, SymbolicDim
from graphc.ir.errors import GraphError, UnknownDimError
from graphc.ir.graph import fresh_name
from graphc.ir.location import Location
from graphc.ir.types import I32
from graphc.ir.values import sanitize_name

if TYPE_CHECKING:
    from graphc.frontend.variables import Variable


class Trace:
    """One graph being traced, with the state of variables as it changes on the way.

    A variable that is read becomes a parameter with ``role="state"``; assigning to it
    changes what later reads see, and the trace's owner returns the last value as a
    result. A trace inside another one (a loss under differentiation) captures what it
    reads of the outer one as parameters.

    Attributes:
        graph: The graph being built.
        parent: The trace around this one.
        state: The parameter that each variable entered as, in order of first read.
        written: The variables that were assigned to, in order.
        captured: The parameter for each value of the parent that is read.
    """

    def __init__(self, graph: Graph, parent: Trace | None = None) -> None:
        self.graph = graph
        self.parent = parent
        self.builder = GraphBuilder(graph)
        self.builder.capture = _LOCAL.locations
        self.builder.place = _LOCAL.place
        self.builder.path = parent.builder.path if parent else current_path() or None
        self.builder.barrier = replay.__code__
        self.builder.fallback = parent.builder.fallback if parent else None
        self.state: dict[Variable, Value] = {}
        self.written: dict[Variable, None] = {}
        self.captured: dict[Value, Value] = {}
        self._current: dict[Variable, TracedTensor] = {}
        self._sizes: dict[str, Operand] = {}
        self._names: set[str] = set()

    @property
    def module(self) -> Any:
        """The module that the graph belongs to."""
        return self.graph.module

    @contextmanager
    def __call__(self) -> Iterator[Trace]:
        """While open, ops that are called add to this trace."""
        _LOCAL.traces.append(self)
        try:
            with entered(self.builder):
                yield self
        finally:
            _LOCAL.traces.pop()

    def parameter(self, type: TensorType, name: str | None = None) -> TracedTensor:
        """Adds a parameter to the graph."""
        if name is not None:
            name = fresh_name(sanitize_name(name), self._names)
            self._names.add(name)
        return TracedTensor(self.graph.add_parameter(type, name))

    def capture(self, operand: Operand) -> Operand:
        """What `operand` stands for in this trace's graph."""
        if isinstance(operand, Literal) or operand.graph is self.graph:
            return operand
        known = self.captured.get(operand)
        if known is not None:
            return known
        if self.parent is None or self.parent.capture(operand) is None:
            raise GraphError(
                "a tensor of one trace is used in another",
                received=f"a tensor of type {operand.type}",
                location=Location.capture(self.builder.path),
                hint=KEEP,
            )
        parameter = self.parameter(operand.type, operand.name).value
        assert isinstance(parameter, Value)
        self.captured[operand] = parameter
        return parameter

    def read(self, variable: Variable) -> TracedTensor:
        """The value of a variable at this point of the trace."""
        known = self._current.get(variable)
        if known is not None:
            return known
        if self.parent is not None:
            outer = self.parent.read(variable).value
            tensor = TracedTensor(self.capture(outer))
            if isinstance(tensor.value, Value):
                self.state[variable] = tensor.value
        else:
            tensor = self.parameter(variable.type, variable.path)
            assert isinstance(tensor.value, Value)
            tensor.value.attributes = {"role": "state"}
            self.state[variable] = tensor.value
        self._current[variable] = tensor
        return tensor

    def write(self, variable: Variable, tensor: TracedTensor) -> None:
        """Makes later reads of a variable see `tensor`."""
        self._current[variable] = tensor
        self.written[variable] = None

    def dimension(self, dim: Dim) -> Operand:
        """The size that a dim stands for, as an i32 value."""
        if isinstance(dim, int):
            return Literal(dim, I32)
        total: Operand = Literal(0, I32)
        for monomial, coefficient in dim.terms:
            term: Operand = Literal(coefficient, I32)
            for atom, power in monomial:
                factor = self._atom(atom)
                for _ in range(power):
                    term = ir_ops.multiply(term, factor)
            total = ir_ops.add(total, term)
        return total

    def _atom(self, atom: str | FloorDiv) -> Operand:
        if isinstance(atom, FloorDiv):
            numerator = self.dimension(atom.numerator)
            return ir_ops.divide(numerator, self.dimension(atom.denominator))
        if atom not in self._sizes:
            symbol = SymbolicDim.symbol(atom)
            for p in self.graph.parameters:
                if symbol in p.shape:
                    axis = p.shape.index(symbol)
                    self._sizes[atom] = ir_ops.dimension_size(p, axis=axis)
                    break
            else:
                if self.parent is None:
                    raise UnknownDimError(f"the size {atom} is not that of an input")
                with entered(self.parent.builder):
                    size = self.parent._atom(atom)
                self._sizes[atom] = self.capture(size)
        return self._sizes[atom]

    def outer_operands(self) -> list[Operand]:
        """What the parent passes for the captured parameters, in their order."""
        assert self.parent is not None
        return [self.parent.capture(outer) for outer in self.captured]


class _Local(threading.local):
    """What is open in this thread.

    Attributes:
        traces: The traces, innermost last.
        names: The layer path, one name per level.
        locations: Whether nodes get the user's line.
        place: A place that all nodes get instead of their own.
    """

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.names: tuple[str, ...] = ()
        self.locations = True
        self.place: Location | None = None


_LOCAL = _Local()


@contextmanager
def without_locations() -> Iterator[None]:
    """While open, traced nodes get no location: no line is a user's."""
    previous, _LOCAL.locations = _LOCAL.locations, False
    try:
        yield
    finally:
        _LOCAL.locations = previous


@contextmanager
def located_at(place: Location) -> Iterator[None]:
    """While open, traced nodes have their layer paths and this place."""
    previous, _LOCAL.place = _LOCAL.place, place
    try:
        yield
    finally:
        _LOCAL.place = previous


def current_trace() -> Trace | None:
    """The innermost trace of this thread, or None outside of tracing."""
    return _LOCAL.traces[-1] if _LOCAL.traces else None


@contextmanager
def name_scope(name: str) -> Iterator[str]:
    """While open, `name` is appended to the path that nodes and variables get."""
    previous = _LOCAL.names
    _LOCAL.names = (*previous, name)
    path = "/".join(_LOCAL.names)
    trace = current_trace()
    if trace is not None:
        outer, trace.builder.path = trace.builder.path, path
    try:
        yield path
    finally:
        _LOCAL.names = previous
        if trace is not None:
            trace.builder.path = outer


def replay(
    location: Location | None, function: Callable[..., Any], *a: Any, **k: Any
) -> Any:
    """Calls a function on behalf of the line at `location`.

    Nodes it makes outside of user code are placed there, and not at the line that
    started the replay, which would be the same ``fit`` for all layers.
    """
    trace = current_trace()
    if trace is None:
        return function(*a, **k)
    previous = trace.builder.fallback
    trace.builder.fallback = location or previous
    try:
        return function(*a, **k)
    finally:
        trace.builder.fallback = previous


def here() -> Location | None:
    """The user's line that is running, or that made what is replayed, with its path."""
    trace = current_trace()
    if trace is None:
        return Location.capture(current_path() or None)
    found = trace.builder.here()
    return found if found is not None else Location.capture(trace.builder.path)


@contextmanager
def located_errors() -> Iterator[None]:
    """While open, errors about graphs get the layer path unless they have one."""
    try:
        yield
    except GraphError as error:
        location = error.location or here()
        if location is not None and location.path is None:
            location = location.with_path(current_path() or None)
        error.location = location
        raise


def current_path() -> str:
    """The layer path at this point, such as ``encoder/block_3``."""
    return "/".join(_LOCAL.names)


def tensor(value: Value | Literal) -> TracedTensor:
    """The traced tensor that stands for a value of the graph being traced."""
    return TracedTensor(value)


def value(x: Any, dtype: str | None = None) -> Operand:
    """The value or literal that `x` stands for in the graph being traced.

    Args:
        x: A traced tensor, a variable, a concrete array, a NumPy array, a number, or
            nested lists of these.
        dtype: The dtype to convert to, by its long name.

    Raises:
        GraphError: If `x` is not a tensor or belongs to another trace.
    """
    trace = current_trace()
    if trace is None:
        raise GraphError("no graph is being traced")
    operand = _operand(x, dtype, trace)
    if dtype is not None and operand.type.dtype.long_name != dtype:
        if isinstance(operand, Literal):
            return Literal(operand.value, ir_dtype(dtype))
        return ir_ops.convert(operand, dtype=dtype)
    return operand


def _operand(x: Any, wanted: str | None, trace: Trace) -> Operand:
    if isinstance(x, TracedTensor):
        return trace.capture(x.value)
    if isinstance(x, Tensor):
        read: Callable[[Trace], TracedTensor] | None = getattr(x, "read", None)
        if read is not None:
            return read(trace).value
        if isinstance(x, Array):
            return constant(x.numpy())
        raise GraphError(
            "a symbolic tensor of the functional API is used while tracing",
            received=repr(x),
            location=Location.capture(trace.builder.path),
            hint="pass it to the layer as an input instead of capturing it",
        )
    if isinstance(x, (bool, np.bool_)):
        return Literal(x, ir_dtype(wanted or "bool"))
    if isinstance(x, int):
        return Literal(x, ir_dtype(wanted or "int32"))
    if isinstance(x, float):
        return Literal(x, ir_dtype(wanted or "float32"))
    if isinstance(x, SymbolicDim):
        return trace.dimension(x)
    if isinstance(x, (list, tuple)) and any(
        isinstance(leaf, (Tensor, SymbolicDim)) for leaf in _leaves(x)
    ):
        common = wanted or result_type(*_leaves(x))
        return _stack([value(item, common) for item in x])
    return constant(_host_array(x, wanted))


def _leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, (list, tuple)):
        for item in x:
            yield from _leaves(item)
    else:
        yield x


def _stack(items: Sequence[Operand]) -> Operand:
    rows = [
        ir_ops.reshape(item, shape=[1, *item.type.shape])
        if isinstance(item, Value)
        else ir_ops.broadcast_in_dim(item, shape=[1], dims=[])
        for item in items
    ]
    return ir_ops.concatenate(*rows, axis=0)


def _host_array(x: Any, wanted: str | None) -> np.ndarray[Any, Any]:
    """`x` as a NumPy array of a dtype that graphs have; 64-bit Python defaults narrow."""
    array = np.asarray(x)
    if array.dtype == object or array.dtype.kind in "USMm":
        raise GraphError(
            "expected a tensor, an array or a number",
            received=f"{type(x).__name__}: {str(x)[:80]}",
            location=Location.capture(),
        )
    if wanted is not None:
        return array.astype(ir_dtype(wanted).numpy)
    if not isinstance(x, (np.ndarray, np.generic)) or array.dtype == np.float64:
        narrow = {"float64": "float32", "int64": "int32"}
        return array.astype(narrow.get(array.dtype.name, array.dtype))
    return array


def constant(array: np.ndarray[Any, Any]) -> Operand:
    """A literal for a rank-0 array, else a constant of the module being traced."""
    if array.ndim == 0:
        return Literal(array.item(), ir_dtype(array.dtype))
    trace = current_trace()
    assert trace is not None
    return ir_ops.constant(name=trace.module.add_constant(np.ascontiguousarray(array)))
