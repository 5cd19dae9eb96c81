"""The Keras-like API: layers, models, training; tracing Python into graphs.

The operators of tensors are ops: they work once anything of this package is imported.
"""

from graphc.frontend import ops

__all__ = ["ops"]
