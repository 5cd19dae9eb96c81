"""The safetensors format: a JSON header and the bytes of tensors, nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np

from graphc.files.json_text import load_json
from graphc.files.opening import opened
from graphc.ir.errors import GraphError, LoadError
from graphc.ir.types import BOOL, DTYPES, DType, TensorType, checked_type, dtype

MAX_HEADER = 100_000_000
"""The largest header, which is safetensors' own limit."""

METADATA = "__metadata__"

DIGEST = "sha256"
"""Under which name metadata has the SHA-256 of the file, made with zeros in its place."""

UNSEALED: Mapping[str, str] = {DIGEST: "0" * 64}
"""Metadata of a file that is to be `sealed`."""

FORMAT = "format"
WEIGHTS, STATE = "graphc-weights", "graphc-state"
"""What the metadata of files says that are always sealed."""

_CODES = {
    "bool": "BOOL",
    "i8": "I8", "i16": "I16", "i32": "I32", "i64": "I64",
    "u8": "U8", "u16": "U16", "u32": "U32", "u64": "U64",
    "f8e4m3fn": "F8_E4M3", "f8e5m2": "F8_E5M2",
    "f16": "F16", "bf16": "BF16", "f32": "F32", "f64": "F64",
}  # fmt: skip
_DTYPES = {code: DTYPES[name] for name, code in _CODES.items()}


class Digest(Protocol):
    """A running digest, such as `hashlib` makes."""

    def update(self, data: Any, /) -> None:
        """Adds data."""
        ...


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors header says.

    Attributes:
        types: The types of the tensors by name, in the order of their data.
        metadata: Texts by name.
        text: The header as it stands in the file, with the size before it.
    """

    types: dict[str, TensorType]
    metadata: dict[str, str]
    text: bytes


def make_header(types: Mapping[str, TensorType], metadata: Mapping[str, str]) -> Header:
    """The header of a file with tensors of these types.

    Wide elements come first, so that each tensor is aligned to its elements.

    Raises:
        ValueError: For a dtype that safetensors has no code for.
    """
    names = sorted(types, key=lambda name: (-types[name].dtype.bits, name))
    ordered = {name: types[name] for name in names}
    entries: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))}
    position = 0
    for name, type in ordered.items():
        if type.dtype.name not in _CODES:
            raise ValueError(
                f"Tensors of dtype {type.dtype.long_name} cannot be saved."
                f" Received: {name!r} of type {type}"
            )
        end = position + type.nbytes
        entries[name] = {
            "dtype": _CODES[type.dtype.name],
            "shape": list(type.static_shape),
            "data_offsets": [position, end],
        }
        position = end
    text = _compact_json(entries)
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"The names of {len(types)} tensors are too long to be saved.")
    return Header(ordered, dict(metadata), len(text).to_bytes(8, "little") + text)


def tensor_bytes(array: np.ndarray[Any, Any]) -> memoryview:
    """The elements of an array as they stand in a file."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if sys.byteorder == "big":
        flat = flat.byteswap()
    data: Any = flat.view(np.uint8)
    return memoryview(data)


def dump_tensors(
    arrays: Mapping[str, np.ndarray[Any, Any]],
    metadata: Mapping[str, str] | None = None,
) -> list[bytes | memoryview]:
    """The bytes of a safetensors file of arrays, in pieces.

    Raises:
        ValueError: For a dtype that safetensors has no code for.
    """
    types = {
        name: TensorType(array.shape, dtype(array.dtype))
        for name, array in arrays.items()
    }
    header = make_header(types, metadata or {})
    return [header.text, *(tensor_bytes(arrays[name]) for name in header.types)]


def sealed(chunks: Iterable[bytes | memoryview]) -> list[bytes | memoryview]:
    """The pieces of a file with its digest in its metadata.

    Args:
        chunks: The pieces, with `UNSEALED` in the metadata.
    """
    header, *data = chunks
    digest = hashlib.sha256(header)
    for chunk in data:
        digest.update(chunk)
    zeros, known = (
        f'"{DIGEST}":"{text}"'.encode()
        for text in (UNSEALED[DIGEST], digest.hexdigest())
    )
    return [bytes(header).replace(zeros, known, 1), *data]


class Seal:
    """Compares a file with the digest in its metadata while its tensors are read.

    Args:
        header: The header of the file. Without a digest it is that of another tool's
            file, or of an older one, unless it says that it is one of ours.
    """

    def __init__(self, header: Header) -> None:
        self._wanted = header.metadata.get(DIGEST)
        self._required = header.metadata.get(FORMAT) in (WEIGHTS, STATE)
        text = header.text
        if self._wanted is not None:
            text = text.replace(self._wanted.encode(), UNSEALED[DIGEST].encode(), 1)
        self._digest = hashlib.sha256(text)

    def update(self, data: Any, /) -> None:
        """Adds what was read."""
        if self._wanted is not None:
            self._digest.update(data)

    def check(self) -> None:
        """Raises a `LoadError` if what was read is not what was written."""
        if self._wanted is None:
            damaged = self._required
        else:
            damaged = self._digest.hexdigest() != self._wanted
        if damaged:
            raise LoadError("digest mismatch: the tensors are damaged")


