"""The coefficient of determination."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.arguments import one_of
from graphc.frontend.training.losses.reduction import match_ranks
from graphc.frontend.training.metrics.f_score import check_matrices
from graphc.frontend.training.metrics.metric import REGISTRY, Metric

AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


class R2Score(Metric):
    """How much of the targets' variance the predictions explain; 1 is best.

    It is ``1 - sum((y - p)²) / sum((y - mean(y))²)``; 0 where the targets do not vary.

    Args:
        class_aggregation: How the scores of several outputs become one:
            ``"uniform_average"`` or ``"variance_weighted_average"``; None returns the
            score of each output ``[N]``.
        num_regressors: The number of independent variables, for the adjusted score;
            0 for the plain one, which is also returned while there are not more samples
            than variables.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.

    Raises:
        ValueError: For an unknown aggregation or a negative number of variables.

    Example:
        >>> import graphc
        >>> metric = graphc.metrics.R2Score()
        >>> metric.update_state([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])
        >>> round(float(metric.result()), 4)
        0.5714
    """

    _direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if num_regressors < 0:
            raise ValueError(
                "Expected `num_regressors` to be at least 0."
                f" Received: num_regressors={num_regressors}"
            )
        self.class_aggregation = one_of(
            "class_aggregation", class_aggregation, AGGREGATIONS
        )
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), "zeros", name="num_samples")
        self._built = False

    def _build(self, y_true: Any, y_pred: Any) -> None:
        check_matrices(self, y_true, y_pred)
        size = (y_pred.shape[-1],)
        self.squared_sum = self.add_variable(size, "zeros", name="squared_sum")
        self.sum = self.add_variable(size, "zeros", name="sum")
        self.total_mse = self.add_variable(size, "zeros", name="residual")
        self.count = self.add_variable(size, "zeros", name="count")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to the sums.

        Args:
            y_true: Targets ``[B, N]``.
            y_pred: Predictions of the same shape.
            sample_weight: Weights of the samples ``[B]`` or of the targets, or None.

        Raises:
            ValueError: If the shapes are others.
        """
        y_true = ops.convert_to_tensor(y_true, dtype=self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        y_true, y_pred = match_ranks(y_true, y_pred)
        if not self._built:
            self._build(y_true, y_pred)
        weights = ops.ones_like(y_true)
        if sample_weight is not None:
            given = ops.convert_to_tensor(sample_weight, dtype=self.dtype)
            weights *= ops.expand_dims(given, 1) if given.ndim == 1 else given
        self.sum.assign_add(ops.sum(y_true * weights, axis=0))
        self.squared_sum.assign_add(ops.sum(y_true * y_true * weights, axis=0))
        error = (y_true - y_pred) * (y_true - y_pred)
        self.total_mse.assign_add(ops.sum(error * weights, axis=0))
        self.count.assign_add(ops.sum(weights, axis=0))
        self.num_samples.assign_add(ops.sum(ops.ones_like(y_true)))

    def result(self) -> Any:
        if not self._built:
            return ops.zeros((), dtype=self.dtype)
        mean = self.sum / self.count
        total = self.squared_sum - self.sum * mean
        scores = 1 - self.total_mse / total
        scores = ops.where(ops.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = ops.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = ops.sum(total * scores) / ops.sum(total)
        if not self.num_regressors:
            return scores
        left = self.num_samples - self.num_regressors - 1.0
        adjusted = 1 - (1 - scores) * (self.num_samples - 1) / ops.maximum(left, 1.0)
        return ops.where(left > 0, adjusted, scores)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }


REGISTRY.add(R2Score)
