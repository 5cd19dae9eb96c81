"""Values and literals: what nodes read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.types import BOOL, DTYPES, F32, DType, TensorType

if TYPE_CHECKING:
    from graphc.ir.graph import Graph, Node

Attributes: TypeAlias = dict[str, Any]
"""JSON values by name. Treat as immutable: put a new dict instead of changing one."""

Operand: TypeAlias = "Value | Literal"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.]")


def attributes_text(attributes: Mapping[str, Any]) -> str:
    """Text that is the same for equal attributes: a key to find them by."""
    return repr(sorted(attributes.items())) if attributes else ""


def is_name(text: object) -> bool:
    """Whether `text` can name a value, graph or constant: ASCII letters, digits, _ .

    A name does not start with a digit or a dot.
    """
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def sanitize_name(text: str) -> str:
    """The name nearest to `text`, which may hold any character."""
    name = _NOT_IN_NAMES.sub("_", text)
    return name if is_name(name) else f"_{name}"


class Literal:
    """A rank-0 constant operand, printed inline: ``0.5``, ``3:i32``, ``true``.

    The value is rounded to the dtype when the literal is made.
    """

    __slots__ = ("type", "value")

    def __init__(self, value: float | bool | np.generic, dtype: DType = F32) -> None:
        self.type = _SCALARS[dtype]
        if dtype is BOOL:
            self.value: float | int | bool = bool(value)
        elif dtype.is_float:
            number = float(value)
            rounded = _rounded(number, dtype) if number else number
            self.value = math.nan if math.isnan(rounded) else rounded  # one NaN only
        else:
            self.value = _integer(value, dtype)

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.type.dtype

    def numpy(self) -> np.ndarray[Any, Any]:
        """The value as a rank-0 array of the literal's dtype."""
        return np.asarray(self.value).astype(self.dtype.numpy)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Literal) or other.dtype is not self.dtype:
            return False
        ours, theirs = self.value, other.value
        if ours == 0:  # 0.0 is not -0.0
            return theirs == 0 and math.copysign(1, ours) == math.copysign(1, theirs)
        return ours == theirs or (ours != ours and theirs != theirs)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"Literal({self.value!r}, {self.dtype})"


_SCALARS = {dtype: TensorType((), dtype) for dtype in DTYPES.values()}


@lru_cache(maxsize=4096)
def _rounded(number: float, dtype: DType) -> float:
    """`number` as `dtype` holds it. Not for zeros: the cache would mix their signs."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.asarray(number).astype(dtype.numpy))


def _integer(value: float | np.generic, dtype: DType) -> int:
    """`value` as a number that an integer dtype can hold."""
    signed = dtype.kind != "uint"
    count = 2**dtype.bits
    lowest = -count // 2 if signed else 0
    try:
        number = int(value)
    except (OverflowError, ValueError):  # an infinity or nan
        number = None
    if number is None or not lowest <= number < lowest + count:
        raise GraphError(
            f"{value if number is None else number} is out of range for {dtype}",
            received=f"a literal outside {lowest}..{lowest + count - 1}",
        )
    return number


class Value:
    """A typed SSA value: a graph parameter or a result of a node.

    Attributes:
        type: Its tensor type.
        name: The name it prints with, or None to be numbered when printed. Setting
            what is not a name is a `GraphError`; see `sanitize_name`.
        node: The node that defines it, or None for a parameter.
        index: Its position among the node's results or the graph's parameters.
        graph: The graph it belongs to, or None once removed.
        uses: Where it is read, as ``(node, operand position)``, in insertion order.
        attributes: A parameter's attributes, such as ``{"role": "state"}``.
    """

    __slots__ = ("_name", "attributes", "graph", "index", "node", "type", "uses")

    def __init__(
        self,
        type: TensorType,
        graph: Graph | None,
        node: Node | None,
        index: int,
        name: str | None = None,
        attributes: Attributes | None = None,
    ) -> None:
        self.type = type
        self.graph = graph
        self.node = node
        self.index = index
        self._name: str | None = None
        if name is not None:
            self.name = name
        self.attributes: Attributes = attributes or {}
        self.uses: dict[tuple[Node, int], None] = {}

    @property
    def name(self) -> str | None:
        """The name it prints with, or None to be numbered when printed."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        if name is not None and not is_name(name):
            raise GraphError(
                "a value's name must be an identifier, dots allowed",
                received=repr(name)[:100],
                hint="graphc.ir.values.sanitize_name makes one of any text",
            )
        self._name = name

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The shape of the value's type."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """The element type of the value's type."""
        return self.type.dtype

    @property
    def users(self) -> list[Node]:
        """The nodes that read the value, each once, in insertion order of the uses."""
        return list(dict.fromkeys(node for node, _ in self.uses))

    def replace_uses(self, new: Operand) -> None:
        """Makes everything that reads this value read `new` instead."""
        for node, position in list(self.uses):
            node.set_operand(position, new)

    def __repr__(self) -> str:
        return f"<Value %{self.name or self.index} : {self.type}>"
