"""Faults that are put into passes, for `graphc blame` to find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from graphc.ir.build import building
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import OPS
from graphc.ir.values import Literal, Operand
from graphc.passes import cse, dce
from graphc.passes.rewrite import Rewriter
from tests.passes.linear_losses import STEP

Plant = Callable[[pytest.MonkeyPatch], None]

FACTOR = 1.25
"""How much larger a wrong result is."""


@dataclass(frozen=True)
class Fault:
    """A wrong pass.

    Attributes:
        pass_name: The pass.
        rule: What it does wrongly, as the ledger calls it.
        text: A graph on which it does.
        pipeline: The passes to run.
        plant: Makes the pass wrong; by default, what the rule proposes is too large.
    """

    pass_name: str
    rule: str
    text: str
    pipeline: str = "default"
    plant: Plant | None = None

    def put_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Makes the pass wrong."""
        plant = self.plant or (lambda m: _enlarge(m, self.pass_name, self.rule))
        plant(monkeypatch)


def _larger(operand: Operand) -> Operand:
    if not operand.type.dtype.is_float:
        return operand
    if isinstance(operand, Literal):
        return Literal(operand.value * FACTOR, operand.dtype)
    return OPS["multiply"](operand, Literal(FACTOR, operand.type.dtype))


def _enlarge(monkeypatch: pytest.MonkeyPatch, pass_name: str, rule: str) -> None:
    fitted = Rewriter._fitted

    def larger(
        self: Rewriter, node: Node, applied: str, operands: Sequence[Operand]
    ) -> Sequence[Operand]:
        if (self.pass_name, applied) == (pass_name, rule):
            operands = [_larger(operand) for operand in operands]
        return fitted(self, node, applied, operands)

    monkeypatch.setattr(Rewriter, "_fitted", larger)


def _ignore_last_operands(monkeypatch: pytest.MonkeyPatch) -> None:
    key = cse._key

    def shorter(node: Node) -> Any:
        op, operands, *rest = key(node)
        rest += [result.type for result in node.results]
        return op, node.operands[:1] if len(operands) == 2 else operands, *rest

    monkeypatch.setattr(cse, "_key", shorter)


def _drop_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    run = dce.DeadCodeElimination.run

    def wrong(self: dce.DeadCodeElimination, graph: Graph, rewriter: Rewriter) -> bool:
        changed = run(self, graph, rewriter)
        for node in graph.nodes:
            if node.op.name in ("sqrt", "rsqrt"):
                changed |= rewriter.replace(node, node.operands, "dead")
        return changed

    monkeypatch.setattr(dce.DeadCodeElimination, "run", wrong)


def _enlarge_in_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    outline = Rewriter.outline

    def larger(self: Rewriter, *arguments: Any, **options: Any) -> Graph | None:
        made = outline(self, *arguments, **options)
        if made is not None:
            with building(made):
                results = [_larger(result) for result in made.results]
            made.results = results
        return made

    monkeypatch.setattr(Rewriter, "outline", larger)


DENSE = """
graph @f(%x: f32[8,4], %w: f32[4,4], %b: f32[4]) -> (f32[8,4], f32[8], f32[4]) {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,4]  loc("net/dense" net.py:7:9)
  %1 = broadcast_in_dim(%b) {dims=[1], shape=[8,4]} : f32[8,4]
  %2 = add(%0, %1) : f32[8,4]  loc("net/dense" net.py:7:9)
  %3 = relu(%2) : f32[8,4]  loc("net/act" net.py:8:9)
  %4 = divide(%3, 4.0) : f32[8,4]  loc("net/scale" net.py:9:9)
  %5 = call(%4) {graph="mean"} : f32[8]  loc("net/mean" net.py:10:9)
  %6 = add(2.0, 3.0) : f32[]
  %7 = sqrt(%6) : f32[]
  %8 = multiply(%5, %7) : f32[8]
  %9 = abs(%b) : f32[4]
  %10 = rsqrt(%9) : f32[4]
  return %4, %8, %10
}
graph @mean(%x: f32[8,4]) -> (f32[8]) {
  %0 = reduce_sum(%x) {axes=[1]} : f32[8]
  %1 = multiply(%0, 0.25) : f32[8]
  return %1
}
"""

TWINS = """
graph @f(%x: f32[4], %y: f32[4], %z: f32[4]) -> (f32[4], f32[4]) {
  %0 = multiply(%x, %y) : f32[4]
  %1 = multiply(%x, %z) : f32[4]
  %2 = subtract(%0, %1) : f32[4]
  %3 = add(%y, %z) : f32[4]
  return %2, %3
}
"""

LONG_SUM = """
graph @f(%x: f32[2,65536]) -> (f32[2]) {
  %0 = multiply(%x, %x) : f32[2,65536]
  %1 = reduce_sum(%0) {axes=[1]} : f32[2]
  return %1
}
"""

LONG_PRODUCT = """
graph @f(%x: f32[16,16384], %y: f32[16384,16]) -> (f32[16,16]) {
  %0 = dot_general(%x, %y) {contract=[[1],[0]]} : f32[16,16]
  return %0
}
"""

FAULTS = (
    Fault("canonicalize", "divide_by_power_of_two", DENSE),
    Fault("constant_folding", "fold", DENSE),
    Fault("cse", "merge", TWINS, plant=_ignore_last_operands),
    Fault("dce", "dead", DENSE, plant=_drop_what_is_read),
    Fault("autodiff", "expand", STEP),
    Fault("inline", "inline", DENSE),
    Fault("decompose", "relu", DENSE),
    Fault(
        *("fuse_linear_cross_entropy", "fuse", STEP),
        "fuse_linear_cross_entropy{least_mib=0},default",
    ),
    Fault(
        *("chunk_linear_cross_entropy", "chunk", STEP),
        "fuse_linear_cross_entropy{least_mib=0},autodiff,inline,"
        "chunk_linear_cross_entropy{chunk_mib=0,least_rows=16},decompose",
    ),
    Fault("split_reductions", "split", LONG_SUM, "triton"),
    Fault("split_contractions", "split_sum", LONG_PRODUCT, "triton"),
    Fault("fusion", "outline", DENSE, "triton", plant=_enlarge_in_kernels),
)
