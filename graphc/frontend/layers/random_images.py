"""Layers that change images at random in training: flips, moves, light.

Each image of a batch is changed in its own way. `get_random_transformation` draws, and
`transform_images` applies what was drawn, so that an image and its mask can be changed
alike.
"""

from __future__ import annotations

import math
from typing import Any

from graphc.frontend import ops, random
from graphc.frontend.arguments import one_of, positive_integer
from graphc.frontend.layers.images import ImageLayer
from graphc.frontend.ops import image_warping

_MODES = ("horizontal", "vertical", "horizontal_and_vertical")
_FILL_MODES = ("reflect", "wrap", "constant", "nearest")
_INTERPOLATIONS = ("nearest", "bilinear")


def _bounds(
    name: str, given: Any, least: float = -1.0, most: float = 1.0
) -> tuple[float, float]:
    """Between which numbers to draw: those given, or as far from 0 as the one given."""
    single = not isinstance(given, (list, tuple)) or len(given) != 2
    numbers: list[Any] = [given] if single else list(given)
    for number in numbers:
        plain = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not plain or not least <= number <= most:
            raise ValueError(
                f"Expected `{name}` to be a number, or two, between {least} and {most}."
                f" Received: {name}={given!r}"
            )
    if single:
        return max(-abs(numbers[0]), least), abs(numbers[0])
    return min(numbers), max(numbers)


def _value_range(given: Any) -> tuple[float, float]:
    if not isinstance(given, (list, tuple)) or len(given) != 2:
        raise ValueError(
            "Expected `value_range` to be the least and the largest value of a pixel."
            f" Received: value_range={given!r}"
        )
    low, high = sorted(given)
    return low, high


class _RandomImageLayer(ImageLayer):
    """The base of the layers here: `drawn` says what `changed` does to images."""

    def __init__(
        self, seed: int | None = None, data_format: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(data_format, **keywords)
        self.seed = seed
        self.generator = random.SeedGenerator(seed)

    def drawn(self, images: Any) -> dict[str, Any] | None:
        """What happens to images, drawn at random; None for nothing."""
        raise NotImplementedError

    def changed(self, images: Any, drawn: dict[str, Any]) -> Any:
        """Images to which what was drawn has happened."""
        raise NotImplementedError

    def unchanged(self, images: Any) -> Any:
        """Images to which nothing happens."""
        return images

    def uniform(self, images: Any, bounds: tuple[float, float]) -> Any:
        """A number for each image [N], or [1] for a single one."""
        count = images.shape[0] if len(images.shape) == 4 else 1
        return random.uniform((count,), *bounds, "float32", self.generator)

    def spread(self, numbers: Any, images: Any) -> Any:
        """Numbers of images in a shape that broadcasts to the images."""
        ones = (1, 1, 1)
        return ops.reshape(numbers, (-1, *ones) if len(images.shape) == 4 else ones)

    def get_random_transformation(
        self, images: Any, training: bool = True
    ) -> dict[str, Any] | None:
        """What `transform_images` does to images, drawn at random.

        Args:
            images: An image or a batch of images, or one of the same shape.
            training: Whether to draw; else None is returned.
        """
        return self.drawn(images) if training else None

    def transform_images(
        self, images: Any, transformation: Any, training: bool = True
    ) -> Any:
        """Changes images as was drawn.

        Args:
            images: An image or a batch of images.
            transformation: What `get_random_transformation` returned.
            training: Whether to change them.
        """
        x = ops.cast(images, self.compute_dtype)
        if not training or transformation is None:
            return self.unchanged(x)
        return self.changed(x, transformation)

    def call(self, inputs: Any, training: bool = True) -> Any:
        """Changes the images in training."""
        self.pixel_axes(inputs)
        drawn = self.get_random_transformation(inputs, training)
        return self.transform_images(inputs, drawn, training)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "seed": self.seed}