def parse_tensors(data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays in the bytes of a safetensors file.

    Raises:
        LoadError: If it is none.
    """
    file = io.BytesIO(data)
    header = read_header(file, len(data))
    return dict(read_tensors(file, header))


def read_tensor_file(
    path: str, digests: Iterable[Digest] = ()
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """The arrays of a safetensors file, sealed or not, and what else its metadata say.

    Args:
        path: The file's name.
        digests: What the bytes of the file are added to as they are read.

    Raises:
        LoadError: If there is no such file, it is none, or it is not what was sealed.
    """
    digests = list(digests)
    with opened(path) as file:
        header = read_header(file, file_size(file))
        for digest in digests:
            digest.update(header.text)
        seal = Seal(header)
        arrays = dict(read_tensors(file, header, [seal, *digests]))
        seal.check()
    own = (DIGEST, FORMAT)
    return arrays, {n: v for n, v in header.metadata.items() if n not in own}


def read_header(file: BinaryIO, size: int) -> Header:
    """Reads the header at the file's position, for a file or member of `size` bytes.

    Nothing is allocated before its size has been compared with what is there.

    Raises:
        LoadError: For a header that is not valid, or that does not describe the
            `size` bytes: each byte behind it must belong to exactly one tensor.
    """
    first = file.read(8) if size >= 8 else b""
    if len(first) != 8:
        raise LoadError("not a safetensors file: it is too short")
    length = int.from_bytes(first, "little")
    if length > min(MAX_HEADER, size - 8):
        raise LoadError(
            "not a safetensors file: the header is larger than the file or the limit",
            received=f"a header of {length} bytes in a file of {size}",
        )
    text = file.read(length)
    if len(text) != length or not text.startswith(b"{"):
        raise LoadError("not a safetensors file: the header is no JSON object")
    entries = load_json(text, "the safetensors header")
    metadata = entries.pop(METADATA, {})
    strings = isinstance(metadata, dict) and all(
        isinstance(v, str) for v in metadata.values()
    )
    if not strings:
        raise LoadError("the metadata of a safetensors header are not texts by name")
    types = _checked_layout(entries, size - 8 - length)
    return Header(types, metadata, first + text)


def _checked_layout(entries: dict[str, Any], size: int) -> dict[str, TensorType]:
    """The types of the tensors, whose data must cover `size` bytes without overlap."""
    read = {name: _read_entry(name, entry) for name, entry in entries.items()}
    position = 0
    types: dict[str, TensorType] = {}
    for name, (type, start, end) in sorted(read.items(), key=lambda e: e[1][1:]):
        if start != position or end - start != type.nbytes:
            raise LoadError(
                f"tensor {ascii(name)[:80]}: the place of its data does not fit",
                received=f"bytes {start} to {end} for {type},"
                f" where byte {position} is next",
            )
        types[name] = type
        position = end
    if position != size:
        raise LoadError(
            "the tensors do not cover the file",
            received=f"{position} bytes of tensors in {size} bytes",
        )
    return types


def _read_entry(name: str, entry: Any) -> tuple[TensorType, int, int]:
    label = f"tensor {ascii(name)[:80]}"
    if not isinstance(entry, dict) or entry.keys() != {
        "dtype",
        "shape",
        "data_offsets",
    }:
        raise LoadError(f"{label}: expected dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise LoadError(f"{label}: unknown dtype", received=ascii(code)[:80])
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(
            type(n) is int and 0 <= n < 2**63 for n in numbers
        ):
            raise LoadError(
                f"{label}: expected a list of sizes", received=ascii(numbers)[:80]
            )
    if len(offsets) != 2:
        raise LoadError(f"{label}: expected two offsets", received=ascii(offsets)[:80])
    try:
        found = checked_type(_DTYPES[code], shape)
    except GraphError as error:
        raise LoadError(f"{label}: {error.message}", received=error.received) from None
    return found, offsets[0], offsets[1]


def read_tensors(
    file: BinaryIO, header: Header, digests: Iterable[Digest] = ()
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Reads the tensors at the file's position, one after the other.

    Args:
        file: A file that stands behind the header.
        header: The header, checked against the size of the file.
        digests: What the bytes are added to as they are read.

    Raises:
        LoadError: If the file ends early, or a bool is neither true nor false.
    """
    digests = list(digests)
    for name, type in header.types.items():
        data: Any = np.empty(type.nbytes, np.uint8)
        if data.size:
            _read_into(file, memoryview(data))
        for digest in digests:
            digest.update(data)
        yield name, _array(name, type, data)


def _read_into(file: BinaryIO, data: memoryview) -> None:
    position = 0
    while position < len(data):
        count = file.readinto(data[position:])  # type: ignore[attr-defined]
        if not count:
            raise LoadError("the file ends within a tensor")
        position += count


def _array(name: str, type: TensorType, data: Any) -> np.ndarray[Any, Any]:
    if type.dtype is BOOL and data.size and data.max() > 1:
        raise LoadError(f"tensor {ascii(name)[:80]} has bytes that are no bool")
    element: DType = type.dtype
    array = data.view(element.numpy).reshape(type.static_shape)
    return array if sys.byteorder == "little" else array.byteswap()


def file_size(file: BinaryIO) -> int:
    """The size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def _compact_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
