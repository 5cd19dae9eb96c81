"""Objects as JSON configs and back: by names in closed registries, never by imports."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphc.frontend import (
    activations,
    constraints,
    dtype_policies,
    initializers,
    ops,
    optimizers,
    regularizers,
)
from graphc.frontend.constraints import Constraint
from graphc.frontend.initializers import Initializer
from graphc.frontend.keras_tensor import KerasTensor
from graphc.frontend.layers.layer import Layer
from graphc.frontend.layers.registry import LAYERS
from graphc.frontend.registry import (
    CUSTOM_OBJECTS,
    custom_scope,
    find_custom,
    registered_name,
)
from graphc.frontend.regularizers import Regularizer
from graphc.frontend.tensor import OPERATORS, Array
from graphc.frontend.training import losses, metrics, schedules
from graphc.frontend.training.losses import Loss
from graphc.frontend.training.metrics import Metric
from graphc.frontend.training.schedules import LearningRateSchedule

_FAMILIES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (Layer, LAYERS.serialize),
    (optimizers.Optimizer, optimizers.serialize),
    (Loss, losses.serialize),
    (Metric, metrics.serialize),
    (Initializer, initializers.serialize),
    (Regularizer, regularizers.serialize),
    (Constraint, constraints.serialize),
    (LearningRateSchedule, schedules.serialize),
    (dtype_policies.DTypePolicy, dtype_policies.serialize),
)

_MODULES: dict[str, Callable[..., Any]] = {
    "keras": LAYERS.deserialize,
    "keras.layers": LAYERS.deserialize,
    "keras.optimizers": optimizers.deserialize,
    "keras.losses": losses.deserialize,
    "keras.metrics": metrics.deserialize,
    "keras.initializers": initializers.deserialize,
    "keras.regularizers": regularizers.deserialize,
    "keras.constraints": constraints.deserialize,
    "keras.optimizers.schedules": schedules.deserialize,
    "keras.activations": activations.deserialize,
    "keras.dtype_policies": dtype_policies.deserialize,
}

_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    activations.deserialize,
    losses.deserialize,
    metrics.deserialize,
)

OPS = {
    name: function
    for name, function in {**OPERATORS, **vars(ops)}.items()
    if (name in OPERATORS or name in ops.__all__) and hasattr(function, "__wrapped__")
}
"""The ops that functional models may record, by name."""


def op_name(function: Callable[..., Any]) -> str | None:
    """The name of an op, or None for any other function."""
    name = getattr(function, "__name__", "")
    known = OPS.get(name)
    same = known is not None and inspect.unwrap(known) is inspect.unwrap(function)
    return name if same else None


# -- users' classes and functions -------------------------------------------------------


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[Any], Any]:
    """Registers a class or function, so that files that use it can be loaded.

    Args:
        package: A prefix that keeps names of different packages apart.
        name: The name within the package; the class's own by default.

    Returns:
        A decorator that returns what it decorates.

    Raises:
        ValueError: If a class has no `get_config` method.

    Example:
        >>> import graphc
        >>> @graphc.saving.register_keras_serializable(package="my_package")
        ... class Twice(graphc.layers.Layer):
        ...     def call(self, x):
        ...         return 2 * x
        >>> graphc.saving.get_registered_name(Twice)
        'my_package>Twice'
    """

    def register(item: Any) -> Any:
        if inspect.isclass(item) and not hasattr(item, "get_config"):
            raise ValueError(
                "Cannot register a class that does not have a `get_config()` method."
                f" Received: {item.__name__}"
            )
        CUSTOM_OBJECTS[f"{package}>{name or item.__name__}"] = item
        return item

    return register


def get_registered_name(obj: Any) -> str:
    """The name that a class or function is registered under, or its own name."""
    return registered_name(obj) or obj.__name__


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """The class or function of that name, or None.

    Args:
        name: A registered name.
        custom_objects: More names, which win.
        module_objects: More names, which come last.
    """
    found = find_custom(name, custom_objects)
    return found if found is not None else (module_objects or {}).get(name)


def get_custom_objects() -> dict[str, Any]:
    """The dictionary of registered classes and functions itself: changes count."""
    return CUSTOM_OBJECTS


class CustomObjectScope:
    """While open, names stand for users' classes and functions in this thread.

    Args:
        custom_objects: Classes and functions by name.

    Example:
        >>> import graphc
        >>> class Twice(graphc.layers.Layer):
        ...     def call(self, x):
        ...         return 2 * x
        >>> config = graphc.saving.serialize_keras_object(Twice())
        >>> with graphc.saving.CustomObjectScope({"Twice": Twice}):
        ...     layer = graphc.saving.deserialize_keras_object(config)
        >>> type(layer) is Twice
        True
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self._scope = custom_scope(custom_objects or {})

    def __enter__(self) -> CustomObjectScope:
        self._scope.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._scope.__exit__(*error)


