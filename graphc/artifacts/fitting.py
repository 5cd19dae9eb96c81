"""Inputs of any size in a range, on programs for padded ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.ir.dims import substitute
from graphc.ir.graph import Graph
from graphc.runtime.calling import CallableProgram


class Fitted:
    """A program with inputs of certain shapes: pads them, and cuts what it returns.

    Padding is done in host memory, so that no other program has to be compiled for it.

    Args:
        executable: The program.
        graph: The graph as it was traced.
        inputs: How many of its parameters are inputs.
        outputs: How many of its results are outputs.
        sizes: The sizes that the inputs have.
        room: The sizes that the program is for.
        padded: The symbols whose sizes it takes.
    """

    def __init__(
        self,
        executable: CallableProgram[Any],
        graph: Graph,
        inputs: int,
        outputs: int,
        sizes: Mapping[str, int],
        room: Mapping[str, int],
        padded: Sequence[str],
    ) -> None:
        self.executable = executable
        self._takes = [
            tuple(int(substitute(dim, room)) for dim in parameter.shape)
            for parameter in graph.parameters[:inputs]
        ]
        self._cuts = [
            _cut(result.type.shape, sizes, room) for result in graph.results[:outputs]
        ]
        self._sizes = [np.asarray(sizes[name], np.int32) for name in padded]
        self._is_exact = not padded

    def __call__(self, inputs: Sequence[Any], state: Sequence[Any]) -> Sequence[Any]:
        """The results for inputs and state; outputs that were cut are NumPy arrays."""
        if self._is_exact:
            return self.executable(*inputs, *state)
        given = [
            array if array.shape == shape else _padded(array, shape)
            for array, shape in zip(inputs, self._takes, strict=True)
        ]
        results = list(self.executable(*given, *state, *self._sizes))
        for number, cut in enumerate(self._cuts):
            if cut is not None:
                results[number] = np.asarray(results[number])[cut]
        return results


def _padded(array: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    given = np.asarray(array)
    larger = np.zeros(shape, given.dtype)
    larger[tuple(map(slice, given.shape))] = given
    return larger


def _cut(
    shape: Sequence[Any], sizes: Mapping[str, int], room: Mapping[str, int]
) -> tuple[slice, ...] | None:
    """What of a result counts, or None if all of it does."""
    wanted = [substitute(dim, sizes) for dim in shape]
    if wanted == [substitute(dim, room) for dim in shape]:
        return None
    return tuple(slice(0, int(size)) for size in wanted)
