"""Dead code elimination."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from graphc.ir import OPS, IllTyped, Kind, Sample, TensorType, Trait
from graphc.ir.register import primitive
from graphc.passes.dce import DeadCodeElimination


@pytest.fixture(autouse=True)
def notify_op() -> Iterator[None]:
    """An op with an effect, which only this module's tests have."""

    def notify(x: TensorType) -> TensorType:
        """x, after telling somebody."""
        return x

    primitive(
        Kind.ELEMENTWISE,
        lambda x: x,
        vjp="only in tests",
        traits=[Trait.EFFECT],
        samples=[Sample(("f32[2]",))],
        errors=[IllTyped((), "takes 1 operands")],
    )(notify)
    yield
    del OPS["notify"]


def test_removes_what_nothing_reads(check_pass):
    check_pass(
        DeadCodeElimination(),
        before="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %unused = negate(%x) : f32[4]
              %also = add(%unused, 1.0) : f32[4]
              %y = abs(%x) : f32[4]
              return %y
            }""",
        after="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %y = abs(%x) : f32[4]
              return %y
            }""",
    )


def test_keeps_a_node_of_whose_results_one_is_read(check_pass):
    check_pass(
        DeadCodeElimination(),
        before="""
            graph @f(%x: f32[4], %y: f32[4]) -> (f32[4]) {
              %a, %b = optimization_barrier(%x, %y) : f32[4], f32[4]
              return %b
            }""",
    )


def test_keeps_effects_and_calls_of_graphs_that_have_some(check_pass):
    check_pass(
        DeadCodeElimination(),
        before="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = notify(%x) : f32[4]
              %1 = call(%x) {graph="loud"} : f32[4]
              %2 = call(%x) {graph="quiet"} : f32[4]
              return %x
            }
            graph @loud(%x: f32[4]) -> (f32[4]) {
              %0 = call(%x) {graph="inner"} : f32[4]
              return %x
            }
            graph @inner(%x: f32[4]) -> (f32[4]) {
              %0 = notify(%x) : f32[4]
              return %0
            }
            graph @quiet(%x: f32[4]) -> (f32[4]) {
              %0 = negate(%x) : f32[4]
              return %0
            }""",
        after="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = notify(%x) : f32[4]
              %1 = call(%x) {graph="loud"} : f32[4]
              return %x
            }
            graph @loud(%x: f32[4]) -> (f32[4]) {
              %0 = call(%x) {graph="inner"} : f32[4]
              return %x
            }
            graph @inner(%x: f32[4]) -> (f32[4]) {
              %0 = notify(%x) : f32[4]
              return %0
            }""",
    )


def test_keeps_a_choice_of_which_one_branch_has_an_effect(check_pass):
    check_pass(
        DeadCodeElimination(),
        before="""
            graph @f(%p: bool[], %x: f32[4]) -> (f32[4]) {
              %0 = cond(%p, %x) {branches=["quiet","loud"]} : f32[4]
              return %x
            }
            graph @quiet(%x: f32[4]) -> (f32[4]) {
              return %x
            }
            graph @loud(%x: f32[4]) -> (f32[4]) {
              %0 = notify(%x) : f32[4]
              return %0
            }""",
    )
