"""The container of model files: a zip whose every byte but the data is determined.

Members are stored, in the order of their names, without timestamps, comments or gaps.
A reader takes names, sizes and checksums from the directory at the end, writes all
headers anew from them and compares: two readings of one file, hidden data, links,
compressed or overlapping members cannot be. Any zip tool can list and unpack it.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from graphc.ir.errors import LoadError

MAX_MEMBERS = 4096

_NAME = re.compile(r"([a-z0-9_]+/)?[a-z0-9_]+(\.[a-z0-9_]+)*")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_FULL = 0xFFFFFFFF
_DATE = 0x21  # 1980-01-01, the first day there is
_UNIX = 3
_ATTRIBUTES = 0o100644 << 16
_STORED = 0
_PLAIN_FILE, _LINK = 0o10, 0o12


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes:
        name: Lower-case letters, digits, underscores and single dots, behind at most
            one folder.
        size: The size of its data in bytes.
        checksum: The CRC-32 of its data.
    """

    name: str
    size: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The bytes of an archive that are not data.

    Attributes:
        headers: What stands before the data of each member.
        offsets: Where the data of each member start.
        directory: What stands behind all data.
        size: The size of the whole file.
    """

    headers: tuple[bytes, ...]
    offsets: tuple[int, ...]
    directory: bytes
    size: int


def lay_out(members: Sequence[Member]) -> Layout:
    """The layout of the archive of `members`, which are sorted by name."""
    headers: list[bytes] = []
    offsets: list[int] = []
    entries: list[bytes] = []
    position = 0
    for member in members:
        header = _local_header(member)
        entries.append(_entry(member, position))
        headers.append(header)
        offsets.append(position + len(header))
        position = offsets[-1] + member.size
    directory = b"".join(entries)
    directory += _end(len(members), position, len(directory))
    return Layout(tuple(headers), tuple(offsets), directory, position + len(directory))


def _local_header(member: Member) -> bytes:
    large = member.size >= _FULL
    size = _FULL if large else member.size
    extra = struct.pack("<HHQQ", 1, 16, member.size, member.size) if large else b""
    name = member.name.encode()
    fixed = _LOCAL.pack(
        b"PK\x03\x04", 45 if large else 20, 0, _STORED, 0, _DATE, member.checksum,
        size, size, len(name), len(extra),
    )  # fmt: skip
    return fixed + name + extra


def _entry(member: Member, position: int) -> bytes:
    large = member.size >= _FULL
    size = _FULL if large else member.size
    wide = [member.size, member.size] if large else []
    offset = position
    if position >= _FULL:
        wide.append(position)
        offset = _FULL
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    version = 45 if wide else 20
    name = member.name.encode()
    fixed = _CENTRAL.pack(
        b"PK\x01\x02", _UNIX << 8 | version, version, 0, _STORED, 0, _DATE,
        member.checksum, size, size, len(name), len(extra), 0, 0, 0, _ATTRIBUTES,
        offset,
    )  # fmt: skip
    return fixed + name + extra


def _end(count: int, position: int, size: int) -> bytes:
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, size, min(position, _FULL), 0)
    if position < _FULL:
        return end
    wide = _END64.pack(
        b"PK\x06\x06", 44, _UNIX << 8 | 45, 45, 0, 0, count, count, size, position
    )
    return wide + _LOCATOR.pack(b"PK\x06\x07", 0, position + size, 1) + end


def archive_chunks(
    members: Sequence[Member], data: Sequence[Iterable[bytes | memoryview]]
) -> Iterable[bytes | memoryview]:
    """The bytes of the archive of `members`, which are sorted by name, with `data`."""
    layout = lay_out(members)
    for header, chunks in zip(layout.headers, data, strict=True):
        yield header
        yield from chunks
    yield layout.directory


def read_members(file: BinaryIO) -> dict[str, tuple[Member, int]]:
    """The members of an archive, each with the offset of its data.

    Raises:
        LoadError: Unless the file is, byte for byte, what `archive_chunks` makes of
            these members with some data.
    """
    size = file.seek(0, os.SEEK_END)
    count, start, length = _find_directory(file, size)
    members = _parse_entries(_read(file, start, length), count)
    if sum(member.size for member in members) > size:
        raise LoadError("the members are larger than the file")
    layout = lay_out(members)
    tail = layout.directory
    if layout.size != size or _read(file, size - len(tail), len(tail)) != tail:
        raise _other_layout()
    for member, header, offset in zip(
        members, layout.headers, layout.offsets, strict=True
    ):
        if _read(file, offset - len(header), len(header)) != header:
            raise LoadError(
                f"the local zip header of {member.name} disagrees with the directory"
            )
    return {m.name: (m, o) for m, o in zip(members, layout.offsets, strict=True)}


def _find_directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """The number of members, and where the directory starts and how long it is."""
    if size < _END.size:
        raise LoadError(
            "not a file that graphc wrote", received=f"a file of {size} bytes"
        )
    end = _read(file, size - _END.size, _END.size)
    signature, _, _, _, count, length, start, _ = _END.unpack(end)
    if signature != b"PK\x05\x06":
        raise LoadError(
            "not a file that graphc wrote: it does not end in a zip directory",
            hint="it may have been cut short while it was copied",
        )
    end_size = _END.size
    if start == _FULL:
        end_size += _LOCATOR.size + _END64.size
        if size < end_size:
            raise LoadError("the zip directory is cut short")
        start = _END64.unpack(_read(file, size - end_size, _END64.size))[9]
    if count > MAX_MEMBERS or length > MAX_MEMBERS * 256:
        raise LoadError(f"more than {MAX_MEMBERS} members in the zip directory")
    if start + length + end_size != size:
        raise _other_layout()
    return count, start, length


def _other_layout() -> LoadError:
    return LoadError(
        "the zip directory differs from what graphc writes for these members",
        hint="a file that was packed again by another tool cannot be loaded",
    )


def _parse_entries(directory: bytes, count: int) -> list[Member]:
    members: dict[str, Member] = {}
    position = 0
    for _ in range(count):
        if position + _CENTRAL.size > len(directory):
            raise LoadError("the zip directory is cut short")
        fields = _CENTRAL.unpack_from(directory, position)
        flags, method, attributes = fields[3], fields[4], fields[15]
        checksum, size, plain_size = fields[7], fields[8], fields[9]
        name_length, extra_length, comment_length = fields[10:13]
        position += _CENTRAL.size
        name = _name(directory[position : position + name_length])
        extra = directory[position + name_length :][:extra_length]
        position += name_length + extra_length + comment_length
        if name in members:
            raise LoadError(f"member {name} stands twice in the zip directory")
        kind = attributes >> 28
        if kind not in (0, _PLAIN_FILE):
            what = "a symbolic link" if kind == _LINK else "no plain file"
            raise LoadError(f"member {name} is {what}")
        if method != _STORED or size != plain_size:
            raise LoadError(f"member {name} is compressed, which no graphc file is")
        if flags:
            raise LoadError(f"member {name} is encrypted or has a late header")
        if size == _FULL and len(extra) >= 12:
            size = struct.unpack_from("<Q", extra, 4)[0]
        members[name] = Member(name, size, checksum)
    return sorted(members.values(), key=lambda member: member.name)


def _name(data: bytes) -> str:
    text = data.decode("latin-1")
    if len(text) > 64 or _NAME.fullmatch(text) is None:
        raise LoadError(
            "a member has a name that graphc does not use", received=ascii(text[:80])
        )
    return text


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    if start < 0:
        raise LoadError("a zip offset lies before the start of the file")
    file.seek(start)
    data = file.read(length)
    if len(data) != length:
        raise LoadError(
            "the file is cut short", received=f"{len(data)} of {length} bytes"
        )
    return data
