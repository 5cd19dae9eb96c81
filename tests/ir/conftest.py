"""Ops that only tests have: one that reads a constant, one with every attribute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from graphc.ir import OPS, Arg, IllTyped, Kind, Sample, TensorType, dtype
from graphc.ir.opdef import ConstantName, IntLists, Ints, Shape
from graphc.ir.register import primitive
from graphc.ir.types import DType


def stored(*, value: ConstantName) -> TensorType:
    """A constant of the module."""
    array: Any = value
    return TensorType(array.shape, dtype(array.dtype))


def attributed(
    *x: TensorType,
    count: int = 0,
    rate: float = 0.5,
    flag: bool = False,
    text: str = "",
    axes: Ints = (),
    padding: IntLists = (),
    shape: Shape = (2,),
    to: DType | None = None,
) -> TensorType:
    """Has attributes of many kinds; its shape is the attribute's."""
    return TensorType(shape, to or dtype("f32"))


@pytest.fixture
def extra_ops() -> Iterator[None]:
    """Puts `stored` and `attributed` into the op table for one test."""
    errors = [IllTyped((), "never")]
    for rule in (stored, attributed):
        primitive(
            Kind.OPAQUE,
            lambda *_, **__: None,
            vjp="only in tests",
            samples=[Sample((Arg("f32[2]"),))],
            errors=errors,
        )(rule)
    yield
    del OPS["stored"], OPS["attributed"]
