"""The files of kernels that are kept between runs."""

from pathlib import Path

import pytest

from graphc.files.store import Store
from graphc.runtime.triton_cache import Cache, digest
from tests.triton_kernels import kernel_of

KEY = digest(b"what it was made from")


def test_what_was_written_is_read(tmp_path: Path):
    cache = Cache(Store(tmp_path / "new"))
    assert cache.read(KEY) is None
    for payload in (b"machine\ncode\0", b""):
        cache.write(KEY, payload)
        assert cache.read(KEY) == payload


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:10],
        lambda content: b"",
        lambda content: content + b"\0",
        lambda content: b"\xff" + content[1:],
        lambda content: content.replace(b"code", b"coda"),
    ],
)
def test_damaged_payloads_are_not_read(damage, tmp_path: Path):
    cache = Cache(Store(tmp_path / "kept"))
    cache.write(KEY, b"machine code")
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(damage(path.read_bytes()))
    assert cache.read(KEY) is None


def test_sources(tmp_path: Path):
    cache = Cache(Store(tmp_path / "kept"))
    kernel, other = kernel_of("pass"), kernel_of("return")
    path = cache.source(kernel)
    assert path.name == "kernel.py"
    assert path != cache.source(other)
    path.write_text("import evil")
    assert cache.source(kernel) == path
    assert path.read_text() == kernel.source
    assert len(list(tmp_path.rglob("*.py"))) == len(list(tmp_path.rglob("*.*"))) == 2


def test_a_directory_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("")
    cache = Cache(Store(tmp_path / "file"))
    assert cache.source(kernel_of("pass")).read_text() == kernel_of("pass").source
    cache.write(KEY, b"machine code")
    assert cache.read(KEY) is None
    assert len(caplog.records) == 1
