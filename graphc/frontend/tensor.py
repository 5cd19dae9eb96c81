"""What user code computes with: traced tensors, concrete arrays and symbolic inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from graphc.ir import Literal, Location, Value, dtype
from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.opdef import CURRENT

OPERATORS: dict[str, Callable[..., Any]] = {}
"""What Python's operators do, by the name of the op; `graphc.frontend.ops` fills it."""


class Tensor:
    """Base of everything that ops take: has a shape, a dtype and operators."""

    __slots__ = ("__weakref__", "_keras_mask")

    @property
    def shape(self) -> tuple[Any, ...]:
        """The size of each dimension."""
        raise NotImplementedError

    @property
    def dtype(self) -> str:
        """The element type by its long name, such as ``float32``."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> Any:
        """The number of elements."""
        total: Any = 1
        for size in self.shape:
            total = total * size
        return total

    @property
    def T(self) -> Any:  # noqa: N802
        """The tensor with its dimensions reversed."""
        return OPERATORS["transpose"](self)

    def reshape(self, *shape: Any) -> Any:
        """The same elements in another shape."""
        wanted = (
            shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        )
        return OPERATORS["reshape"](self, wanted)

    def astype(self, dtype: Any) -> Any:
        """The tensor in another dtype."""
        return OPERATORS["cast"](self, dtype)

    @property
    def backward(self) -> NoReturn:
        """Always fails: gradients are those of functions.

        Raises:
            AttributeError: Showing how to write it.
        """
        raise AttributeError(
            "A tensor does not know how it was computed, so it has no `backward`."
            " Put the computation in a function and differentiate that:"
            " loss, gradients = graphc.value_and_grad(function, variables=[...])()"
        )

    @property
    def grad(self) -> NoReturn:
        """Always fails; see `backward`."""
        raise AttributeError(
            "A tensor has no `grad`: gradients are returned."
            " Write gradients = graphc.grad(function)(x)"
        )

    def __getitem__(self, key: Any) -> Any:
        return OPERATORS["get_item"](self, key)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError(
            "A tensor cannot be changed in place. Make a new one, with"
            " ops.where(mask, new, x), ops.slice_update(x, start, part) or"
            " ops.scatter_update(x, indices, parts); a Variable has `assign`"
        )

    def __add__(self, other: Any) -> Any:
        return OPERATORS["add"](self, other)

    def __radd__(self, other: Any) -> Any:
        return OPERATORS["add"](other, self)

    def __sub__(self, other: Any) -> Any:
        return OPERATORS["subtract"](self, other)

    def __rsub__(self, other: Any) -> Any:
        return OPERATORS["subtract"](other, self)

    def __mul__(self, other: Any) -> Any:
        return OPERATORS["multiply"](self, other)

    def __rmul__(self, other: Any) -> Any:
        return OPERATORS["multiply"](other, self)

    def __truediv__(self, other: Any) -> Any:
        return OPERATORS["true_divide"](self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return OPERATORS["true_divide"](other, self)

    def __floordiv__(self, other: Any) -> Any:
        return OPERATORS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return OPERATORS["floor_divide"](other, self)

    def __mod__(self, other: Any) -> Any:
        return OPERATORS["mod"](self, other)

    def __rmod__(self, other: Any) -> Any:
        return OPERATORS["mod"](other, self)

    def __pow__(self, other: Any) -> Any:
        return OPERATORS["power"](self, other)

    def __rpow__(self, other: Any) -> Any:
        return OPERATORS["power"](other, self)

    def __matmul__(self, other: Any) -> Any:
        return OPERATORS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return OPERATORS["matmul"](other, self)

    def __neg__(self) -> Any:
        return OPERATORS["negative"](self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return OPERATORS["absolute"](self)

    def __invert__(self) -> Any:
        return OPERATORS["logical_not"](self)

    def __and__(self, other: Any) -> Any:
        return OPERATORS["logical_and"](self, other)

    def __or__(self, other: Any) -> Any:
        return OPERATORS["logical_or"](self, other)

    def __xor__(self, other: Any) -> Any:
        return OPERATORS["logical_xor"](self, other)

    def __lt__(self, other: Any) -> Any:
        return OPERATORS["less"](self, other)

    def __le__(self, other: Any) -> Any:
        return OPERATORS["less_equal"](self, other)

    def __gt__(self, other: Any) -> Any:
        return OPERATORS["greater"](self, other)

    def __ge__(self, other: Any) -> Any:
        return OPERATORS["greater_equal"](self, other)

    def __eq__(self, other: Any) -> Any:
        return OPERATORS["equal"](self, other)

    def __ne__(self, other: Any) -> Any:
        return OPERATORS["not_equal"](self, other)

    __hash__ = object.__hash__
    __array_priority__ = 1000  # numpy_array * tensor asks the tensor


KEEP = (
    "return tensors from the traced function, or keep them in a Variable, instead of"
    " storing them on an object or in a global"
)
"""What to do with a tensor that is needed after its trace."""

COMPUTE = (
    "keep computing with the tensor and graphc.ops; ops.cond chooses by it, ops.print"
    " shows it; outside of layers and jitted functions tensors have values"
)
"""What to do instead of asking for the value of a tensor."""


class TracedTensor(Tensor):
    """A tensor of a graph being traced: it has a type, but no value yet.

    Attributes:
        value: The value or literal of the graph that it stands for.
    """

    __slots__ = ("value",)

    def __init__(self, value: Value | Literal) -> None:
        self.value = value

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The size of each dimension: an integer or a symbolic dimension."""
        return self.value.type.shape

    @property
    def dtype(self) -> str:
        """The element type by its long name, such as ``float32``."""
        return self.value.type.dtype.long_name

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor of rank 0")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("a tensor of rank 0 cannot be iterated")
        return iter([self[i] for i in range(int(self.shape[0]))])

    def _no_value(self, what: str, hint: str) -> NoReturn:
        if not CURRENT.builders:
            raise GraphError(
                f"{what} needs the value of a tensor of a trace that has ended",
                received=f"a traced tensor of type {self.value.type}",
                location=Location.capture(),
                hint=KEEP,
            )
        raise GraphError(
            f"{what} needs the value of a tensor, which is not known while tracing",
            received=f"a traced tensor of type {self.value.type}",
            location=Location.capture(),
            hint=hint,
        )

    def __bool__(self) -> bool:
        self._no_value(
            "`if`, `while`, `and`, `or`, `not` or bool()",
            "choose between tensors with ops.where(condition, a, b), between functions"
            " with ops.cond; loop with ops.while_loop or ops.fori_loop",
        )

    def __float__(self) -> float:
        self._no_value("float()", COMPUTE)

    def __int__(self) -> int:
        self._no_value("int()", COMPUTE)

    def __index__(self) -> int:
        self._no_value(
            "range() or a Python index",
            "use a Python integer: arguments of jitted functions are tensors, so close"
            " over it or bind it with functools.partial; ops.take takes an index that"
            " is a tensor, ops.fori_loop a number of steps",
        )

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self._no_value(
            "converting to NumPy", "use the function of the same name in graphc.ops"
        )

    def numpy(self) -> NoReturn:
        """Always fails: a traced tensor has no value.

        Raises:
            GraphError: Saying where it was asked for.
        """
        self._no_value("numpy()", "return the tensor and read it outside")

    item = tolist = numpy

    def __repr__(self) -> str:
        return f"<TracedTensor {self.value.type}>"


class Array(Tensor):
    """A concrete tensor: what eager calls return. Behaves as an array.

    Example:
        >>> import graphc
        >>> float(graphc.ops.sum([1.0, 2.0]))
        3.0
    """

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> str:
        """The element type by its long name, such as ``float32``."""
        return dtype(self.data.dtype).long_name

    def numpy(self) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array."""
        return np.asarray(self.data)

    def item(self, *index: Any) -> Any:
        """An element as a Python number."""
        return self.numpy().item(*index)

    def tolist(self) -> Any:
        """The elements as nested Python lists."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.data.__dlpack_device__()

    def __float__(self) -> float:
        return float(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __index__(self) -> int:
        return self.numpy().__index__()

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __len__(self) -> int:
        return len(self.numpy())

    def __iter__(self) -> Iterator[Any]:
        return (Array(np.asarray(row)) for row in self.numpy())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if not self.shape else format(str(self), spec)

    def __repr__(self) -> str:
        return f"Array{repr(self.numpy()).removeprefix('array')}"

    def __str__(self) -> str:
        return str(self.numpy())


def is_tensor(x: Any) -> bool:
    """Whether `x` is a traced, concrete or symbolic tensor or a variable."""
    return isinstance(x, Tensor)
