"""Blocks of steps: the results of single steps, in fewer dispatches."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.frontend.models.graphs import BLOCKS
from graphc.ir import parse
from graphc.ir.ops.effects import discarded_lines, write_lines_with
from tests.closeness import assert_close


def data(samples: int) -> tuple[Any, Any, Any]:
    """Inputs, classes and sample weights."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, 4)).astype("float32")
    y = rng.integers(0, 3, samples).astype("int32")
    return x, y, rng.uniform(0.5, 2.0, samples).astype("float32")


def noisy() -> Any:
    """A model with state of all kinds: weights, running means, a seed."""
    return graphc.Sequential(
        [
            graphc.Input((4,)),
            layers.Dense(5, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ],
        name="noisy",
    )


def named() -> Any:
    """A model with inputs and outputs by name."""
    inputs = {"a": graphc.Input((4,), name="a"), "b": graphc.Input((4,), name="b")}
    joined = layers.Concatenate()([inputs["a"], inputs["b"]])
    return graphc.Model(inputs, {"p": layers.Dense(3)(joined), "q": joined})


def recurrent() -> Any:
    """A model with a mask and a loop of its own."""
    return graphc.Sequential(
        [
            graphc.Input((4,), dtype="int32"),
            layers.Embedding(7, 3, mask_zero=True),
            layers.GRU(3),
            layers.Dense(3, activation="softmax"),
        ]
    )


class OwnStep(graphc.Sequential):
    """A model with its own train step, which prints and has a log that is no mean."""

    def train_step(self, data: Any) -> Any:
        logs = super().train_step(data)
        count = graphc.ops.cast(self.optimizer.iterations, "float32")
        return logs | {"count": graphc.ops.print("step {:.0f}", count)}


def own_step() -> Any:
    return OwnStep([graphc.Input((4,)), layers.Dense(3, activation="softmax")])


def made(make: Callable[[], Any], steps: int, target: str = "numpy", **how: Any) -> Any:
    """A compiled model; equal arguments give equal models."""
    graphc.utils.set_random_seed(5)
    model = make()
    how = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]} | how
    model.compile("adam", steps_per_execution=steps, target=target, **how)
    return model


def state(model: Any) -> list[Any]:
    """All that a training step changes."""
    variables = [*model.variables, *model.optimizer.variables]
    variables += [v for metric in model.metrics for v in metric.variables]
    return [np.asarray(v) for v in variables]


def compiles(model: Any, kind: str) -> list[list[dict[str, int]]]:
    """The sizes that single steps were compiled for, and those of blocks."""
    step = model.step(kind)
    return [
        [compile.bindings for program in kept.values() for compile in program.compiles]
        for kept in (step.programs, step.blocks)
    ]


@pytest.mark.parametrize(
    ("samples", "size", "block", "alone"),
    [
        (24, 3, 3, []),  # whole blocks
        (28, 4, 4, []),  # a shorter last block
        (26, 3, 3, [{"B": 2}]),  # a smaller last batch, alone in its group
        (25, 4, 4, [{"B": 1}]),  # a smaller last batch behind others
        (12, 100, 3, []),  # a block that is longer than the epoch
    ],
)
def test_blocks_equal_single_steps(
    samples: int, size: int, block: int, alone: list[dict[str, int]]
) -> None:
    x, y, weights = data(samples)
    found: list[Any] = []
    for steps in (1, size):
        model = made(noisy, steps)
        history = model.fit(
            x, y, batch_size=4, epochs=2, verbose=0, sample_weight=weights
        ).history
        found.append((model, history))
    (single, wanted), (model, history) = found
    assert history == wanted
    for value, expected in zip(state(model), state(single), strict=True):
        np.testing.assert_array_equal(value, expected)
    assert compiles(model, "train_step") == [alone, [{"K": block, "B": 4}]]
    results = [m.evaluate(x, y, batch_size=4, verbose=0) for m in (model, single)]
    assert results[0] == results[1]
    assert compiles(model, "eval_step") == [alone, [{"K": block, "B": 4}]]


def test_batches_of_many_sizes_keep_their_order() -> None:
    x, y, _ = data(9)

    def batches() -> Any:
        for start, end in ((0, 2), (2, 3), (3, 5), (5, 7), (7, 8), (8, 9)):
            yield x[start:end], y[start:end]

    found = []
    for steps in (1, 4):
        model = made(noisy, steps)
        model.fit(batches(), verbose=0)
        found.append(state(model))
    for value, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert compiles(model, "train_step") == [[{"B": 1}], [{"K": 4, "B": 2}]]


