"""Attributes: what each kind accepts, its JSON form and what rules get to see."""

from typing import Any

import numpy as np
import pytest

from graphc.ir import GraphError, dtype
from graphc.ir.dims import parse_dim
from graphc.ir.opdef import Attribute, AttributeKind

ROUND_TRIPS = [
    ("INT", 3, 3, 3),
    ("INT", np.int64(3), 3, 3),
    ("INT", 2.0, 2, 2),
    ("FLOAT", 3, 3.0, 3.0),
    ("FLOAT", np.float32(0.5), 0.5, 0.5),
    ("BOOL", True, True, True),
    ("STRING", "a b", "a b", "a b"),
    ("INTS", range(3), [0, 1, 2], (0, 1, 2)),
    ("INTS", np.array([1, 2]), [1, 2], (1, 2)),
    ("INTS", [], [], ()),
    ("INT_LISTS", ((1, 2), ()), [[1, 2], []], ((1, 2), ())),
    ("DIM", "B*2", "2*B", parse_dim("2*B")),
    ("DIM", "2+3", 5, 5),
    ("SHAPE", (parse_dim("B"), 3, "T"), ["B", 3, "T"], (*map(parse_dim, "B3T"),)),
    ("DTYPE", "float32", "f32", dtype("f32")),
]

REFUSED = [
    ("INT", True),
    ("INT", "3"),
    ("INT", 0.5),
    ("INT", 2**63),
    ("INT", float("inf")),
    ("INT", float("nan")),
    ("INT", None),
    ("FLOAT", "0.5"),
    ("FLOAT", True),
    ("FLOAT", 10**400),
    ("FLOAT", float("inf")),
    ("FLOAT", float("nan")),
    ("FLOAT", []),
    ("BOOL", 1),
    ("STRING", 1),
    ("INTS", 3),
    ("INTS", "12"),
    ("INTS", b"12"),
    ("INTS", {}),
    ("INTS", {1, 2}),
    ("INTS", [0.5]),
    ("INTS", [float("inf")]),
    ("INT_LISTS", [1]),
    ("INT_LISTS", ["12"]),
    ("INT_LISTS", {}),
    ("DIM", 0.5),
    ("DIM", "B+"),
    ("SHAPE", "BT"),
    ("SHAPE", {"B": 1}),
    ("SHAPE", [None]),
    ("DTYPE", "f33"),
    ("GRAPH", 3),
    ("CONSTANT", 3),
]


@pytest.mark.parametrize(("kind", "given", "encoded", "decoded"), ROUND_TRIPS)
def test_json_form_and_back(kind: str, given: Any, encoded: Any, decoded: Any):
    attribute = Attribute("a", AttributeKind[kind])
    found = attribute.encode(given)
    assert found == encoded
    assert type(found) is type(encoded)
    assert attribute.decode(found, None) == decoded


@pytest.mark.parametrize(("kind", "given"), REFUSED)
def test_what_is_not_of_the_kind(kind: str, given: Any):
    with pytest.raises(GraphError):
        Attribute("a", AttributeKind[kind]).encode(given)


def test_the_error_names_the_attribute_and_its_kind():
    with pytest.raises(GraphError) as raised:
        Attribute("rate", AttributeKind.FLOAT).encode(10**400)
    assert str(raised.value).startswith("attribute 'rate' must be of kind float\n")
    assert len(str(raised.value)) < 300


def test_only_optional_attributes_may_be_none():
    assert Attribute("a", AttributeKind.INT, optional=True).encode(None) is None
    assert Attribute("a", AttributeKind.INTS, optional=True).decode(None, None) is None


@pytest.mark.parametrize("kind", [AttributeKind.GRAPH, AttributeKind.CONSTANT])
def test_names_that_the_module_lacks(kind: AttributeKind):
    with pytest.raises(GraphError, match=r"the module has no .* @missing"):
        Attribute("a", kind).decode("missing", None)
