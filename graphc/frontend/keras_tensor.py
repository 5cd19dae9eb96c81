"""The functional API's symbolic tensors and the operations recorded between them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.frontend import trees
from graphc.frontend.dtypes import standardize_dtype
from graphc.frontend.tensor import Tensor, TracedTensor
from graphc.frontend.tracing import Trace, value
from graphc.ir import Graph, Location, TensorType, dtype
from graphc.ir.dims import Dim, SymbolicDim, substitute, symbols_of

BATCH = SymbolicDim.symbol("B")
"""The symbol that an unknown batch size has in every graph."""


class KerasTensor(Tensor):
    """A symbolic tensor: a type, and the operation that makes it.

    Args:
        shape: Sizes; None is unknown: the batch size at position 0, else a size of its
            own.
        dtype: The dtype by its long name.
        name: Its name.
    """

    __slots__ = ("index", "name", "operation", "type")

    def __init__(
        self,
        shape: Sequence[int | None],
        dtype: str = "float32",
        name: str | None = None,
    ) -> None:
        self.type = TensorType(symbolic_shape(shape), _dtype(standardize_dtype(dtype)))
        self.name = name or "keras_tensor"
        self.operation: Operation | None = None
        self.index = 0

    @classmethod
    def of_type(cls, type: TensorType, operation: Operation, index: int) -> KerasTensor:
        """The output `index` of a recorded operation."""
        made = cls.__new__(cls)
        made.type = type
        made.name = f"{operation.name}_{index}" if index else operation.name
        made.operation = operation
        made.index = index
        return made

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The size of each dimension; None where it is not known."""
        return known_shape(self.type.shape)

    @property
    def dtype(self) -> str:
        """The element type by its long name, such as ``float32``."""
        return self.type.dtype.long_name

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def _refuse(self, what: str) -> Any:
        raise ValueError(
            f"A KerasTensor has no value: {what} is not possible while a functional"
            " model is being defined. Use graphc.ops, or put the computation in the"
            f" `call` of a Layer. Received: {self!r}"
        )

    def __bool__(self) -> bool:
        return self._refuse("bool()")

    def __float__(self) -> float:
        return self._refuse("float()")

    def __int__(self) -> int:
        return self._refuse("int()")

    def __iter__(self) -> Any:
        return self._refuse("iteration")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self._refuse("conversion to NumPy")


class Operation:
    """A recorded call of a layer or an op on symbolic tensors.

    Attributes:
        function: The layer or the function that was called.
        arguments: Its positional arguments; leaves may be symbolic tensors.
        keywords: Its keyword arguments.
        outputs: What it returned.
        location: The user's line that called it.
    """

    def __init__(
        self, function: Callable[..., Any], arguments: Any, keywords: Any, name: str
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.name = name
        self.location = Location.capture()
        self.outputs: Any = None

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic tensors among the arguments, in order."""
        return symbolic_leaves((self.arguments, self.keywords))

    def replay(self, fill: Callable[[KerasTensor], Any]) -> Any:
        """Calls the function again with `fill(tensor)` for each symbolic tensor."""

        def replace(leaf: Any) -> Any:
            return fill(leaf) if isinstance(leaf, KerasTensor) else leaf

        arguments, keywords = trees.map_leaves(replace, (self.arguments, self.keywords))
        return self.function(*arguments, **keywords)


_NAMES = itertools.count()
_UNKNOWN = re.compile(r"N\d+")


def symbolic_shape(shape: Sequence[int | None]) -> tuple[Dim, ...]:
    """`shape` with a symbol for every None: ``B`` at position 0, else a fresh one."""
    dims: list[Dim] = []
    for position, size in enumerate(shape):
        if isinstance(size, (int, SymbolicDim)):
            dims.append(size)
        elif size is None and position == 0:
            dims.append(BATCH)
        elif size is None:
            dims.append(SymbolicDim.symbol(f"N{next(_NAMES)}"))
        else:
            raise ValueError(
                "A shape must consist of integers and None."
                f" Received: shape={tuple(shape)}"
            )
    return tuple(dims)


def normalized_types(
    types: Sequence[TensorType], sizes: Mapping[str, int], named: bool = True
) -> list[TensorType]:
    """`types` with sizes put for symbols, and others but ``B`` numbered in order.

    Symbols of unknown sizes have numbers that depend on what else a process did.

    Args:
        types: The types.
        sizes: The sizes by symbol.
        named: Whether symbols that a user named get a number, too.
    """
    names: dict[str, Dim] = dict(sizes)
    for type in types:
        for dim in type.shape:
            for symbol in sorted(symbols_of([dim])):
                unknown = symbol != "B" if named else _UNKNOWN.fullmatch(symbol)
                if unknown and symbol not in names:
                    names[symbol] = SymbolicDim.symbol(f"N{len(names) - len(sizes)}")
    return [t.with_shape(substitute(d, names) for d in t.shape) for t in types]


def known_shape(shape: Sequence[Dim]) -> tuple[int | None, ...]:
    """`shape` as Keras shows it: None for what is not an integer."""
    return tuple(d if isinstance(d, int) else None for d in shape)


def symbolic_leaves(tree: Any) -> list[KerasTensor]:
    """The symbolic tensors in a nested structure, in order."""
    return [x for x in trees.leaves(tree) if isinstance(x, KerasTensor)]


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a symbolic tensor of the functional API."""
    return isinstance(x, KerasTensor)


def record(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    name: str,
    run: Callable[..., Any] | None = None,
) -> Any:
    """Records a call on symbolic tensors and returns its symbolic outputs.

    Args:
        function: What a model built from the outputs calls again.
        arguments: Positional arguments.
        keywords: Keyword arguments.
        name: The operation's name.
        run: What to trace for the output types; `function` by default.
    """
    operation = Operation(function, arguments, keywords, name)
    outputs = abstract_call(run or function, arguments, keywords)
    count = itertools.count()
    operation.outputs = trees.map_leaves(
        lambda leaf: _symbolic(leaf, operation, next(count)), outputs
    )
    return operation.outputs


def _symbolic(leaf: Any, operation: Operation, index: int) -> Any:
    if not isinstance(leaf, _Typed):
        return leaf
    made = KerasTensor.of_type(leaf.type, operation, index)
    if leaf.mask is not None:
        # The mask is found again when the operation is replayed.
        made._keras_mask = KerasTensor.of_type(leaf.mask, operation, -1)
    return made


class _Typed:
    """The type of an output, and of its mask if it has one."""

    def __init__(self, traced: TracedTensor) -> None:
        self.type = traced.value.type
        mask = getattr(traced, "_keras_mask", None)
        self.mask = mask.value.type if isinstance(mask, TracedTensor) else None


def abstract_call(
    function: Callable[..., Any], arguments: Any, keywords: dict[str, Any]
) -> Any:
    """The structure of the outputs of a call, by tracing it into a scratch graph."""
    trace = Trace(Graph("scratch"))

    def parameter(leaf: Any) -> Any:
        if not isinstance(leaf, KerasTensor):
            return leaf
        made = trace.parameter(leaf.type)
        mask = getattr(leaf, "_keras_mask", None)
        if mask is not None:
            made._keras_mask = trace.parameter(mask.type)
        return made

    def typed(leaf: Any) -> Any:
        if isinstance(leaf, TracedTensor):
            return _Typed(leaf)
        return _Typed(TracedTensor(value(leaf))) if isinstance(leaf, Tensor) else leaf

    with trace():
        filled, extra = trees.map_leaves(parameter, (arguments, keywords))
        return trees.map_leaves(typed, function(*filled, **extra))


def _dtype(name: str) -> Any:
    return dtype(name)
