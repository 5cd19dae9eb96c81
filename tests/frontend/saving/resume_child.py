"""Loads models in a process without their classes, runs them and trains them on."""

import sys
from pathlib import Path

import numpy as np
import optree

import graphc
from graphc.frontend.serialization.variable_paths import variable_paths

STEPS = 3

folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.graphc")):
    with np.load(path.with_suffix(".batch.npz")) as stored:
        data = dict(stored)
    x = [data[name] for name in sorted(data) if name.startswith("x")]
    y = {name[2:]: data[name] for name in data if name.startswith("y_")}
    inputs = x[0] if len(x) == 1 else x
    targets = y.get("0", y)
    model = graphc.load_model(path)
    found = {}
    outputs = model.predict(inputs, batch_size=8, verbose=0)
    for index, output in enumerate(optree.tree_leaves(outputs)):
        found[f"output/{index}"] = output
    for _ in range(STEPS):
        model.train_on_batch(inputs, targets)
    found |= {name: v.numpy() for name, v in variable_paths(model).items()}
    for index, variable in enumerate(model.optimizer.variables):
        found[f"optimizer/{index}"] = variable.numpy()
    np.savez(path.with_suffix(".result.npz"), **found)
assert "tests.frontend.saving.zoo" not in sys.modules
