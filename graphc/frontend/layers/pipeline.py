"""Layers one after the other, without a model's machinery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend.layers.call_spec import accepts
from graphc.frontend.layers.layer import Layer
from graphc.frontend.layers.registry import LAYERS


class Pipeline(Layer):
    """Applies layers in order, for example to prepare images.

    Args:
        layers: The layers.
        name: A name.

    Example:
        >>> import numpy as np, graphc
        >>> from graphc import layers
        >>> prepare = layers.Pipeline([layers.Rescaling(2.0), layers.CenterCrop(1, 1)])
        >>> prepare(np.ones((3, 3, 1), "float32")).numpy().ravel()
        array([2.], dtype=float32)
    """

    def __init__(
        self, layers: Sequence[Layer], name: str | None = None, **keywords: Any
    ):
        super().__init__(name=name, **keywords)
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ValueError(f"Expected layers. Received: {layer!r}")
        self.layers = list(layers)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """The output of the last layer."""
        for layer in self.layers:
            options: dict[str, Any] = {}
            if accepts(type(layer).call, "training") and training is not None:
                options["training"] = training
            inputs = layer(inputs, **options)
        return inputs

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "layers": [LAYERS.serialize(layer) for layer in self.layers],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned."""
        made = [LAYERS.deserialize(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": made})
