"""Binding the arguments of a layer's call to their names."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from graphc.frontend import trees
from graphc.frontend.keras_tensor import KerasTensor, known_shape
from graphc.frontend.program import array_type, is_array
from graphc.frontend.tensor import Tensor


class CallContext(threading.local):
    """What the outermost layer call of this thread has set.

    Attributes:
        training: Whether the call is for training; None outside of calls.
        depth: How many layer calls are open.
    """

    def __init__(self) -> None:
        self.training: bool | None = None
        self.depth = 0

    @contextmanager
    def entered(self, training: bool | None) -> Iterator[None]:
        """While open, layers called without `training` get this value."""
        previous = self.training
        self.training = training
        self.depth += 1
        try:
            yield
        finally:
            self.training = previous
            self.depth -= 1


CALL_CONTEXT = CallContext()


@lru_cache(maxsize=4096)
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of an unbound ``call`` or ``build``, without ``self``."""
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Whether an unbound method has a parameter called `name`."""
    return name in signature_of(function).parameters


def constructor_parameters(cls: type) -> list[str]:
    """The names that a class's constructors take, those of its bases included."""
    # That of `object` takes nothing, and its signature is text, which Python compiles.
    bases = [c for c in cls.__mro__ if "__init__" in c.__dict__ and c is not object]
    constructors = (c.__init__ for c in bases)
    return list(
        dict.fromkeys(
            p.name
            for constructor in constructors
            for p in signature_of(constructor).parameters.values()
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        )
    )


def bind(
    layer: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of ``layer.call`` by parameter name, in order.

    Raises:
        TypeError: Naming the layer and what its ``call`` takes.
    """
    signature = signature_of(type(layer).call)
    try:
        return dict(signature.bind(*arguments, **keywords).arguments)
    except TypeError as error:
        taken = ", ".join(
            str(p.replace(annotation=p.empty)) for p in signature.parameters.values()
        )
        raise TypeError(
            f"{type(layer).__name__}.call(): {error}. Expected: call({taken})."
            f" Layer: '{layer.name}'"
        ) from None


def take_training(layer: Any, keywords: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The keywords of a call without a ``training`` that it does not take, and that."""
    if "training" not in keywords or accepts(type(layer).call, "training"):
        return keywords, None
    if any(
        p.kind is p.VAR_KEYWORD
        for p in signature_of(type(layer).call).parameters.values()
    ):
        return keywords, None
    rest = dict(keywords)
    return rest, rest.pop("training")


def shown_arguments(bound: dict[str, Any]) -> str:
    """The arguments of a call in a message."""
    shown = [
        f"{name}={str(x)[:40]!r} ({type(x).__name__})" for name, x in bound.items()
    ]
    return ", ".join(shown) or "no arguments"


def is_tensor_like(x: Any) -> bool:
    """Whether a call argument is a tensor."""
    return isinstance(x, Tensor) or is_array(x)


def shape_of(x: Any) -> Any:
    """The shape of a tensor as ``build`` sees it: None for unknown sizes."""
    if isinstance(x, KerasTensor):
        return x.shape
    return known_shape(tuple(x.shape))


def shapes_of(tree: Any) -> Any:
    """The shapes of a structure of tensors, in the same structure."""
    return trees.map_leaves(lambda x: shape_of(x) if is_tensor_like(x) else None, tree)


def build_arguments(layer: Any, bound: dict[str, Any]) -> dict[str, Any]:
    """What ``layer.build`` is called with: shapes of the tensors among the arguments."""
    tensors = {
        name: argument
        for name, argument in bound.items()
        if any(is_tensor_like(x) for x in trees.leaves(argument))
        and name not in ("mask", "training")
        and not name.endswith("_mask")
    }
    parameters = list(signature_of(type(layer).build).parameters)
    if not tensors or not parameters:
        return {}
    shapes = {f"{name}_shape": shapes_of(x) for name, x in tensors.items()}
    if len(parameters) == 1 and parameters[0] not in shapes:
        return {parameters[0]: next(iter(shapes.values()))}
    return {name: shape for name, shape in shapes.items() if name in parameters}


def apply(call: Callable[..., Any], layer: Any, bound: dict[str, Any]) -> Any:
    """Calls with arguments by name, those of ``*args`` and ``**kwargs`` spread.

    Raises:
        ValueError: If the call returns None.
    """
    signature = signature_of(call)
    arguments = inspect.BoundArguments(signature, dict(bound))  # type: ignore[arg-type]
    outputs = call(layer, *arguments.args, **arguments.kwargs)
    if outputs is None:
        raise ValueError(
            f"Layer '{layer.name}': the `call()` of {type(layer).__name__} must return"
            " its outputs. Received: None"
        )
    return outputs


def as_arrays(x: Any) -> Any:
    """Nested lists of numbers as an array; structures of tensors as they are."""
    if isinstance(x, (list, tuple)):
        leaves = trees.leaves(x)
        if leaves and all(isinstance(v, (bool, int, float)) for v in leaves):
            made = np.asarray(x)
            return made.astype(np.float32) if made.dtype == np.float64 else made
    if isinstance(x, np.ndarray) and x.dtype == np.float64:
        return x.astype(np.float32)
    return x


def dtype_of(x: Any) -> str:
    """The dtype of a tensor or an array by its long name."""
    return x.dtype if isinstance(x, Tensor) else array_type(x).dtype.long_name


def placeholder(shape: Any, dtype: str) -> Any:
    """Symbolic tensors for a shape or a structure of shapes."""
    if isinstance(shape, dict):
        return {k: placeholder(v, dtype) for k, v in shape.items()}
    if shape and isinstance(shape[0], (list, tuple)):
        return [placeholder(s, dtype) for s in shape]
    return KerasTensor(shape, dtype)
