"""What would inference gain if weights were prepared once, normalizations folded in?

    taskset -c 0 python -m benchmarks.inference_folding

Weights are parameters of a program, so that scaling them by a normalization's factor
would happen in each call, and is refused. A ResNet-50 with batches of one is measured
beside one that has only the biases that folding would leave: an upper bound. How many
nodes of BERT depend on weights alone is counted. Times are of the processor.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

import graphc
from benchmarks.cpu_models import WORKLOADS
from benchmarks.timing import interleaved, table
from graphc.ir import Graph
from graphc.ir.opdef import Kind
from graphc.ir.values import Value
from graphc.passes import run
from graphc.passes.memory_bill import is_state

NOW, FOLDED = "normalizations", "biases"


class Bias(graphc.layers.Layer):
    """What is left of a normalization whose factor is in the weights."""

    def build(self, input_shape: Any) -> None:
        """Creates the bias."""
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros")

    def call(self, x: Any) -> Any:
        """Adds it."""
        return x + self.bias


def with_biases(model: Any) -> Any:
    """A copy of a model whose normalizations are biases."""

    def replaced(layer: Any) -> Any:
        if isinstance(layer, graphc.layers.BatchNormalization):
            return Bias()
        return type(layer).from_config(layer.get_config())

    return graphc.models.clone_model(model, clone_function=replaced)


def of_weights_alone(graph: Graph) -> int:
    """How many nodes that compute depend on state and on nothing else."""
    known = set(filter(is_state, graph.parameters))
    count = 0
    for node in graph.nodes:
        values = [o for o in node.operands if isinstance(o, Value)]
        if values and all(value in known for value in values):
            known.update(node.results)
            count += node.op.kind is not Kind.BROADCAST
    return count


def main() -> None:
    """Prints the ratio for a ResNet-50 and the count for BERT."""
    workload = WORKLOADS["resnet50 b1"]
    x = workload.inputs(np.random.default_rng(0))
    model = workload.build()
    models = {NOW: model, FOLDED: with_biases(model)}
    runs = {name: partial(each.predict_on_batch, x) for name, each in models.items()}
    print(table(interleaved(runs, 11, 1, time.process_time), NOW))
    workload = WORKLOADS["bert b1"]
    x = workload.inputs(np.random.default_rng(0))
    model = workload.build()
    model.predict_on_batch(x)
    graph = run(model.graph("predict", len(x)), "xla:cpu")
    print(f"BERT: {of_weights_alone(graph)} of {len(graph)} nodes on weights alone")


if __name__ == "__main__":
    main()
