"""JSON of files: one spelling out, nothing ambiguous in."""

import math
from typing import Any

import pytest

from graphc.errors import LoadError
from graphc.files.json_text import dump_json, load_json


@pytest.mark.parametrize(
    "value", [None, True, 1, -1.5, "é\n", [1, [2]], {"b": 1, "a": {"c": []}}], ids=str
)
def test_round_trip(value: Any):
    assert load_json(dump_json(value), "it") == value


def test_equal_values_give_equal_bytes():
    assert dump_json({"a": 1, "b": 2}) == dump_json({"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b'{"a":1,"a":2}', "the key 'a' stands twice"),
        (b'[{"x":{"b":1,"b":1}}]', "the key 'b' stands twice"),
        (b"NaN", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"1e999", "the number 1e999 is too large"),
        (b"1" * 5000, "Exceeds the limit"),
        (b"\xff\xfe{\x00}\x00", "can't decode byte"),
        (b"\xef\xbb\xbf{}", "Expecting value"),
        (b'"\xff"', "can't decode byte"),
        (b'"\\ud800"', "not Unicode"),
        (b'{"\\udfff":1}', "not Unicode"),
        (b"[" * 50_000 + b"]" * 50_000, "nested too deeply"),
        (b"[" * 300 + b"]" * 300, "nested deeper than 200"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "nested deeper than 200"),
        (b"{} {}", "Extra data"),
    ],
    ids=lambda x: repr(x)[:30],
)
def test_what_is_refused(data: bytes, message: str):
    with pytest.raises(LoadError, match="it is not valid JSON") as raised:
        load_json(data, "it")
    assert message in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", {"a": {1}}], ids=repr)
def test_what_is_not_written(value: Any):
    with pytest.raises((TypeError, ValueError)):
        dump_json(value)
