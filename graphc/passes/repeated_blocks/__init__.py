"""Repeated blocks: equal stretches of a graph become calls of one graph."""

from graphc.passes.repeated_blocks.outline_repeats import OutlineRepeats

__all__ = ["OutlineRepeats"]