class RandomCrop(_RandomImageLayer):
    """A part of images at a random place, the same for all images of a batch.

    Outside of training, and where images are not larger than the part, it is the largest
    middle part of these proportions, resized.

    Args:
        height: The number of rows of the results.
        width: The number of columns of the results.
        seed: A seed; by default the global one with the layer's path.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(seed, data_format, **keywords)
        self.height = positive_integer("height", height)
        self.width = positive_integer("width", width)

    def drawn(self, images: Any) -> dict[str, Any] | None:
        """The first row and column; None where there is no choice."""
        rows, columns = self.pixels(images)
        if rows <= self.height or columns <= self.width:
            return None
        spare = {"row": rows - self.height, "column": columns - self.width}
        return {
            name: random.randint((), 0, count + 1, "int32", self.generator)
            for name, count in spare.items()
        }

    def changed(self, images: Any, drawn: dict[str, Any]) -> Any:
        """The part."""
        return self.cut(
            images, (self.height, self.width), drawn["row"], drawn["column"]
        )

    def unchanged(self, images: Any) -> Any:
        """The middle part."""
        return self.fit(images, (self.height, self.width))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "height": self.height, "width": self.width}


class RandomFlip(_RandomImageLayer):
    """Flips half of the images in training.

    Args:
        mode: ``"horizontal"`` (left and right change places), ``"vertical"`` or
            ``"horizontal_and_vertical"`` (both at once).
        seed: A seed; by default the global one with the layer's path.
        data_format: ``"channels_last"`` or ``"channels_first"``.

    Example:
        >>> import numpy as np, graphc
        >>> x = np.array([[[1.0], [2.0]]], "float32")
        >>> layer = graphc.layers.RandomFlip("horizontal")
        >>> layer.transform_images(x, {"flips": np.array([True])}).numpy()[0, :, 0]
        array([2., 1.], dtype=float32)
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(seed, data_format, **keywords)
        self.mode = one_of("mode", mode, _MODES)

    def drawn(self, images: Any) -> dict[str, Any]:
        """Which images are flipped."""
        return {"flips": ops.less_equal(self.uniform(images, (0.0, 1.0)), 0.5)}

    def changed(self, images: Any, drawn: dict[str, Any]) -> Any:
        """The images, some of them flipped."""
        rows, columns = self.pixel_axes(images)
        axes = [columns] if "horizontal" in self.mode else []
        axes += [rows] if "vertical" in self.mode else []
        flips = self.spread(drawn["flips"], images)
        return ops.where(flips, ops.flip(images, axis=axes), images)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "mode": self.mode}


# -- moves -----------------------------------------------------------------------------


class _RandomAffine(_RandomImageLayer):
    """Reads the pixel (x, y) of the result at (a0 x + a1 y + a2, b0 x + b1 y + b2)."""

    def __init__(
        self,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(seed, data_format, **keywords)
        self.fill_mode = one_of("fill_mode", fill_mode, _FILL_MODES)
        self.interpolation = one_of("interpolation", interpolation, _INTERPOLATIONS)
        self.fill_value = fill_value

    def coefficients(self, images: Any) -> list[Any]:
        """a0, a1, a2, b0, b1 and b2 for each image [N], drawn at random."""
        raise NotImplementedError

    def drawn(self, images: Any) -> dict[str, Any]:
        """The numbers that `ops.image.affine_transform` takes."""
        six = self.coefficients(images)
        zeros = [ops.zeros_like(six[0])] * 2
        return {"transform": ops.stack([*six, *zeros], axis=-1)}

    def changed(self, images: Any, drawn: dict[str, Any]) -> Any:
        """The images, moved."""
        return image_warping.affine_transform(
            images,
            drawn["transform"],
            interpolation=self.interpolation,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
            data_format=self.data_format,
        )

    def middle(self, images: Any) -> tuple[float, float]:
        """The x and the y of the middle of images."""
        rows, columns = self.pixels(images)
        return (columns - 1) / 2, (rows - 1) / 2

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "fill_mode": self.fill_mode,
            "interpolation": self.interpolation,
            "fill_value": self.fill_value,
        }