X, Y, _ = data(12)
BY_NAME = {"a": X, "b": X[::-1]}
TARGETS = {"p": X[:, :3], "q": np.concatenate([X, X], 1)}
NAMED = {"loss": {"p": "mse", "q": "mae"}, "metrics": None}
MODELS: dict[str, tuple[Any, ...]] = {
    "class weights": (noisy, X, Y, {}, {"class_weight": {0: 2.0, 1: 1.0, 2: 0.5}}),
    "names": (named, BY_NAME, TARGETS, NAMED, {}),
    "mask": (recurrent, abs(X * 4).astype("int32") % 7, Y, {}, {}),
    "own step": (own_step, X, Y, {}, {}),
    "no metrics": (noisy, X, Y, {"metrics": None}, {}),
}


@pytest.mark.parametrize("case", MODELS)
def test_models_and_data_of_all_kinds(case: str, capsys: Any) -> None:
    make, x, y, how, options = MODELS[case]
    found = []
    for steps in (1, 2):
        model = made(make, steps, **how)
        history = model.fit(x, y, batch_size=4, verbose=0, **options).history
        found.append((history, state(model), capsys.readouterr().out))
    (wanted, single, lines), (history, values, printed) = found
    assert (history, printed) == (wanted, lines)
    for value, expected in zip(values, single, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert compiles(model, "train_step") == [[], [{"K": 2, "B": 4}]]


def test_xla(capsys: Any) -> None:
    found = []
    for steps in (1, 2):
        model = made(own_step, steps, "xla")
        history = model.fit(X, Y, batch_size=4, verbose=0).history
        found.append((history, state(model)))
        assert capsys.readouterr().out.split("\n")[:3] == ["step 1", "step 2", "step 3"]
    (wanted, single), (history, values) = found
    assert history["count"] == [3.0]
    assert_close(np.float32(history["loss"]), np.float32(wanted["loss"]))
    for value, expected in zip(values, single, strict=True):
        assert_close(value, expected)
    # The state is donated: a block writes where the last one did.
    kernel = model.layers[0].kernel.array()
    model.fit(X, Y, batch_size=4, verbose=0)
    assert kernel.is_deleted()
    assert compiles(model, "train_step") == [[], [{"K": 2, "B": 4}]]


class Hooks(graphc.callbacks.Callback):
    """Notes when batch hooks are called."""

    def __init__(self, once_per_block: bool) -> None:
        super().__init__()
        self.once_per_block = once_per_block
        self.calls: list[tuple[str, int]] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("begin", batch))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("end", batch))
        assert logs["count"] == batch + 1


@pytest.mark.parametrize("once_per_block", [False, True])
def test_callbacks(once_per_block: bool) -> None:
    hooks = Hooks(once_per_block)
    model = made(own_step, 2)
    with discarded_lines():
        model.fit(X, Y, batch_size=4, verbose=0, callbacks=[hooks])
    groups = [(0, 1), (2, 2)] if once_per_block else [(0, 0), (1, 1), (2, 2)]
    calls = [[("begin", first), ("end", last)] for first, last in groups]
    assert hooks.calls == [call for pair in calls for call in pair]
    assert bool(model.step("train_step").blocks) == once_per_block
    assert bool(compiles(model, "train_step")[0]) != once_per_block


def test_training_ends_after_the_block_with_a_nan() -> None:
    model = made(noisy, 2, metrics=None)
    x = np.concatenate([X, np.full_like(X, np.nan)])
    stop = graphc.callbacks.TerminateOnNaN(raise_error=True)
    with pytest.raises(RuntimeError, match="at batch 3"):
        model.fit(x, np.tile(Y, 2), 4, shuffle=False, verbose=0, callbacks=[stop])
    assert int(model.optimizer.iterations) == 4


def test_interrupt_takes_effect_at_the_end_of_a_block() -> None:
    model = made(own_step, 2)

    def press(line: str) -> None:
        if line == "step 1":
            os.kill(os.getpid(), signal.SIGINT)

    with discarded_lines():
        write_lines_with(press)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X[:8], Y[:8], batch_size=2, verbose=0)
    assert int(model.optimizer.iterations) == 2
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("kind", BLOCKS)
def test_graphs_of_blocks(kind: str) -> None:
    model = made(recurrent, 2)
    step = model.graph(BLOCKS[kind])
    block = model.graph(kind)
    block.verify()
    assert parse(str(block)) == block
    assert (block.name, block.symbols) == (kind, {"B", "K"})
    assert block.module.graphs[step.name] == step
    bound = model.graph(kind, batch_size=4)
    assert bound.symbols == {"K"}
    names = [p.name for p in step.parameters]
    assert [p.name for p in bound.parameters] == ["steps", *names]
    assert [str(p.type) for p in bound.parameters[:3]] == [
        "i32[]",
        "i32[K,4,4]",
        "i32[K,4]",
    ]
