"""Layers that pad, crop or repeat what stands along the spatial axes."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.config import standardize_data_format
from graphc.frontend.layers.convolution import sizes
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.layer import Layer
from graphc.frontend.ops import image

Margins = tuple[tuple[int, int], ...]
"""For each spatial axis, how many positions before and after."""


def margins(name: str, given: Any, rank: int) -> Margins:
    """Positions at both sides of each spatial axis.

    Args:
        name: What the argument is called.
        given: An integer for all sides, or for each of `rank` axes an integer or a pair;
            for sequences the pair itself too.
        rank: The number of spatial axes.

    Raises:
        ValueError: If `given` is none of these.
    """
    listed: Any = (given,) * rank if isinstance(given, int) else given
    if rank == 1 and isinstance(listed, (list, tuple)) and len(listed) == 2:
        listed = (listed,)
    pairs = [
        (each, each) if isinstance(each, int) else each
        for each in (listed if isinstance(listed, (list, tuple)) else ())
    ]
    if len(pairs) != rank or not all(map(_is_pair, pairs)):
        wanted = "a pair of integers" if rank == 1 else f"{rank} integers or pairs"
        raise ValueError(
            f"`{name}` should be an integer or {wanted}, none below 0."
            f" Received: {name}={given}"
        )
    return tuple((before, after) for before, after in pairs)


def _is_pair(given: Any) -> bool:
    return (
        isinstance(given, (list, tuple))
        and len(given) == 2
        and all(type(n) is int and n >= 0 for n in given)
    )


class _Spatial(Layer):
    """Changes the spatial axes and no other."""

    rank: int

    examples_apart = True

    def __init__(self, data_format: str | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def first_axis(self) -> int:
        """The first of the spatial axes."""
        return 1 if self.data_format == "channels_last" else 2

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "data_format": self.data_format}


def _as_config(found: Margins) -> list[Any]:
    return list(found[0]) if len(found) == 1 else [list(pair) for pair in found]


class _ZeroPadding(_Spatial):
    def __init__(
        self, padding: Any = 1, data_format: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(data_format, **keywords)
        self.padding = margins("padding", padding, self.rank)

    def call(self, inputs: Any) -> Any:
        """Pads the inputs."""
        widths = [(0, 0)] * inputs.ndim
        widths[self.first_axis : self.first_axis + self.rank] = self.padding
        return ops.pad(inputs, widths)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "padding": _as_config(self.padding)}


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after sequences.

    Args:
        padding: Steps: an integer, or a pair.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """Zeros around images.

    Args:
        padding: Rows and columns: an integer, two integers, or two pairs.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes.

    Args:
        padding: Planes, rows and columns: an integer, three integers, or three pairs.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 3


class _Cropping(_Spatial):
    def __init__(
        self, cropping: Any = 1, data_format: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(data_format, **keywords)
        self.cropping = margins("cropping", cropping, self.rank)

    def call(self, inputs: Any) -> Any:
        """Crops the inputs."""
        starts, limits = [0] * inputs.ndim, list(inputs.shape)
        for axis, (before, after) in enumerate(self.cropping, self.first_axis):
            starts[axis], limits[axis] = before, limits[axis] - after
            if isinstance(limits[axis], int) and limits[axis] <= before:
                raise ValueError(
                    f"Layer '{self.name}' would crop all of axis {axis}. Received:"
                    f" inputs of shape {tuple(inputs.shape)}, cropping={self.cropping}"
                )
        return ops.slice(
            inputs, starts, [b - a for a, b in zip(starts, limits, strict=True)]
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "cropping": _as_config(self.cropping)}


class Cropping1D(_Cropping):
    """Sequences without their first and last steps.

    Args:
        cropping: Steps: an integer, or a pair.
    """

    rank = 1

    def __init__(self, cropping: Any = (1, 1), **keywords: Any) -> None:
        super().__init__(cropping, "channels_last", **keywords)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return _without_data_format(super().get_config())


class Cropping2D(_Cropping):
    """Images without their margins.

    Args:
        cropping: Rows and columns: an integer, two integers, or two pairs.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 2

    def __init__(
        self, cropping: Any = 0, data_format: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(cropping, data_format, **keywords)


class Cropping3D(_Cropping):
    """Volumes without their margins.

    Args:
        cropping: Planes, rows and columns: an integer, three integers, or three pairs.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 3


class _UpSampling(_Spatial):
    def __init__(
        self, size: Any = 2, data_format: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(data_format, **keywords)
        self.size = sizes("size", size, self.rank)

    def call(self, inputs: Any) -> Any:
        """Repeats positions."""
        x = inputs
        for axis, times in enumerate(self.size, self.first_axis):
            x = ops.repeat(x, times, axis=axis)
        return x

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "size": list(self.size)}


class UpSampling1D(_UpSampling):
    """Sequences made longer by repeating steps.

    Args:
        size: The factor.
    """

    rank = 1

    def __init__(self, size: int = 2, **keywords: Any) -> None:
        super().__init__(size, "channels_last", **keywords)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**_without_data_format(super().get_config()), "size": self.size[0]}


class UpSampling2D(_UpSampling):
    """Images made larger, by repeating rows and columns or by interpolation.

    Args:
        size: The factors for rows and columns.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        interpolation: ``"nearest"``, or what `ops.image.resize` knows.
    """

    rank = 2

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **keywords: Any,
    ) -> None:
        super().__init__(size, data_format, **keywords)
        self.interpolation = interpolation.lower()

    def call(self, inputs: Any) -> Any:
        """Makes the images larger."""
        if self.interpolation == "nearest":
            return super().call(inputs)
        first = self.first_axis
        return image.resize(
            inputs,
            [inputs.shape[axis] * times for axis, times in enumerate(self.size, first)],
            interpolation=self.interpolation,
            data_format=self.data_format,
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "interpolation": self.interpolation}


class UpSampling3D(_UpSampling):
    """Volumes made larger by repeating planes, rows and columns.

    Args:
        size: The factors for planes, rows and columns.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 3


def _without_data_format(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a layer whose channels are always last."""
    return {key: value for key, value in config.items() if key != "data_format"}
