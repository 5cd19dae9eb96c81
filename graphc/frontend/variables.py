"""Variables: handles into a flat state that each step replaces as a whole."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphc.frontend.dtypes import floatx, is_float, standardize_dtype
from graphc.frontend.initial_values import Draw, HasRecipe, Recipe, draw
from graphc.frontend.seeds import next_draw
from graphc.frontend.tensor import Array, Tensor, TracedTensor
from graphc.frontend.tracing import Trace, current_path, current_trace, tensor, value
from graphc.ir import TensorType, dtype
from graphc.ir import ops as ir_ops


class State:
    """The arrays of variables that are used together.

    A step takes arrays out of the list and puts a new list in its place in one
    assignment, so an interrupt never leaves a model half updated.

    Attributes:
        variables: The variables, each knowing its index.
        arrays: Their arrays; None where no initial value has been drawn yet.
        joined: Whether the variables have moved to another state.
    """

    def __init__(self) -> None:
        self.variables: list[Variable] = []
        self.arrays: list[Any] = []
        self.joined = False

    @classmethod
    def of(cls, variables: Iterable[Variable]) -> State:
        """The one state of `variables`, joining their states if they differ."""
        states = list(dict.fromkeys(v.state for v in variables))
        if not states:
            return cls()
        largest = max(states, key=lambda state: len(state.variables))
        for state in states:
            if state is not largest:
                largest._absorb(state)
        return largest

    def _absorb(self, other: State) -> None:
        offset = len(self.arrays)
        self.arrays = [*self.arrays, *other.arrays]
        self.variables.extend(other.variables)
        for index, variable in enumerate(other.variables):
            variable.state, variable.index = self, offset + index
        other.joined = True

    def initialize(self) -> None:
        """Draws the initial value of every variable that has none, in one program."""
        pending = [v for v in self.variables if self.arrays[v.index] is None]
        if not pending:
            return
        planned = [v for v in pending if v.recipe is not None]
        arrays = list(self.arrays)
        found = draw([Draw(v.type, v.recipe, v.draw_path) for v in planned if v.recipe])
        for variable, array in zip(planned, found, strict=True):
            arrays[variable.index] = array
        for variable in pending:
            if variable.recipe is None:
                arrays[variable.index] = variable.call_initializer()
        self.arrays = arrays


def assign_all(values: Iterable[tuple[Variable, Any]]) -> None:
    """Gives variables arrays of their shapes and dtypes, which nobody changes."""
    arrays: dict[State, list[Any]] = {}
    for variable, array in values:
        state = variable.state
        if state not in arrays:
            arrays[state] = list(state.arrays)
        arrays[state][variable.index] = array
    for state, replaced in arrays.items():
        state.arrays = replaced


class Variable(Tensor):
    """A tensor that keeps its value between steps: a weight, a counter, a seed.

    Args:
        initializer: A callable ``(shape, dtype)``, or the initial value itself.
        shape: The shape, needed with a callable initializer.
        dtype: The dtype by its long name; the default is `config.floatx()`.
        trainable: Whether gradients are taken with respect to it.
        autocast: Whether layers of a mixed-precision policy read it in their compute
            dtype.
        name: Its name; the path is this name below the current layer path.

    Raises:
        ValueError: If the shape is missing or not fully known.

    Example:
        >>> import graphc
        >>> v = graphc.Variable([1.0, 2.0])
        >>> v.assign_add([1.0, 1.0]).numpy()
        array([2., 3.], dtype=float32)
    """

    __slots__ = (
        "_initializer",
        "_trainable",
        "aggregation",
        "autocast",
        "constraint",
        "draw_path",
        "index",
        "name",
        "overwrite_with_gradient",
        "path",
        "recipe",
        "regularizer",
        "state",
        "type",
    )

    def __init__(
        self,
        initializer: Any,
        shape: Sequence[int] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str = "none",
        name: str | None = None,
    ) -> None:
        self.name = name or "variable"
        path = current_path()
        self.path = f"{path}/{self.name}" if path else self.name
        self._trainable = bool(trainable)
        self.autocast = autocast
        self.aggregation = aggregation
        self.regularizer: Any = None
        self.constraint: Any = None
        self.overwrite_with_gradient = False
        self.recipe: Recipe | None = None
        self._initializer = initializer if callable(initializer) else None
        array = None
        if self._initializer is None:
            array = _initial_array(initializer, dtype)
            if shape is not None and tuple(shape) != array.shape:
                raise ValueError(
                    f"The initial value of variable '{self.path}' must have the shape"
                    f" given. Expected shape={tuple(shape)}. Received: {array.shape}"
                )
            self.type = TensorType(array.shape, _dtype(array.dtype))
        else:
            self.type = TensorType(
                _checked_shape(shape, self.path), _dtype(standardize_dtype(dtype))
            )
            if isinstance(initializer, HasRecipe):
                self.recipe = initializer.recipe(self.shape)
        self.draw_path = next_draw(self.path)
        self.state = State()
        self.index = 0
        self.state.variables.append(self)
        self.state.arrays.append(array)

    # -- as a tensor -----------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return self.type.static_shape

    @property
    def dtype(self) -> str:
        """The dtype by its long name."""
        wanted = _AUTOCAST.dtype
        if wanted is not None and self.autocast and is_float(self.type.dtype.long_name):
            return wanted
        return self.type.dtype.long_name

    @property
    def trainable(self) -> bool:
        """Whether gradients are taken with respect to it."""
        return self._trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        self._trainable = bool(trainable)

    @property
    def value(self) -> Tensor:
        """Its value: a traced tensor while tracing, else a copy that later steps keep."""
        if current_trace() is not None:
            return tensor(value(self))
        return Array(self.numpy())

    def read(self, trace: Trace) -> TracedTensor:
        """Its value at this point of a trace, in the autocast dtype if one is set."""
        read = trace.read(self)
        if read.dtype != self.dtype:
            return tensor(ir_ops.convert(read.value, dtype=self.dtype))
        return read

    def array(self) -> Any:
        """The array it holds now, drawn first if need be; the next step may free it."""
        if self.state.arrays[self.index] is None:
            self.state.initialize()
        return self.state.arrays[self.index]

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy of its value as a NumPy array."""
        # A copy, since the next step may reuse the buffer in place.
        return np.array(self.array(), copy=True)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.array(), dtype=dtype, copy=True)

    def __float__(self) -> float:
        return float(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __bool__(self) -> bool:
        return bool(self.value)

    def __len__(self) -> int:
        return len(self.numpy())

    # -- assignment --------------------------------------------------------------------

    def assign(self, new: Any) -> Any:
        """Replaces the value.

        Args:
            new: A tensor or array of the variable's shape.

        Returns:
            The new value.

        Raises:
            ValueError: If the shapes differ.
        """
        trace = current_trace()
        stored = self.type.dtype.long_name
        if trace is not None:
            operand = value(new, stored)
            if operand.type.shape != self.type.shape:
                self._refuse(operand.type.shape)
            assigned = tensor(operand)
            trace.write(self, assigned)
            return assigned
        array = np.array(new, dtype=self.type.dtype.numpy)
        if array.shape != self.shape:
            self._refuse(array.shape)
        arrays = list(self.state.arrays)
        arrays[self.index] = array
        self.state.arrays = arrays
        return Array(array)

    def assign_add(self, amount: Any) -> Any:
        """Adds `amount` to the value and returns the new value."""
        return self.assign(self._plain() + amount)

    def assign_sub(self, amount: Any) -> Any:
        """Subtracts `amount` from the value and returns the new value."""
        return self.assign(self._plain() - amount)

    def _plain(self) -> Any:
        with autocast(None):
            return self.value

    def _refuse(self, shape: Sequence[Any]) -> None:
        raise ValueError(
            f"The shape of the target variable and of the value to assign must match."
            f" Expected: variable '{self.path}' with shape={self.shape}."
            f" Received: shape={tuple(shape)}"
        )

    def call_initializer(self) -> np.ndarray[Any, Any]:
        """The initial value from an initializer that is not a recipe."""
        assert self._initializer is not None
        made = self._initializer(self.shape, dtype=self.type.dtype.long_name)
        array = np.array(made, dtype=self.type.dtype.numpy)
        if array.shape != self.shape:
            raise ValueError(
                f"The initializer of variable '{self.path}' must return"
                f" shape={self.shape}. Received: shape={array.shape}"
            )
        return array

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def _initial_array(given: Any, wanted: str | None) -> np.ndarray[Any, Any]:
    array = np.array(given)
    if wanted is not None:
        return array.astype(_dtype(standardize_dtype(wanted)).numpy)
    if array.dtype == np.float64:
        return array.astype(_dtype(floatx()).numpy)
    if array.dtype == np.int64 and not isinstance(given, (np.ndarray, np.generic)):
        return array.astype(np.int32)
    return array


def _checked_shape(shape: Any, path: str) -> tuple[int, ...]:
    dims = (shape,) if isinstance(shape, int) else shape
    if dims is None or any(not isinstance(d, (int, np.integer)) or d < 0 for d in dims):
        raise ValueError(
            f"The shape of variable '{path}' must be fully known, non-negative"
            f" integers. Received: shape={shape}"
        )
    return tuple(int(d) for d in dims)


def _dtype(of: Any) -> Any:
    return dtype(of)


class _Autocast(threading.local):
    dtype: str | None = None


_AUTOCAST = _Autocast()


@contextmanager
def autocast(dtype: str | None) -> Iterator[None]:
    """While open, floating-point variables are read in `dtype`; None reads them plain."""
    previous = _AUTOCAST.dtype
    _AUTOCAST.dtype = dtype
    try:
        yield
    finally:
        _AUTOCAST.dtype = previous
