"""Dtype policies: names, the global policy and serialization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from graphc.frontend import dtype_policies
from graphc.frontend.dtype_policies import DTypePolicy, QuantizedFloat8DTypePolicy


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    dtype_policies.set_dtype_policy(None)


@pytest.mark.parametrize(
    ("name", "compute", "variable"),
    [
        ("float32", "float32", "float32"),
        ("bfloat16", "bfloat16", "bfloat16"),
        ("int32", "int32", "int32"),
        ("mixed_bfloat16", "bfloat16", "float32"),
        ("mixed_float16", "float16", "float32"),
    ],
)
def test_dtypes_of_a_policy(name: str, compute: str, variable: str) -> None:
    policy = DTypePolicy(name)
    assert policy.name == name
    assert policy.compute_dtype == compute
    assert policy.variable_dtype == variable
    assert policy.quantization_mode is None
    assert repr(policy) == f'<DTypePolicy "{name}">'
    assert policy == DTypePolicy.from_config(policy.get_config())
    assert dtype_policies.get(dtype_policies.serialize(policy)) == policy
    assert hash(policy) == hash(DTypePolicy(name))


def test_serialized_form_is_that_of_keras() -> None:
    assert dtype_policies.serialize(DTypePolicy("float16")) == {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": "float16"},
        "registered_name": None,
    }


def test_float8_policies() -> None:
    named = dtype_policies.get("float8_from_mixed_bfloat16")
    assert (named.compute_dtype, named.variable_dtype) == ("bfloat16", "float32")
    assert named.quantization_mode == "float8"
    assert repr(named) == '<QuantizedFloat8DTypePolicy "float8_from_mixed_bfloat16">'
    short = QuantizedFloat8DTypePolicy("float8", "mixed_bfloat16", 8)
    assert short != named
    assert dtype_policies.get(dtype_policies.serialize(short)) == short
    assert dtype_policies.serialize(named) == {
        "module": "keras.dtype_policies",
        "class_name": "QuantizedFloat8DTypePolicy",
        "config": {
            "mode": "float8",
            "source_name": "mixed_bfloat16",
            "amax_history_length": 1024,
        },
        "registered_name": None,
    }


@pytest.mark.parametrize("name", ["mixed_float32", "mixed", "float33"])
def test_unknown_policies_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'mixed_bfloat16'.*Received: name='{name}'"):
        DTypePolicy(name)


def test_a_policy_needs_a_name() -> None:
    bad: Any = 32
    with pytest.raises(TypeError, match="Received: name=32"):
        DTypePolicy(bad)


def test_other_classes_are_not_made() -> None:
    with pytest.raises(ValueError, match="Expected a serialized DTypePolicy"):
        dtype_policies.deserialize({"class_name": "os.system", "config": {}})


def test_global_policy() -> None:
    assert dtype_policies.dtype_policy() == DTypePolicy("float32")
    dtype_policies.set_dtype_policy("mixed_bfloat16")
    assert dtype_policies.get(None) == DTypePolicy("mixed_bfloat16")
    assert dtype_policies.get("float16") == DTypePolicy("float16")
    assert dtype_policies.get(np.float16) == DTypePolicy("float16")
    dtype_policies.set_dtype_policy(None)
    assert dtype_policies.dtype_policy() == DTypePolicy("float32")
