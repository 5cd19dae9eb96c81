"""The layers that configs may name."""

from __future__ import annotations

from graphc.frontend.registry import Registry

LAYERS = Registry("layer", "keras.layers")
"""Filled by `graphc.frontend.layers`, and by models with theirs."""
