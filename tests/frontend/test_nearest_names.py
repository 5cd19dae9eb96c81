"""Namespaces name the nearest name for one that is missing."""

import importlib

import pytest


@pytest.mark.parametrize(
    ("namespace", "name", "nearest"),
    [
        ("graphc.ops", "matmull", "matmul"),
        ("graphc.ops.image", "rezise", "resize"),
        ("graphc.ops.linalg", "solv", "solve"),
        ("graphc.layers", "Dens", "Dense"),
        ("graphc.losses", "MeanSquareError", "MeanSquaredError"),
        ("graphc.random", "unifrom", "uniform"),
        ("graphc.optimizers", "Adamw", "AdamW"),
        ("graphc.utils", "to_categoric", "to_categorical"),
    ],
)
def test_the_nearest_name_is_suggested(namespace: str, name: str, nearest: str) -> None:
    module = importlib.import_module(namespace)
    with pytest.raises(AttributeError, match=f"did you mean {nearest!r}?") as caught:
        getattr(module, name)
    assert f"module {namespace!r} has no attribute {name!r}" in str(caught.value)


def test_nothing_is_suggested_for_what_is_like_no_name() -> None:
    module = importlib.import_module("graphc.ops")
    with pytest.raises(AttributeError, match=r"has no attribute 'xqzw'$"):
        _ = module.xqzw
    assert not hasattr(module, "__path_of_nothing__")


def test_names_that_exist_are_those_of_the_frontend() -> None:
    ops = importlib.import_module("graphc.ops")
    assert ops.matmul is importlib.import_module("graphc.frontend.ops").matmul
    assert ops.image.resize.__name__ == "resize"
    assert {"matmul", "image", "linalg"} < set(dir(ops))
    assert "suggest_nearest" not in dir(ops)
