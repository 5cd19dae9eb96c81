"""Containers: archives with a manifest that has a digest of each member."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from graphc.files.archive import Member, archive_chunks, read_members
from graphc.files.atomic_file import write_file
from graphc.files.json_text import dump_json, load_json
from graphc.files.tensors import Header, read_header, read_tensors
from graphc.ir.errors import LoadError

MANIFEST = "manifest.json"

GRAPHC_VERSION = "0.1.0"
"""The version of graphc, which a test compares with the package's."""

MAX_MANIFEST = 1 << 26
"""The largest manifest, in bytes."""

PIECE = 1 << 20
"""How many bytes are read at once where no more is needed."""

Chunks = Sequence[bytes | memoryview]
"""The bytes of a member, in pieces."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of container.

    Attributes:
        name: What the manifest calls it.
        version: The version that is written, and the newest that is read.
        oldest: The oldest version that is read.
        keys: What the manifest says beside format, versions and members.
        optional: What it may say, too.
    """

    name: str
    version: int
    oldest: int = 1
    keys: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()


def write_container(
    path: str,
    format: Format,
    members: Mapping[str, Chunks],
    description: Mapping[str, Any] | None = None,
) -> None:
    """Writes a container; an existing file is replaced when the new one is complete.

    Equal arguments give equal bytes.

    Args:
        path: The file's name.
        format: The kind of container.
        members: The bytes of each member by name.
        description: What the manifest says under the format's own keys.

    Raises:
        OSError: If the file cannot be written; an existing one stays as it was.
    """
    manifest = make_manifest(format, members, description or {})
    parts = {**members, MANIFEST: [manifest]}
    names = sorted(parts)
    listed = [_member(name, parts[name]) for name in names]
    write_file(path, archive_chunks(listed, [parts[name] for name in names]))


def checked_path(filepath: Any, suffix: str, overwrite: bool) -> str:
    """The name of a file to write.

    Raises:
        ValueError: If it does not end in `suffix`; says what to use.
        FileExistsError: If it exists and is not to be replaced.
    """
    path = os.fsdecode(filepath)
    if not path.endswith(suffix):
        raise ValueError(
            f"Expected a file name that ends in '{suffix}', for example"
            f" {os.path.splitext(path)[0] + suffix!r}."
            f" Received: filepath={path!r}"
        )
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(
            f"The file exists and overwrite is False. Received: filepath={path!r}"
        )
    return path


def make_manifest(
    format: Format, members: Mapping[str, Chunks], description: Mapping[str, Any]
) -> bytes:
    """The text of the manifest of `members`."""
    assert description.keys() - format.optional == format.keys
    listed = {
        name: {"sha256": digest_of(chunks), "size": _size(chunks)}
        for name, chunks in members.items()
    }
    return dump_json({
        **description,
        "format": format.name,
        "format_version": format.version,
        "graphc_version": GRAPHC_VERSION,
        "members": listed,
    })  # fmt: skip


