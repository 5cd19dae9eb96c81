"""The text of model.summary()."""

from typing import Any

import pytest

import graphc
from graphc.frontend import layers


def text(model: Any, **options: Any) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80, **options)
    return "\n".join(lines)


def small() -> Any:
    graphc.utils.clear_session()
    return graphc.Sequential(
        [
            graphc.Input((4,)),
            layers.Dense(8, activation="relu", name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(2, name="out"),
        ],
        name="small",
    )


def test_summary(golden: Any) -> None:
    golden(text(small()))


def test_summary_of_nested_and_frozen_layers(golden: Any) -> None:
    model = small()
    model.trainable = False
    inputs = graphc.Input((4,), name="x")
    outer = graphc.Model(
        inputs, layers.Dense(1, name="top")(model(inputs)), name="outer"
    )
    golden(text(outer, expand_nested=True, show_trainable=True))


def test_summary_before_the_model_is_built() -> None:
    found = text(graphc.Sequential([layers.Dense(1, name="d")], name="late"))
    assert 'Model: "late"' in found
    assert "0 (unbuilt)" in found
    assert "Total params: 0 (0.00 B)" in found


def test_summary_of_some_layers() -> None:
    found = text(small(), layer_range=["hid", "norm"])
    assert "hidden" in found
    assert "norm" in found
    assert "out (Dense)" not in found
    with pytest.raises(ValueError, match="to match layers of the model"):
        text(small(), layer_range=["nothing", "norm"])


def test_summary_is_printed(capsys: Any) -> None:
    small().summary()
    assert "Total params: 90 (360.00 B)" in capsys.readouterr().out
