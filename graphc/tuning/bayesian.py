"""Optuna's sampler for a space; the only file that imports Optuna (the extra ``tune``)."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from graphc.ir.errors import UnsupportedError
from graphc.tuning.space import Choice, Space

WORST = 100.0
"""What a choice that fails costs: samplers take no infinite numbers."""


class Sampler:
    """A study of Optuna's over a space.

    Args:
        space: The space.
        seed: What it draws from.
        optuna: The package.
    """

    def __init__(self, space: Space, seed: int, optuna: Any) -> None:
        self._optuna = optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=8)
        )
        self._axes = {
            axis.name: optuna.distributions.CategoricalDistribution(axis.values)
            for axis in space.axes
        }

    def draw(self) -> Choice:
        """What the study would try next."""
        trial = self._study.ask(self._axes)
        choice = tuple(trial.params[name] for name in self._axes)
        # What becomes of it is told apart: it may have been proposed before.
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return choice

    def tell(self, choice: Choice, cost: float) -> None:
        """What a choice costs."""
        self._study.add_trial(
            self._optuna.trial.create_trial(
                params=dict(zip(self._axes, choice, strict=True)),
                distributions=self._axes,
                value=cost if math.isfinite(cost) else WORST,
            )
        )


def sampler(space: Space, seed: int) -> Sampler:
    """A sampler for a space.

    Raises:
        UnsupportedError: If Optuna is not installed.
    """
    try:
        optuna = import_module("optuna")
    except ImportError as error:
        raise UnsupportedError(
            "the Bayesian search needs Optuna",
            received=str(error),
            hint="pip install 'graphc[tune]'",
        ) from error
    return Sampler(space, seed, optuna)
