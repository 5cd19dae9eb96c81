"""Decisions of the program generator made, and shrunk, by hypothesis."""

from __future__ import annotations

import hypothesis.strategies as st

from graphc.fuzz import Choices, generate
from graphc.ir import Graph


class DrawnChoices(Choices):
    """Decisions that hypothesis draws."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))


@st.composite
def programs(draw: st.DrawFn, nodes: int = 6) -> Graph:
    """Well-typed programs of any ops; the simplest have no node."""
    return generate(DrawnChoices(draw), draw(st.integers(0, nodes)))
