"""What a pass is, and the table of passes that pipelines name."""

from __future__ import annotations

import abc
import dataclasses
import re
from collections.abc import Mapping, Set
from typing import Any, ClassVar, TypeVar, cast

from graphc.ir.errors import PassError
from graphc.ir.graph import Graph
from graphc.passes.numerics import Numerics
from graphc.passes.rewrite import Rewriter

Option = bool | int | float | str | tuple[str, ...]
"""What an option of a pass may hold."""

_ACCEPTED: dict[str, type[Any]] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "tuple[str, ...]": tuple,
}
"""The annotations that a pass may give its fields, and what such a field holds."""


class Pass(abc.ABC):
    """A rewrite: valid graphs in, valid graphs out.

    Passes are frozen dataclasses whose fields are their options, each with a default.
    A pass holds no state between runs, changes graphs through the rewriter alone, and
    goes on until it finds nothing more to do.

    Attributes:
        name: Its name in pipelines.
        required: Whether programs are wrong or cannot run without it; such a pass
            is exempt from the limit on rewrites.
        rounding: The names of its rules that keep results up to rounding alone, so that
            a check of its results allows for that. All others are laws of arithmetic,
            which `graphc.ir.exact` keeps.
        numerics: The numerics classes of its rules. One that is not here is taken to
            reassociate.
        tuned: The values of its options, by name, that may be faster than the default
            on some graphs: `graphc tune` measures them.
    """

    name: ClassVar[str]
    required: ClassVar[bool] = False
    rounding: ClassVar[Set[str]] = frozenset()
    numerics: ClassVar[Mapping[str, Numerics]] = {}
    tuned: ClassVar[Mapping[str, tuple[Option, ...]]] = {}

    @abc.abstractmethod
    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        """Rewrites; returns whether anything changed."""

    def __str__(self) -> str:
        return pass_text(self)


class GraphPass(Pass):
    """A pass that rewrites one graph; it runs on every reachable graph of a module."""


class ModulePass(Pass):
    """A pass that may rewrite several graphs; it gets the entry graph."""


P = TypeVar("P", bound=type[Pass])

PASSES: dict[str, type[Pass]] = {}
"""Every pass by name. Complete once `graphc.passes` is imported."""


def register(cls: P) -> P:
    """Puts a pass into the table.

    Raises:
        TypeError: If it lacks a docstring or a default, or an option has a type that
            text cannot spell.
    """
    if cls.name in PASSES:
        raise TypeError(f"there already is a pass {cls.name!r}")
    if not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}("):
        raise TypeError(f"pass {cls.name!r} lacks a docstring")
    for option in options(cls):
        if (
            option_type(option) not in _ACCEPTED
            or option.default is dataclasses.MISSING
        ):
            raise TypeError(
                f"pass {cls.name!r}: option {option.name!r} must have a default and"
                f" one of the types {', '.join(_ACCEPTED)}"
            )
    known = {option.name: option for option in options(cls)}
    for name, values in cls.tuned.items():
        if name not in known:
            raise TypeError(f"pass {cls.name!r} has no option {name!r} to tune")
        for value in values:
            checked_option(known[name], value)
    PASSES[cls.name] = cls
    return cls


def options(of: type[Pass] | Pass) -> tuple[dataclasses.Field[Any], ...]:
    """The options of a pass."""
    return dataclasses.fields(of) if dataclasses.is_dataclass(of) else ()


def option_type(option: dataclasses.Field[Any]) -> str:
    """The type of an option as text, whether or not its module postpones annotations."""
    annotated: object = option.type
    return annotated.__name__ if isinstance(annotated, type) else str(annotated)


def pass_text(of: Pass) -> str:
    """A pass as pipelines spell it, without options that have their default."""
    shown = [
        f"{option.name}={_option_text(getattr(of, option.name))}"
        for option in options(of)
        if getattr(of, option.name) != option.default
    ]
    return f"{of.name}{{{','.join(shown)}}}" if shown else of.name


WORD = re.compile(r"[A-Za-z_][\w.:-]*")
"""Text that an option may hold without quotes."""


def _option_text(value: Option) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{','.join(map(_option_text, value))}]"
    if WORD.fullmatch(value) and value not in ("true", "false", "inf", "nan"):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def checked_option(option: dataclasses.Field[Any], value: object) -> Option:
    """`value` as the option's field holds it.

    Raises:
        PassError: If the option has another type.
    """
    wanted = option_type(option)
    if wanted == "tuple[str, ...]" and isinstance(value, str):
        return (value,)
    if wanted == "float" and type(value) is int:
        return float(value)
    accepted = _ACCEPTED[wanted]
    if type(value) is accepted and value == value:  # nan is no number
        return cast("Option", value)
    raise PassError(
        f"option {option.name!r} must be of type {wanted}", received=repr(value)[:80]
    )
