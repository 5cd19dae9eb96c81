"""Merging layers against Keras: inputs of several ranks, and masks."""

from typing import Any

import numpy as np
import pytest

import graphc
from tests.closeness import assert_close
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

ELEMENTWISE = ["Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average"]
MASKED = [(False, True), (True, False), (True, True)]


def merged(
    library: Any,
    name: str,
    arrays: list[np.ndarray],
    masked: tuple[bool, ...],
    **options: Any,
) -> list[Any]:
    """What a merging layer gives, and a layer behind it that reads the mask."""
    inputs = [library.Input(array.shape[1:]) for array in arrays]
    given = [
        library.layers.Masking()(x) if keeps else x
        for x, keeps in zip(inputs, masked, strict=True)
    ]
    merged = getattr(library.layers, name)(**options)(given)
    read = library.layers.GlobalAveragePooling1D()(merged)
    return library.Model(inputs, [merged, read]).predict(arrays, verbose=0)


def steps(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of which half the steps are zeros."""
    kept = rng.random(shape[:2]) < 0.5
    return np.where(kept[..., None], rng.normal(size=shape), 0).astype(np.float32)


@pytest.mark.parametrize("masked", MASKED, ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_masks(
    name: str, masked: tuple[bool, ...], keras: Any, recorded: Any, rng: Any
) -> None:
    arrays = [steps(rng, 3, 4, 2), steps(rng, 3, 4, 2)]
    wanted = recorded(lambda: merged(keras, name, arrays, masked))
    for ours, theirs in zip(merged(graphc, name, arrays, masked), wanted, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_ranks(name: str, keras: Any, recorded: Any, rng: Any) -> None:
    arrays = [
        rng.normal(size=shape).astype(np.float32) for shape in ((3, 2), (3, 4, 2))
    ]
    # Keras gives the smaller input a steps axis, and the larger one's mask stays.
    wanted = recorded(lambda: merged(keras, name, arrays, (False, True)))
    found = merged(graphc, name, arrays, (False, True))
    for ours, theirs in zip(found, wanted, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("masked", MASKED, ids=str)
@pytest.mark.parametrize(
    ("axis", "shape"), [(-1, (3, 4, 5)), (1, (3, 2, 2)), (-2, (3, 2, 2))]
)
def test_masks_of_concatenations(
    axis: int,
    shape: tuple[int, ...],
    masked: tuple[bool, ...],
    keras: Any,
    recorded: Any,
    rng: Any,
) -> None:
    arrays = [steps(rng, 3, 4, 2), steps(rng, *shape)]
    wanted = recorded(lambda: merged(keras, "Concatenate", arrays, masked, axis=axis))
    found = merged(graphc, "Concatenate", arrays, masked, axis=axis)
    for ours, theirs in zip(found, wanted, strict=True):
        assert_close(ours, theirs)


def test_dot_products_have_no_mask() -> None:
    x = graphc.layers.Masking()(graphc.Input((4, 2)))
    assert getattr(graphc.layers.Add()([x, x]), "_keras_mask", None) is not None
    assert getattr(graphc.layers.Dot(2)([x, x]), "_keras_mask", None) is None
