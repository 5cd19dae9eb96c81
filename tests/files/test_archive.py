"""The container: any zip tool reads it, and no other reading of it is possible."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from graphc.errors import LoadError
from graphc.files import archive
from graphc.files.archive import (
    Member,
    archive_chunks,
    lay_out,
    read_members,
)

DATA = {"a.json": b"{}", "b": b"", "c.bin": bytes(range(256)) * 3}


def write(data: dict[str, bytes]) -> bytes:
    members = [Member(n, len(d), zlib.crc32(d)) for n, d in sorted(data.items())]
    chunks = [[data[member.name]] for member in members]
    return b"".join(archive_chunks(members, chunks))


def read(data: bytes) -> dict[str, bytes]:
    members = read_members(io.BytesIO(data))
    return {n: data[offset : offset + m.size] for n, (m, offset) in members.items()}


def zipped(compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        for name, data in members.items():
            out.writestr(zipfile.ZipInfo(name), data, compression)
    return file.getvalue()


def test_round_trip():
    assert read(write(DATA)) == DATA
    assert read(write({})) == {}


def test_zip_tools_read_it():
    with zipfile.ZipFile(io.BytesIO(write(DATA))) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == DATA
        info = found.getinfo("c.bin")
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert info.external_attr >> 16 == 0o100644


def test_members_of_more_than_4_gib():
    """Sizes only: what is in front of and behind 10 GiB of data."""
    size = 5 << 30
    layout = lay_out([Member("a", size, 1), Member("b", size, 2), Member("c", 3, 3)])

    class Sparse(io.RawIOBase):
        """A file with zeros wherever the layout says nothing."""

        def __init__(self) -> None:
            self.position = 0
            starts = [
                o - len(h) for o, h in zip(layout.offsets, layout.headers, strict=True)
            ]
            self.parts = dict(zip(starts, layout.headers, strict=True))
            self.parts[layout.size - len(layout.directory)] = layout.directory

        def seek(self, offset: int, whence: int = 0) -> int:
            self.position = offset + (0, self.position, layout.size)[whence]
            return self.position

        def read(self, count: int = -1) -> bytes:
            count = layout.size - self.position if count < 0 else count
            found = bytearray(count)
            for start, part in self.parts.items():
                for i, byte in enumerate(part):
                    if 0 <= start + i - self.position < count:
                        found[start + i - self.position] = byte
            return bytes(found)

    members = read_members(Sparse())  # type: ignore[arg-type]
    assert {n: m.size for n, (m, _) in members.items()} == {
        "a": size,
        "b": size,
        "c": 3,
    }
    with zipfile.ZipFile(Sparse()) as found:  # type: ignore[arg-type]
        assert [i.file_size for i in found.infolist()] == [size, size, 3]
        assert found.infolist()[2].header_offset > 10 << 30


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a file of 0 bytes"),
        (b"x" * 100, "does not end in a zip directory"),
        (write(DATA) + b"x", "does not end in a zip directory"),
        (write(DATA)[:-1], "does not end in a zip directory"),
        (b"x" + write(DATA), "differs from what graphc writes"),
        (zipped(a=b"1"), "differs from what graphc writes"),
        (zipped(zipfile.ZIP_DEFLATED, a=b" " * 9999), "a is compressed"),
        (zipped(**{"../x": b""}), "a name that graphc does not use"),
        (zipped(**{"/etc/passwd": b""}), "a name that graphc does not use"),
        (zipped(**{"a\\..\\x": b""}), "a name that graphc does not use"),
        (zipped(**{"C:x": b""}), "a name that graphc does not use"),
        (zipped(**{"a..b": b""}), "a name that graphc does not use"),
        (zipped(**{"d/": b""}), "a name that graphc does not use"),
        (zipped(**{f"m{i}": b"" for i in range(5000)}), "more than 4096 members"),
    ],
    ids=lambda x: repr(x)[:40],
)
def test_what_is_refused(data: bytes, message: str):
    with pytest.raises(LoadError, match=message):
        read(data)


def change(what: bytes, by: bytes, data: bytes, where: int = 0) -> bytes:
    place = data.index(what, where)
    return data[:place] + by + data[place + len(by) :]


def entry(data: bytes) -> int:
    """Where the first entry of the directory starts."""
    return data.index(b"PK\x01\x02")


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (38, (0o120777 << 16).to_bytes(4, "little"), "a.json is a symbolic link"),
        (38, (0o020644 << 16).to_bytes(4, "little"), "a.json is no plain file"),
        (8, b"\x01\x00", "encrypted or has a late header"),
        (10, b"\x08\x00", "a.json is compressed"),
        (12, b"\x01\x00", "differs from what graphc writes"),  # the time
        (16, b"\x00\x00\x00\x00", "local zip header of a.json disagrees"),  # CRC
        (42, b"\x01\x00\x00\x00", "differs from what graphc writes"),  # the offset
        (32, b"\x01\x00", "zip directory is cut short|differs|not use"),  # comment
    ],
)
def test_a_changed_entry(offset: int, value: bytes, message: str):
    data = write(DATA)
    place = entry(data) + offset
    with pytest.raises(LoadError, match=message):
        read(data[:place] + value + data[place + len(value) :])


def test_local_headers_must_agree():
    data = write(DATA)
    with pytest.raises(LoadError, match=r"local zip header of a\.json disagrees"):
        read(change(b"a.json", b"A.json", data))
    second = data.index(b"PK\x03\x04", 10)
    with pytest.raises(LoadError, match="local zip header of b disagrees"):
        read(change(b"PK\x03\x04", b"PK\x03\x05", data, second))


def test_duplicate_and_unsorted_members():
    twice = write({"aa": b"1", "ab": b"2"}).replace(b"ab", b"aa")
    with pytest.raises(LoadError, match="aa stands twice"):
        read(twice)
    swapped = write({"aa": b"1", "ab": b"1"})
    swapped = swapped.replace(b"aa", b"ac")
    with pytest.raises(LoadError, match="differs from what graphc writes"):
        read(swapped)


def test_overlapping_and_huge_members():
    data = write(DATA)
    size = (0xFFFF_0000).to_bytes(4, "little")
    place = entry(data) + 20
    with pytest.raises(LoadError, match="larger than the file"):
        read(data[:place] + size + size + data[place + 8 :])
    one = (1).to_bytes(4, "little")
    with pytest.raises(LoadError, match="differs from what graphc writes"):
        read(data[:place] + one + one + data[place + 8 :])


def test_every_flipped_bit_outside_the_data_is_found():
    data = write(DATA)
    inside = {i for _, (m, o) in read_members(io.BytesIO(data)).items()
              for i in range(o, o + m.size)}  # fmt: skip
    for byte in set(range(len(data))) - inside:
        for bit in range(8):
            changed = bytearray(data)
            changed[byte] ^= 1 << bit
            with pytest.raises(LoadError):
                read(bytes(changed))


def test_zip64_lies(monkeypatch: Any):
    monkeypatch.setattr(archive, "_FULL", 100)
    data = write(DATA)
    assert read(data) == DATA
    monkeypatch.undo()
    with pytest.raises(LoadError):
        read(data)


LARGE = 1 << 32


@pytest.mark.parametrize(
    "sizes",
    [
        (LARGE + 7, 10),
        (10, LARGE),
        (LARGE // 2, LARGE // 2 + 1, 7),
        (LARGE - 1, 1),
        (LARGE - 2, 1),
    ],
)
def test_members_of_4_gib(tmp_path: Path, sizes: tuple[int, ...]):
    """In a file with holes for data; another reader agrees about all places."""
    members = [Member(f"m{number}", size, 0) for number, size in enumerate(sizes)]
    layout = archive.lay_out(members)
    with (tmp_path / "large").open("w+b") as file:
        file.truncate(layout.size)
        for header, offset in zip(layout.headers, layout.offsets, strict=True):
            file.seek(offset - len(header))
            file.write(header)
        file.seek(layout.size - len(layout.directory))
        file.write(layout.directory)
        assert [member for member, _ in read_members(file).values()] == members
        with zipfile.ZipFile(file) as found:
            assert [info.file_size for info in found.infolist()] == list(sizes)
            for info in found.infolist():
                found.open(info).close()
