"""Reading arguments as operands of the graph: promotion, broadcasting and axes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeAlias, TypeVar

import numpy as np

from graphc.frontend.arguments import one_of
from graphc.frontend.dtypes import is_float, result_type
from graphc.frontend.tensor import Array, Tensor
from graphc.frontend.tracing import current_trace, tensor, value
from graphc.ir import Location, Operand, Value
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim, SymbolicDim
from graphc.ir.errors import GraphError
from graphc.ir.types import product

Function = TypeVar("Function", bound=Callable[..., Any])

TensorLike: TypeAlias = Any
"""A tensor, a variable, an array, a number, or nested lists of these."""


def refuse(
    message: str, received: str | None = None, hint: str | None = None
) -> NoReturn:
    """Raises a `GraphError` that points at the user's line."""
    trace = current_trace()
    location = Location.capture(trace.builder.path if trace is not None else None)
    raise GraphError(message, received=received, location=location, hint=hint)


def check_one_of(name: str, given: Any, accepted: Iterable[Any]) -> None:
    """Refuses what is none of the values that an argument accepts."""
    try:
        one_of(name, given, accepted)
    except ValueError as error:
        refuse(str(error))


# -- dtypes ----------------------------------------------------------------------------


def read(x: TensorLike) -> Value:
    """The value that `x` stands for, in its own dtype."""
    return materialize(value(x, x.dtype if isinstance(x, Tensor) else None))


def promote(*xs: TensorLike, also: Sequence[Any] = ()) -> list[Operand]:
    """The operands that `xs` stand for, in the dtype that they are promoted to.

    Args:
        *xs: The arguments.
        also: Dtypes or Python types that take part in the promotion.
    """
    found = [_with_dtype(x) for x in xs]
    wanted = result_type(*found, *also)
    return [value(x, wanted) for x in found]


def _with_dtype(x: TensorLike) -> Any:
    if isinstance(x, (Tensor, bool, int, float, SymbolicDim)):
        return x
    # Lists, and arrays whose dtype is narrowed when they enter the graph.
    return tensor(value(x))


def holds_tensor(x: Any) -> bool:
    """Whether `x` is a list that holds a tensor at some depth."""
    return isinstance(x, (list, tuple)) and any(
        isinstance(item, Tensor) or holds_tensor(item) for item in x
    )


def floats(x: TensorLike) -> Value:
    """The value that `x` stands for; integers and bool become the default float."""
    if isinstance(x, Tensor) and is_float(x.dtype):
        return materialize(value(x, x.dtype))
    return materialize(promote(x, also=[float])[0])


# -- broadcasting ----------------------------------------------------------------------


def broadcast_shape(*shapes: Sequence[Dim]) -> tuple[Dim, ...]:
    """The shape that `shapes` broadcast to by NumPy's rules.

    A symbolic dim never counts as 1: it broadcasts with itself and with 1.

    Raises:
        GraphError: If they do not broadcast.
    """
    result: list[Dim] = [1] * max(map(len, shapes))
    for shape in shapes:
        offset = len(result) - len(shape)
        for position, dim in enumerate(shape, offset):
            if result[position] == 1:
                result[position] = dim
            elif dim not in (1, result[position]):
                refuse(
                    "shapes do not broadcast: sizes must be equal or 1, from the last",
                    received=", ".join(_shape_text(s) for s in shapes),
                )
    return tuple(result)


