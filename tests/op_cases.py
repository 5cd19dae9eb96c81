"""Ops as parameters of the tests that are generated from their records."""

from __future__ import annotations

import pytest

from graphc.ir.ops import OPS

each_op = pytest.mark.parametrize(
    "op", [pytest.param(op, id=name) for name, op in sorted(OPS.items())]
)
