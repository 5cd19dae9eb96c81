"""Intersection over union, from a matrix of labels by predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import config, ops
from graphc.frontend.training.metrics.metric import REGISTRY, Metric

LEAST = 1e-9
"""Classes with fewer labels and predictions than this do not count."""


class IoU(Metric):
    """The mean over classes of ``TP / (TP + FP + FN)``.

    Classes that neither labels nor predictions have do not count, and neither do
    positions whose label or prediction is no class.

    Args:
        num_classes: The number of classes C.
        target_class_ids: The classes whose mean is returned.
        name: Its name.
        dtype: The dtype of the state, an integer by default: weights are then rounded
            down.
        ignore_class: A label whose positions do not count.
        sparse_y_true: Whether labels are class numbers; else scores of the classes.
        sparse_y_pred: Whether predictions are class numbers; else scores.
        axis: The axis of the scores.

    Raises:
        ValueError: If a target class is not below `num_classes`.

    Example:
        >>> import graphc
        >>> metric = graphc.metrics.IoU(num_classes=2, target_class_ids=[0])
        >>> metric.update_state([0, 0, 1, 1], [0, 1, 0, 1])
        >>> round(float(metric.result()), 4)
        0.3333
    """

    _direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name, dtype=dtype or "int32")
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        outside = [c for c in self.target_class_ids if not 0 <= c < num_classes]
        if outside:
            raise ValueError(
                f"Expected `target_class_ids` to be at least 0 and below {num_classes}."
                f" Received: target_class_ids={self.target_class_ids}"
            )
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes), "zeros", name="total_confusion_matrix"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to the matrix.

        Args:
            y_true: Class numbers of any shape, or scores with one more axis.
            y_pred: The same for the predictions.
            sample_weight: Weights that broadcast against the flat class numbers, or
                None.
        """
        truth = self._classes(y_true, self.sparse_y_true)
        found = self._classes(y_pred, self.sparse_y_pred)
        counted = ops.logical_and(self._is_class(truth), self._is_class(found))
        if self.ignore_class is not None:
            counted = ops.logical_and(counted, truth != self.ignore_class)
        weights = ops.cast(counted, self.dtype)
        if sample_weight is not None:
            given = ops.convert_to_tensor(sample_weight, dtype=self.dtype)
            weights *= ops.reshape(given, (-1,)) if given.ndim > 1 else given
        rows = ops.one_hot(truth, self.num_classes, dtype=self.dtype)
        columns = ops.one_hot(found, self.num_classes, dtype=self.dtype)
        weighted = rows * ops.expand_dims(weights, 1)
        self.total_cm.assign_add(ops.matmul(ops.transpose(weighted), columns))

    def _classes(self, given: Any, sparse: bool) -> Any:
        found = ops.convert_to_tensor(given)
        if not sparse:
            found = ops.argmax(found, axis=self.axis)
        return ops.reshape(ops.cast(found, "int32"), (-1,))

    def _is_class(self, given: Any) -> Any:
        return ops.logical_and(given >= 0, given < self.num_classes)

    def result(self) -> Any:
        counts = ops.cast(self.total_cm.value, "float32")
        right = ops.diagonal(counts)
        union = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - right
        right = ops.take(right, self.target_class_ids)
        union = ops.take(union, self.target_class_ids)
        known = union > LEAST
        ratios = ops.where(known, right / (union + config.epsilon()), 0.0)
        total = ops.sum(ops.cast(known, "float32"))
        return ops.sum(ratios) / (total + config.epsilon())

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }


class BinaryIoU(IoU):
    """`IoU` of two classes, for predictions that are probabilities or logits.

    Args:
        target_class_ids: The classes whose mean is returned: of 0 and 1.
        threshold: The prediction from which on it is class 1.
        name: Its name.
        dtype: The dtype of the state; see `IoU`.

    Raises:
        ValueError: If a target class is neither 0 nor 1.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        scores = ops.convert_to_tensor(y_pred, dtype="float32")
        super().update_state(y_true, scores >= self.threshold, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return _only(
            super().get_config() | {"threshold": self.threshold},
            "name dtype target_class_ids threshold",
        )


class MeanIoU(IoU):
    """`IoU` of all classes.

    Args:
        num_classes: The number of classes C.
        name: Its name.
        dtype: The dtype of the state; see `IoU`.
        ignore_class: See `IoU`.
        sparse_y_true: See `IoU`.
        sparse_y_pred: See `IoU`.
        axis: See `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )

    def get_config(self) -> dict[str, Any]:
        return _only(
            super().get_config(),
            "name dtype num_classes ignore_class sparse_y_true sparse_y_pred axis",
        )


class OneHotIoU(IoU):
    """`IoU` for labels that are one-hot.

    Args:
        num_classes: The number of classes C.
        target_class_ids: The classes whose mean is returned.
        name: Its name.
        dtype: The dtype of the state; see `IoU`.
        ignore_class: See `IoU`.
        sparse_y_pred: Whether predictions are class numbers; else scores.
        axis: The axis of the classes.

    Raises:
        ValueError: If a target class is not below `num_classes`.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            target_class_ids,
            name,
            dtype,
            ignore_class,
            False,
            sparse_y_pred,
            axis,
        )

    def get_config(self) -> dict[str, Any]:
        return _only(
            super().get_config(),
            "name dtype num_classes target_class_ids ignore_class sparse_y_pred axis",
        )


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` for labels that are one-hot.

    Args:
        num_classes: The number of classes C.
        name: Its name.
        dtype: The dtype of the state; see `IoU`.
        ignore_class: See `IoU`.
        sparse_y_pred: Whether predictions are class numbers; else scores.
        axis: The axis of the classes.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        return _only(
            super().get_config(),
            "name dtype num_classes ignore_class sparse_y_pred axis",
        )


def _only(config: dict[str, Any], names: str) -> dict[str, Any]:
    """The entries of a config that a constructor takes."""
    return {name: config[name] for name in names.split()}


REGISTRY.add(BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU)
