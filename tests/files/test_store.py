import hashlib
import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphc.files import store as stores
from graphc.files.store import Store

KEY = hashlib.sha256(b"key").hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
PAYLOAD = bytes(range(256)) * 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "cache")
    assert made.write("xla", KEY, PAYLOAD)
    return made


def path_of(store: Store) -> Path:
    (entry,) = [e for e in store.entries() if e.key == KEY]
    return entry.path


def test_what_is_written_is_read(store: Store) -> None:
    assert store.read("xla", KEY) == PAYLOAD
    assert Store(store.directory).read("xla", KEY) == PAYLOAD
    assert store.read("xla", OTHER) is None
    assert store.read("kernels", KEY) is None


def test_the_directory_is_its_owners_alone(store: Store) -> None:
    assert store.directory.stat().st_mode & 0o777 == 0o700
    assert path_of(store).stat().st_mode & 0o777 == 0o600


def flipped(data: bytes) -> bytes:
    place = random.Random(0).randrange(len(data))
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: os.urandom(len(data)),
        lambda data: data.replace(b"graphc-cache-1", b"graphc-cache-2"),
        lambda data: data[data.index(b"\n") + 1 :],
        lambda data: b"\n" + data,
        lambda data: b"\x80\x04K*.",
        flipped,
    ],
)
def test_damage_is_noticed_and_healed(store: Store, damage) -> None:
    path = path_of(store)
    path.write_bytes(damage(path.read_bytes()))
    assert store.read("xla", KEY) is None
    assert not path.exists()
    assert store.write("xla", KEY, PAYLOAD)
    assert store.read("xla", KEY) == PAYLOAD


def test_every_flipped_byte_is_noticed(store: Store) -> None:
    path = path_of(store)
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert store.read("xla", KEY) is None, place


def test_an_entry_in_anothers_place_is_no_entry(store: Store) -> None:
    store.write("xla", OTHER, b"other")
    path, other = path_of(store), store.directory / "xla" / OTHER[:2] / OTHER[2:]
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert store.read("xla", KEY) is None
    assert store.read("xla", OTHER) is None


def _full_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("x")


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def test_a_link_is_no_entry(store: Store, tmp_path: Path) -> None:
    path = path_of(store)
    moved = tmp_path / "moved"
    path.rename(moved)
    path.symlink_to(moved)
    assert store.read("xla", KEY) is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, _full_folder, _dangling])
def test_what_is_no_file_makes_way(store: Store, make) -> None:
    path = path_of(store)
    path.unlink()
    make(path)
    assert store.read("xla", KEY) is None
    assert store.write("xla", KEY, PAYLOAD)
    assert store.read("xla", KEY) == PAYLOAD
    path.unlink()
    make(path)
    assert store.verify() == (0, 1)
    make(path)
    assert store.clear()[0] == 1
    assert not os.path.lexists(path)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, _full_folder, _dangling])
def test_what_is_written_takes_the_place_of_what_is_no_file(store: Store, make) -> None:
    path = path_of(store)
    path.unlink()
    make(path)
    assert store.write("xla", KEY, PAYLOAD)
    assert store.read("xla", KEY) == PAYLOAD


def test_a_relative_directory_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("cache"))
    monkeypatch.chdir("/")
    assert store.write("xla", KEY, PAYLOAD)
    assert Store(tmp_path / "cache").read("xla", KEY) == PAYLOAD


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        (lambda path: path.chmod(0o777), "others may write to it"),
        (lambda path: path.chmod(0o720), "others may write to it"),
        (lambda path: _linked(path), "it is a symbolic link"),
        (lambda path: (path.rmdir(), path.touch()), "it is not a directory"),
    ],
)
def test_a_directory_of_others_is_refused_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, refuse, reason: str
) -> None:
    directory = tmp_path / "cache"
    directory.mkdir(mode=0o700)
    refuse(directory)
    store = Store(directory)
    for _ in range(3):
        assert not store.write("xla", KEY, PAYLOAD)
        assert store.read("xla", KEY) is None
    (record,) = caplog.records
    assert reason in record.getMessage()


