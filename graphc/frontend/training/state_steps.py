"""Steps that a model defines as functions of its state, as Keras on JAX has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from graphc.frontend.stateless import call_stateless
from graphc.frontend.variables import Variable

if TYPE_CHECKING:
    from graphc.frontend.training.trainer import Trainer


def takes_state(step: Callable[..., Any]) -> bool:
    """Whether a bound step is ``step(state, data)`` and not ``step(data)``."""
    return list(inspect.signature(step).parameters)[:2] == ["state", "data"]


def call_step(step: Callable[..., Any], model: Trainer, data: Any, kind: str) -> Any:
    """What a step returns for a batch; state that it returns is assigned.

    Args:
        step: ``step(data)``, or ``step(state, data)``, which returns the new state
            beside its result.
        model: The model.
        data: The batch, of traced tensors.
        kind: ``"train_step"``, ``"eval_step"`` or ``"predict"``.

    Raises:
        ValueError: If the new state is not one value for each variable.
    """
    if not takes_state(step):
        return step(data)
    groups = state_variables(model, kind)
    state = tuple([variable.value for variable in group] for group in groups)
    result, new = step(state, data)
    for name, group, values in zip(_NAMES[kind], groups, new, strict=False):
        if len(group) != len(values):
            raise ValueError(
                f"`{step.__name__}` must return as many {name} as it was given."
                f" Expected: {len(group)}. Received: {len(values)}"
            )
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)
    return result


def compute_loss(
    model: Any,
    trainable_variables: Sequence[Any],
    non_trainable_variables: Sequence[Any],
    metrics_variables: Sequence[Any],
    **arguments: Any,
) -> tuple[Any, tuple[Sequence[Any], Sequence[Any], Sequence[Any]]]:
    """`model.compute_loss` with given values of variables, which keep their own.

    Returns:
        The loss, and the values of the three groups of variables after it.

    Raises:
        ValueError: If there is not one value for each variable.
    """
    trained, rest = model.trainable_variables, model.non_trainable_variables
    loss, after = call_stateless(
        [*trained, *rest, *model.metrics_variables],
        [*trainable_variables, *non_trainable_variables, *metrics_variables],
        lambda: model.compute_loss(**arguments),
    )
    middle, last = len(trained), len(trained) + len(rest)
    return loss, (after[:middle], after[middle:last], after[last:])


_LAYERS = ("trainable_variables", "non_trainable_variables")
_NAMES = {
    "train_step": (*_LAYERS, "optimizer_variables", "metrics_variables"),
    "eval_step": (*_LAYERS, "metrics_variables"),
    "predict": _LAYERS,
}
"""What the state of each step consists of."""


def state_variables(model: Any, kind: str) -> list[Sequence[Variable]]:
    """The variables that the state of a step stands for, in groups."""
    groups = {
        "trainable_variables": lambda: model.trainable_variables,
        "non_trainable_variables": lambda: model.non_trainable_variables,
        "optimizer_variables": lambda: model.optimizer.variables,
        "metrics_variables": lambda: model.metrics_variables,
    }
    return [groups[name]() for name in _NAMES[kind]]
