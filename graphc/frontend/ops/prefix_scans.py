"""Scans by an associative function, as trees of calls on many elements at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.frontend import trees
from graphc.frontend.dispatch import op
from graphc.frontend.ops.arrangement import concatenate, flip, reshape, stack
from graphc.frontend.ops.operands import axis_of, read, refuse
from graphc.frontend.tracing import tensor

__all__ = ["associative_scan"]


@op
def associative_scan(
    f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """The results of combining all elements up to each one, by an associative function.

    Neighbours are combined first, so that ``2 * log2(n)`` calls of `f` on many elements
    at once take the place of n calls one after the other. (G. E. Blelloch, Prefix Sums
    and Their Applications, 1990.)

    Args:
        f: Takes two structures like `elems` with fewer elements along `axis`, returns
            another; ``f(f(a, b), c)`` must be ``f(a, f(b, c))``.
        elems: Tensors of one size along `axis`.
        reverse: Whether to go from the last element to the first.
        axis: The axis.

    Returns:
        The structure of `elems`.

    Example:
        >>> import graphc
        >>> graphc.ops.associative_scan(graphc.ops.multiply, graphc.ops.array([1, 2, 3]))
        Array([1, 2, 6], dtype=int32)
    """
    leaves, structure = trees.flatten(elems)
    tensors = [tensor(read(leaf)) for leaf in leaves]
    axes = [axis_of(axis, t.ndim) for t in tensors]
    sizes = {t.shape[a] for t, a in zip(tensors, axes, strict=True)}
    if len(sizes) != 1 or not all(isinstance(size, int) for size in sizes):
        refuse(
            f"elems must have one known size along axis {axis}",
            received=", ".join(str(t.value.type) for t in tensors),
        )
    prefixes = _Prefixes(f, structure, axes)
    if reverse:
        return prefixes.whole(prefixes.flipped(prefixes.of(prefixes.flipped(tensors))))
    return prefixes.whole(prefixes.of(tensors))


class _Prefixes:
    """Combining elements along an axis of several tensors, neighbours first."""

    def __init__(
        self, function: Callable[[Any, Any], Any], structure: Any, axes: list[int]
    ) -> None:
        self.function = function
        self.structure = structure
        self.axes = axes

    def of(self, elements: list[Any]) -> list[Any]:
        """The prefixes of the elements."""
        count = elements[0].shape[self.axes[0]]
        if count < 2:
            return elements
        firsts, seconds = (
            self.cut(elements, 0, count - 1, 2),
            self.cut(elements, 1, None, 2),
        )
        odd = self.of(self.combined(firsts, seconds))
        later = self.cut(elements, 2, None, 2)
        before = odd if count % 2 else self.cut(odd, 0, -1)
        even = self.cut(elements, 0, 1)
        if count > 2:
            even = self.joined(even, self.combined(before, later))
        return self.interleaved(even, odd, count)

    def whole(self, elements: list[Any]) -> Any:
        """The elements in their structure."""
        return trees.unflatten(self.structure, elements)

    def combined(self, a: list[Any], b: list[Any]) -> list[Any]:
        """What the function returns."""
        return trees.leaves(self.function(self.whole(a), self.whole(b)))

    def flipped(self, elements: list[Any]) -> list[Any]:
        """The elements in reverse order."""
        return [flip(x, a) for x, a in zip(elements, self.axes, strict=True)]

    def cut(
        self, elements: list[Any], start: int, stop: int | None, step: int = 1
    ) -> list[Any]:
        """A slice of the elements."""
        return [
            x[(*(slice(None),) * a, slice(start, stop, step))]
            for x, a in zip(elements, self.axes, strict=True)
        ]

    def joined(self, a: list[Any], b: list[Any]) -> list[Any]:
        """The elements of a, then those of b."""
        return [
            concatenate([x, y], axis)
            for x, y, axis in zip(a, b, self.axes, strict=True)
        ]

    def interleaved(self, even: list[Any], odd: list[Any], count: int) -> list[Any]:
        """The elements of `even` at even places, those of `odd` between them."""
        if count % 2:  # one more, which is cut off again
            odd = self.joined(odd, self.cut(odd, -1, None))
        found: list[Any] = []
        for x, y, axis in zip(even, odd, self.axes, strict=True):
            shape = [*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :]]
            found.append(reshape(stack([x, y], axis + 1), shape))
        return self.cut(found, 0, count) if count % 2 else found