def _linked(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def test_another_users_directory_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert Store(store.directory).read("xla", KEY) is None
    assert Store(store.directory).problem() == "it belongs to another user"


def test_a_full_disk_costs_one_warning(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert not store.write("xla", OTHER, PAYLOAD)
    assert not store.write("xla", OTHER, PAYLOAD)
    assert "No space left on device" in caplog.text
    assert len(caplog.records) == 1
    assert not list(store.directory.glob("*/*/.*"))
    assert store.read("xla", KEY) == PAYLOAD


def test_a_directory_that_vanishes_is_made_again(store: Store) -> None:
    path_of(store).unlink()
    for folder in ("xla/" + KEY[:2], "xla", "."):
        (store.directory / folder).rmdir()
    assert store.read("xla", KEY) is None
    assert store.write("xla", KEY, PAYLOAD)
    assert store.read("xla", KEY) == PAYLOAD


def test_what_was_not_used_longest_goes_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", limit=10 * 1200)
    keys = [hashlib.sha256(bytes([i])).hexdigest() for i in range(20)]
    for age, key in enumerate(keys):
        assert store.write("xla", key, bytes(1000))
        os.utime(store.directory / "xla" / key[:2] / key[2:], (age, age))
    orphan = store.directory / "xla" / keys[0][:2] / ".unfinished-x"
    orphan.write_bytes(b"half")
    os.utime(orphan, (0, 0))
    store.trim()
    left = [key for key in keys if store.read("xla", key) is not None]
    assert 0 < len(left) < 10
    assert left == keys[-len(left) :]
    assert not orphan.exists()


def test_what_is_from_the_future_goes_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", limit=10 * 1200)
    keys = [hashlib.sha256(bytes([i])).hexdigest() for i in range(20)]
    for number, key in enumerate(keys):
        assert store.write("xla", key, bytes(1000))
        seen = time.time() + (1e9 if number < 15 else -number)
        os.utime(store.directory / "xla" / key[:2] / key[2:], (seen, seen))
    store.trim()
    assert all(store.read("xla", key) is not None for key in keys[15:])


def test_reading_makes_an_entry_young(store: Store) -> None:
    path = path_of(store)
    os.utime(path, (0, 0))
    store.read("xla", KEY)
    assert path.stat().st_mtime > time.time() - stores.STALE


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", limit=1000)
    assert not store.write("xla", KEY, bytes(2000))
    assert not store.directory.exists()


def test_verify_and_clear(store: Store) -> None:
    store.write("kernels", OTHER, b"other")
    path_of(store).write_bytes(b"damaged")
    assert store.verify() == (1, 1)
    assert store.clear()[0] == 1
    assert list(store.entries()) == []


@pytest.mark.parametrize(
    ("kind", "key"), [("..", KEY), ("xla", "../" * 21 + "x"), ("", KEY)]
)
def test_names_are_no_paths(store: Store, kind: str, key: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        store.read(kind, key)


def _hammer(directory: Path, seed: int) -> None:
    store, rng = Store(directory, limit=40_000), random.Random(seed)
    for _ in range(60):
        number = rng.randrange(20)
        key = hashlib.sha256(bytes([number])).hexdigest()
        found = store.read("xla", key)
        assert found is None or found == bytes([number]) * 3000
        store.write("xla", key, bytes([number]) * 3000)
        if rng.random() < 0.1:
            store.trim()


def test_many_processes_share_a_directory(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_hammer, args=(tmp_path / "cache", seed))
        for seed in range(6)
    ]
    for worker in workers:
        worker.start()
    workers[0].kill()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers[1:]] == [0] * 5
    assert Store(tmp_path / "cache").verify()[1] == 0


SHARED = """
import sys, numpy as np
from graphc.ir import parse
from graphc.runtime.compile import compile_graph
for n in range(8):
    text = "graph @f(%x: f32[8]) -> (f32[8]) {\\n"
    text += f"  %0 = multiply(%x, {n}.5) : f32[8]\\n  return %0\\n}}\\n"
    (found,) = compile_graph(parse(text))(np.ones(8, np.float32))
    assert np.asarray(found).tolist() == [n + 0.5] * 8
"""


@pytest.mark.slow
def test_sixteen_programs_share_a_cache(tmp_path: Path) -> None:
    """The same programs compiled at once; one is killed; damage in between heals."""
    cache = tmp_path / "cache"
    variables = os.environ | {"GRAPHC_CACHE": str(cache)}
    command = [sys.executable, "-W", "error", "-c", SHARED]
    for _ in range(2):
        running = [subprocess.Popen(command, env=variables) for _ in range(16)]
        time.sleep(3)
        running[0].kill()
        running[0].wait()
        assert [each.wait() for each in running[1:]] == [0] * 15
        entries = list(Store(cache).entries())
        assert len(entries) == 8
        for entry in entries[::2]:
            entry.path.write_bytes(flipped(entry.path.read_bytes()))
    subprocess.run(command, env=variables, check=True)
    assert Store(cache).verify() == (8, 0)
