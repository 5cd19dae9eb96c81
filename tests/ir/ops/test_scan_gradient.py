"""Which values the backward loop of a scan works on."""

from __future__ import annotations

import numpy as np

from graphc.ir import evaluate, parse
from graphc.ir.differentiate import differentiate
from tests.closeness import assert_close


def test_a_sequence_of_integers_without_outputs():
    graph = parse("""
        graph @f(%x: f64[], %n: i32[3]) -> (f64[]) {
          %y = scan(%x, %n) {body="step", carries=1, length=3, sequences=1} : f64[]
          return %y
        }
        graph @step(%c: f64[], %n: i32[]) -> (f64[]) {
          %0 = convert(%n) {dtype="f64"} : f64[]
          %1 = multiply(%c, %0) : f64[]
          return %1
        }""")
    gradient = differentiate(graph, [0])
    gradient.verify()
    found = evaluate(gradient, np.float64(0.5), np.array([2, 3, 5], np.int32))
    assert_close(found, [15.0, 30.0])


def test_an_output_that_nothing_reads_of_a_loop_without_sequences():
    graph = parse("""
        graph @f(%x: f64[]) -> (f64[]) {
          %y, %ys = scan(%x) {body="step", carries=1, length=3} : f64[], f64[3]
          return %y
        }
        graph @step(%c: f64[]) -> (f64[], f64[]) {
          %0 = multiply(%c, 2.0:f64) : f64[]
          %1 = sine(%c) : f64[]
          return %0, %1
        }""")
    gradient = differentiate(graph, [0])
    gradient.verify()
    assert_close(evaluate(gradient, np.float64(0.5)), [4.0, 8.0])
