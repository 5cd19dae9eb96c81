"""What do train_on_batch and predict_on_batch add to the compiled step?

python benchmarks/on_batch.py
"""

import numpy as np
from timing import interleaved, table

import graphc
from graphc import layers


def main() -> None:
    """Prints both comparisons for an MLP 784-128-10 with Adam and batches of 32."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 784)).astype("float32")
    y = rng.integers(0, 10, 32).astype("int32")
    model = graphc.Sequential(
        [
            graphc.Input((784,)),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.train_on_batch(x, y)
    model.predict_on_batch(x)
    train, predict = (
        raw_step(model, "train_step", (x, y)),
        raw_step(model, "predict", (x,)),
    )
    np.testing.assert_array_equal(predict(), model.predict_on_batch(x))
    times = interleaved(
        {"raw step": train, "train_on_batch": lambda: model.train_on_batch(x, y)}
    )
    print(table(times, "raw step"))
    times = interleaved(
        {"raw predict": predict, "predict_on_batch": lambda: model.predict_on_batch(x)}
    )
    print(table(times, "raw predict"))


def raw_step(model, kind, inputs):
    """The compiled step on its own: state passed by hand, scalars waited for."""
    (program,) = model.step(kind).programs.values()
    (executable,) = program.executables
    state = [v.numpy() for v in program.state]
    where = {id(v): i for i, v in enumerate(program.state)}
    written = [where.get(id(v)) for v in program.written]

    def run():
        results = executable(*inputs, *state)
        count = len(results) - len(written)
        for index, array in zip(written, results[count:], strict=True):
            if index is not None:
                state[index] = array
        outputs = [np.asarray(r) for r in results[:count]]
        return outputs[0] if len(outputs) == 1 else outputs

    return run


if __name__ == "__main__":
    main()
