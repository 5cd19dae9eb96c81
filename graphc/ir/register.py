"""Registering ops: the decorators that turn a function into an op record."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from graphc.ir.body import body_graph
from graphc.ir.opdef import (
    ANY,
    OPS,
    REQUIRED,
    Attribute,
    AttributeKind,
    IllTyped,
    Kind,
    OpDef,
    Sample,
    Trait,
)
from graphc.ir.types import DType, TensorType

DTypes = frozenset[DType] | tuple[frozenset[DType], ...]


def primitive(
    kind: Kind,
    reference: Callable[..., Any],
    *,
    vjp: Callable[..., Any] | str | None = None,
    pullback: Callable[..., Any] | None = None,
    trips: Callable[..., Any] | None = None,
    position_of: OpDef | None = None,
    samples: Iterable[Sample],
    errors: Iterable[IllTyped],
    dtypes: DTypes = ANY,
    traits: Iterable[Trait] = (),
    ulp: float = 0,
    numerics: str = "",
    no_kernel: str = "",
    flops: Callable[..., Any] | None = None,
    read_index: Callable[..., Any] | None = None,
    write_index: Callable[..., Any] | None = None,
    exact: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], OpDef]:
    """Registers the decorated type rule as a primitive; see `OpDef` for the arguments.

    The function's positional parameters are the operands, its keyword-only ones the
    attributes, its docstring the op's documentation.
    """

    def register(rule: Callable[..., Any]) -> OpDef:
        return _register(
            rule,
            kind=kind,
            traits=frozenset(traits),
            dtypes=dtypes,
            infer=rule,
            reference=reference,
            vjp=vjp,
            pullback=pullback,
            trips=trips,
            position_of=position_of,
            body=None,
            samples=tuple(samples),
            errors=tuple(errors),
            ulp=ulp,
            numerics=numerics,
            no_kernel=no_kernel,
            flops=flops,
            read_index=read_index,
            write_index=write_index,
            exact=exact,
        )

    return register


def composite(
    kind: Kind,
    *,
    samples: Iterable[Sample],
    errors: Iterable[IllTyped],
    infer: Callable[..., Any] | None = None,
    reference: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | str | None = None,
    dtypes: DTypes = ANY,
    traits: Iterable[Trait] = (),
    ulp: float = 0,
    numerics: str = "",
) -> Callable[[Callable[..., Any]], OpDef]:
    """Registers the decorated body as a composite.

    The type rule, the reference and the gradient follow from the body unless better
    ones are given. The body is called with values and must be built from ops.
    """

    def register(body: Callable[..., Any]) -> OpDef:
        return _register(
            body,
            kind=kind,
            traits=frozenset(traits),
            dtypes=dtypes,
            infer=infer or _infer_by_body(body.__name__.rstrip("_")),
            reference=reference,
            vjp=vjp,
            body=body,
            samples=tuple(samples),
            errors=tuple(errors),
            ulp=ulp,
            numerics=numerics,
        )

    return register


def _infer_by_body(name: str) -> Callable[..., tuple[TensorType, ...]]:
    def infer(*operands: TensorType, **attributes: Any) -> tuple[TensorType, ...]:
        op = OPS[name]
        graph = body_graph(op, operands, op.encode(attributes))
        return tuple(result.type for result in graph.results)

    return infer


def _register(rule: Callable[..., Any], *, dtypes: DTypes, **record: Any) -> OpDef:
    name = rule.__name__.rstrip("_")
    operands, minimum, variadic, attributes = _signature(rule)
    op = OpDef(
        name=name,
        doc=inspect.getdoc(rule) or "",
        operands=operands,
        minimum=minimum,
        variadic=variadic,
        attributes=attributes,
        dtypes=dtypes if isinstance(dtypes, tuple) else (dtypes,),
        **record,
    )
    _check_complete(op)
    OPS[name] = op
    return op


def _check_complete(op: OpDef) -> None:
    missing: list[str] = []
    if op.name in OPS:
        missing.append("a name of its own")
    if not op.doc:
        missing.append("a docstring")
    if op.reference is None and op.body is None:
        missing.append("a reference")
    if op.vjp is None and op.pullback is None and op.body is None:
        missing.append("a vjp or the reason why it has none")
    if op.kind is Kind.CONTRACTION and op.body is None and op.flops is None:
        missing.append("its number of floating-point operations")
    if not op.samples:
        missing.append("samples")
    if not op.errors:
        missing.append("ill-typed calls")
    if missing:
        raise TypeError(f"op {op.name!r} lacks {', '.join(missing)}")


def _signature(
    rule: Callable[..., Any],
) -> tuple[tuple[str, ...], int, bool, dict[str, Attribute]]:
    operands: list[str] = []
    minimum = 0
    variadic = False
    attributes: dict[str, Attribute] = {}
    for parameter in inspect.signature(rule).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            attributes[parameter.name] = _attribute(rule, parameter)
            continue
        operands.append(parameter.name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            variadic = True
        elif parameter.default is parameter.empty:
            minimum += 1
    return tuple(operands), minimum, variadic, attributes


def _attribute(rule: Callable[..., Any], parameter: inspect.Parameter) -> Attribute:
    annotation = str(parameter.annotation)  # a string: annotations are postponed
    base, _, none = annotation.partition(" | ")
    default = REQUIRED if parameter.default is parameter.empty else parameter.default
    declared = Attribute(parameter.name, AttributeKind(base), default, none == "None")
    if default is REQUIRED:
        return declared
    encoded = declared.encode(default)
    return Attribute(parameter.name, declared.kind, encoded, declared.optional)
