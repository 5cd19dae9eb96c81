"""What a layer requires of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphc.frontend.keras_tensor import KerasTensor
from graphc.frontend.tracing import here
from graphc.ir.errors import GraphError


class InputSpec:
    """Requirements on the rank, the shape and the dtype of an input.

    Args:
        dtype: The required dtype.
        shape: The required shape; None stands for any size.
        ndim: The required rank.
        max_ndim: The largest rank allowed.
        min_ndim: The smallest rank allowed.
        axes: Required sizes by axis.
        allow_last_axis_squeeze: Whether a last axis of size 1 may be missing.
    """

    def __init__(
        self,
        dtype: str | None = None,
        shape: Sequence[int | None] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
    ) -> None:
        self.dtype = dtype
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(shape) if shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = dict(axes or {})
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name = name

    def problem(self, shape: Sequence[Any], dtype: str) -> str | None:
        """What is wrong with an input of this shape and dtype, or None."""
        rank = len(shape)
        shown = tuple(d if isinstance(d, int) else None for d in shape)
        if self.ndim is not None and rank != self.ndim and self.shape is None:
            return f"expected ndim={self.ndim}, found ndim={rank}. Full shape received: {shown}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"expected max_ndim={self.max_ndim}, found ndim={rank}"
        if self.min_ndim is not None and rank < self.min_ndim:
            return (
                f"expected min_ndim={self.min_ndim}, found ndim={rank}."
                f" Full shape received: {shown}"
            )
        if self.dtype is not None and dtype != self.dtype:
            return f"expected dtype={self.dtype}, found dtype={dtype}"
        for axis, size in self.axes.items():
            found = shape[axis] if -rank <= axis < rank else None
            if size is not None and isinstance(found, int) and found != size:
                return (
                    f"expected axis {axis} of input shape to have value {size}, but"
                    f" received input with shape {shown}"
                )
        return self._shape_problem(shape, shown)

    def _shape_problem(self, shape: Sequence[Any], shown: Any) -> str | None:
        if self.shape is None:
            return None
        wanted = list(self.shape)
        squeezable = self.allow_last_axis_squeeze and wanted[-1:] == [1]
        if squeezable and len(shape) == len(wanted) - 1:
            wanted = wanted[:-1]
        fits = len(wanted) == len(shape) and all(
            w is None or not isinstance(d, int) or w == d
            for w, d in zip(wanted, shape, strict=True)
        )
        return (
            None if fits else f"expected shape={tuple(self.shape)}, found shape={shown}"
        )


def check_inputs(specs: Any, inputs: Sequence[Any], layer_name: str) -> None:
    """Raises a GraphError, which is a ValueError, unless `inputs` meet `specs`."""
    if specs is None:
        return
    listed = list(specs) if isinstance(specs, (list, tuple)) else [specs]
    if len(listed) != len(inputs):
        raise GraphError(
            f"Layer '{layer_name}' expected {len(listed)} input(s)."
            f" Received {len(inputs)} instead.",
            location=here(),
        )
    for position, (spec, given) in enumerate(zip(listed, inputs, strict=False)):
        if spec is None:
            continue
        shape = given.type.shape if isinstance(given, KerasTensor) else given.shape
        problem = spec.problem(shape, str(given.dtype))
        if problem:
            raise GraphError(
                f"Input {position} of layer '{layer_name}' is incompatible with the"
                f" layer: {problem}",
                location=here(),
            )
