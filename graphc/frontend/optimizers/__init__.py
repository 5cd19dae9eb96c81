"""Optimizers: how gradients change variables."""

from __future__ import annotations

from typing import Any

from graphc.frontend.optimizers.adafactor import Adafactor
from graphc.frontend.optimizers.adagrad import Adadelta, Adagrad
from graphc.frontend.optimizers.adam import Adam, AdamW
from graphc.frontend.optimizers.ftrl import Ftrl
from graphc.frontend.optimizers.lion import Lion
from graphc.frontend.optimizers.loss_scale_optimizer import LossScaleOptimizer
from graphc.frontend.optimizers.moments import Adamax, Lamb, Nadam
from graphc.frontend.optimizers.muon import Muon
from graphc.frontend.optimizers.optimizer import REGISTRY, Optimizer
from graphc.frontend.optimizers.rmsprop import RMSprop
from graphc.frontend.optimizers.sgd import SGD
from graphc.frontend.training import schedules

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]


def get(identifier: Any) -> Any:
    """The optimizer that `identifier` stands for.

    Args:
        identifier: A name such as ``"adam"``, a config, a class, or an optimizer.

    Raises:
        ValueError: For an unknown name or something that is not an optimizer.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        return REGISTRY.get(_lower(identifier))
    if isinstance(identifier, dict):
        return deserialize(identifier)
    made = REGISTRY.get(identifier) if identifier is not None else None
    if not isinstance(made, Optimizer):
        raise ValueError(
            "Could not interpret optimizer identifier. Expected a name, a config or an "
            f"Optimizer. Received: identifier={identifier!r}"
        )
    return made


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """The config of an optimizer, which `deserialize` reads."""
    return REGISTRY.serialize(optimizer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The optimizer that a config describes.

    Args:
        config: What `serialize` returned.
        custom_objects: Names to find classes of your own by.

    Raises:
        ValueError: If the config is malformed or names nothing registered.
    """
    if isinstance(config, dict) and "class_name" in config:
        config = config | {"class_name": _lower(str(config["class_name"]))}
    return REGISTRY.deserialize(config, custom_objects)


def _lower(name: str) -> str:
    """The registered name that `name` differs from in case only, if there is one."""
    return name.lower() if REGISTRY.has(name.lower()) else name
