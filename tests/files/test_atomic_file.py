"""An interrupted write leaves the old file, whatever fails and wherever."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphc.files import atomic_file
from graphc.files.atomic_file import write_file

OLD, NEW = b"old contents", [b"new ", memoryview(b"contents, longer"), b""]
CALLS = ("open", "write", "fchmod", "fsync", "replace", "close")


def test_contents(tmp_path: Path):
    path = tmp_path / "f"
    write_file(str(path), NEW)
    assert path.read_bytes() == b"".join(NEW)
    write_file(str(path), [])
    assert path.read_bytes() == b""
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_in_the_working_directory(tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    write_file("f", NEW)
    assert (tmp_path / "f").exists()


def test_a_new_file_has_the_usual_mode(tmp_path: Path):
    (tmp_path / "usual").write_bytes(b"")
    write_file(str(tmp_path / "f"), NEW)
    assert (tmp_path / "f").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "real").write_bytes(OLD)
    (tmp_path / "link").symlink_to(folder / "real")
    write_file(str(tmp_path / "link"), NEW)
    assert (tmp_path / "link").is_symlink()
    assert (folder / "real").read_bytes() == b"".join(NEW)


def test_long_names(tmp_path: Path):
    path = tmp_path / ("x" * 250)
    write_file(str(path), NEW)
    assert path.read_bytes() == b"".join(NEW)


def test_what_crashes_left_is_removed_after_an_hour(tmp_path: Path):
    names = (".f.0123456789abcdef.tmp", ".g.0123456789abcdef.tmp", ".f.tmp", ".f.x.tmp")
    for name in names:
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".f.fedcba9876543210.tmp").write_bytes(b"being written")
    write_file(str(tmp_path / "f"), NEW)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"f", ".f.fedcba9876543210.tmp", *names[1:]}


class Faults:
    """The functions of `os`, of which the call number `at` fails."""

    def __init__(self, at: int, code: int) -> None:
        self.at = at
        self.code = code
        self.count = 0
        self.log: list[str] = []

    def wrap(self, name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                if name == "close":  # a descriptor is closed even where close fails
                    real(*arguments)
                raise OSError(self.code, os.strerror(self.code))
            self.log.append(name)
            if name == "write":  # short writes happen
                return real(arguments[0], bytes(arguments[1][:5]))
            return real(*arguments, **keywords)

        return call


def write_with_fault(path: Path, at: int, code: int) -> Faults:
    faults = Faults(at, code)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(atomic_file.os, name, faults.wrap(name))
        write_file(str(path), NEW)
    return faults


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_a_fault_at_every_call(code: int, tmp_path: Path):
    path = tmp_path / "f"
    for at in range(1, 100):
        path.write_bytes(OLD)
        failed = None
        try:
            faults = write_with_fault(path, at, code)
        except OSError as error:
            failed = error.errno
        # Only making the new name durable may fail without an error.
        assert failed in (None, code)
        assert path.read_bytes() == (b"".join(NEW) if failed is None else OLD)
        if failed is None and faults.count < at:
            break
        assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert at > 10


def test_the_order_that_makes_it_durable(tmp_path: Path):
    path = tmp_path / "f"
    path.write_bytes(OLD)
    log = write_with_fault(path, 0, 0).log
    order = [
        name for i, name in enumerate(log) if name != "write" or log[i - 1] != name
    ]
    assert order == [
        "open", "write", "fchmod", "fsync", "close", "replace", "open", "fsync", "close"
    ]  # fmt: skip


def test_an_interrupt_leaves_nothing(tmp_path: Path):
    def chunks() -> Any:
        yield b"begun"
        raise KeyboardInterrupt

    path = tmp_path / "f"
    path.write_bytes(OLD)
    with pytest.raises(KeyboardInterrupt):
        write_file(str(path), chunks())
    assert path.read_bytes() == OLD
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
