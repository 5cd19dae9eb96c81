"""Registries: the names that users and configs may call a family's objects by."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["CUSTOM_OBJECTS", "Registry"]

CUSTOM_OBJECTS: dict[str, Any] = {}
"""Users' classes and functions by registered name, such as ``my_package>MyLoss``."""


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
        return any(known is item for known in self._items.values())

    def find(self, name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The class or function called `name`.

        Args:
            name: A name.
            custom_objects: More names, which win.

        Raises:
            ValueError: If nothing is registered under it; gives the nearest name.
        """
        for names in (custom_objects or {}, CUSTOM_OBJECTS, self._items):
            if name in names:
                return names[name]
        near = difflib.get_close_matches(name, [*self._items, *CUSTOM_OBJECTS], n=1)
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
        custom = next((n for n, known in CUSTOM_OBJECTS.items() if known is item), None)
        if inspect.isfunction(item):
            if item.__name__ == "<lambda>":
                raise ValueError(
                    f"A lambda cannot be saved. Expected a named {self.family} "
                    f"function. Received: {item!r}"
                )
            return {
                "module": "builtins",
                "class_name": "function",
                "config": custom or item.__name__,
                "registered_name": custom or "function",
            }
        kind = type(item)
        custom = next((n for n, known in CUSTOM_OBJECTS.items() if known is kind), None)
        built_in = self.holds(kind)
        return {
            "module": self.module if built_in else None,
            "class_name": kind.__name__,
            "config": item.get_config(),
            "registered_name": None if built_in else custom or kind.__name__,
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
            return self.find(str(inner), custom_objects)
        registered = config.get("registered_name")
        known = registered in (custom_objects or {}) or registered in CUSTOM_OBJECTS
        found = self.find(registered if known else str(name), custom_objects)
        if not inspect.isclass(found):
            return found
        return found.from_config(dict(inner or {}))