class RandomTranslation(_RandomAffine):
    """Moves images by random distances in training.

    Args:
        height_factor: How far down at most, as a part of the height: a number for up
            to this far up or down, or two.
        width_factor: How far to the right at most, as a part of the width.
        fill_mode: What lies outside: ``"reflect"``, ``"wrap"``, ``"constant"`` or
            ``"nearest"``.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        seed: A seed; by default the global one with the layer's path.
        fill_value: What lies outside with ``"constant"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    def __init__(self, height_factor: Any, width_factor: Any, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.height_factor = height_factor
        self.width_factor = width_factor
        self.heights = _bounds("height_factor", height_factor)
        self.widths = _bounds("width_factor", width_factor)

    def coefficients(self, images: Any) -> list[Any]:
        """Those of a move."""
        rows, columns = self.pixels(images)
        down = self.uniform(images, self.heights) * rows
        right = self.uniform(images, self.widths) * columns
        one, zero = ops.ones_like(down), ops.zeros_like(down)
        return [one, zero, -right, zero, one, -down]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "height_factor": self.height_factor,
            "width_factor": self.width_factor,
        }


class RandomRotation(_RandomAffine):
    """Turns images around their middle by random angles in training.

    Args:
        factor: By how much at most, as a part of a full turn, counterclockwise: a number
            for up to this much in both directions, or two.
        fill_mode: What lies outside; see `RandomTranslation`.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        seed: A seed; by default the global one with the layer's path.
        fill_value: What lies outside with ``"constant"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    def __init__(self, factor: Any, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.factor = _bounds("factor", factor)

    def coefficients(self, images: Any) -> list[Any]:
        """Those of a turn."""
        angle = self.uniform(images, self.factor) * (2 * math.pi)
        x, y = self.middle(images)
        cos, sin = ops.cos(angle), ops.sin(angle)
        return [cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "factor": list(self.factor)}


class RandomZoom(_RandomAffine):
    """Makes what images show larger or smaller by random factors in training.

    Args:
        height_factor: How much more of the height is seen at most: 0.2 shows up to 20 %
            more or less, and two numbers such as (-0.3, -0.2) 20 to 30 % less.
        width_factor: The same for the width; by default in proportion to the height.
        fill_mode: What lies outside; see `RandomTranslation`.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        seed: A seed; by default the global one with the layer's path.
        fill_value: What lies outside with ``"constant"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    def __init__(
        self, height_factor: Any, width_factor: Any = None, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.height_factor = height_factor
        self.width_factor = width_factor
        self.heights = _bounds("height_factor", height_factor)
        self.widths = (
            None if width_factor is None else _bounds("width_factor", width_factor)
        )

    def coefficients(self, images: Any) -> list[Any]:
        """Those of a zoom."""
        high = 1.0 + self.uniform(images, self.heights)
        wide = high if self.widths is None else 1.0 + self.uniform(images, self.widths)
        x, y = self.middle(images)
        zero = ops.zeros_like(high)
        return [wide, zero, x * (1.0 - wide), zero, high, y * (1.0 - high)]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "height_factor": self.height_factor,
            "width_factor": self.width_factor,
        }


# -- light -----------------------------------------------------------------------------


class _RandomLight(_RandomImageLayer):
    """Changes pixels, whose values stay in a range."""

    def __init__(
        self,
        factor: tuple[float, float],
        value_range: Any = (0, 255),
        seed: int | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(seed, **keywords)
        self.factor = factor
        self.value_range = _value_range(value_range)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "factor": list(self.factor),
            "value_range": list(self.value_range),
        }


class RandomBrightness(_RandomLight):
    """Adds a random number to all pixels of an image in training.

    Args:
        factor: What is added at most, as a part of the range of values: a number for up
            to this much more or less, or two.
        value_range: The least and the largest value of a pixel.
        seed: A seed; by default the global one with the layer's path.
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), **keywords: Any):
        super().__init__(_bounds("factor", factor), value_range, **keywords)

    def drawn(self, images: Any) -> dict[str, Any]:
        """What is added to each image."""
        low, high = self.value_range
        return {"rgb_delta": self.uniform(images, self.factor) * (high - low)}

    def changed(self, images: Any, drawn: dict[str, Any]) -> Any:
        """The images, lighter or darker."""
        delta = ops.cast(self.spread(drawn["rgb_delta"], images), images.dtype)
        lit = images + delta
        return ops.clip(lit, *self.value_range)


class RandomContrast(_RandomLight):
    """Moves pixels away from or towards the mean of their channel in training.

    Args:
        factor: Distances from the mean are multiplied by a number between 1 - factor and
            1 + factor; or by one between 1 - the first and 1 + the second of two.
        value_range: The least and the largest value of a pixel.
        seed: A seed; by default the global one with the layer's path.
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), **keywords: Any):
        low, high = _bounds("factor", factor, least=0.0)
        single = not isinstance(factor, (list, tuple))
        super().__init__((high if single else low, high), value_range, **keywords)

    def drawn(self, images: Any) -> dict[str, Any]:
        """By what the distances of each image are multiplied."""
        low, high = self.factor
        return {"contrast_factor": self.uniform(images, (1.0 - low, 1.0 + high))}

    def changed(self, images: Any, drawn: dict[str, Any]) -> Any:
        """The images with more or less contrast."""
        mean = ops.mean(images, axis=self.pixel_axes(images), keepdims=True)
        factor = self.spread(drawn["contrast_factor"], images)
        factor = ops.cast(factor, images.dtype)
        return ops.clip((images - mean) * factor + mean, *self.value_range)
