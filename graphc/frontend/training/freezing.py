"""Layers that were frozen or thawed after ``compile``."""

from __future__ import annotations

import warnings
from typing import Any


class TrainableLayers:
    """Which layers of a model were trainable when it was compiled.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._compiled: dict[Any, bool] = self._now(model)

    def _now(self, model: Any) -> dict[Any, bool]:
        return {layer: layer.trainable for layer in model._flatten_layers()}

    def warn_if_changed(self, model: Any) -> None:
        """Says which layers were frozen or thawed since, once."""
        compiled, now = self._compiled, self._now(model)
        changed = [x.name for x, on in now.items() if compiled.get(x, on) is not on]
        if changed:
            warnings.warn(
                "`trainable` was changed after `compile`, which training does not see"
                " before the model is compiled again: call model.compile(...)."
                f" Changed layers: {changed}",
                stacklevel=3,
            )
            self._compiled = now
