"""Layer calls on arrays: traced once per types of the arguments, then run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphc.frontend import trees
from graphc.frontend.layers.call_spec import CALL_CONTEXT, is_tensor_like
from graphc.frontend.program import (
    Program,
    Slot,
    array_type,
    as_input,
    run_program,
    trace_program,
    wrap,
)
from graphc.frontend.variables import Variable

if TYPE_CHECKING:
    from graphc.frontend.layers.layer import Layer


@dataclass(frozen=True, slots=True)
class EagerCall:
    """A call of a layer that was traced.

    Attributes:
        program: Arguments and their masks to outputs, their masks, and added losses.
        layers: The layers that the losses belong to, in order.
    """

    program: Program
    layers: tuple[Layer, ...]


def call_eagerly(layer: Layer, arguments: Any, keywords: Any, revision: int) -> Any:
    """The outputs of a layer for arrays, with masks; losses are kept by the layers.

    Args:
        layer: The layer.
        arguments: Positional arguments of the call.
        keywords: Keyword arguments of the call.
        revision: A number that changes when what a call computes may have changed.
    """
    leaves, structure = trees.flatten((arguments, keywords))
    arrays: list[Any] = []
    parts: list[Any] = []
    slots: list[Any] = []
    masks: list[Any] = []
    for leaf in leaves:
        if not is_tensor_like(leaf):
            # 1, 1.0 and True are equal, but mean different things.
            parts.append((type(leaf), leaf))
            slots.append(leaf)
            continue
        slots.append(_slot(leaf, arrays, parts))
        mask = getattr(leaf, "_keras_mask", None)
        masks.append(None if mask is None else _slot(mask, arrays, parts))
    key = (structure, revision, CALL_CONTEXT.training, *parts)
    try:
        call = layer._programs.get(key)
    except TypeError:  # an unhashable argument
        key, call = None, None
    if call is None:
        slotted = trees.unflatten(structure, slots)
        call = _trace(layer, slotted, masks, arrays)
        if key is not None:
            layer._programs[key] = call
    results = run_program(call.program, arrays)
    outputs, masks, losses = wrap(call.program.structure, results)
    for output, mask in zip(trees.leaves(outputs), masks, strict=True):
        output._keras_mask = mask
    for owner, found in zip(call.layers, losses, strict=True):
        owner._own_losses = found
    return outputs


def _slot(leaf: Any, arrays: list[Any], parts: list[Any]) -> Slot:
    """Adds an array to the inputs of a program, and its type to the key."""
    array = leaf.numpy() if isinstance(leaf, Variable) else as_input(leaf)
    arrays.append(array)
    parts.append((array.dtype, array.shape))
    return Slot(len(arrays) - 1)


def _trace(
    layer: Layer, slotted: Any, masks: list[Any], arrays: list[Any]
) -> EagerCall:
    layers: list[Layer] = []

    def call(arguments: Any, keywords: Any, given: list[Any]) -> Any:
        tensors = [x for x in trees.leaves((arguments, keywords)) if is_tensor_like(x)]
        for tensor, mask in zip(tensors, given, strict=True):
            tensor._keras_mask = mask
        outputs = layer._call_traced(arguments, keywords)
        found = [getattr(x, "_keras_mask", None) for x in trees.leaves(outputs)]
        layers.extend(layer._flatten_layers())
        return outputs, found, [owner._own_losses for owner in layers]

    program = trace_program(
        layer.name if layer.name.isidentifier() else "layer",
        call,
        (*slotted, masks),
        [array_type(array) for array in arrays],
    )
    return EagerCall(program, tuple(layers))
