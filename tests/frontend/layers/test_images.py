"""Layers of images against Keras, where nothing is left to chance or it is drawn before.

Keras's results are recorded; see `tests.frontend.recorded`.
"""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers
from tests.closeness import assert_close
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

# Two equal numbers leave nothing to chance.
CASES: list[tuple[str, dict[str, Any]]] = [
    ("Resizing", {"height": 5, "width": 4}),
    (
        "Resizing",
        {"height": 5, "width": 12, "interpolation": "bicubic", "antialias": True},
    ),
    ("Resizing", {"height": 5, "width": 12, "crop_to_aspect_ratio": True}),
    (
        "Resizing",
        {"height": 5, "width": 12, "pad_to_aspect_ratio": True, "fill_value": 0.5},
    ),
    ("CenterCrop", {"height": 4, "width": 5}),
    ("CenterCrop", {"height": 9, "width": 5}),
    ("RandomRotation", {"factor": (0.1, 0.1)}),
    (
        "RandomRotation",
        {
            "factor": (-0.13, -0.13),
            "fill_mode": "constant",
            "fill_value": 0.3,
            "interpolation": "nearest",
        },
    ),
    ("RandomZoom", {"height_factor": (0.2, 0.2)}),
    (
        "RandomZoom",
        {
            "height_factor": (0.2, 0.2),
            "width_factor": (-0.3, -0.3),
            "fill_mode": "wrap",
        },
    ),
    (
        "RandomTranslation",
        {"height_factor": (0.2, 0.2), "width_factor": (-0.3, -0.3)},
    ),
    (
        "RandomTranslation",
        {
            "height_factor": (-0.4, -0.4),
            "width_factor": (0.1, 0.1),
            "fill_mode": "nearest",
        },
    ),
    ("RandomBrightness", {"factor": (0.2, 0.2), "value_range": (0, 1)}),
]
IDS = [f"{name}-{number}" for number, (name, _) in enumerate(CASES)]
RANDOM = {
    "RandomCrop": {"height": 3, "width": 4},
    "RandomFlip": {},
    "RandomRotation": {"factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.1},
    "RandomZoom": {"height_factor": 0.3},
    "RandomBrightness": {"factor": 0.2, "value_range": (0, 1)},
    "RandomContrast": {"factor": 0.2, "value_range": (0, 1)},
}


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.random((2, 7, 9, 2), "f")


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
def test_images_become_kerass(
    name: str, arguments: dict, images: Any, keras: Any, recorded: Any
) -> None:
    options = {"training": True} if name.startswith("Random") else {}
    layer = getattr(layers, name)(**arguments)
    wanted = recorded(
        lambda: getattr(keras.layers, name)(**arguments)(images, **options)
    )
    assert_close(layer(images, **options), wanted)
    first = getattr(layers, name)(data_format="channels_first", **arguments)
    single = first(np.moveaxis(images[0], -1, 0), **options)
    assert_close(np.moveaxis(single, 0, -1), wanted[0])


def test_contrast_is_kerass(images: Any, keras: Any, recorded: Any) -> None:
    factor = np.array([0.5, 1.4], "f")
    layer = layers.RandomContrast(0.5, value_range=(0, 1))
    found = layer.transform_images(images, {"contrast_factor": factor})

    def theirs() -> Any:
        drawn = {"contrast_factor": factor.reshape(2, 1, 1, 1)}
        twin = keras.layers.RandomContrast(0.5, value_range=(0, 1))
        return twin.transform_images(images, drawn)

    assert_close(found, recorded(theirs))


@pytest.mark.parametrize(
    ("mode", "axes"),
    [("horizontal", 1), ("vertical", 0), ("horizontal_and_vertical", (0, 1))],
)
def test_flips_are_drawn_for_each_image(mode: str, axes: Any, images: Any) -> None:
    many = np.repeat(images, 20, axis=0)
    found = np.asarray(layers.RandomFlip(mode, seed=1)(many, training=True))
    flipped = np.flip(many, tuple(a + 1 for a in np.atleast_1d(axes)))
    chosen = [np.array_equal(*pair) for pair in zip(found, flipped, strict=True)]
    kept = [np.array_equal(*pair) for pair in zip(found, many, strict=True)]
    assert [not c for c in chosen] == kept
    assert 10 < sum(chosen) < 30


def test_crops_are_parts_of_the_images(images: Any) -> None:
    layer = layers.RandomCrop(3, 4, seed=0)
    places = set()
    for _ in range(12):
        found = np.asarray(layer(images, training=True))
        fits = [
            (row, column)
            for row in range(5)
            for column in range(6)
            if np.array_equal(found, images[:, row : row + 3, column : column + 4])
        ]
        assert len(fits) == 1
        places.update(fits)
    assert len(places) > 4
    middle = layers.Resizing(3, 4, crop_to_aspect_ratio=True)(images)
    assert_close(layer(images, training=False), middle)


@pytest.mark.parametrize("name", RANDOM)
def test_changes_happen_in_training_and_differ(name: str, images: Any) -> None:
    layer = getattr(layers, name)(**RANDOM[name], seed=1)
    same = np.repeat(images[:1, :5, :6, :1], 4, axis=0)
    found = np.asarray(layer(same, training=True))
    if name != "RandomCrop":
        np.testing.assert_array_equal(layer(same, training=False), same)
        assert len(np.unique(found.reshape(4, -1), axis=0)) > 1
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    symbolic = layer(graphc.Input((5, 6, 1)))
    assert symbolic.shape == (None, *found.shape[1:])


def test_an_image_and_its_mask_move_alike(images: Any) -> None:
    layer = layers.RandomZoom(0.4, interpolation="nearest")
    drawn = layer.get_random_transformation(images)
    moved = np.asarray(layer.transform_images(images, drawn))
    masks = np.asarray(layer.transform_images((images > 0.5).astype("f"), drawn))
    np.testing.assert_array_equal(moved > 0.5, masks == 1)
    assert layer.get_random_transformation(images, training=False) is None


def test_resized_integers_stay_integers(images: Any, keras: Any, recorded: Any) -> None:
    pixels = (images * 255).astype("uint8")
    found = np.asarray(layers.Resizing(4, 5, "nearest")(pixels))
    wanted = recorded(lambda: keras.layers.Resizing(4, 5, "nearest")(pixels))
    assert found.dtype == wanted.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)


def test_a_pipeline_passes_training_on(images: Any) -> None:
    pipeline = layers.Pipeline([layers.RandomFlip(seed=0), layers.Rescaling(2.0)])
    np.testing.assert_array_equal(pipeline(images, training=False), images * 2)
    many = np.repeat(images, 10, axis=0)
    assert not np.array_equal(pipeline(many, training=True), many * 2)
    again = layers.deserialize(layers.serialize(pipeline))
    assert again.get_config() == pipeline.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.RandomFlip("sideways"), "Expected `mode` to be one of"),
        (lambda: layers.RandomZoom(2), "`height_factor` to be a number, or two"),
        (lambda: layers.RandomRotation("0.1"), "Received: factor='0.1'"),
        (lambda: layers.RandomRotation(0.1, fill_mode="edge"), "`fill_mode`"),
        (lambda: layers.RandomBrightness(0.1, value_range=255), "`value_range`"),
        (lambda: layers.Pipeline([3]), "Expected layers. Received: 3"),
        (lambda: layers.CenterCrop(2, 2)(np.ones((3, 3), "f")), "an image .rank 3"),
    ],
)
def test_mistakes_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
