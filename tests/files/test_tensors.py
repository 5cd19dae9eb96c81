"""The safetensors format: read as the reference reads it, only stricter."""

import io
import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.errors import LoadError
from graphc.files.tensors import (
    FORMAT,
    STATE,
    UNSEALED,
    dump_tensors,
    make_header,
    read_header,
    read_tensor_file,
    read_tensors,
    sealed,
    tensor_bytes,
)
from graphc.ir import TensorType
from graphc.ir.types import I4, dtype

safetensors = pytest.importorskip("safetensors.numpy")

ARRAYS: dict[str, Any] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.ones((3,), np.float16),
    "bf": np.ones((2, 2), ml_dtypes.bfloat16),
    "eight": np.ones((5,), ml_dtypes.float8_e4m3fn),
    "flag": np.array([True, False, True]),
    "scalar": np.array(3, np.int64),
    "empty": np.zeros((0, 4), np.float64),
    "wide": np.array([2**63], np.uint64),
}


def write(arrays: dict[str, Any]) -> bytes:
    types = {n: TensorType(a.shape, dtype(a.dtype)) for n, a in arrays.items()}
    header = make_header(types, {"k": "v"})
    return header.text + b"".join(bytes(tensor_bytes(arrays[n])) for n in header.types)


def read(data: bytes) -> dict[str, Any]:
    file = io.BytesIO(data)
    header = read_header(file, len(data))
    return dict(read_tensors(file, header))


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    return (size % 2**64).to_bytes(8, "little") + text + data


def one(**changes: Any) -> dict[str, Any]:
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def two(a: tuple[int, int], b: tuple[int, int]) -> dict[str, Any]:
    return {
        "a": {"dtype": "U8", "shape": [a[1] - a[0]], "data_offsets": list(a)},
        "b": {"dtype": "U8", "shape": [b[1] - b[0]], "data_offsets": list(b)},
    }


def test_round_trip():
    found = read(write(ARRAYS))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_the_reference_reads_what_is_written():
    common = {n: a for n, a in ARRAYS.items() if a.dtype.kind in "fiub"}
    found = safetensors.load(write(common))
    for name, array in common.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_the_reference_writes_is_read():
    common = {n: a for n, a in ARRAYS.items() if a.dtype.kind in "fiub"}
    found = read(safetensors.save(common))
    for name, array in common.items():
        np.testing.assert_array_equal(found[name], array)


def test_data_are_aligned():
    data = write(ARRAYS)
    header = read_header(io.BytesIO(data), len(data))
    position = len(header.text)
    for type in header.types.values():
        assert position % max(1, type.dtype.bits // 8) == 0
        position += type.nbytes


def test_dtypes_without_a_code_are_named():
    with pytest.raises(ValueError, match="int4 cannot be saved"):
        make_header({"x": TensorType((2,), I4)}, {})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too short"),
        (b"\0" * 7, "too short"),
        (raw(b""), "no JSON object"),
        (raw(b"{}", length=2**64 - 1), "header is larger"),
        (raw(b"{}", length=3), "header is larger"),
        (raw(b"{}", length=200_000_000), "header is larger"),
        (raw(b"[]"), "no JSON object"),
        (raw(b"{"), "not valid JSON"),
        (raw(b'{"a":1,"a":1}'), "stands twice"),
        (raw(b" {}"), "no JSON object"),
        (raw(two((0, 4), (2, 6)), b"123456"), "the place of its data does not fit"),
        (raw(two((0, 2), (4, 6)), b"123456"), "the place of its data does not fit"),
        (raw(two((0, 4), (4, 6)), b"12345"), "do not cover the file"),
        (raw(two((0, 4), (4, 6)), b"1234567"), "do not cover the file"),
        (raw(one(data_offsets=[8, 0]), b"12345678"), "does not fit"),
        (raw(one(data_offsets=[0, 9]), b"123456789"), "does not fit"),
        (raw(one(shape=[2**62, 2**62]), b"12345678"), "too large to address"),
        (raw(one(shape=[2**36]), b"1234"), "does not fit"),
        (raw(one(shape=[-2]), b"12345678"), "expected a list of sizes"),
        (raw(one(shape=[2.0]), b"12345678"), "expected a list of sizes"),
        (raw(one(shape=[True]), b"12345678"), "expected a list of sizes"),
        (raw(one(shape=2), b"12345678"), "expected a list of sizes"),
        (raw(one(shape=[1] * 1000), b"12345678"), "rank 1000 is above the limit"),
        (raw(one(data_offsets=[0.0, 8.0]), b"12345678"), "expected a list of sizes"),
        (raw(one(data_offsets=[0]), b"12345678"), "expected two offsets"),
        (raw(one(dtype="F33"), b"12345678"), "unknown dtype"),
        (raw(one(dtype=["F32"]), b"12345678"), "unknown dtype"),
        (raw(one(more=1), b"12345678"), "expected dtype, shape and data_offsets"),
        (raw({"x": []}), "expected dtype, shape and data_offsets"),
        (raw({"__metadata__": {"a": 1}}), "are not texts"),
        (raw({"__metadata__": []}), "are not texts"),
    ],
    ids=lambda x: repr(x)[-40:],
)
def test_what_is_refused(data: bytes, message: str):
    """Attacks C1 to C4."""
    with pytest.raises(LoadError, match=message) as raised:
        read(data)
    assert len(str(raised.value)) < 400


def test_bools_are_true_or_false():
    header = {"x": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}
    with pytest.raises(LoadError, match="no bool"):
        read(raw(header, b"\1\2"))


def test_names_are_printed_escaped():
    header = {"\x1b[31m\n" * 99: one(dtype="X")["x"]}
    with pytest.raises(LoadError) as raised:
        read(raw(header, b"12345678"))
    assert str(raised.value).isprintable() or "\n  received" in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_a_sealed_file_notices_each_changed_byte(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    chunks = dump_tensors(
        {"a": ARRAYS["a"]}, {"epochs": "3", FORMAT: STATE, **UNSEALED}
    )
    data = b"".join(map(bytes, sealed(chunks)))
    path.write_bytes(data)
    found, metadata = read_tensor_file(str(path))
    np.testing.assert_array_equal(found["a"], ARRAYS["a"])
    assert metadata == {"epochs": "3"}
    assert safetensors.load(data).keys() == {"a"}
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(LoadError):
            read_tensor_file(str(path))


def test_a_file_without_a_digest_is_read(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"".join(map(bytes, dump_tensors({"a": ARRAYS["a"]}, {"k": "v"}))))
    assert read_tensor_file(str(path))[1] == {"k": "v"}