def _shape_text(shape: Sequence[Dim]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def stretch(x: Operand, shape: Sequence[Dim]) -> Operand:
    """`x` broadcast to `shape`, to which its shape must broadcast."""
    if x.type.shape == tuple(shape):
        return x
    if broadcast_shape(x.type.shape, shape) != tuple(shape):
        refuse(
            f"a tensor of shape {_shape_text(x.type.shape)} does not broadcast to "
            f"shape {_shape_text(shape)}"
        )
    offset = len(shape) - x.type.rank
    return ir_ops.broadcast_in_dim(
        x, shape=shape, dims=range(offset, offset + x.type.rank)
    )


def stretch_all(*operands: Operand) -> list[Operand]:
    """`operands` in their common shape, ready for an elementwise op.

    Those of rank 0 stay as they are: an elementwise op stretches them itself.
    """
    ranked = [o.type.shape for o in operands if o.type.shape]
    if not ranked:
        return list(operands)
    first = ranked[0]
    if all(shape == first for shape in ranked):
        return list(operands)
    shape = broadcast_shape(*ranked)
    return [stretch(o, shape) if o.type.shape else o for o in operands]


def matched(*xs: TensorLike, also: Sequence[Any] = ()) -> list[Operand]:
    """The operands that `xs` stand for, in their common dtype and shape.

    At least one is a value, so that numbers beside it take its dtype.
    """
    operands = promote(*xs, also=also)
    if not any(isinstance(o, Value) for o in operands):
        operands[0] = materialize(operands[0])
    return stretch_all(*operands)


def materialize(x: Operand) -> Value:
    """`x` as a value: literals become a node."""
    if isinstance(x, Value):
        return x
    return ir_ops.broadcast_in_dim(x, shape=[], dims=[])


# -- arguments that are not tensors ----------------------------------------------------


def with_static(*names: str) -> Callable[[Function], Function]:
    """Makes arrays that are given for these arguments Python numbers in lists.

    Arrays are traced, so that an op sees no values in them; sizes must be known.
    """

    def decorate(function: Function) -> Function:
        parameters = list(inspect.signature(function).parameters)
        positions = [parameters.index(name) for name in names]

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            for position in positions:
                if position < len(arguments) and _is_host_array(arguments[position]):
                    changed = list(arguments)
                    changed[position] = np.asarray(arguments[position]).tolist()
                    arguments = tuple(changed)
            for name in names:
                if _is_host_array(keywords.get(name)):
                    keywords[name] = np.asarray(keywords[name]).tolist()
            return function(*arguments, **keywords)

        return call  # pyright: ignore[reportReturnType]

    return decorate


def _is_host_array(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, Array))


# -- axes and shapes -------------------------------------------------------------------


def axis_of(axis: int, rank: int, name: str = "axis") -> int:
    """`axis` counted from the front, after checking it.

    Raises:
        GraphError: If it is not an axis of a tensor of `rank` dimensions.
    """
    try:
        position = axis.__index__()
    except AttributeError:
        refuse(f"Expected `{name}` to be an integer. Received: {name}={axis!r}")
    if not rank:
        refuse(
            f"Expected a tensor with dimensions, since `{name}` is given. "
            f"Received: {name}={axis} for a tensor of rank 0"
        )
    if not -rank <= position < rank:
        refuse(
            f"Expected `{name}` to be in {-rank}..{rank - 1} for a tensor of rank "
            f"{rank}. Received: {name}={axis}"
        )
    return position % rank


def axes_of(
    axis: int | Sequence[int] | None, rank: int, name: str = "axis"
) -> tuple[int, ...]:
    """The axes that `axis` stands for, counted from the front; all for None.

    Raises:
        GraphError: If one is out of range or given twice.
    """
    if axis is None:
        return tuple(range(rank))
    if isinstance(axis, (list, tuple)):
        axes = tuple(axis_of(a, rank, name) for a in axis)
        if len(set(axes)) != len(axes):
            refuse(f"Expected distinct axes. Received: {name}={axis}")
        return axes
    return (axis_of(axis, rank, name),)  # pyright: ignore[reportArgumentType]


def shape_of(shape: Any, name: str = "shape") -> tuple[Dim, ...]:
    """A shape argument as a tuple of dims.

    Raises:
        GraphError: If it holds something other than sizes.
    """
    if isinstance(shape, (int, float, np.number, SymbolicDim)):
        shape = (shape,)
    dims = [int(d) if isinstance(d, np.integer) else d for d in shape]
    for dim in dims:
        if isinstance(dim, bool) or not isinstance(dim, (int, SymbolicDim)):
            refuse(
                f"Expected `{name}` to consist of integers. Received: {name}={shape}",
                hint="a shape is fixed when the graph is traced; ops.shape(x) gives "
                "the sizes of a tensor, also those that are not known yet",
            )
    return tuple(dims)


def sized(x: Operand) -> Dim:
    """The number of elements of `x`."""
    return product(x.type.shape)
