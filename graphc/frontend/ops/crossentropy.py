"""Losses between targets and predictions, and encodings of classes."""

from __future__ import annotations

from typing import Any

from graphc.frontend.config import epsilon
from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import standardize_dtype
from graphc.frontend.ops.arrangement import permuted, reshaped
from graphc.frontend.ops.operands import (
    TensorLike,
    axis_of,
    materialize,
    promote,
    refuse,
    stretch_all,
)
from graphc.frontend.ops.reduction import max, repeat_along
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Value
from graphc.ir import ops as ir_ops

__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "multi_hot",
    "one_hot",
    "sparse_categorical_crossentropy",
]


# -- crossentropy ----------------------------------------------------------------------


def _limited(probabilities: Value) -> Value:
    """Probabilities kept away from 0 and 1, where the logarithm would be infinite."""
    return ir_ops.clamp(epsilon(), probabilities, 1.0 - epsilon())


@op
def binary_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False
) -> Tensor:
    """The crossentropy of yes-or-no predictions, element by element.

    Args:
        target: A tensor of 0 and 1, or of probabilities.
        output: Predicted probabilities of the same shape, or logits.
        from_logits: Whether `output` holds logits, which is more accurate.

    Returns:
        A tensor of the same shape.
    """
    goal, predicted = map(materialize, stretch_all(*_floats(target, output)))
    if goal.type.shape != predicted.type.shape:
        _refuse_shapes(goal, predicted)
    if from_logits:
        return tensor(ir_ops.sigmoid_cross_entropy(predicted, goal))
    likely = _limited(predicted)
    hit = ir_ops.multiply(goal, ir_ops.log(likely))
    miss = ir_ops.multiply(
        ir_ops.subtract(1.0, goal), ir_ops.log(ir_ops.subtract(1.0, likely))
    )
    return tensor(ir_ops.negate(ir_ops.add(hit, miss)))


def _floats(target: TensorLike, output: TensorLike) -> tuple[Value, Value]:
    """Both in the dtype of the output, or the default float."""
    (predicted,) = promote(output, also=[float])
    predicted = materialize(predicted)
    goal = value(target, predicted.dtype.long_name)
    return materialize(goal), predicted


def _refuse_shapes(goal: Value, predicted: Value) -> None:
    refuse(
        "Expected a target and an output of the same shape. "
        f"Received: target.shape={goal.shape}, output.shape={predicted.shape}"
    )


def _classes_last(x: Value, axis: int) -> Value:
    rank = x.type.rank
    along = axis_of(axis, rank)
    return permuted(x, [*(d for d in range(rank) if d != along), along])


def _logarithms(probabilities: Value) -> Value:
    """The logarithms of probabilities, scaled to the sum 1 along the last axis."""
    last = [probabilities.type.rank - 1]
    total = ir_ops.reduce_sum(probabilities, axes=last)
    total = repeat_along(total, probabilities.shape, last)
    return ir_ops.log(_limited(ir_ops.divide(probabilities, total)))


@op
def categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """The crossentropy of predicted classes with targets given as probabilities.

    Args:
        target: A tensor with the classes along `axis`: one-hot, or probabilities.
        output: Predicted probabilities of the same shape, which are scaled to the sum
            1, or logits.
        from_logits: Whether `output` holds logits, which is more accurate.
        axis: The axis of the classes.

    Returns:
        A tensor without that axis.

    Raises:
        GraphError: If the shapes differ.
    """
    goal, predicted = _floats(target, output)
    if goal.shape != predicted.shape or not goal.shape:
        _refuse_shapes(goal, predicted)
    goal, predicted = _classes_last(goal, axis), _classes_last(predicted, axis)
    if from_logits:
        return tensor(ir_ops.softmax_cross_entropy(predicted, goal))
    terms = ir_ops.multiply(goal, _logarithms(predicted))
    found = ir_ops.reduce_sum(terms, axes=[goal.type.rank - 1])
    return tensor(ir_ops.negate(found))


@op
def sparse_categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """The crossentropy of predicted classes with targets given as class numbers.

    Args:
        target: Integers of the shape of `output` without the classes, or with 1 in
            the place of a last dimension for them.
        output: Predicted probabilities, which are scaled to the sum 1, or logits.
        from_logits: Whether `output` holds logits, which is more accurate.
        axis: The axis of the classes.

    Returns:
        A tensor of the shape of `output` without that axis; 0 where the target is not
        a class.

    Raises:
        GraphError: If the shapes do not fit.
    """
    (predicted,) = promote(output, also=[float])
    predicted = _classes_last(materialize(predicted), axis)
    labels = materialize(value(target))
    if not labels.dtype.is_integer:
        labels = ir_ops.convert(labels, dtype="int32")
    if labels.type.rank == predicted.type.rank and labels.shape[-1] == 1:
        labels = reshaped(labels, labels.shape[:-1])
    if labels.shape != predicted.shape[:-1]:
        refuse(
            "Expected a target of the shape of the output without the classes. Received"
            f": target.shape={labels.shape}, output.shape={predicted.shape} with the "
            "classes last"
        )
    if from_logits:
        return tensor(ir_ops.cross_entropy(predicted, labels))
    logarithms = _logarithms(predicted)
    last = predicted.type.rank - 1
    classes = predicted.shape[last]
    if not isinstance(classes, int):
        refuse(f"Expected a known number of classes. Received: output {predicted.type}")
    chosen = ir_ops.one_hot(labels, depth=classes, dtype="bool")
    found = ir_ops.reduce_sum(ir_ops.select(chosen, logarithms, 0.0), axes=[last])
    return tensor(ir_ops.negate(found))


# -- encodings -------------------------------------------------------------------------


@op
def one_hot(
    x: TensorLike,
    num_classes: int,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
) -> Tensor:
    """1 at the position that each class number names, 0 elsewhere.

    Args:
        x: Integers of any shape. One that is no class gives zeros.
        num_classes: The number of classes.
        axis: Where in the result the classes lie.
        dtype: The dtype of the result; the default float if it is not given.
        sparse: Accepted as in Keras; True is refused, as graphs have dense tensors.

    Returns:
        A tensor with one more dimension, of size `num_classes`.
    """
    if sparse:
        refuse("Expected dense tensors. Received: sparse=True")
    labels = value(x)
    if not labels.type.dtype.is_integer:
        labels = value(tensor(labels), "int32")
    encoded = ir_ops.one_hot(labels, depth=num_classes, dtype=standardize_dtype(dtype))
    rank = encoded.type.rank
    along = axis_of(axis, rank)
    order = list(range(rank - 1))
    order.insert(along, rank - 1)
    return tensor(permuted(encoded, order))


@op
def multi_hot(
    inputs: TensorLike,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
) -> Tensor:
    """1 at the positions of all class numbers of an example, 0 elsewhere.

    Args:
        inputs: Integers [N, classes of an example, ...], or [classes] for one example.
        num_classes: The number of classes, which must be given.
        axis: Where in the result the classes lie.
        dtype: The dtype of the result; the default float if it is not given.
        sparse: As in `one_hot`.

    Returns:
        A tensor [N, ..., num_classes], or [num_classes].
    """
    if num_classes is None:
        refuse("Expected `num_classes`. Received: num_classes=None")
    labels = tensor(value(inputs, "int32"))
    encoded = one_hot(labels, num_classes, axis, dtype, sparse)
    return max(encoded, axis=1 if labels.ndim > 1 else 0)
