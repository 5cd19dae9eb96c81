"""Names, signatures and result dtypes of Keras's ops, as recorded, against ours.

``pytest --update-golden`` on this file asks Keras again.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.frontend.keras_tensor import KerasTensor
from graphc.ir.errors import GraphError

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden/frontend/ops/keras_surface.json"
PAGE = ROOT / "docs/keras_ops.md"
NAMESPACES = ("ops", "ops.image", "ops.linalg", "random")
NOT_IN_KERAS = {"mish", "print"}
"""Keras has the first among its activations only."""
NAMES = (
    *("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32"),
    *("float16", "bfloat16", "float32"),
)
BINARY = (["x1", "x2"], ["x", "y"])


def namespace(package: str, name: str) -> Any:
    return import_module(f"{package}.{name}")


def signature(function: Callable[..., Any], like: str = "") -> str:
    """The parameters of a function with their defaults.

    Keyword-only ones that do not occur in the signature `like` are left out.
    """
    parameters = [
        p.replace(annotation=p.empty)
        for p in inspect.signature(function).parameters.values()
        if p.kind is not p.VAR_KEYWORD
        if not like or p.kind is not p.KEYWORD_ONLY or f"{p.name}=" in like
    ]
    return str(inspect.Signature(parameters))


def required(function: Callable[..., Any]) -> list[str]:
    """The parameters that must be given."""
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]


# -- recording -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def surface(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What Keras has: signatures by namespace, dtypes of results by operands."""
    if request.config.getoption("update_golden"):
        os.environ.setdefault("KERAS_BACKEND", "jax")
        pytest.importorskip("keras")
        text = json.dumps(recorded_surface(), indent=0, sort_keys=True)
        GOLDEN.write_text(text + "\n")
    return json.loads(GOLDEN.read_text())


def recorded_surface() -> dict[str, Any]:
    names = {
        name: {
            key: signature(function)
            for key, function in vars(namespace("keras", name)).items()
            if not key.startswith("_") and callable(function)
        }
        for name in NAMESPACES
    }
    result_type = namespace("keras", "backend").result_type
    weak = {
        kind.__name__: {name: result_type(name, kind) for name in NAMES}
        for kind in (bool, int, float)
    }
    return {"signatures": names, "dtypes": grouped(recorded_dtypes()), "weak": weak}


def grouped(dtypes: dict[str, dict[str, str]]) -> list[Any]:
    """Pairs of dtypes of results by operands, and the functions that they hold for."""
    groups: dict[str, list[str]] = {}
    for name, results in dtypes.items():
        groups.setdefault(json.dumps(results), []).append(name)
    return [[json.loads(results), sorted(names)] for results, names in groups.items()]


def recorded_dtypes() -> dict[str, dict[str, str]]:
    """The dtypes that Keras computes in, by function and operand dtypes."""
    found: dict[str, dict[str, str]] = {}
    for name, function in sorted(vars(namespace("keras", "ops")).items()):
        if name.startswith("_") or inspect.ismodule(function):
            continue
        wanted = required(function)
        keys = (
            [(n,) for n in NAMES]
            if wanted == ["x"]
            else [(m, n) for m in NAMES for n in NAMES]
            if wanted in BINARY
            else []
        )
        results = {",".join(k): keras_dtype(function, k) for k in keys}
        known = {key: result for key, result in results.items() if result}
        if known:
            found[name] = known
    return found


def keras_dtype(function: Callable[..., Any], names: tuple[str, ...]) -> str | None:
    """The dtype of the result for matrices of these dtypes; None if it refuses them."""
    jax = import_module("jax")
    operands = [jax.ShapeDtypeStruct((2, 2), element(n)) for n in names]
    try:
        result = jax.eval_shape(function, *operands)
    except Exception:  # Keras and JAX raise many kinds
        return None
    return result.dtype.name if hasattr(result, "dtype") else None


def element(name: str) -> Any:
    return np.dtype(getattr(ml_dtypes, name, name))


# -- names and signatures --------------------------------------------------------------


@pytest.mark.parametrize("name", NAMESPACES)
def test_every_function_has_the_signature_of_keras(
    surface: dict[str, Any], name: str
) -> None:
    ours, theirs = namespace("graphc", name), surface["signatures"][name]
    public = set(ours.__all__) - NOT_IN_KERAS
    assert public <= set(theirs)
    found = {key: signature(getattr(ours, key), theirs[key]) for key in public}
    assert found == {key: theirs[key] for key in public}


@pytest.mark.parametrize("name", NAMESPACES)
def test_the_page_lists_what_is_missing(surface: dict[str, Any], name: str) -> None:
    missing = set(surface["signatures"][name]) - set(namespace("graphc", name).__all__)
    _, _, rest = PAGE.read_text().partition(f"## `{name}`\n")
    section = rest.partition("\n## ")[0]
    listed = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| \S", section, re.MULTILINE)
    assert set(re.findall(r"\w+", " ".join(listed))) == missing


# -- dtypes ----------------------------------------------------------------------------

NOT_TENSORS = {"is_tensor", "ndim", "size"}
"""Functions whose results are Python's here."""
NORMALIZE_TO_FLOATS = {"layer_normalization", "rms_normalization"}
"""Functions that give floats for integers; Keras rounds their results."""


def our_dtype(name: str, operands: str) -> str | None:
    function = getattr(namespace("graphc", "ops"), name)
    try:
        result = function(*(KerasTensor((2, 2), n) for n in operands.split(",")))
    except (GraphError, ValueError):
        return None
    # Keras on JAX has no 64-bit integers unless asked.
    return result.dtype.replace("int64", "int32")


def test_result_dtypes_are_those_of_keras(surface: dict[str, Any]) -> None:
    ours = set(namespace("graphc", "ops").__all__) - NOT_TENSORS
    for results, functions in surface["dtypes"]:
        for function in ours.intersection(functions):
            for operands, theirs in results.items():
                if function not in NORMALIZE_TO_FLOATS or "float" in operands:
                    assert our_dtype(function, operands) == theirs, (function, operands)


@pytest.mark.parametrize("number", [2, 2.5, True])
def test_numbers_are_weak(surface: dict[str, Any], number: Any) -> None:
    ops = namespace("graphc", "ops")
    for name, wanted in surface["weak"][type(number).__name__].items():
        array = np.ones((2, 2), element(name))
        assert ops.multiply(array, number).dtype == wanted
        assert ops.multiply(number, array).dtype == wanted
        assert ops.where(True, array, number).dtype == wanted


@pytest.mark.slow
def test_the_record_is_what_keras_has(surface: dict[str, Any]) -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    pytest.importorskip("keras")
    assert recorded_surface() == surface
