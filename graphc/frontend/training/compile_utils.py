"""What `compile` is given for losses and metrics, resolved for a model's outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphc.frontend import ops, trees
from graphc.frontend.registry import Registry
from graphc.frontend.tracing import name_scope
from graphc.frontend.training import losses, metrics
from graphc.frontend.training.losses import Loss, LossFunctionWrapper
from graphc.frontend.training.losses.loss import REGISTRY as LOSSES
from graphc.frontend.training.metrics import Mean, MeanMetricWrapper, Metric
from graphc.frontend.training.metrics.metric import REGISTRY as METRICS
from graphc.frontend.training.outputs import Outputs
from graphc.ir.graph import fresh_name

ACCURACY = ("accuracy", "acc")
CROSSENTROPY = ("crossentropy", "ce")


def kind_of_targets(y_true: Any, y_pred: Any) -> str:
    """How classes are written: ``"binary"``, ``"sparse"`` or ``"categorical"``.

    Args:
        y_true: Targets.
        y_pred: Predictions.

    Returns:
        ``"binary"`` for one prediction per example, ``"sparse"`` for class numbers,
        ``"categorical"`` for one-hot targets.
    """
    true_rank, rank = len(y_true.shape), len(y_pred.shape)
    classes = y_pred.shape[-1] if rank > 1 else 1
    if classes == 1:
        return "binary"
    if true_rank < rank or (true_rank and y_true.shape[-1] == 1):
        return "sparse"
    return "categorical"


def get_metric(identifier: Any, y_true: Any, y_pred: Any) -> Metric | None:
    """The metric that `identifier` stands for.

    Args:
        identifier: What `metrics.get` takes, or ``"accuracy"`` (``"acc"``) or
            ``"crossentropy"`` (``"ce"``), which stand for the ones that suit targets
            and predictions.
        y_true: Targets.
        y_pred: Predictions.

    Raises:
        ValueError: For an unknown name or something that cannot be called.
    """
    if identifier is None:
        return None
    name = str(identifier).lower()
    if name in ACCURACY:
        suited: Any = {
            "binary": metrics.BinaryAccuracy,
            "sparse": metrics.SparseCategoricalAccuracy,
            "categorical": metrics.CategoricalAccuracy,
        }
        return suited[kind_of_targets(y_true, y_pred)](name=str(identifier))
    if name in CROSSENTROPY:
        suited = {
            "binary": metrics.BinaryCrossentropy,
            "sparse": metrics.SparseCategoricalCrossentropy,
            "categorical": metrics.CategoricalCrossentropy,
        }
        return suited[kind_of_targets(y_true, y_pred)](name=str(identifier))
    found = metrics.get(identifier)
    if not isinstance(found, Metric):
        return MeanMetricWrapper(found, name=_name_of(found))
    if isinstance(identifier, str):
        found.name = identifier
    return found


def get_loss(identifier: Any, y_true: Any, y_pred: Any) -> Loss | None:
    """The loss that `identifier` stands for; functions become losses.

    Args:
        identifier: What `losses.get` takes, or ``"crossentropy"`` (``"ce"``), which
            stands for the one that suits targets and predictions.
        y_true: Targets.
        y_pred: Predictions.

    Raises:
        ValueError: For an unknown name or something that cannot be called.
    """
    if isinstance(identifier, str) and identifier.lower() in CROSSENTROPY:
        suited: Any = {
            "binary": losses.binary_crossentropy,
            "sparse": losses.sparse_categorical_crossentropy,
            "categorical": losses.categorical_crossentropy,
        }
        identifier = suited[kind_of_targets(y_true, y_pred)]
    found = losses.get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    return LossFunctionWrapper(found, name=_name_of(found))


def _name_of(function: Any) -> str:
    name = getattr(function, "__name__", None) or getattr(function, "name", None)
    return (name or type(function).__name__).strip("<>")


class CompileLoss(Loss):
    """The weighted sum of the losses of a model's outputs.

    It is built from the first batch: only then it is known which outputs there are.

    Args:
        loss: A loss, by name, function or object; a list of losses by output; or a dict
            by output name. None is an output without a loss, a list in a list several
            losses of one output.
        loss_weights: A number, a list by output, or a dict by output name; 1 by
            default.
        reduction: How the losses of functions are reduced.
        output_names: The names of the model's outputs.

    Raises:
        ValueError: For an unknown name, naming the nearest.

    Attributes:
        metrics: The mean loss of each output, if there are several with losses.
    """

    def __init__(
        self,
        loss: Any,
        loss_weights: Any = None,
        reduction: str | None = "sum_over_batch_size",
        output_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name="compile_loss", reduction=reduction)
        _check_names(loss, LOSSES, CROSSENTROPY)
        self._user_loss = loss
        self._user_loss_weights = loss_weights
        self.output_names = output_names
        self.metrics: list[Metric] = []
        self.built = False
        self._terms: list[_Term] = []

    @property
    def variables(self) -> list[Any]:
        """The state of `metrics`."""
        return [v for metric in self.metrics for v in metric.variables]

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Resolves the losses for outputs.

        Args:
            y_true: The targets of a batch.
            y_pred: The outputs for it.

        Raises:
            ValueError: If losses, weights or targets do not fit the outputs, or for an
                unknown loss.
        """
        outputs = Outputs.of(y_pred, self.output_names)
        given = _for_single(self._user_loss, outputs)
        if isinstance(given, dict) and set(given) < set(outputs.names):
            raise ValueError(
                f"Expected a loss for each of the outputs {list(outputs.names)}, None "
                f"for those without one. Received: loss with the keys {list(given)}"
            )
        identifiers = outputs.assign(given, "loss")
        weights = self._weights(outputs)
        targets = outputs.flatten(y_true, "y_true")
        predictions = outputs.flatten(y_pred, "y_pred")
        self._terms = [
            _Term(i, resolved, 1.0 if weights[i] is None else weights[i])
            for i, identifier in enumerate(identifiers)
            for one in (
                identifier if isinstance(identifier, (list, tuple)) else [identifier]
            )
            if (
                resolved := self._resolve(
                    one, targets[i], predictions[i], outputs.names[i]
                )
            )
        ]
        with_losses = list(dict.fromkeys(term.output for term in self._terms))
        if len(with_losses) > 1:
            trackers = {i: Mean(name=f"{outputs.names[i]}_loss") for i in with_losses}
            self.metrics = list(trackers.values())
            for term in self._terms:
                term.tracker = trackers[term.output]
        self.built = True

    def _resolve(
        self, identifier: Any, y_true: Any, y_pred: Any, name: str
    ) -> Loss | None:
        if identifier is None:
            return None
        _check_given(y_true, name)
        return get_loss(identifier, y_true, y_pred)

    def _weights(self, outputs: Outputs) -> list[Any]:
        weights = _for_single(self._user_loss_weights, outputs)
        if isinstance(weights, dict) and set(weights) < set(outputs.names):
            raise ValueError(
                f"Expected `loss_weights` for each of the outputs {list(outputs.names)}. "
                f"Received: loss_weights with the keys {list(weights)}"
            )
        listed = outputs.assign(weights, "loss_weights")
        for weight in listed:
            if weight is not None and not isinstance(weight, (int, float)):
                raise ValueError(
                    "`loss_weights` must be numbers. "
                    f"Received: loss_weights={self._user_loss_weights}"
                )
        return listed

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The sum of all losses, weighted; None if no output has a loss.

        Args:
            y_true: The targets: of the structure of `y_pred`, a list or a dict by
                output name.
            y_pred: The outputs.
            sample_weight: Weights of the samples: for all outputs, or for each of them
                as the targets are.

        Raises:
            ValueError: If targets or sample weights do not fit the outputs.
        """
        if not self.built:
            self.build(y_true, y_pred)
        outputs = Outputs.of(y_pred, self.output_names)
        targets = outputs.flatten(y_true, "y_true")
        predictions = outputs.flatten(y_pred, "y_pred")
        weights = _sample_weights(outputs, sample_weight)
        total: Any = None
        with name_scope("loss"):
            for term in self._terms:
                i = term.output
                _check_given(targets[i], outputs.names[i])
                value = term.loss(targets[i], predictions[i], weights[i])
                value = ops.cast(value, self.dtype)
                if term.tracker is not None:
                    term.tracker.update_state(
                        value, sample_weight=_batch_size(predictions[i])
                    )
                value = value if term.weight == 1 else value * term.weight
                total = value if total is None else total + value
        return total

    def get_config(self) -> dict[str, Any]:
        """The arguments, as they were given."""
        return {
            "loss": self._user_loss,
            "loss_weights": self._user_loss_weights,
            "reduction": self.reduction,
            "output_names": self.output_names,
        }


def _check_given(y_true: Any, name: str) -> None:
    if y_true is None:
        raise ValueError(
            f"The output '{name}' has a loss but no targets. Give targets, or None "
            f"as its loss. Received: y_true=None for '{name}'"
        )


def _check_names(given: Any, known: Registry, also: Sequence[str]) -> None:
    """Raises a ValueError for the first name of nothing; configs are not looked at."""
    if isinstance(given, str):
        if given.lower() not in also:
            known.find(given)
    elif isinstance(given, (list, tuple)):
        for item in given:
            _check_names(item, known, also)
    elif isinstance(given, dict) and "class_name" not in given:
        _check_names(list(given.values()), known, also)


class _Term:
    """One loss of one output, its weight, and the mean that tracks it."""

    def __init__(self, output: int, loss: Loss, weight: float) -> None:
        self.output = output
        self.loss = loss
        self.weight = weight
        self.tracker: Mean | None = None


class CompileMetrics(Metric):
    """The metrics of a model's outputs.

    Args:
        metrics: Metrics of the only output: one or a list, by name, function or object;
            or a list with one or several metrics for each output; or a dict of these by
            output name. They ignore sample weights.
        weighted_metrics: Likewise, but sample weights apply.
        name: Its name.
        output_names: The names of the model's outputs.

    Raises:
        ValueError: For an unknown name, naming the nearest.
    """

    def __init__(
        self,
        metrics: Any,
        weighted_metrics: Any,
        name: str = "compile_metrics",
        output_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name=name)
        _check_names([metrics, weighted_metrics], METRICS, ACCURACY + CROSSENTROPY)
        self._user_metrics = metrics
        self._user_weighted_metrics = weighted_metrics
        self.output_names = output_names
        self.built = False
        self._entries: list[_Entry] = []

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of all outputs; none before the first batch."""
        return [entry.metric for entry in self._entries]

    def _metrics(self) -> Iterator[Metric]:
        return iter(self.metrics)

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Resolves the metrics for outputs.

        Args:
            y_true: The targets of a batch.
            y_pred: The outputs for it.

        Raises:
            ValueError: If metrics or targets do not fit the outputs, or for an unknown
                metric.
        """
        outputs = Outputs.of(y_pred, self.output_names)
        targets = outputs.flatten(y_true, "y_true")
        predictions = outputs.flatten(y_pred, "y_pred")
        entries: list[_Entry] = []
        taken: set[str] = set()
        for given, weighted in (
            (self._user_metrics, False),
            (self._user_weighted_metrics, True),
        ):
            argument = "weighted_metrics" if weighted else "metrics"
            for i, identifiers in enumerate(_by_output(given, outputs, argument)):
                for identifier in identifiers:
                    metric = get_metric(identifier, targets[i], predictions[i])
                    if metric is not None:
                        prefix = "" if outputs.single else f"{outputs.names[i]}_"
                        key = _free_key(prefix, metric.name, weighted, taken)
                        entries.append(_Entry(i, metric, weighted, key))
        self._entries = entries
        self.built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to all metrics.

        Args:
            y_true: The targets: of the structure of `y_pred`, a list or a dict by
                output name.
            y_pred: The outputs.
            sample_weight: Weights of the samples: for all outputs, or for each of them
                as the targets are.

        Raises:
            ValueError: If targets or sample weights do not fit the outputs.
        """
        if not self.built:
            self.build(y_true, y_pred)
        outputs = Outputs.of(y_pred, self.output_names)
        targets = outputs.flatten(y_true, "y_true")
        predictions = outputs.flatten(y_pred, "y_pred")
        weights = _sample_weights(outputs, sample_weight)
        for entry in self._entries:
            i = entry.output
            with name_scope(f"metrics/{entry.key}"):
                if entry.weighted and weights[i] is not None:
                    entry.metric.update_state(
                        targets[i], predictions[i], sample_weight=weights[i]
                    )
                else:
                    entry.metric.update_state(targets[i], predictions[i])

    def result(self) -> dict[str, Any]:
        """The results by name: ``<output>_<metric>``, or ``<metric>`` of one output."""
        results: dict[str, Any] = {}
        for entry in self._entries:
            found = entry.metric.result()
            results.update(found if isinstance(found, dict) else {entry.key: found})
        return results

    def get_config(self) -> dict[str, Any]:
        """The arguments, as they were given."""
        return {
            "metrics": self._user_metrics,
            "weighted_metrics": self._user_weighted_metrics,
            "name": self.name,
            "output_names": self.output_names,
        }


