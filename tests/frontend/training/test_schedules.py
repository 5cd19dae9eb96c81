"""Learning-rate schedules, compared with Keras at many steps."""

from typing import Any

import numpy as np
import pytest

from graphc.frontend.training import schedules
from graphc.frontend.transforms import TensorSpec, trace
from graphc.ir import evaluate
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]
from tests.closeness import assert_close

CASES: list[tuple[str, dict[str, Any]]] = [
    (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.8},
    ),
    (
        "ExponentialDecay",
        {
            "initial_learning_rate": 0.1,
            "decay_steps": 7,
            "decay_rate": 0.8,
            "staircase": True,
        },
    ),
    (
        "InverseTimeDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.8},
    ),
    (
        "InverseTimeDecay",
        {
            "initial_learning_rate": 0.1,
            "decay_steps": 7,
            "decay_rate": 0.8,
            "staircase": True,
        },
    ),
    (
        "PiecewiseConstantDecay",
        {"boundaries": [3, 10, 30], "values": [0.4, 0.3, 0.2, 0.1]},
    ),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    (
        "PolynomialDecay",
        {
            "initial_learning_rate": 0.1,
            "decay_steps": 9,
            "end_learning_rate": 0.01,
            "power": 0.5,
            "cycle": True,
        },
    ),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    (
        "CosineDecay",
        {
            "initial_learning_rate": 0.01,
            "decay_steps": 20,
            "alpha": 0.2,
            "warmup_target": 0.3,
            "warmup_steps": 6,
        },
    ),
    (
        "CosineDecay",
        {
            "initial_learning_rate": 0.01,
            "decay_steps": 20,
            "warmup_target": 0.3,
        },
    ),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 5}),
    (
        "CosineDecayRestarts",
        {
            "initial_learning_rate": 0.1,
            "first_decay_steps": 8,
            "t_mul": 1.0,
            "m_mul": 0.7,
            "alpha": 0.1,
        },
    ),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_rates_are_those_of_keras(
    name: str, options: dict[str, Any], keras: Any, recorded: Any
):
    ours = getattr(schedules, name)(**options)
    graph = trace(ours, TensorSpec((), "int32"))
    steps = [*range(12), 19, 20, 21, 29, 30, 31, 50]
    found = [evaluate(graph, np.int32(step))[0] for step in steps]

    def theirs() -> Any:
        twin = getattr(keras.optimizers.schedules, name)(**options)
        return [float(twin(step)) for step in steps]

    expected = recorded(theirs)
    assert_close(found, expected)
    assert found[0].dtype == np.float32
    assert_close(float(ours(3)), expected[3])  # outside of a trace


@pytest.mark.parametrize(("name", "options"), CASES)
def test_configs_are_those_of_keras(
    name: str, options: dict[str, Any], keras: Any, recorded: Any
):
    config = schedules.serialize(getattr(schedules, name)(**options))

    def theirs() -> Any:
        twin = getattr(keras.optimizers.schedules, name)(**options)
        return keras.optimizers.schedules.serialize(twin)

    assert config == recorded(theirs)
    assert schedules.serialize(schedules.deserialize(config)) == config


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps=0"),
        (lambda: schedules.CosineDecayRestarts(0.1, -1), "first_decay_steps=-1"),
        (
            lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1]),
            r"one more `values`.*len\(values\)=1, len\(boundaries\)=2",
        ),
        (
            lambda: schedules.deserialize({"class_name": "CosinDecay", "config": {}}),
            "Did you mean 'CosineDecay'",
        ),
    ],
)
def test_errors(call: Any, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_own_schedule_without_a_config():
    class Constant(schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return 0.1

    with pytest.raises(
        NotImplementedError, match="Constant must override `get_config`"
    ):
        schedules.serialize(Constant())
