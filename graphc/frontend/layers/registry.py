"""The layers that configs may name."""

from __future__ import annotations

from typing import Any

from graphc.frontend.registry import Registry

LAYERS = Registry("layer", "keras.layers")
"""Filled by `graphc.frontend.layers`, and by models with theirs."""


def serialize(layer: Any) -> Any:
    """The config that `deserialize` makes an equal layer from; None for None."""
    return LAYERS.serialize(layer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The layer that a config describes.

    Args:
        config: What `serialize` returned.
        custom_objects: More classes to find by name.

    Raises:
        ValueError: If the config is malformed or names no layer.
    """
    return LAYERS.deserialize(config, custom_objects)
