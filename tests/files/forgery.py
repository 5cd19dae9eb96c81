"""Files that nobody would write: parts of a good file changed, all digests right.

What is here is for all formats that are containers; `container_cases` are the attacks of
group A on what they have in common.
"""

import copy
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from graphc.files import container
from graphc.files.archive import MAX_MEMBERS, archive_chunks
from graphc.files.container import MANIFEST, Format

Case = tuple[str, Callable[[Any], bytes], str]
"""A name, what makes the file, and a part of the message that refuses it."""


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class Forger:
    """Makes changed files of a good one."""

    def __init__(self, data: bytes, format: Format) -> None:
        self.data = data
        self.format = format
        self.members = members_of(data)

    def pack(self, members: dict[str, bytes], signed: bool = True) -> bytes:
        """An archive of members, with a new manifest unless they bring one."""
        parts: dict[str, Any] = {name: [data] for name, data in members.items()}
        if signed:
            said = json.loads(parts.pop(MANIFEST)[0])
            said = {key: said[key] for key in self.format.keys}
            parts[MANIFEST] = [container.make_manifest(self.format, parts, said)]
        names = sorted(parts)
        listed = [container._member(name, parts[name]) for name in names]
        return b"".join(archive_chunks(listed, [parts[name] for name in names]))

    def replaced(self, **parts: bytes) -> bytes:
        """With other data for members; names have underscores for dots."""
        named = {name.replace("__", "."): data for name, data in parts.items()}
        return self.pack(self.members | named)

    def manifest(self, change: Callable[[Any], Any]) -> bytes:
        """With a manifest that `change` changed in place or returned."""
        manifest = json.loads(self.members[MANIFEST])
        manifest = change(manifest) or manifest
        members = self.members | {MANIFEST: json.dumps(manifest).encode()}
        return self.pack(members, signed=False)


def mutate(data: bytes, rng: Any) -> bytes:
    """Data with one to three random changes of random kinds."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, max(1, len(changed))))
        length = int(rng.integers(1, 40))
        kind = int(rng.integers(0, 6))
        if kind == 0 and changed:
            changed[place % len(changed)] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            changed[place:place] = rng.bytes(length)
        elif kind == 3:
            changed[place : place + length] = bytes(length)
        elif kind == 4:
            other = int(rng.integers(0, max(1, len(changed))))
            changed[place:place] = changed[other : other + length]
        else:
            del changed[place:]
    return bytes(changed)


STRANGE: list[Any] = [
    None, True, -1, 0, 2**31, 2**70, 1e300, "", "x", "../../etc/passwd", [], [[]], {},
    "os.system", ["x", 0, 0], 2**40, "\x1b[2J", {"x": {"x": 1}}, 0.5,
]  # fmt: skip


def mutate_json(value: Any, rng: Any, strange: Sequence[Any] = STRANGE) -> Any:
    """JSON with one value exchanged for a strange one, moved, or left out."""
    changed = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []

    def collect(item: Any) -> None:
        keys = range(len(item)) if isinstance(item, list) else list(item)
        for key in keys:
            places.append((item, key))
            if isinstance(item[key], (list, dict)):
                collect(item[key])

    collect(changed)
    container, key = places[int(rng.integers(0, len(places)))]
    kind = int(rng.integers(0, 4))
    if kind == 0:
        del container[key]
    elif kind == 1:
        other, other_key = places[int(rng.integers(0, len(places)))]
        container[key] = copy.deepcopy(other[other_key])
    else:
        container[key] = strange[int(rng.integers(0, len(strange)))]
    return changed


class Payload:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return os.system, ("touch marker",)


def npy_of_objects() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Payload()], dtype=object), allow_pickle=True)
    return file.getvalue()


def rezipped(forger: Forger, change: Callable[[Any, dict[str, bytes]], None]) -> bytes:
    """The members in a zip of the zipfile module's making, after a change."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        members = dict(forger.members)
        change(archive, members)
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def with_name(name: str) -> Callable[[Forger], bytes]:
    return lambda f: rezipped(f, lambda archive, m: archive.writestr(name, b"x"))


def with_link(name: str) -> Callable[[Forger], bytes]:
    """With a symbolic link in the place of a member."""

    def change(archive: Any, members: dict[str, bytes]) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o120777 << 16
        archive.writestr(info, b"/etc/passwd")
        del members[name]

    return lambda f: rezipped(f, change)


def deflated(forger: Forger) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in forger.members.items():
            with archive.open(zipfile.ZipInfo(name), "w") as out:
                out.write(data)
        info = zipfile.ZipInfo("bomb.json")
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w") as out:
            for _ in range(1 << 6):
                out.write(b" " * (1 << 20))
    return file.getvalue()


def many_members(forger: Forger) -> bytes:
    def add(archive: Any, members: dict[str, bytes]) -> None:
        for i in range(MAX_MEMBERS + 1):
            archive.writestr(f"m{i}", b"")

    return rezipped(forger, add)


