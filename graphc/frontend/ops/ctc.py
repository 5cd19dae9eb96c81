"""Connectionist temporal classification: its loss, and decoding what was learnt.

Graves and others, Connectionist Temporal Classification, 2006. The recursions are those
of Keras, so that results, ties included, are Keras's.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

from graphc.frontend.dispatch import op
from graphc.frontend.ops.activation import log_softmax
from graphc.frontend.ops.arrangement import (
    concatenate,
    expand_dims,
    flip,
    pad,
    repeat,
    tile,
    transpose,
)
from graphc.frontend.ops.control_flow import cond, map, scan
from graphc.frontend.ops.core import cast
from graphc.frontend.ops.creation import arange, full
from graphc.frontend.ops.crossentropy import one_hot
from graphc.frontend.ops.elementwise import exp, log, logaddexp, maximum
from graphc.frontend.ops.indexing import (
    segment_max,
    segment_sum,
    take,
    take_along_axis,
)
from graphc.frontend.ops.logic import logical_and, logical_not, where
from graphc.frontend.ops.operands import TensorLike, check_one_of, floats, refuse
from graphc.frontend.ops.reduction import argmax, argsort, cumsum, max, sum
from graphc.frontend.ops.subscripts import einsum
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import ops as ir_ops
from graphc.ir.types import F32

__all__ = ["ctc_decode", "ctc_loss"]

_IMPOSSIBLE = -1e5
"""The logarithm that stands for a probability of 0, as in Keras."""

_BLANK = -1
"""What stands for no label in decoded paths."""


def _logits(x: TensorLike, name: str) -> Tensor:
    """`x` [batch, time, classes] in float32, or float64 if it is that."""
    operand = floats(x)
    if operand.type.rank != 3:
        refuse(
            f"Expected `{name}` to have the shape (batch, time, classes)."
            f" Received: {name} of type {operand.type}"
        )
    wide = operand.type.dtype.bits < F32.bits
    return tensor(ir_ops.convert(operand, dtype=F32) if wide else operand)


def _ends(lengths: TensorLike, size: Any) -> Tensor:
    """Which of `size` places are behind each length: bool [batch, size]."""
    wanted = tensor(value(cast(lengths, "int32")))
    return expand_dims(arange(size), 0) >= expand_dims(wanted, 1)


# -- loss ------------------------------------------------------------------------------


@op
def ctc_loss(
    target: TensorLike,
    output: TensorLike,
    target_length: TensorLike,
    output_length: TensorLike,
    mask_index: int = 0,
) -> Tensor:
    """The negative log-probability of each sequence of labels, over all alignments.

    Args:
        target: Labels, integers [batch, labels].
        output: Logits [batch, time, classes].
        target_length: How many labels each sequence has [batch].
        output_length: How many steps of each output count [batch].
        mask_index: The class that stands for no label.

    Returns:
        A float tensor [batch]; about 1e5 where there are more labels than steps.

    Raises:
        GraphError: If `target` has not two dimensions or `output` not three.

    Example:
        >>> import graphc
        >>> logits = graphc.ops.zeros((1, 2, 3))
        >>> loss = graphc.ops.ctc_loss([[1]], logits, [1], [2])
        >>> round(float(graphc.ops.exp(-loss[0])), 4)  # of 9 paths: 11, 01 and 10
        0.3333
    """
    logits, labels = _logits(output, "output"), cast(target, "int32")
    if len(labels.shape) != 2:
        refuse(
            "Expected `target` to have the shape (batch, labels)."
            f" Received: target of shape {tuple(labels.shape)}"
        )
    (batch, steps, classes), count = logits.shape, labels.shape[1]
    label_ends = _ends(target_length, count)
    logs = log_softmax(logits)
    known = one_hot(labels, classes, dtype=logs.dtype)
    emitted = transpose(einsum("btk,bnk->btn", logs, known), (1, 0, 2))
    blank = transpose(logs[:, :, mask_index : mask_index + 1], (1, 0, 2))
    ended = transpose(_ends(output_length, steps), (1, 0))
    same = cast(labels[:, :-1] == labels[:, 1:], logs.dtype)
    same = pad(same, ((0, 0), (0, 1)))  # whether the next label is the same

    def raised(phi: Any, score: Any) -> Any:
        return concatenate([phi[:, :1], logaddexp(phi[:, 1:], score)], axis=1)

    def step(before: Any, now: Any) -> Any:
        # Of each prefix: the log-probability that it ended in a blank, or in its label.
        (phi, emit), (at_label, at_blank, over) = before, now
        ready = raised(phi, emit + _IMPOSSIBLE * same)
        next_emit = logaddexp(ready[:, :-1] + at_label, emit + at_label)
        next_phi = raised(
            ready + at_blank, emit + at_blank + _IMPOSSIBLE * (1.0 - same)
        )
        kept = expand_dims(over, 1)
        return (where(kept, phi, next_phi), where(kept, emit, next_emit)), ()

    start_emit = full((batch, count), _IMPOSSIBLE, logs.dtype)
    start_phi = concatenate([full((batch, 1), 0, logs.dtype), start_emit], axis=1)
    (phi, emit), _ = scan(step, (start_phi, start_emit), (emitted, blank, ended))
    phi = raised(phi, emit)
    lengths = sum(cast(logical_not(label_ends), "int32"), axis=1)
    return -einsum("bn,bn->b", phi, one_hot(lengths, count + 1, dtype=logs.dtype))


# -- decoding --------------------------------------------------------------------------


@op
def ctc_decode(
    inputs: TensorLike,
    sequence_lengths: TensorLike,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int | None = 0,
) -> tuple[Tensor, Tensor]:
    """The likeliest sequences of labels.

    Args:
        inputs: Logits [batch, time, classes].
        sequence_lengths: How many steps of each sequence count [batch].
        strategy: ``"greedy"`` takes the best class of each step, ``"beam_search"``
            follows the best paths.
        beam_width: How many paths a beam search follows.
        top_paths: How many paths a beam search returns.
        merge_repeated: Whether the greedy search takes equal neighbours for one label.
        mask_index: The class that stands for no label; None for the last one.

    Returns:
        Labels, int32 [paths, batch, time], with -1 behind the last; and scores: of the
        greedy search the negative sum of the best logits [batch, 1], of a beam search
        the log-probabilities [batch, paths].

    Raises:
        GraphError: If `inputs` has not three dimensions or the strategy is unknown.

    Example:
        >>> import graphc
        >>> logits = graphc.ops.one_hot([[1, 1, 0, 2]], 3)
        >>> graphc.ops.ctc_decode(logits, [4])[0]
        Array([[[ 1,  2, -1, -1]]], dtype=int32)
    """
    logits = _logits(inputs, "inputs")
    blank = logits.shape[2] - 1 if mask_index is None else mask_index
    over = _ends(sequence_lengths, logits.shape[1])
    check_one_of("strategy", strategy, ("greedy", "beam_search"))
    if strategy == "greedy":
        return _greedy(logits, over, merge_repeated, blank)
    return _beam_search(logits, over, beam_width, top_paths, blank)


def _greedy(
    logits: Any, over: Any, merge_repeated: bool, blank: int
) -> tuple[Tensor, Tensor]:
    labels = where(over, blank, argmax(logits, axis=-1))
    scores = where(over, 0.0, max(logits, axis=-1))
    if merge_repeated:
        repeated = pad(labels[:, 1:] == labels[:, :-1], ((0, 0), (1, 0)))
        labels = where(repeated, blank, labels)
    left_out = labels == blank
    places = expand_dims(arange(logits.shape[1]), 0)
    order = argsort(where(left_out, logits.shape[1], places), axis=-1)
    found = take_along_axis(where(left_out, _BLANK, labels), order, axis=-1)
    return expand_dims(found, 0), -sum(scores, axis=1, keepdims=True)


def _beam_search(
    logits: Any, over: Any, width: int, top_paths: int, blank: int
) -> tuple[Tensor, Tensor]:
    _, steps, classes = logits.shape
    # Classes are turned round, so that of equal scores the lower class wins.
    logs, blank = flip(log_softmax(logits), axis=2), classes - blank - 1
    beam = _Beam(width, classes, steps, blank)

    def decode(each: Any) -> Any:
        scores, ended = each
        state, _ = scan(beam.step, beam.start(scores[0]), (scores[1:], ended[1:]))
        return beam.best(state[0], state[1], top_paths)

    paths, scores = map(decode, (logs, over))
    paths = where(paths == _BLANK, _BLANK, classes - paths - 1)
    return transpose(paths, (1, 0, 2)), scores


class _Beam:
    """The paths that are followed: labels [rows, time], scores, which end in a blank.

    The first half of the rows holds paths that end in a label, the other the same ones
    ending in a blank.
    """

    def __init__(self, width: int, classes: int, steps: int, blank: int) -> None:
        self.width = width
        self.classes = classes
        self.steps = steps
        self.blank = blank
        self.most = 2 * width * classes

    def start(self, logs: Any) -> Any:
        """The paths after the first step."""
        count = builtins.min(self.classes, self.width)
        best = argsort(logs)[-count:]
        rest = 2 * self.width - count
        labels = where(best == self.blank, _BLANK, best)
        first = concatenate([labels, full((rest,), _BLANK, "int32")])
        empty = full((2 * self.width, self.steps - 1), _BLANK, "int32")
        paths = concatenate([expand_dims(first, 1), empty], axis=1)
        scores = concatenate(
            [take(logs, best), full((rest,), -math.inf, logs.dtype)], axis=0
        )
        return paths, scores, first == _BLANK

    def step(self, before: Any, now: Any) -> Any:
        """The paths one step later, or those before if the sequence has ended."""
        logs, ended = now
        return cond(ended, lambda: before, lambda: self._next(before, logs)), ()

    def _next(self, before: Any, logs: Any) -> Any:
        paths, scores, masked = (repeat(x, self.classes, axis=0) for x in before)
        rows = 2 * self.width
        end = argmax(cast(paths == _BLANK, "int32"), axis=1)
        last = take_along_axis(paths, expand_dims(maximum(end - 1, 0), 1), axis=1)
        last = where(end == 0, _BLANK, last[:, 0])
        every = arange(self.classes)
        label = tile(where(every == self.blank, _BLANK, every), rows)
        ends_in_blank = label == _BLANK
        merged = logical_and(logical_not(masked), last == label)
        label = where(merged, _BLANK, label)
        here = expand_dims(arange(self.steps), 0) == expand_dims(end, 1)
        paths = where(here, expand_dims(label, 1), paths)
        return self._pruned(paths, scores + tile(logs, rows), ends_in_blank)

    def _pruned(self, paths: Any, scores: Any, ends_in_blank: Any) -> Any:
        paths, which = self._distinct(paths)
        in_label = self._added(which, where(ends_in_blank, -math.inf, scores))
        in_blank = self._added(which, where(ends_in_blank, scores, -math.inf))
        kept = argsort(logaddexp(in_label, in_blank))[-self.width :]
        paths = tile(take(paths, kept, axis=0), (2, 1))
        scores = concatenate([take(in_label, kept), take(in_blank, kept)])
        return paths, scores, arange(2 * self.width) >= self.width

    def best(self, paths: Any, scores: Any, count: int) -> Any:
        """The best paths and their scores, however they end."""
        paths, which = self._distinct(paths)
        scores = self._added(which, scores)
        kept = flip(argsort(scores)[-count:])
        return take(paths, kept, axis=0), take(scores, kept)

    def _distinct(self, paths: Any) -> tuple[Any, Any]:
        """The different rows in ascending order, and for each row which it is."""
        rows = paths.shape[0]
        places = ir_ops.iota(shape=(rows,), axis=0, dtype="i32")
        keys = [value(key) for key in self._keys(paths)]
        found = ir_ops.sort(*keys, places, axis=0, keys=len(keys))
        order = tensor(found[-1])
        ordered = take(paths, order, axis=0)
        differs = max(cast(ordered[1:] != ordered[:-1], "int32"), axis=1)
        number = concatenate([full((1,), 0, "int32"), cumsum(differs)])
        distinct = maximum(segment_max(ordered, number, self.most), _BLANK)
        # A row's number is that of its place in the order, which is undone.
        return distinct, take(number, argsort(order))

    def _keys(self, paths: Any) -> list[Any]:
        """Numbers that order rows as their labels do: several labels in each."""
        base = self.classes + 1
        digits = builtins.max(1, int(31 / math.log2(base)))
        labels, keys = paths + 1, []
        for first in range(0, self.steps, digits):
            key = labels[:, first]
            for place in range(first + 1, builtins.min(first + digits, self.steps)):
                key = key * base + labels[:, place]
            keys.append(key)
        return keys

    def _added(self, which: Any, scores: Any) -> Any:
        """The logarithm of the summed probabilities of equal paths."""
        largest = max(scores)
        sums = segment_sum(exp(scores - largest), which, self.most)
        return log(sums) + largest
