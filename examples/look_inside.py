"""Print a training step at each stage: as traced, after passes, as StableHLO."""

import graphc
from graphc import layers

model = graphc.Sequential([graphc.Input((4,)), layers.Dense(3)])
model.compile("sgd", "mse")
graph = model.graph("train_step", batch_size=8)

print("// as traced")
print(graph)
print("// after autodiff and simplification")
print(graphc.passes.run(graph, "train"))
print("// lowered for XLA")
print(graphc.passes.run(graph, "xla"))
print("// StableHLO")
print(graphc.emit(graph, "xla"))
