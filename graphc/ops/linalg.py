"""Functions of matrices, with Keras's names."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.ops import decompositions
from graphc.frontend.ops.decompositions import *
from graphc.frontend.ops.reduction import norm as norm
from graphc.frontend.ops.vectorization import jvp as jvp

__all__: list[str] = ["jvp", "norm"]
__all__ += decompositions.__all__

del decompositions

suggest_nearest(__name__)
