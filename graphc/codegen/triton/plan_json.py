"""Launch plans as JSON, so that they can be kept beside machine code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, cast

from graphc.codegen.triton import plan as plans
from graphc.codegen.triton.kernel import Kernel, Tiles
from graphc.codegen.triton.plan import Plan
from graphc.ir.errors import GraphcError
from graphc.ir.types import TensorType, tensor_type

_CLASSES: dict[str, type[Any]] = {
    each.__name__: each
    for each in (
        *(plans.Plan, plans.Region, plans.Constant, plans.Address, plans.Term),
        *(plans.Launch, plans.Copy, plans.Fill, plans.HostCall, plans.Loop),
        *(plans.Branch, Kernel, Tiles),
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
        found = _decoded(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise GraphcError(f"the text is no launch plan: {error}") from error
    if not isinstance(found, Plan):
        raise GraphcError("the text is no launch plan", received=text[:80])
    return found


def _encoded(value: object) -> Any:
    """`value` in JSON. What JSON lacks is an object whose key says what it is."""
    if isinstance(value, TensorType):
        return {"type": str(value)}
    if isinstance(value, tuple):
        return [_encoded(each) for each in cast(tuple[object, ...], value)]
    if dataclasses.is_dataclass(value):
        fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return {type(value).__name__: [_encoded(each) for each in fields]}
    if isinstance(value, Mapping):
        return {"map": [[key, each] for key, each in cast(Any, value).items()]}
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decoded(each) for each in cast(list[Any], value))
    if not isinstance(value, dict):
        return value
    ((name, content),) = cast(dict[str, Any], value).items()
    if name == "type":
        return tensor_type(content)
    if name == "map":  # of plain JSON, such as attributes
        return dict(content)
    return _CLASSES[name](*(_decoded(each) for each in content))
