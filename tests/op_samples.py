"""Samples of op records as parameters of the tests that are generated from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graphc.ir import OpDef, Sample
from graphc.ir.ops import OPS


def sample_cases(
    wanted: Callable[[OpDef, Sample], bool] = lambda op, sample: True,
) -> list[Any]:
    """All samples of all ops as pytest parameters ``(op, sample)``."""
    return [
        pytest.param(op, sample, id=f"{name}-{number}")
        for name, op in sorted(OPS.items())
        for number, sample in enumerate(op.samples)
        if wanted(op, sample)
    ]