class _Entry:
    """One metric of one output, and the key of its result."""

    def __init__(self, output: int, metric: Metric, weighted: bool, key: str) -> None:
        self.output = output
        self.metric = metric
        self.weighted = weighted
        self.key = key


def _for_single(given: Any, outputs: Outputs) -> Any:
    """The only item of a list or dict that is given for a model's only output."""
    if outputs.single and isinstance(given, (list, tuple)) and len(given) == 1:
        return given[0]
    return given


def _by_output(given: Any, outputs: Outputs, argument: str) -> list[list[Any]]:
    """The flat list of metrics of each output."""
    if given is None:
        return [[] for _ in outputs.names]
    if outputs.single:
        return [_flat(given)]
    return [_flat(item) for item in outputs.assign(given, argument)]


def _flat(given: Any) -> list[Any]:
    if isinstance(given, dict) and "class_name" not in given:
        return [item for value in given.values() for item in _flat(value)]
    if isinstance(given, (list, tuple)):
        return [item for value in given for item in _flat(value)]
    return [given]


def _free_key(prefix: str, name: str, weighted: bool, taken: set[str]) -> str:
    key = f"{prefix}{name}"
    if weighted and key in taken:
        key = f"{prefix}weighted_{name}"
    key = fresh_name(key, taken)
    taken.add(key)
    return key


def _sample_weights(outputs: Outputs, sample_weight: Any) -> list[Any]:
    """The sample weights of each output; weights that are one tensor are for all."""
    if sample_weight is None or trees.structure(sample_weight).is_leaf():
        return [sample_weight] * len(outputs.names)
    return outputs.flatten(sample_weight, "sample_weight")


def _batch_size(y_pred: Any) -> Any:
    return y_pred.shape[0] if y_pred.shape else 1
