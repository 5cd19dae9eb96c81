"""Layers that give images another size: resizing and cropping."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.arguments import positive_integer
from graphc.frontend.config import standardize_data_format
from graphc.frontend.layers.layer import Layer
from graphc.frontend.ops import image


class ImageLayer(Layer):
    """The base of layers that take an image [H, W, C] or a batch [N, H, W, C].

    With ``"channels_first"`` these are [C, H, W] and [N, C, H, W]. Results are of the
    compute dtype, so integer pixels become floats, besides those of `Resizing`.

    Args:
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    def __init__(self, data_format: str | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.data_format = standardize_data_format(data_format)

    def pixel_axes(self, images: Any) -> tuple[int, int]:
        """The axes of rows and columns.

        Raises:
            ValueError: If the tensor is neither an image nor a batch of images.
        """
        if len(images.shape) not in (3, 4):
            raise ValueError(
                f"Layer '{self.name}' expects an image (rank 3) or a batch of images"
                f" (rank 4). Received: shape={tuple(images.shape)}"
            )
        last = len(images.shape) - 1
        return (last - 2, last - 1) if self._channels_last() else (last - 1, last)

    def _channels_last(self) -> bool:
        return self.data_format == "channels_last"

    def pixels(self, images: Any) -> tuple[Any, Any]:
        """The numbers of rows and columns."""
        rows, columns = self.pixel_axes(images)
        return images.shape[rows], images.shape[columns]

    def cut(self, images: Any, size: tuple[int, int], row: Any, column: Any) -> Any:
        """The part of a size that begins at a pixel."""
        rows, columns = self.pixel_axes(images)
        starts: list[Any] = [0] * len(images.shape)
        shape = list(images.shape)
        starts[rows], starts[columns] = row, column
        shape[rows], shape[columns] = size
        return ops.slice(images, starts, shape)

    def fit(self, images: Any, size: tuple[int, int]) -> Any:
        """The largest middle part of a size's proportions, resized to it."""
        return image.resize(
            images, size, crop_to_aspect_ratio=True, data_format=self.data_format
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "data_format": self.data_format}


class Resizing(ImageLayer):
    """Gives images another size; integers stay integers, rounded.

    Args:
        height: The number of rows of the results.
        width: The number of columns of the results.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"lanczos3"`` or
            ``"lanczos5"``.
        crop_to_aspect_ratio: Whether to cut off what would distort the image.
        pad_to_aspect_ratio: Whether to add to the image what would distort it.
        fill_mode: ``"constant"``.
        fill_value: What is added.
        antialias: Whether to average over more pixels where images shrink.
        data_format: ``"channels_last"`` or ``"channels_first"``.

    Example:
        >>> import graphc
        >>> graphc.layers.Resizing(8, 6).compute_output_shape((None, 20, 20, 3))
        (None, 8, 6, 3)
    """

    examples_apart = True

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(data_format, **keywords)
        self.height = positive_integer("height", height)
        self.width = positive_integer("width", width)
        self.interpolation = interpolation
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.antialias = bool(antialias)

    def call(self, inputs: Any) -> Any:
        """Resizes the images."""
        self.pixel_axes(inputs)
        return image.resize(
            inputs,
            (self.height, self.width),
            data_format=self.data_format,
            **self._options(),
        )

    def _options(self) -> dict[str, Any]:
        return {
            "interpolation": self.interpolation,
            "crop_to_aspect_ratio": self.crop_to_aspect_ratio,
            "pad_to_aspect_ratio": self.pad_to_aspect_ratio,
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "antialias": self.antialias,
        }

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        size = {"height": self.height, "width": self.width}
        return {**super().get_config(), **size, **self._options()}


class CenterCrop(ImageLayer):
    """The middle of images.

    Where an image has fewer rows or columns than wanted, the largest middle part of the
    wanted proportions is resized.

    Args:
        height: The number of rows of the results.
        width: The number of columns of the results.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    examples_apart = True

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(data_format, **keywords)
        self.height = positive_integer("height", height)
        self.width = positive_integer("width", width)

    def call(self, inputs: Any) -> Any:
        """Crops the images."""
        x = ops.cast(inputs, self.compute_dtype)
        size = (self.height, self.width)
        above, left = (a - b for a, b in zip(self.pixels(x), size, strict=True))
        if above < 0 or left < 0:
            return self.fit(x, size)
        return self.cut(x, size, above // 2, left // 2)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "height": self.height, "width": self.width}