def twice(name: str) -> Callable[[Forger], bytes]:
    """With a member that stands there twice."""

    def make(forger: Forger) -> bytes:
        with pytest.warns(UserWarning, match="Duplicate"):
            return rezipped(forger, lambda a, m: a.writestr(name, b"{}"))

    return make


def disagreeing(name: str) -> Callable[[Forger], bytes]:
    """The local header of a member gives it another name than the directory."""

    def make(forger: Forger) -> bytes:
        place = forger.data.index(name.encode())
        changed = name[0].upper().encode()
        return forger.data[:place] + changed + forger.data[place + 1 :]

    return make


def overlapping(forger: Forger) -> bytes:
    """The second entry of the directory points at the first member."""
    data = bytearray(forger.data)
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    return bytes(data)


def flipped(name: str) -> Callable[[Forger], bytes]:
    def flip(forger: Forger) -> bytes:
        data = bytearray(forger.data)
        member = forger.members[name]
        data[data.index(member) + len(member) - 9] ^= 4
        return bytes(data)

    return flip


def resigned_flip(name: str) -> Callable[[Forger], bytes]:
    """A flipped bit with a right checksum; only the digest tells."""

    def flip(forger: Forger) -> bytes:
        member = bytearray(forger.members[name])
        member[-9] ^= 4
        return forger.pack(forger.members | {name: bytes(member)}, signed=False)

    return flip


def deep(kind: str) -> bytes:
    return {"[": b"[" * 50_000, "{": b'{"a":' * 50_000}[kind]


def rezipped_pickle() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Payload()))
    return file.getvalue()


def container_cases(members: Sequence[str], texts: Sequence[str]) -> Iterator[Case]:
    """Attacks of group A that need not know what a file is for.

    Args:
        members: Members that are always there and always read.
        texts: Those of them that are JSON.
    """
    member = members[0]
    for i, name in enumerate(
        ("../x", "/abs", "a\\..\\..\\x", "C:x", "CON", "x/../../y", "é", "x" * 300)
    ):
        yield f"A5-{i}", with_name(name), "a name that graphc does not use"
    yield "A6-link", with_link(member), "is a symbolic link"
    yield "A7-bomb", deflated, "is compressed|not use"
    yield "A8-twice", twice(member), "stands twice"
    yield "A8-disagree", disagreeing(member), "local zip header of .* disagrees"
    yield "A8-repacked", lambda f: rezipped(f, lambda a, m: None), "differs from what"
    yield "A9-many", many_members, f"more than {MAX_MEMBERS} members"
    yield "A9-overlap", overlapping, "differs from what"
    yield "A9-prefix", lambda f: b"#!/bin/sh\ntouch marker\n" + f.data, "differs"
    yield "A9-suffix", lambda f: f.data + b"\n", "does not end in a zip directory"
    for name in (*members, MANIFEST):
        yield f"A13-{name}", flipped(name), f"mismatch in {name}"
    for name in members:
        yield f"A13-signed-{name}", resigned_flip(name), f"digest mismatch in {name}"
    yield (
        "A14-code",
        lambda f: f.pack(f.members | {"kernel.cubin": b"\x7fELF"}),
        "members of the file are not those of a graphc",
    )
    yield (
        "A14-unlisted",
        lambda f: f.pack(f.members | {"kernel.cubin": b"\x7fELF"}, signed=False),
        "members of the file are not those of its manifest",
    )
    for version, message in (
        (2, r"format version 2, written by graphc '0\.1\.0'; graphc 0\.1\.0 reads up to"),
        (2**70, "reads up to format version 1"), (0, "at least 1"), ("1", "at least 1"),
        (True, "at least 1"), (None, "at least 1"),
    ):  # fmt: skip
        yield (
            f"A16-{version}",
            lambda f, v=version: f.manifest(lambda m: m.update(format_version=v)),
            message,
        )
    yield (
        "A16-format",
        lambda f: f.manifest(lambda m: m.update(format="x")),
        "expected that of",
    )
    for name in (*texts, MANIFEST):
        for i, data in enumerate(
            (deep("["), deep("{"), b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e999}',
             b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b"", b"[]", b"null",
             b"[" + b"1," * 10**6 + b"1]", b"9" * 100_000)
        ):  # fmt: skip
            yield (
                f"A17-{name}-{i}",
                lambda f, n=name, d=data: f.pack(
                    f.members | {n: d}, signed=n != MANIFEST
                ),
                "not valid JSON|expected the keys|expected that of",
            )
    yield (
        "A18-fewer",
        lambda f: f.manifest(lambda m: m["members"].pop(member) and None),
        "not those of",
    )
    yield (
        "A18-more",
        lambda f: f.manifest(
            lambda m: m["members"].update(x={"sha256": "", "size": 0})
        ),
        "not those of",
    )
    yield (
        "A18-size",
        lambda f: f.manifest(lambda m: m["members"][member].update(size=1)),
        "another size",
    )
    yield (
        "A18-extra",
        lambda f: f.manifest(lambda m: m.update(x=1)),
        "expected the keys",
    )
    yield "A18-none", lambda f: f.pack({member: b"{}"}, signed=False), "has no manifest"
