"""Functions of images against Keras, with a symbolic batch, and what they refuse.

Keras's results are recorded; see `tests.frontend.recorded`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir import evaluate
from graphc.ir.errors import GraphError
from graphc.ops import image
from tests.closeness import Comparison, assert_close
from tests.frontend.recorded import Recorded, archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

RNG = np.random.default_rng(5)


def pixels(*shape: int) -> np.ndarray:
    return RNG.uniform(0, 1, shape).astype(np.float32)


X = pixels(2, 7, 9, 3)
BYTES = (X * 255).astype(np.uint8)
FIRST = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
LARGE = pixels(2, 14, 13, 3)
VOLUME = pixels(2, 4, 5, 6, 2)
TRANSFORMS = np.float32(
    [[1, 0.1, -2.3, 0.2, 0.9, 1.2, 0, 0], [0.5, 0.3, 4, 0, 1.5, -3, 0, 0]]
)
CORNERS = np.float32([[0, 0], [8, 0], [0, 6], [8, 6]])
MOVED = np.float32([[1, 0.5], [7, 1], [0.2, 5], [8.5, 6.5]])
PLACES = RNG.uniform(-8, 16, (2, 5, 4)).astype(np.float32)
LAST = {"data_format": "channels_last"}
CHANNELS_FIRST = {"data_format": "channels_first"}

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *(
        ("resize", (X, (5, 12)), {"interpolation": method, "antialias": antialias})
        for method in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
        for antialias in (False, True)
    ),
    ("resize", (BYTES, (4, 4)), {"interpolation": "bicubic"}),
    ("resize", (X[0], (4, 4)), {"crop_to_aspect_ratio": True}),
    ("resize", (X, (4, 9)), {"pad_to_aspect_ratio": True, "fill_value": 0.5}),
    ("resize", (X, (9, 4)), {"pad_to_aspect_ratio": True}),
    ("resize", (FIRST, (3, 4)), CHANNELS_FIRST),
    ("scale_and_translate", (X, (2, 10, 5, 3), np.float32([1.5, 0.5]),
     np.float32([0.3, -1]), (1, 2), "linear"), {}),
    ("scale_and_translate", (X, (2, 10, 5, 3), np.float32([1.5, 0.5]),
     np.float32([0.3, -1]), (1, 2), "lanczos3"), {"antialias": False}),
    ("pad_images", (X, 1, 2), {"target_height": 10, "right_padding": 3}),
    ("pad_images", (FIRST[0], 1, 2, 0, 0), CHANNELS_FIRST),
    ("crop_images", (X, 1, 2), {"target_height": 4, "right_cropping": 3}),
    ("crop_images", (BYTES[0],), {"bottom_cropping": 2, "right_cropping": 1,
     "target_height": 3, "target_width": 5}),
    ("extract_patches", (X, 3), {}),
    ("extract_patches", (X, (2, 3)), {"strides": 1, "padding": "same"}),
    ("extract_patches", (X, 2), {"strides": 1, "dilation_rate": 2}),
    ("extract_patches", (FIRST, 2), CHANNELS_FIRST),
    ("extract_patches", (X[0], 2), {}),
    ("extract_patches", (VOLUME, (2, 2, 3)), {"strides": (1, 2, 1), "padding": "same"}),
    ("extract_patches_3d", (VOLUME, 2), {}),
    ("rgb_to_grayscale", (X,), {}),
    ("rgb_to_grayscale", (BYTES[0],), {}),
    ("rgb_to_grayscale", (FIRST,), CHANNELS_FIRST),
    ("rgb_to_hsv", (X,), {}),
    ("rgb_to_hsv", (np.zeros((2, 2, 3), np.float32),), {}),
    ("hsv_to_rgb", (X,), {}),
    ("hsv_to_rgb", (FIRST[0],), CHANNELS_FIRST),
    ("gaussian_blur", (X, (3, 5), (1.0, 2.0)), LAST),
    ("gaussian_blur", (FIRST[0], (4, 2)), CHANNELS_FIRST),
    ("sobel_edges", (X,), LAST),
    ("sobel_edges", (FIRST,), CHANNELS_FIRST),
    ("ssim", (LARGE, 1 - LARGE**2), {}),
    ("ssim", (LARGE[0], LARGE[1]), {"filter_size": 5, "max_val": 2.0}),
    *(
        ("affine_transform", (X, TRANSFORMS),
         {"interpolation": method, "fill_mode": mode, "fill_value": 0.5})
        for method, mode in (
            *(("nearest", "constant"), ("bilinear", "constant"), ("nearest", "wrap")),
            *(("bilinear", "nearest"), ("bilinear", "mirror"), ("bilinear", "reflect")),
        )
    ),
    ("affine_transform", (FIRST[0], TRANSFORMS[0]), CHANNELS_FIRST),
    *(
        ("map_coordinates", (X[0, :, :, 0], PLACES, order), {"fill_mode": mode})
        for order in (0, 1)
        for mode in ("constant", "nearest", "wrap", "mirror", "reflect")
    ),
    ("map_coordinates", (BYTES[0, :, :, 0], PLACES, 1), {"fill_value": 9}),
    ("perspective_transform", (X, np.stack([CORNERS] * 2), np.stack([MOVED] * 2)),
     {"fill_value": 0.3}),
    ("perspective_transform", (FIRST[0], CORNERS, MOVED),
     {"interpolation": "nearest", **CHANNELS_FIRST}),
]  # fmt: skip
NAMES = [f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)]


@pytest.mark.parametrize(("name", "arguments", "keywords"), CASES, ids=NAMES)
def test_agrees_with_keras(
    keras: Any, recorded: Recorded, name: str, arguments: Any, keywords: Any
) -> None:
    wanted = recorded(lambda: getattr(keras.ops.image, name)(*arguments, **keywords))
    found = getattr(image, name)(*arguments, **keywords).numpy()
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    assert_close(found, wanted, Comparison.FRAMEWORK)


def test_every_function_is_compared() -> None:
    assert {name for name, _, _ in CASES} == set(image.__all__) - {"elastic_transform"}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: image.resize(x, (3, 4)),
        lambda x: image.pad_images(x, 1, 1, 1, 1),
        lambda x: image.extract_patches(x, 2),
        lambda x: image.rgb_to_hsv(x),
        lambda x: image.gaussian_blur(x),
        lambda x: image.sobel_edges(x),
        lambda x: image.ssim(x, x * 0.5, filter_size=3),
        lambda x: image.affine_transform(x, TRANSFORMS[0]),
        lambda x: image.elastic_transform(x, alpha=2.0, sigma=1.0, seed=3),
    ],
)
def test_a_symbolic_batch(function: Any) -> None:
    graph = graphc.trace(function, graphc.TensorSpec(("B", 7, 9, 3)))
    assert graph.symbols == {"B"}
    (found,) = evaluate(graph, X)
    assert_close(found, function(X).numpy())


def test_elastic_transform() -> None:
    rows = np.broadcast_to(np.arange(24, dtype=np.float32)[:, None, None], (24, 20, 1))

    def transformed(alpha: float) -> np.ndarray:
        graph = graphc.trace(
            lambda x: image.elastic_transform(x, alpha=alpha, sigma=1.5, seed=1),
            graphc.TensorSpec(rows.shape),
        )
        return evaluate(graph, rows)[0]

    found = transformed(3.0)
    np.testing.assert_array_equal(found, transformed(3.0))
    moved = (found - rows)[8:-8, 8:-8]
    # Blurring normal noise of deviation sigma leaves 1 / (2 sqrt(pi)) of it.
    assert 0.5 < moved.std() / (3.0 / (2 * np.sqrt(np.pi))) < 1.5
    assert_close(transformed(0.0), rows)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: image.resize(X[0, 0], (2, 2)), "of rank 3 or a batch"),
        (lambda: image.resize(X, (2, 2), "cubic"), "Received: interpolation='cubic'"),
        (lambda: image.resize(X, (2, 2), fill_mode="wrap"), "Expected 'constant'"),
        (
            lambda: image.resize(
                X, (2, 2), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True
            ),
            "Received: both",
        ),
        (lambda: image.pad_images(X, 1, 1, 1), "exactly two of left_padding"),
        (
            lambda: image.crop_images(X, 9, 0, target_height=3, right_cropping=0),
            "that fit the size 7",
        ),
        (lambda: image.extract_patches(X, (2, 2, 2, 2)), "or two or three"),
        (lambda: image.rgb_to_grayscale(X[..., :2]), "1 or 3 channels"),
        (lambda: image.rgb_to_hsv(BYTES), "3 channels of floats"),
        (lambda: image.sobel_edges(X[0]), "of rank 4"),
        (lambda: image.map_coordinates(X, PLACES, 1), r"coordinates \[4, ...\]"),
        (lambda: image.affine_transform(X, TRANSFORMS[:, :6]), r"\[8\] or \[N, 8\]"),
        (
            lambda: image.affine_transform(X, TRANSFORMS, fill_mode="edge"),
            "Received: fill_mode='edge'",
        ),
        (
            lambda: image.perspective_transform(X, CORNERS, MOVED[:3]),
            r"points \[4, 2\]",
        ),
        (
            lambda: image.scale_and_translate(X, (2, 3), [1], [0], [1], "linear"),
            "Expected 4 sizes",
        ),
    ],
)
def test_wrong_arguments(call: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        call()


def test_heights_must_be_known() -> None:
    with pytest.raises(GraphError, match="known height and width"):
        graphc.trace(
            lambda x: image.resize(x, (3, 4)), graphc.TensorSpec((2, "H", 9, 3))
        )
