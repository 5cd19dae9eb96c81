"""The configuration of a layer from the arguments it was constructed with."""

from __future__ import annotations

from typing import Any

from graphc.frontend.layers.call_spec import signature_of


def constructor_config(layer: Any) -> dict[str, Any]:
    """The constructor's arguments by name, besides those that every layer has.

    Raises:
        NotImplementedError: If one is not plain data.
    """
    arguments, keywords = layer._constructed_with
    signature = signature_of(type(layer).__init__)
    bound = dict(signature.bind(*arguments, **keywords).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            bound.update(bound.pop(name, {}))
    own = {k: v for k, v in bound.items() if k not in ("dtype", "name", "trainable")}
    for name, given in own.items():
        if not _is_json(given):
            raise NotImplementedError(
                f"Layer {type(layer).__name__} was created with an argument that is not"
                " plain data, so it must override `get_config()`."
                f" Received: {name}={given!r}"
            )
    return own


def _is_json(given: Any) -> bool:
    if isinstance(given, (list, tuple)):
        return all(_is_json(x) for x in given)
    if isinstance(given, dict):
        return all(isinstance(k, str) and _is_json(v) for k, v in given.items())
    return given is None or isinstance(given, (bool, int, float, str))