class Container:
    """A container of unknown origin, opened to be read.

    What is read is compared with its digest before anyone sees it, but for tensors,
    which are compared once all are read.

    Attributes:
        version: The version of its format.
        description: What its manifest says under the format's own keys.

    Args:
        file: The open file.
        format: What it must be.

    Raises:
        LoadError: If it is not, or of an unknown version, or damaged.
    """

    def __init__(self, file: BinaryIO, format: Format) -> None:
        self._file = file
        self._members = read_members(file)
        self._format = format
        if MANIFEST not in self._members:
            raise LoadError(f"the file has no {MANIFEST}")
        data = self._data(MANIFEST, MAX_MANIFEST)
        manifest = load_json(data, MANIFEST)
        self.version = _checked_version(manifest, format)
        common = {"format", "format_version", "graphc_version", "members"}
        said = format.keys | (manifest.keys() & format.optional)
        check_keys(manifest, common | said, MANIFEST)
        self._digests = self._listed(manifest["members"])
        self.description = {key: manifest[key] for key in said}

    @property
    def names(self) -> set[str]:
        """The names of the members, without the manifest."""
        return set(self._digests)

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the members in bytes, without the manifest."""
        return {name: self._members[name][0].size for name in sorted(self._digests)}

    def require(self, names: set[str], optional: set[str] | None = None) -> None:
        """Raises a `LoadError` unless the members are `names`, and some `optional`."""
        wrong = self.names ^ names
        wrong -= optional or set()
        if wrong:
            raise LoadError(
                f"the members of the file are not those of a {self._format.name}",
                received=", ".join(sorted(wrong))[:200],
            )

    def read(self, name: str, limit: int) -> bytes:
        """The data of a member.

        Raises:
            LoadError: If there is none, or it is larger than `limit`, or damaged.
        """
        if name not in self._digests:
            raise LoadError(f"the file has no member {name}")
        data = self._data(name, limit)
        self._check_digest(name, hashlib.sha256(data).hexdigest())
        return data

    def check(self, name: str) -> None:
        """Compares a member with its digest, whatever it holds.

        Raises:
            LoadError: If there is none, or it is damaged.
        """
        if name not in self._digests:
            raise LoadError(f"the file has no member {name}")
        member, offset = self._members[name]
        digest, checksum = hashlib.sha256(), _Checksum(b"")
        self._file.seek(offset)
        left = member.size
        while left:
            data = self._file.read(min(left, PIECE))
            if not data:
                raise LoadError("the file is cut short")
            left -= len(data)
            digest.update(data)
            checksum.update(data)
        _check_checksum(member, checksum.value)
        self._check_digest(name, digest.hexdigest())

    def digest(self, name: str) -> str:
        """The SHA-256 that the manifest says a member has, in hexadecimal."""
        return self._digests[name]

    def tensor_header(self, name: str) -> Header:
        """The header of a member in the safetensors format, without the tensors.

        Raises:
            LoadError: If there is no such member, or its header is not valid.
        """
        if name not in self._digests:
            raise LoadError(f"the file has no member {name}")
        member, offset = self._members[name]
        self._file.seek(offset)
        return read_header(self._file, member.size)

    def tensors(self, name: str, header: Header) -> dict[str, np.ndarray[Any, Any]]:
        """The tensors of a member by name.

        Raises:
            LoadError: If they are damaged.
        """
        member, offset = self._members[name]
        digest, checksum = hashlib.sha256(header.text), _Checksum(header.text)
        self._file.seek(offset + len(header.text))
        arrays = dict(read_tensors(self._file, header, [digest, checksum]))
        self._check_digest(name, digest.hexdigest())
        _check_checksum(member, checksum.value)
        return arrays

    def _listed(self, listed: Any) -> dict[str, str]:
        """The digests of the members by name."""
        if not isinstance(listed, dict) or listed.keys() | {MANIFEST} != (
            self._members.keys()
        ):
            raise LoadError(f"the members of the file are not those of its {MANIFEST}")
        digests: dict[str, str] = {}
        for name, entry in listed.items():
            if not isinstance(entry, dict) or entry.keys() != {"sha256", "size"}:
                raise LoadError(f"{MANIFEST}: expected a digest and a size for {name}")
            if entry["size"] != self._members[name][0].size:
                raise LoadError(f"{name} has another size than {MANIFEST} says")
            digests[name] = str(entry["sha256"])
        return digests

    def _data(self, name: str, limit: int) -> bytes:
        """The data of a member, compared with its checksum."""
        member, offset = self._members[name]
        if member.size > limit:
            raise LoadError(f"{name} is larger than {limit} bytes")
        self._file.seek(offset)
        data = self._file.read(member.size)
        _check_checksum(member, zlib.crc32(data))
        return data

    def _check_digest(self, name: str, found: str) -> None:
        if found != self._digests[name]:
            raise LoadError(f"digest mismatch in {name}: the file is damaged")


def check_keys(found: Any, wanted: set[str] | frozenset[str], what: str) -> None:
    """Raises a `LoadError` unless `found` is a JSON object with the keys `wanted`."""
    if not isinstance(found, dict) or found.keys() != wanted:
        keys = sorted(found)[:10] if isinstance(found, dict) else type(found).__name__
        raise LoadError(
            f"{what}: expected the keys {', '.join(sorted(wanted))}",
            received=ascii(keys)[:200],
        )


def _checked_version(manifest: Any, format: Format) -> int:
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != format.name:
        raise LoadError(
            f"{MANIFEST}: expected that of a {format.name} file",
            received=ascii(found)[:80],
        )
    version = manifest.get("format_version")
    if type(version) is not int or version < format.oldest:
        raise LoadError(
            f"{MANIFEST}: expected a format version of at least {format.oldest}",
            received=ascii(version)[:80],
        )
    if version > format.version:
        writer = ascii(manifest.get("graphc_version"))[:40]
        raise LoadError(
            f"the file has format version {version}, written by graphc {writer}; graphc"
            f" {GRAPHC_VERSION} reads up to format version {format.version}",
            hint="load it with a newer graphc",
        )
    return version


class _Checksum:
    """A running CRC-32."""

    def __init__(self, data: bytes) -> None:
        self.value = zlib.crc32(data)

    def update(self, data: Any, /) -> None:
        """Adds data."""
        self.value = zlib.crc32(data, self.value)


def _check_checksum(member: Member, found: int) -> None:
    if found != member.checksum:
        raise LoadError(f"checksum mismatch in {member.name}: the file is damaged")


def digest_of(chunks: Chunks) -> str:
    """The SHA-256 of the bytes of a file or a member, in hexadecimal."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _size(chunks: Chunks) -> int:
    return sum(len(chunk) for chunk in chunks)


def _member(name: str, chunks: Chunks) -> Member:
    checksum = 0
    for chunk in chunks:
        checksum = zlib.crc32(chunk, checksum)
    return Member(name, _size(chunks), checksum)
