"""Launch plans as JSON, so that they can be kept beside machine code."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from graphc.codegen.triton import plan as plans
from graphc.codegen.triton.kernel import Kernel, LibraryCall, Matrix, Tiles
from graphc.codegen.triton.plan import Plan
from graphc.ir.errors import GraphcError
from graphc.ir.types import TensorType, tensor_type

_CLASSES: dict[str, type[Any]] = {
    each.__name__: each
    for each in (
        *(plans.Plan, plans.Region, plans.Constant, plans.Address, plans.Term),
        *(plans.Launch, plans.Copy, plans.Fill, plans.HostCall, plans.Loop),
        *(plans.Limit, plans.Branch, Kernel, Tiles, LibraryCall, Matrix),
    )
}


def plan_to_json(plan: Plan) -> str:
    """The text that `plan_from_json` reads back to an equal plan."""
    return json.dumps(_encoded(plan), separators=(",", ":"))


def plan_from_json(text: str) -> Plan:
    """The plan that `plan_to_json` wrote.

    Raises:
        GraphcError: If the text is no plan.
    """
    try:
        return _decoded(json.loads(text), Plan)
    except (ValueError, TypeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise GraphcError(f"the text is no launch plan: {reason!s:.200}") from error


def _encoded(value: object) -> Any:
    """`value` in JSON. What JSON lacks is an object whose key says what it is."""
    if isinstance(value, TensorType):
        return {"type": str(value)}
    if isinstance(value, tuple):
        return [_encoded(each) for each in cast(tuple[object, ...], value)]
    if dataclasses.is_dataclass(value):
        fields = list(dataclasses.fields(value))
        while fields and getattr(value, fields[-1].name) == fields[-1].default:
            fields.pop()  # what a class gets later is not in plans without it
        found = [_encoded(getattr(value, field.name)) for field in fields]
        return {type(value).__name__: found}
    if isinstance(value, Mapping):
        return {"map": [[key, each] for key, each in cast(Any, value).items()]}
    return value


def _decoded(value: Any, wanted: Any) -> Any:
    """What `value` spells, of a type as annotations say it.

    Raises:
        ValueError, TypeError: If it spells nothing of that type.
    """
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        return _decoded(value, _member(value, arguments))
    if origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, list):
            return _elements(cast(list[Any], value), arguments)
    elif wanted is TensorType:
        return tensor_type(_content(value, "type", str))
    elif wanted in _CLASSES.values():
        return _instance(wanted, _content(value, wanted.__name__, list))
    elif origin is not None:  # of mappings, whose entries are plain JSON
        found = dict(_content(value, "map", list))
        if all(_fits(each, arguments) for each in found.items()):
            return found
    elif type(value) is wanted:
        return value
    raise ValueError(f"expected {wanted}, not {str(value)[:80]!a}")


def _elements(values: list[Any], types: tuple[Any, ...]) -> tuple[Any, ...]:
    if types[-1] is Ellipsis:
        return tuple(_decoded(each, types[0]) for each in values)
    pairs = zip(values, types, strict=True)
    return tuple(_decoded(each, type) for each, type in pairs)


def _instance(wanted: type[Any], content: list[Any]) -> Any:
    fields = _field_types(wanted)
    return wanted(*_elements(content, fields[: max(len(content), _required(wanted))]))


@functools.cache
def _required(wanted: type[Any]) -> int:
    """How many fields of a class have no default."""
    missing = dataclasses.MISSING
    return sum(
        field.default is missing and field.default_factory is missing
        for field in dataclasses.fields(wanted)
    )


@functools.cache
def _field_types(wanted: type[Any]) -> tuple[Any, ...]:
    hints = get_type_hints(wanted)
    return tuple(hints[field.name] for field in dataclasses.fields(wanted))


def _content(value: Any, key: str, wanted: type[Any]) -> Any:
    """What stands under the only key of a JSON object."""
    if not isinstance(value, dict) or list(cast(Any, value)) != [key]:
        raise ValueError(f"expected {key}, not {str(cast(Any, value))[:80]!a}")
    content = cast(dict[str, Any], value)[key]
    if not isinstance(content, wanted):
        raise ValueError(f"expected a {wanted.__name__} for {key}")
    return content


def _member(value: Any, types: tuple[Any, ...]) -> Any:
    """Which type of a union `value` spells."""
    if isinstance(value, dict):
        names = set(cast(dict[str, Any], value))
        return next((t for t in types if {t.__name__} == names), types[0])
    for type_ in types:
        if type(value) is type_ or (value is None and type_ is NoneType):
            return type_
    return types[0]


def _fits(entry: tuple[Any, Any], types: tuple[Any, ...]) -> bool:
    return all(
        wanted is Any or type(each) is wanted
        for each, wanted in zip(entry, types, strict=True)
    )