custom_object_scope = CustomObjectScope


# -- values ------------------------------------------------------------------------------


def serialize_keras_object(obj: Any) -> Any:
    """`obj` as JSON, for `deserialize_keras_object`.

    Args:
        obj: A layer, a model, an optimizer, a loss or another object with a config; a
            named function; an array, or a nested structure of these and of plain values.

    Raises:
        ValueError: For a lambda, or an object without a config.
    """
    return encode(obj, _serialize_object)


def encode_config(config: Any) -> Any:
    """What a `get_config` method returned as JSON; tuples become lists, as in Keras.

    Raises:
        ValueError: If it holds what is no plain value, array or object with a config.
    """
    if isinstance(config, (list, tuple)):
        return [encode_config(item) for item in config]
    if isinstance(config, dict):
        return {_checked_key(key): encode_config(v) for key, v in config.items()}
    return encode(config, lambda found: encode_config(_serialize_object(found)))


def encode(
    value: Any,
    other: Callable[[Any], Any],
    first: Callable[[Any], bool] = lambda value: False,
) -> Any:
    """A nested structure of plain values and arrays as JSON.

    Args:
        value: The structure.
        other: Gives the JSON of what is neither.
        first: Whether `other` is to give the JSON of a value that may be either.
    """
    if first(value):
        return other(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"class_name": "__float__", "config": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        keys = sorted(map(_checked_key, value))
        return {key: encode(value[key], other, first) for key in keys}
    if isinstance(value, list):
        return [encode(item, other, first) for item in value]
    if isinstance(value, tuple):
        items = [encode(item, other, first) for item in value]
        return {"class_name": "__tuple__", "items": items}
    return _encode_leaf(value, other)


def _encode_leaf(value: Any, other: Callable[[Any], Any]) -> Any:
    if isinstance(value, np.generic):
        return encode(value.item(), other)
    if isinstance(value, (np.ndarray, Array)):
        array = np.asarray(value)
        config = {"value": array.tolist(), "dtype": str(array.dtype)}
        return {"class_name": "__numpy__", "config": config}
    if isinstance(value, slice):
        config = [encode(x, other) for x in (value.start, value.stop, value.step)]
        return {"class_name": "__slice__", "config": config}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    return other(value)


def decode(value: Any, other: Callable[[dict[str, Any]], Any]) -> Any:
    """The structure that `encode` wrote.

    Args:
        value: JSON.
        other: Gives what a dict with a ``class_name`` that `encode` did not write
            stands for.

    Raises:
        ValueError: If the JSON is not what `encode` writes.
    """
    if isinstance(value, list):
        return [decode(item, other) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("class_name")
    if not isinstance(name, str):
        return {key: decode(item, other) for key, item in value.items()}
    if name == "__tuple__":
        return tuple(decode(item, other) for item in value["items"])
    if name == "__numpy__":
        config = value["config"]
        return np.array(config["value"], dtype=_numeric_dtype(config["dtype"]))
    if name == "__float__":
        return _NOT_FINITE[value["config"]]
    if name == "__slice__":
        return slice(*(decode(x, other) for x in value["config"]))
    if name == "__ellipsis__":
        return Ellipsis
    return other(value)


_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def _checked_key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"Expected keys that are strings. Received: {key!r}")
    return key


def _numeric_dtype(name: Any) -> np.dtype[Any]:
    found = np.dtype(str(name))
    if found.kind not in "biuf":
        raise ValueError(f"Expected the dtype of numbers. Received: {name!r}")
    return found


def _serialize_object(obj: Any) -> Any:
    for family, serialize in _FAMILIES:
        if isinstance(obj, family):
            return encode_config(serialize(obj))
    if isinstance(obj, KerasTensor):
        config = {"shape": list(obj.shape), "dtype": obj.dtype, "name": obj.name}
        return {"class_name": "__keras_tensor__", "config": config}
    if inspect.isfunction(obj):
        return losses.serialize(obj) if _is_built_in(obj) else _serialize_custom(obj)
    if hasattr(obj, "get_config"):
        return _serialize_custom(obj)
    raise ValueError(
        "Expected a plain value, an array, a named function or an object with a"
        f" `get_config()` method. Received: {obj!r} (of type {type(obj).__name__})"
    )


def _is_built_in(function: Any) -> bool:
    return losses.REGISTRY.holds(function)


def _serialize_custom(item: Any) -> dict[str, Any]:
    """The config of a user's function or object of no family."""
    kind = item if inspect.isfunction(item) else type(item)
    name = get_registered_name(kind)
    if inspect.isfunction(item):
        if item.__name__ == "<lambda>":
            raise ValueError(f"A lambda has no name to be found by. Received: {item!r}")
        built_in = activations.serialize(item) == item.__name__
        return {
            "module": "builtins" if built_in else None,
            "class_name": "function",
            "config": name,
            "registered_name": "function" if built_in else name,
        }
    return {
        "module": None,
        "class_name": kind.__name__,
        "config": item.get_config(),
        "registered_name": name,
    }


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None
) -> Any:
    """The object that `serialize_keras_object` wrote.

    Names stand for what graphc has under them, or for what was registered; nothing is
    imported and no code is read, so there is no unsafe mode.

    Args:
        config: JSON.
        custom_objects: Classes and functions of your own by name.

    Raises:
        ValueError: If the config is malformed or names something unknown.
    """
    with custom_scope(custom_objects or {}):
        return decode(config, _deserialize_object)


