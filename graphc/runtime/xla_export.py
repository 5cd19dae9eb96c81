"""StableHLO text as a `jax.export.Exported`, which jax calls like any function.

jax has no constructor for it: a small function is exported once, and the module and
the signature of that export are replaced. What is not plainly public stays in this
file and is tried out before it is relied on.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import jax
import jax.export
import jax.extend.mlir
import numpy as np
from jax.extend.lowering import JaxIrContext
from jax.extend.mlir.dialects import stablehlo

from graphc.ir.errors import LoadError
from graphc.runtime.xla_cache import Kept, keeping

Spec: TypeAlias = jax.ShapeDtypeStruct

_PLACEHOLDER = "graphc.signature"


def exported(
    text: str,
    name: str,
    parameters: Sequence[Spec],
    results: Sequence[Spec],
    platform: str,
) -> jax.export.Exported:
    """The function ``@main`` of the module `text` as an exported jax function.

    Args:
        text: A StableHLO module.
        name: What the function is called in jax's messages.
        parameters: The type of each parameter.
        results: The type of each result; calling the function returns their tuple.
        platform: ``cpu``, ``cuda``, ...

    Raises:
        jax.errors.JaxRuntimeError: If the text is no valid module.
    """
    make = _signature if _probe(platform) else _exported_signature
    return dataclasses.replace(
        make(parameters, results, platform),
        fun_name=name,
        mlir_module_serialized=portable_artifact(text),
    )


def portable_artifact(text: str) -> bytes:
    """A StableHLO module in the form that later versions of StableHLO read, too.

    Raises:
        jax.errors.JaxRuntimeError: If the text is no valid module.
    """
    # The last argument keeps operations of other dialects, such as shardings, as is.
    return jax.extend.mlir.serialize_portable_artifact(text, VERSION, True)


def artifact_text(artifact: bytes) -> str:
    """The text of the module that `portable_artifact` wrote.

    Raises:
        LoadError: If it is none, or of a version that is not known here.
    """
    try:
        with JaxIrContext() as context:
            stablehlo.register_dialect(context)
            return str(jax.extend.mlir.deserialize_portable_artifact(artifact, context))
    except (ValueError, RuntimeError) as error:
        raise LoadError(
            "a StableHLO artifact is damaged or too new",
            received=str(error)[:200],
        ) from None


VERSION: str = stablehlo.get_current_version()
"""The version of StableHLO that portable artifacts are written in."""


def compiled(
    function: Any,
    parameters: Sequence[Spec],
    host_calls: Sequence[Callable[..., Any]],
    kept: Kept | None = None,
    options: Mapping[str, str] = MappingProxyType({}),
) -> jax.stages.Compiled:
    """A jitted function compiled for parameters.

    Args:
        function: What `jax.jit` returned for an exported function.
        parameters: The type of each parameter.
        host_calls: The Python functions that its program calls, by index.
        kept: Where what was compiled before is looked for.
        options: Options of XLA by name, which differ from its defaults.
    """
    lowered = function.lower(*parameters)
    if host_calls:
        # What jax itself fills when it lowers a callback.
        lowered._lowering.compile_args["host_callbacks"] += host_calls
    with keeping(kept):
        return lowered.compile(compiler_options=dict(options) or None)


@functools.cache
def _identity(platform: str) -> jax.export.Exported:
    """One parameter, one result."""
    return _exported_signature([Spec((), np.float32)], [Spec((), np.float32)], platform)


def _exported_signature(
    parameters: Sequence[Spec], results: Sequence[Spec], platform: str
) -> jax.export.Exported:
    """An export with this signature and a placeholder for a body."""
    body = jax.ffi.ffi_call(_PLACEHOLDER, tuple(results))
    return jax.export.export(
        jax.jit(body, keep_unused=True),
        platforms=(platform,),
        disabled_checks=[jax.export.DisabledSafetyCheck.custom_call(_PLACEHOLDER)],
    )(*parameters)


def _signature(
    parameters: Sequence[Spec], results: Sequence[Spec], platform: str
) -> jax.export.Exported:
    """As `_exported_signature`, made from the export of another signature.

    Exporting takes 20 to 80 ms, this 1 to 3.
    """
    base = _identity(platform)
    tree = jax.tree_util.tree_structure
    changes: dict[str, Any] = {
        "in_avals": tuple(_aval(base, spec) for spec in parameters),
        "out_avals": tuple(_aval(base, spec) for spec in results),
        "in_tree": tree(((0,) * len(parameters), {})),
        "out_tree": tree((0,) * len(results)),
        "module_kept_var_idx": tuple(range(len(parameters))),
    }
    # The shardings, which are all unspecified, have fields that differ from version
    # to version: in_shardings_hlo, _in_named_shardings, ...
    for field in dataclasses.fields(base):
        side = field.name.lstrip("_").partition("_")[0]
        count = {"in": len(parameters), "out": len(results)}.get(side)
        if count is not None and field.name.endswith(("shardings", "shardings_hlo")):
            changes[field.name] = getattr(base, field.name) * count
    return dataclasses.replace(base, **changes)


def _aval(base: jax.export.Exported, spec: Spec) -> Any:
    return base.in_avals[0].update(shape=spec.shape, dtype=spec.dtype)


@functools.cache
def _probe(platform: str) -> bool:
    """Whether `_signature` says of a function what exporting it says."""
    parameters = [Spec((2, 3), np.float32), Spec((), np.int32)]
    results = [Spec((3,), np.bool_), Spec((2,), np.uint8), Spec((0,), np.float16)]
    wanted = _exported_signature(parameters, results, platform)
    try:
        made = _signature(parameters, results, platform)
    except (AttributeError, TypeError, ValueError):
        return False
    # The bodies and what holds no value that compares may differ.
    skipped = {"mlir_module_serialized", "_get_vjp"}
    return all(
        getattr(made, field.name) == getattr(wanted, field.name)
        for field in dataclasses.fields(wanted)
        if field.name not in skipped
    )
