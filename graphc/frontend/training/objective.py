"""A model's loss and metrics: what `compile` was given, and what layers add."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from graphc.frontend import ops, trees
from graphc.frontend.dtypes import floatx, is_float
from graphc.frontend.tensor import TracedTensor
from graphc.frontend.training.compile_utils import CompileLoss, CompileMetrics
from graphc.frontend.training.metrics import Mean, Metric
from graphc.frontend.training.state_steps import compute_loss
from graphc.frontend.variables import Variable
from graphc.ir.errors import GraphError
from graphc.ir.location import Location


class Objective:
    """What a model is trained for and measured by."""

    def __init__(self) -> None:
        self._compile_loss: CompileLoss | None = None
        self._compile_metrics: CompileMetrics | None = None
        self._loss_tracker: Mean | None = None
        self._compile_location: Location | None = None

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The scalar loss: the compiled loss plus what layers add.

        Raises:
            ValueError: If there is neither.
        """
        losses: list[Any] = []
        if self._compile_loss is not None:
            found = self._compiled_loss(self._compile_loss, y, y_pred, sample_weight)
            if found is not None:
                losses.append(found)
        losses.extend(self.losses)  # type: ignore[attr-defined]
        if not losses:
            raise ValueError(
                "No loss to compute. Provide a `loss` argument in `compile()`, or call"
                " `self.add_loss(...)` in a layer."
            )
        total: Any = None
        for loss in losses:
            loss = ops.cast(loss, floatx()) if not is_float(loss.dtype) else loss
            loss = ops.sum(loss) if loss.shape else loss
            total = loss if total is None else total + loss
        return total

    def stateless_compute_loss(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        metrics_variables: Sequence[Any],
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """`compute_loss` with given values of the variables, which keep their own.

        Args:
            trainable_variables: A value for each of `trainable_variables`.
            non_trainable_variables: A value for each of `non_trainable_variables`.
            metrics_variables: A value for each of `metrics_variables`.
            x: The inputs.
            y: The targets.
            y_pred: The outputs.
            sample_weight: A weight for each sample.
            training: Whether it is a training step.

        Returns:
            The loss, and the three groups of values after it.

        Raises:
            ValueError: If there is not one value for each variable.
        """
        return compute_loss(
            self,
            trainable_variables,
            non_trainable_variables,
            metrics_variables,
            x=x,
            y=y,
            y_pred=y_pred,
            sample_weight=sample_weight,
            training=training,
        )

    def _compiled_loss(
        self, loss: CompileLoss, y: Any, y_pred: Any, sample_weight: Any
    ) -> Any:
        """The compiled loss; what is wrong with targets points at the outputs."""
        if not loss.built:
            with _placed_errors(self._compile_location):
                loss.build(y, y_pred)
        outputs = [x for x in trees.leaves(y_pred) if isinstance(x, TracedTensor)]
        node = getattr(outputs[0].value, "node", None) if outputs else None
        with _placed_errors(None if node is None else node.location):
            return loss(y, y_pred, sample_weight)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Updates the compiled metrics and returns the results of all metrics."""
        if self._compile_metrics is not None:
            with _placed_errors(self._compile_location):
                self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """The results of all metrics by name."""
        results: dict[str, Any] = {}
        for metric in self.metrics:
            found = metric.result()
            results.update(
                found if isinstance(found, Mapping) else {metric.name: found}
            )
        return results

    def _track_loss(self, loss: Any, x: Any) -> None:
        if self._loss_tracker is not None:
            first = trees.leaves(x)[0]
            self._loss_tracker.update_state(loss, sample_weight=first.shape[0])

    @property
    def metrics(self) -> list[Metric]:
        """The model's metrics: the loss, those of layers, and the compiled ones."""
        found: dict[int, Metric] = {}
        if self._loss_tracker is not None:
            found[id(self._loss_tracker)] = self._loss_tracker
        if self._compile_metrics is not None:
            found[id(self._compile_metrics)] = self._compile_metrics
        if self._compile_loss is not None:
            found.update({id(m): m for m in self._compile_loss.metrics})
        for layer in self._flatten_layers():  # type: ignore[attr-defined]
            own = ("_loss_tracker", "_compile_metrics", "_compile_config")
            found.update({id(m): m for m in trees.collect(vars(layer), Metric, own)})
        return list(found.values())

    @property
    def metrics_names(self) -> list[str]:
        """The names of the metrics."""
        return [metric.name for metric in self.metrics]

    @property
    def metrics_variables(self) -> list[Variable]:
        """The variables of all metrics, in the order of `metrics`."""
        return [v for metric in self.metrics for v in metric.variables]

    def log_names(self) -> list[str]:
        """The names of logs, in the order in which lists of results have them."""
        names: list[str] = []
        for metric in self.metrics:
            parts = metric.metrics if isinstance(metric, CompileMetrics) else [metric]
            names.extend(part.name for part in parts)
        return names

    def reset_metrics(self) -> None:
        """Starts all metrics afresh."""
        for metric in self.metrics:
            metric.reset_state()


@contextmanager
def _placed_errors(location: Location | None) -> Generator[None, None, None]:
    """While open, errors about arguments say where the arguments come from."""
    try:
        yield
    except GraphError:
        raise
    except ValueError as error:
        raise GraphError(str(error), location=location) from error