def _deserialize_object(config: dict[str, Any]) -> Any:
    name, module = config["class_name"], config.get("module")
    if name == "__keras_tensor__":
        inner = config["config"]
        return KerasTensor(inner["shape"], inner["dtype"], inner.get("name"))
    if name == "DTypePolicy" and module == "keras":
        return dtype_policies.deserialize(config)
    custom: Any = find_custom(config.get("registered_name")) or find_custom(name)
    if custom is not None and hasattr(custom, "from_config"):
        return custom.from_config(config_for(custom, config.get("config") or {}))
    if name == "function":
        return _find_function(config)
    if module in _MODULES:
        kind = LAYERS.find(name) if LAYERS.has(name) else None
        return _MODULES[module](config_for(kind, config))
    raise ValueError(
        f"Could not find the class {name!r} of module {module!r}. Expected one that"
        " graphc has, or one among `custom_objects`, or one registered with"
        " @graphc.saving.register_keras_serializable()."
    )


def decode_config(config: Any) -> Any:
    """The inverse of `encode_config`; what has a `from_config` stays a config."""
    return decode(
        config, lambda nested: {key: decode_config(v) for key, v in nested.items()}
    )


def config_for(kind: Any, config: dict[str, Any]) -> dict[str, Any]:
    """What to give the `from_config` of a class: models read the JSON themselves."""
    return config if getattr(kind, "config_is_json", False) else decode_config(config)


def _find_function(config: dict[str, Any]) -> Any:
    custom = find_custom(config.get("config"))
    if custom is not None:
        return custom
    for deserialize in _FUNCTIONS:
        try:
            return deserialize(config)
        except ValueError:
            continue
    raise ValueError(
        f"Could not find the function {config.get('config')!r}. Expected one that graphc"
        " has, or one among `custom_objects`, or one registered with"
        " @graphc.saving.register_keras_serializable()."
    )


def is_closed(config: Any) -> bool:
    """Whether a config names nothing but what graphc itself has."""
    if isinstance(config, dict):
        if "class_name" in config and config.get("module", "") is None:
            return False
        return all(is_closed(item) for item in config.values())
    if isinstance(config, (list, tuple)):
        return all(is_closed(item) for item in config)
    return True
