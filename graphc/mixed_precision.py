"""Mixed precision: the global dtype policy."""

from graphc.frontend.dtype_policies import DTypePolicy
from graphc.frontend.dtype_policies import dtype_policy as global_policy
from graphc.frontend.dtype_policies import set_dtype_policy as set_global_policy
from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.optimizers import LossScaleOptimizer

Policy = DTypePolicy
dtype_policy = global_policy
set_dtype_policy = set_global_policy

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]

suggest_nearest(__name__)
