"""graphc: a compiler-style deep-learning framework with Keras's API.

``import graphc`` is light: what a name needs is imported when the name is first used.
"""

from difflib import get_close_matches
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_SUBPACKAGES = {
    "activations",
    "backend",
    "callbacks",
    "codegen",
    "config",
    "constraints",
    "debug",
    "dtype_policies",
    "errors",
    "importers",
    "initializers",
    "ir",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "passes",
    "random",
    "regularizers",
    "runtime",
    "saving",
    "testing",
    "tree",
    "utils",
}

_NAMES = {
    "DTypePolicy": "graphc.frontend.dtype_policies",
    "Executable": "graphc.frontend.compilation",
    "Function": "graphc.frontend.models.function",
    "Graph": "graphc.ir",
    "Initializer": "graphc.frontend.initializers",
    "Input": "graphc.frontend.layers",
    "InputSpec": "graphc.frontend.layers",
    "KerasTensor": "graphc.frontend.keras_tensor",
    "Layer": "graphc.frontend.layers",
    "Loss": "graphc.frontend.training.losses",
    "Metric": "graphc.frontend.training.metrics",
    "Model": "graphc.frontend.models",
    "Optimizer": "graphc.frontend.optimizers",
    "Regularizer": "graphc.frontend.regularizers",
    "RematScope": "graphc.frontend.rematerialization",
    "Sequential": "graphc.frontend.models",
    "TensorSpec": "graphc.frontend.transforms",
    "Variable": "graphc.frontend.variables",
    "compile": "graphc.frontend.compilation",
    "emit": "graphc.runtime.compile",
    "from_keras": "graphc.importers.keras_files",
    "from_stablehlo": "graphc.importers.stablehlo",
    "grad": "graphc.frontend.transforms",
    "jit": "graphc.frontend.transforms",
    "load": "graphc.artifacts",
    "load_model": "graphc.frontend.saving",
    "name_scope": "graphc.frontend.tracing",
    "remat": "graphc.frontend.rematerialization",
    "save_model": "graphc.frontend.saving",
    "targets": "graphc.runtime.targets",
    "trace": "graphc.frontend.transforms",
    "value_and_grad": "graphc.frontend.transforms",
    "why": "graphc.runtime.why",
}

_REWRITES = {
    "GradientTape": "put what the tape records in a function and differentiate that:"
    " loss, gradients = graphc.value_and_grad(function, variables=[...])()",
    "no_grad": "nothing is recorded outside of graphc.grad and graphc.value_and_grad",
    "function": "graphc.jit compiles a function of tensors",
}
"""What to write instead of names of other frameworks."""

__all__ = ["__version__", *sorted(_SUBPACKAGES), *sorted(_NAMES)]


def __getattr__(name: str) -> Any:
    """Imports a subpackage or the home of a public name when it is first used."""
    if name in _SUBPACKAGES:
        found: Any = import_module(f"graphc.{name}")
    elif name in _NAMES:
        found = getattr(import_module(_NAMES[name]), name)
    else:
        near = get_close_matches(name, __all__, 1)
        hint = _REWRITES.get(name) or (f"did you mean {near[0]!r}?" if near else "")
        message = f"module 'graphc' has no attribute {name!r}"
        raise AttributeError(f"{message}: {hint}" if hint else message)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
