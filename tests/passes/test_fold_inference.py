"""Folding scales and shifts of features into weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir import Graph, building, tensor_type
from graphc.ir.ops import broadcast_in_dim, constant, convolution, dot_general, multiply
from graphc.passes import Rule, run, run_with_report
from graphc.passes.identities.contraction import FOLDING
from graphc.passes.rule import Example
from graphc.testing.equivalence import assert_same_meaning, random_arrays
from graphc.testing.rule_cases import check_end, check_example
from tests.closeness import REORDERED_ULP

EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.name}-{number}")
    for rule in FOLDING.rules
    for number, example in enumerate(rule.examples)
]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_rule_fires_keeps_values_and_ends(
    rule: Rule, example: Example, rng: np.random.Generator
):
    check_example(rule, example, rng)
    check_end(rule, example)


def operations(graph: Graph, of: Callable[[Any], bool]) -> list[str]:
    return [node.op.name for node in graph.nodes if of(node)]


def test_batch_normalization_becomes_part_of_the_convolution(rng: np.random.Generator):
    inputs = graphc.Input((8, 8, 3))
    x = graphc.layers.Conv2D(4, 3, padding="same")(inputs)
    x = graphc.layers.BatchNormalization()(x)
    graph = graphc.Model(inputs, x).graph("predict", 16)
    result = run(graph, "default")
    full_size = operations(result, lambda node: node.result.type.size == 16 * 64 * 4)
    assert full_size == ["convolution", "broadcast_in_dim", "add"]
    arrays = random_arrays(graph, rng)
    arrays[-1] = np.abs(arrays[-1])  # the moving variance
    assert_same_meaning(graph, result, arrays, ulp=REORDERED_ULP)


def test_what_training_computes_from_the_product_is_not_folded():
    inputs = graphc.Input((8, 8, 3))
    x = graphc.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    model = graphc.Model(inputs, graphc.layers.BatchNormalization()(x))
    model.compile(optimizer="sgd", loss="mse")
    _, report = run_with_report(model.graph("train_step", 16), "default")
    made = [r for r in report.ledger.rewrites if r.pass_name == "fold_inference"]
    assert [r.rule for r in made if r.rule != "dead"] == []


def scaled(rows: int, stored: bool) -> Graph:
    graph = Graph("f")
    x = graph.add_parameter(tensor_type(f"f32[{rows},8]"))
    s = graph.add_parameter(tensor_type("f32[4]"))
    with building(graph):
        if stored:
            arrays = np.arange(32, dtype=np.float32).reshape(8, 4), np.ones(4, "f4") / 3
            w, s = (
                constant(
                    name=graph.module.add_constant(
                        each * (1 + np.arange(4.0, dtype="f4"))
                    )
                )
                for each in arrays
            )
        else:
            w = graph.add_parameter(tensor_type("f32[8,4]"))
        y = dot_general(x, w, contract=[[1], [0]])
        graph.results = [multiply(y, broadcast_in_dim(s, shape=y.type.shape, dims=[1]))]
    return graph


def test_large_weights_are_not_scaled_in_each_call():
    graph = scaled(8, stored=False)
    result, report = run_with_report(graph, "fold_inference")
    assert result == graph
    (refusal,) = report.ledger.refusals
    assert refusal.reason == "weights of f32[8,4] would be scaled in each call"


def test_constant_weights_are_scaled_once():
    result = run(scaled(8, stored=True), "fold_inference,constant_folding,dce")
    assert [node.op.name for node in result.nodes] == ["constant", "dot_general"]


def test_groups_of_features_keep_their_weights(rng: np.random.Generator):
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[8,12,4]"))
    w = graph.add_parameter(tensor_type("f32[2,2,6]"))
    s = graph.add_parameter(tensor_type("f32[6]"))
    with building(graph):
        y = convolution(
            x,
            w,
            labels="b0f_0io->b0f",
            strides=[1],
            padding=[[0, 0]],
            input_dilation=[1],
            kernel_dilation=[1],
            groups=2,
        )
        graph.results = [multiply(broadcast_in_dim(s, shape=y.type.shape, dims=[2]), y)]
    result = run(graph, "fold_inference", check=True)
    assert result.results[0].node.op.name == "convolution"
    assert_same_meaning(graph, result, random_arrays(graph, rng), ulp=REORDERED_ULP)
