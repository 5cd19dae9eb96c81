"""The quantity that a callback watches, and whether it gets better."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from graphc.frontend.arguments import one_of

__all__ = ["Objective"]

Direction = Literal["min", "max"]

# What the names of quantities to maximize and to minimize are made of.
_WORDS: dict[Direction, str] = {
    "max": (
        "acc|accuracy|auc|precision|recall|sensitivity|specificity|f1|fbeta|score|iou|"
        "io_u|similarity|correlation|true_positives|true_negatives"
    ),
    "min": (
        "loss|error|mse|mae|mape|msle|rmse|crossentropy|entropy|divergence|hinge|poisson|"
        "logcosh|log_cosh|huber|perplexity|false_positives|false_negatives"
    ),
}
# What metrics call their directions.
_DIRECTIONS: dict[str, Direction] = {"up": "max", "down": "min"}


class Objective:
    """A monitored quantity and the direction in which it gets better.

    Args:
        owner: The callback that watches it, for messages.
        monitor: The name of the quantity in the logs, such as ``"val_loss"``.
        mode: ``"min"``, ``"max"``, or ``"auto"``, which asks the model's metric of this
            name, or else goes by the name.
        min_delta: The least change that counts.

    Raises:
        ValueError: If `mode` is none of these.
    """

    def __init__(
        self, owner: str, monitor: str, mode: str = "auto", min_delta: float = 0.0
    ) -> None:
        self.owner = owner
        self.monitor = monitor
        self.mode = one_of("mode", mode, ("auto", "min", "max"))
        self.min_delta = abs(min_delta)
        self._warned = False

    def read(self, logs: Mapping[str, Any] | None, model: Any) -> float | None:
        """The monitored value; None, and one warning per training, if it is missing.

        Raises:
            ValueError: If it is no single number, or gets better nobody knows how.
        """
        value = (logs or {}).get(self.monitor)
        if value is None:
            self._warn(logs or {})
            return None
        if self.mode == "auto":
            self.mode = self._find_direction(model)
        if np.ndim(value):
            raise ValueError(
                f"{self.owner}: Expected the metric {self.monitor!r} to be one number. "
                f"Received: {value}"
            )
        return float(value)

    def improves(self, value: float, reference: float | None) -> bool:
        """Whether `value` is better than `reference` by more than `min_delta`.

        Any number is better than None, and NaN is never better.
        """
        if reference is None:
            return not math.isnan(value)
        if self.mode == "max":
            return value - self.min_delta > reference
        return value + self.min_delta < reference

    def begin(self) -> None:
        """Allows one more warning, as a training begins."""
        self._warned = False

    def _find_direction(self, model: Any) -> Direction:
        name = self.monitor.removeprefix("val_")
        for metric in getattr(model, "metrics", ()):
            direction = getattr(metric, "_direction", None)
            if metric.name == name and direction in _DIRECTIONS:
                return _DIRECTIONS[direction]
        # The last word decides: binary_accuracy_loss is a loss.
        found: list[tuple[int, Direction]] = [
            (match.end(), mode)
            for mode, words in _WORDS.items()
            for match in re.finditer(rf"(?:^|_)({words})(?=_|$)", name)
        ]
        if not found:
            raise ValueError(
                f"{self.owner}: cannot tell whether {self.monitor!r} is to be maximized "
                "or minimized. Expected mode='max' or mode='min'. Received: mode='auto'"
            )
        return max(found)[1]

    def _warn(self, logs: Mapping[str, Any]) -> None:
        if not self._warned:
            warnings.warn(
                f"{self.owner} is conditioned on metric `{self.monitor}` which is not "
                f"available. Available metrics are: {','.join(logs)}",
                stacklevel=2,
            )
        self._warned = True
