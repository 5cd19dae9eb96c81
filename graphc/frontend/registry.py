"""Registries: the names that users and configs may call a family's objects by."""

from __future__ import annotations

import difflib
import inspect
import threading
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = [
    "CUSTOM_OBJECTS",
    "Registry",
    "custom_scope",
    "find_custom",
    "registered_name",
]

CUSTOM_OBJECTS: dict[str, Any] = {}
"""Users' classes and functions by registered name, such as ``my_package>MyLoss``."""


class _Scopes(threading.local):
    """The names that open scopes of this thread add, innermost first."""

    def __init__(self) -> None:
        self.names: ChainMap[str, Any] = ChainMap()


_SCOPES = _Scopes()


@contextmanager
def custom_scope(names: Mapping[str, Any]) -> Iterator[None]:
    """While open, `names` stand for users' classes and functions in this thread."""
    previous = _SCOPES.names
    _SCOPES.names = previous.new_child(dict(names))
    try:
        yield
    finally:
        _SCOPES.names = previous


def find_custom(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The user's class or function of that name, or None.

    Args:
        name: A registered name or the name of a class or function.
        custom_objects: More names, which win over open scopes, which win over what is
            registered.
    """
    for names in (custom_objects or {}, _SCOPES.names, CUSTOM_OBJECTS):
        if name in names:
            return names[name]
    return None


def registered_name(item: Any) -> str | None:
    """The name that a class or function is registered under, or None."""
    return next((n for n, known in CUSTOM_OBJECTS.items() if known is item), None)


class Registry:
    """The classes and functions of one family, found by name and by nothing else.

    A name in a config resolves to something registered here or by the user; it is
    never imported, so loading a file runs no code that the file names.

    Args:
        family: What the objects are, for messages: ``loss``, ``metric``, ...
        module: The module written into configs, which is Keras's so that configs can
            be exchanged with it.
        alias: Makes a second name for each class of its own.
    """

    def __init__(
        self,
        family: str,
        module: str,
        alias: Callable[[str], str] = lambda name: name,
    ) -> None:
        self.family = family
        self.module = module
        self.alias = alias
        self._items: dict[str, Any] = {}

    def add(self, *items: Any, **aliases: Any) -> None:
        """Registers `items` under their own names and `aliases` under theirs."""
        for item in items:
            self._items[item.__name__] = item
            if inspect.isclass(item):
                self._items[self.alias(item.__name__)] = item
        self._items.update(aliases)

    def has(self, name: str) -> bool:
        """Whether a class or function of the family's own is called `name`."""
        return name in self._items

    def holds(self, item: Any) -> bool:
        """Whether `item` is one of the family's own classes and functions."""
        return self.name_of(item) is not None

    def name_of(self, item: Any) -> str | None:
        """The first name that one of the family's own is registered under, or None."""
        return next((n for n, known in self._items.items() if known is item), None)

    def find(self, name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The class or function called `name`.

        Args:
            name: A name.
            custom_objects: More names, which win.

        Raises:
            ValueError: If nothing is registered under it; gives the nearest name.
        """
        found = find_custom(name, custom_objects)
        if found is None:
            found = self._items.get(name)
        if found is not None:
            return found
        near = difflib.get_close_matches(name, [*self._items, *CUSTOM_OBJECTS], 1, 0.5)
        raise ValueError(
            f"Could not interpret {self.family} identifier. Expected a registered "
            f"name. Received: identifier={name!r}"
            + (f". Did you mean {near[0]!r}?" if near else "")
        )

    def get(self, identifier: Any) -> Any:
        """What `identifier` stands for: a name, a config, a class or an object.

        Args:
            identifier: A registered name or a config, which give an object (functions
                give themselves); a class, which is called without arguments; None or
                any other callable, which stand for themselves.

        Raises:
            ValueError: For an unknown name, or something that cannot be called.
        """
        if identifier is None:
            return None
        if isinstance(identifier, (str, dict)):
            return self.deserialize(identifier)
        if not callable(identifier):
            raise ValueError(
                f"Could not interpret {self.family} identifier. Expected a name, a "
                f"config or a callable. Received: identifier={identifier!r}"
            )
        return identifier() if inspect.isclass(identifier) else identifier

    def serialize(self, item: Any) -> Any:
        """The config that `deserialize` reads; None for None.

        Raises:
            ValueError: For a lambda, which has no name to find it by.
        """
        if item is None:
            return None
        if inspect.isfunction(item):
            if item.__name__ == "<lambda>":
                raise ValueError(
                    f"A lambda cannot be saved. Expected a named {self.family} "
                    f"function. Received: {item!r}"
                )
            built_in = self.holds(item)
            name = registered_name(item) or item.__name__
            return {
                "module": "builtins" if built_in else None,
                "class_name": "function",
                "config": name,
                "registered_name": "function" if built_in else name,
            }
        kind = type(item)
        name = self.name_of(kind)
        return {
            "module": self.module if name else None,
            "class_name": name or kind.__name__,
            "config": item.get_config(),
            "registered_name": None if name else registered_name(kind) or kind.__name__,
        }

    def deserialize(
        self, config: Any, custom_objects: Mapping[str, Any] | None = None
    ) -> Any:
        """The object that a config, or a name, describes.

        Args:
            config: What `serialize` returned, or a registered name.
            custom_objects: More names to find classes and functions by.

        Raises:
            ValueError: If the config is malformed or names nothing registered.
        """
        if config is None:
            return None
        if isinstance(config, str):
            found = self.find(config, custom_objects)
            return found() if inspect.isclass(found) else found
        if not isinstance(config, dict) or "class_name" not in config:
            raise ValueError(
                f"Could not interpret {self.family} config. Expected a dict with the "
                f"keys 'class_name' and 'config'. Received: config={config!r}"
            )
        name, inner = config["class_name"], config.get("config")
        if name == "function":
            name, inner = inner, None
        registered = config.get("registered_name")
        found = find_custom(registered, custom_objects) if registered else None
        if found is None and config.get("module", self.module) is None:
            # It was a user's own, whatever here has the same name.
            found = find_custom(str(name), custom_objects)
            if found is None:
                raise self._not_registered(registered or name)
        if found is None:
            found = self.find(str(name), custom_objects)
        make = getattr(found, "from_config", None) if inspect.isclass(found) else None
        return found if make is None else make(dict(inner or {}))

    def _not_registered(self, name: Any) -> ValueError:
        return ValueError(
            f"Could not find the {self.family} {name!r}, which is no part of graphc."
            " Expected it among `custom_objects`, or registered with"
            " @graphc.saving.register_keras_serializable()."
        )
