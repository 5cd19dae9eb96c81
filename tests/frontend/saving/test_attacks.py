"""Hostile files: each is refused by one kind of error, and nothing else happens.

The attacks are those of groups A (models), C (weights) and I (graph texts). All files
are loaded in one process, under an audit hook and a limit on memory.
"""

import base64
import io
import json
import marshal
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from tests.frontend.saving.forgery import (
    CONFIG,
    GRAPH,
    MANIFEST,
    WEIGHTS,
    Forger,
    good_file,
    layer_entry,
    members_of,
    mutate,
    mutate_json,
    pack,
)

CHILD = Path(__file__).with_name("attack_child.py")
ROOT = Path(__file__).parents[3]
SECONDS = 2.0

Case = tuple[str, Callable[[Forger], bytes], str]


class Payload:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return os.system, ("touch marker",)


def code_of_lambda() -> str:
    code = compile("lambda: __import__('os').system('touch marker')", "x", "eval")
    return base64.b64encode(marshal.dumps(code)).decode()


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


def with_link(archive: Any, members: dict[str, bytes]) -> None:
    info = zipfile.ZipInfo(CONFIG)
    info.external_attr = 0o120777 << 16
    archive.writestr(info, b"/etc/passwd")
    del members[CONFIG]


def deflated(forger: Forger) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in forger.members.items():
            with archive.open(zipfile.ZipInfo(name), "w") as out:
                out.write(data)
        info = zipfile.ZipInfo("bomb.json")
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w") as out:
            for _ in range(1 << 10):
                out.write(b" " * (1 << 20))
    return file.getvalue()


def many_members(forger: Forger) -> bytes:
    def add(archive: Any, members: dict[str, bytes]) -> None:
        for i in range(1 << 16):
            archive.writestr(f"m{i}", b"")

    return rezipped(forger, add)


def twice(forger: Forger) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return rezipped(forger, lambda a, m: a.writestr(CONFIG, b"{}"))


def disagreeing(forger: Forger) -> bytes:
    """The local header of the config gives it another name than the directory."""
    place = forger.data.index(CONFIG.encode())
    return forger.data[:place] + b"Config" + forger.data[place + 6 :]


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
        return pack(forger.members | {name: bytes(member)}, manifest=False)

    return flip


def weights(header: Any, data: bytes = b"") -> Callable[[Forger], bytes]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda f: f.replaced(
        weights__safetensors=struct.pack("<Q", len(text)) + text + data
    )


def other_optimizer_state(forger: Forger) -> bytes:
    """Moments of other shapes."""
    size = struct.unpack("<Q", forger.members[WEIGHTS][:8])[0]
    header = json.loads(forger.members[WEIGHTS][8 : 8 + size])
    data = forger.members[WEIGHTS][8 + size :]
    for name, entry in header.items():
        if name.startswith("optimizer/") and len(entry["shape"]) == 2:
            entry["shape"] = entry["shape"][::-1]
    text = json.dumps(header).encode()
    return forger.replaced(
        weights__safetensors=struct.pack("<Q", len(text)) + text + data
    )


def noisy(change: Callable[[Any], Any]) -> Callable[[Forger], bytes]:
    """With another record of the graphs of a user's layer."""
    return lambda f: f.config(lambda c: change(layer_entry(c, "Noisy")["graph"]))


def deep(kind: str) -> bytes:
    return {"[": b"[" * 50_000, "{": b'{"a":' * 50_000}[kind]


def nested_models(config: Any) -> Any:
    model = config["model"]
    for i in range(40):
        model = {
            "module": "keras", "class_name": "Sequential", "registered_name": None,
            "config": {
                "name": f"s{i}", "trainable": True, "dtype": None, "layers": [model],
                "build_input_shape": None,
            },
        }  # fmt: skip
    return config | {"model": model}


def empty_graph(body: str, header: str = "%x: f32[4]) -> (f32[4]") -> bytes:
    return f"graph @noisy({header}) {{\n{body}\n}}\n".encode()


def a_cases() -> Iterator[Case]:
    for name in ("os.system", "builtins.eval", "subprocess.Popen", "eval"):
        module, _, last = name.rpartition(".")
        yield (
            f"A1-layer-{name}",
            lambda f, n=name: f.layer(class_name=n),
            "unknown layer",
        )
        yield (
            f"A1-module-{name}",
            lambda f, m=module, n=last: f.layer(
                module=m, class_name=n, config={"command": "touch marker"}
            ),
            "unknown layer",
        )
        yield (
            f"A1-custom-{name}",
            lambda f, n=name: f.layer(module=None, class_name=n, registered_name=n),
            "needs the class or function",
        )
        yield (
            f"A1-activation-{name}",
            lambda f, n=name: f.layer_config(activation=n),
            "Could not interpret activation",
        )
        function = {"module": module, "class_name": "function", "config": name,
                    "registered_name": "function"}  # fmt: skip
        yield (
            f"A1-initializer-{name}",
            lambda f, d=function: f.layer_config(kernel_initializer=d),
            "Could not interpret initializer",
        )
        yield (
            f"A1-loss-{name}",
            lambda f, n=name: f.config(lambda c: c["compile"].update(loss=n)),
            "Could not interpret loss",
        )
        yield (
            f"A1-optimizer-{name}",
            lambda f, n=name: f.config(
                lambda c: c["compile"]["optimizer"].update(class_name=n)
            ),
            "Could not interpret optimizer",
        )
    lambda_config = {
        "name": "l", "trainable": True,
        "function": {"class_name": "__lambda__", "config": {"code": code_of_lambda()}},
    }  # fmt: skip
    yield (
        "A2-lambda",
        lambda f: f.layer(class_name="Lambda", config=lambda_config),
        ("unknown layer"),
    )
    yield (
        "A2-activation",
        lambda f: f.layer_config(activation=lambda_config["function"]),
        "Could not interpret activation",
    )
    for module, name in (
        ("graphc", "load_model"), ("graphc.saving", "load_model"), ("keras", "Model"),
        ("graphc", "set_option"), ("keras.layers", "Layer"), ("keras.layers", "Input"),
        ("graphc.ops", "load_model"), ("graphc.ops", "__class__"),
        ("keras.saving", "register_keras_serializable"),
    ):  # fmt: skip
        yield (
            f"A3-{module}.{name}",
            lambda f, m=module, n=name: f.layer(module=m, class_name=n, config=n),
            "unknown layer|name of an op",
        )
    for name, data in (
        ("pickle", pickle.dumps(Payload())), ("npy", npy_of_objects()),
        ("zip", members_of(rezipped_pickle())["data.pkl"]),
        ("whole-zip", rezipped_pickle()),
    ):  # fmt: skip
        yield (
            f"A4-{name}",
            lambda f, d=data: f.replaced(weights__safetensors=d),
            ("safetensors"),
        )
    for i, name in enumerate(
        ("../x", "/abs", "a\\..\\..\\x", "C:x", "CON", "x/../../y", "é", "x" * 300)
    ):
        yield f"A5-{i}", with_name(name), "a name that graphc does not use"
    yield "A6-link", lambda f: rezipped(f, with_link), "is a symbolic link"
    yield "A7-bomb", deflated, "is compressed|not use"
    yield "A8-twice", twice, "stands twice"
    yield "A8-disagree", disagreeing, r"local zip header of config\.json disagrees"
    yield "A8-repacked", lambda f: rezipped(f, lambda a, m: None), "differs from what"
    yield "A9-many", many_members, "more than 64 members"
    yield "A9-overlap", overlapping, "differs from what"
    yield "A9-prefix", lambda f: b"#!/bin/sh\ntouch marker\n" + f.data, "differs"
    yield "A9-suffix", lambda f: f.data + b"\n", "does not end in a zip directory"
    for i, name in enumerate(("../../x", "a\nb", "\x1b[2J", "x" * 10_000_000, "\0")):
        message = "too long or has control" if i else "without the character '/'"
        yield f"A10-{i}", lambda f, n=name: f.layer_config(name=n), message
    huge = {"model/x": {"dtype": "F32", "shape": [2**36], "data_offsets": [0, 4]}}
    yield "A11-huge", weights(huge, b"1234"), "does not fit"
    vast = {"model/x": {"dtype": "F32", "shape": [2**36], "data_offsets": [0, 2**38]}}
    yield "A11-vast", weights(vast, b"1234"), "do not cover the file"
    yield "A11-units", lambda f: f.layer_config(units=2**40), "1099511627776"
    for i, source in enumerate(("/etc/hostname", "http://127.0.0.1:9/x", "/dev/zero")):
        yield (
            f"A12-lookup-{i}",
            lambda f, s=source: f.layer(
                class_name="StringLookup", config={"vocabulary": s}
            ),
            "unknown layer|made as its config|does not fit",
        )
        yield (
            f"A12-weights-{i}",
            lambda f, s=source: f.layer(
                class_name="Embedding",
                config={"input_dim": 2, "output_dim": 2, "weights": s},
            ),
            "made as its config says",
        )
    for name in (CONFIG, GRAPH, WEIGHTS, MANIFEST):
        yield f"A13-{name}", flipped(name), f"mismatch in {name}"
    for name in (CONFIG, GRAPH, WEIGHTS):
        yield f"A13-signed-{name}", resigned_flip(name), f"digest mismatch in {name}"
    yield (
        "A14-code",
        lambda f: pack(f.members | {"kernel.cubin": b"\x7fELF"}),
        "members of the file are not those of a graphc-model",
    )
    yield (
        "A14-unlisted",
        lambda f: pack(f.members | {"kernel.cubin": b"\x7fELF"}, manifest=False),
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
        "not that of",
    )
    for member in (CONFIG, MANIFEST):
        for i, data in enumerate(
            (deep("["), deep("{"), b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e999}',
             b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b"", b"[]", b"null",
             b"[" + b"1," * 10**6 + b"1]", b"9" * 100_000)
        ):  # fmt: skip
            yield (
                f"A17-{member}-{i}",
                lambda f, n=member, d=data: pack(
                    f.members | {n: d}, manifest=n == CONFIG
                ),
                "not valid JSON|expected the keys|not that of",
            )
    yield "A17-models", lambda f: f.config(nested_models), "does not fit model"
    yield (
        "A18-fewer",
        lambda f: f.manifest(lambda m: m["members"].pop(GRAPH) and None),
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
        lambda f: f.manifest(lambda m: m["members"][CONFIG].update(size=1)),
        "another size",
    )
    yield (
        "A18-extra",
        lambda f: f.manifest(lambda m: m.update(x=1)),
        "expected the keys",
    )
    yield "A18-none", lambda f: pack({CONFIG: b"{}"}, manifest=False), "has no manifest"


def rezipped_pickle() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Payload()))
    return file.getvalue()


def c_cases() -> Iterator[Case]:
    yield "C5-state", other_optimizer_state, r"does not fit model(.|\n)*optimizer/"
    yield "C2-missing", weights({}), r"does not fit(.|\n)*not in the file(.|\n)*more"
    yield (
        "C2-frozen",
        lambda f: f.config(lambda c: c.update(frozen=[["x"]])),
        "made as its config",
    )
    yield (
        "C2-aliases",
        lambda f: f.config(lambda c: c.update(aliases={"dense/kernel": "dense/bias"})),
        "does not fit model",
    )


def i_cases() -> Iterator[Case]:
    def text(data: bytes) -> Callable[[Forger], bytes]:
        return lambda f: f.replaced(graph__gir=data)

    invalid = "graph.gir is not valid"
    yield "I2-parentheses", text(b"graph @f(" + b"(" * 100_000), invalid
    yield "I2-braces", text(empty_graph(f"  %0 = add(%x) {{a={'[' * 100_000}")), invalid
    yield "I2-line", text(b"graph @f(" + b"%x: f32[], " * 10**5), invalid
    yield "I2-identifier", text(b"graph @" + b"f" * 10**7 + b"("), invalid
    yield "I3-before", text(empty_graph("  return %y")), invalid
    yield (
        "I3-op",
        text(empty_graph("  %0 = custom_call(%x) : f32[4]\n  return %0")),
        ("unknown op"),
    )
    yield (
        "I3-type",
        text(empty_graph("  %0 = negate(%x) : f32[5]\n  return %0")),
        invalid,
    )
    yield (
        "I3-cycle",
        lambda f: f.graph(
            "  %1 = ", '  %7777 = call(%0) {graph="noisy"} : f32[B,6]\n  %1 = '
        ),
        invalid,
    )
    yield (
        "I4-huge",
        text(empty_graph("  return %x", "%x: f32[9999999999,9999999999]) -> (f32[4]")),
        invalid,
    )
    yield (
        "I4-rank",
        text(
            empty_graph(
                "  return %x", f"%x: f32[{','.join(['1'] * 10_000)}]) -> (f32[4]"
            )
        ),
        invalid,
    )
    yield (
        "I4-negative",
        text(empty_graph("  return %x", "%x: f32[-4]) -> (f32[-4]")),
        invalid,
    )
    yield (
        "I4-constant",
        text(empty_graph("  return %x") + b'const @c: f32[99999999999] = "AAAA"\n'),
        invalid,
    )
    yield (
        "I8-attribute",
        text(
            empty_graph(
                '  %0 = negate(%x) {a="\\"); import os #"} : f32[4]\n  return %0'
            )
        ),
        invalid,
    )
    yield "I10-empty", text(b""), invalid
    yield "I10-garbage", text(bytes(range(256))), invalid
    yield "I10-zeros", text(bytes(1000)), invalid
    yield "I11-import", text(b"import os\n"), invalid
    yield "I13-location", lambda f: f.graph("<zoo.py>:", "/etc/passwd:"), ""
    yield (
        "I13-location-error",
        lambda f: f.graph(
            "%1 = ", "%1 = negate(%0) : f32[1]  loc(/etc/passwd:1:1)\n  %9999 = "
        ),
        invalid,
    )
    yield (
        "G-graph",
        noisy(lambda r: r["calls"][0]["training"].update(graph="x")),
        "made as",
    )
    yield (
        "G-swap",
        noisy(lambda r: r["calls"][0]["training"].update(graph="lambda")),
        "parameters and",
    )
    yield (
        "G-reads",
        noisy(lambda r: r["calls"][0]["inference"]["reads"].append(0)),
        "parameters and",
    )
    yield (
        "G-index",
        noisy(lambda r: r["calls"][0]["inference"].update(reads=[-1] * 4)),
        "parameters and|a number in",
    )
    yield (
        "G-type",
        noisy(lambda r: r["calls"][0]["training"]["reads"].reverse()),
        "to have a",
    )
    yield (
        "G-losses",
        noisy(lambda r: r["calls"][0]["inference"].update(losses=-3)),
        ("parameters and"),
    )
    yield (
        "G-vast-losses",
        noisy(lambda r: r["calls"][0]["inference"].update(losses=2**60)),
        "parameters and",
    )
    yield (
        "G-outputs",
        noisy(lambda r: r["calls"][0]["inference"]["outputs"].update(config=7)),
        "a number in",
    )
    yield (
        "G-parameter",
        noisy(lambda r: r.update(parameters=[["import os", "normal"]])),
        "made as",
    )
    yield (
        "G-shape",
        noisy(lambda r: r["variables"][0].update(shape=[2**40])),
        "to have a",
    )
    yield (
        "G-shared",
        noisy(
            lambda r: r["variables"].__setitem__(
                0,
                {"shared": "x", "kind": "trainable", "shape": [6], "dtype": "float32"},
            )
        ),
        "reads a variable that no layer has",
    )
    yield "G-dtype", noisy(lambda r: r.update(dtype="os.system")), "made as"
    yield (
        "G-regularizer",
        noisy(
            lambda r: r["variables"][0].update(regularizer={"graph": "x", "name": "y"})
        ),
        "made as",
    )


def safetensors_cases() -> Iterator[tuple[str, bytes]]:
    """Attacks C1 to C4 on weights alone."""
    one = {"d/bias": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}

    def file(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = len(text) if length is None else length
        return size.to_bytes(8, "little") + text + data

    yield "C1-empty", b""
    yield "C1-endless", file(b"{}", length=2**64 - 1)
    yield "C1-large", file(b"{}", length=200_000_000)
    yield "C1-deep", file(b'{"a":' * 100_000)
    yield "C1-pickle", pickle.dumps(Payload())
    yield "C2-beyond", file(one, b"1234")
    yield "C2-trailing", file(one, b"x" * 13)
    overlap = {"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
               "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}}  # fmt: skip
    yield "C2-overlap", file(overlap, b"123456")
    product = {"a": {"dtype": "F32", "shape": [2**33] * 4, "data_offsets": [0, 4]}}
    yield "C3-product", file(product, b"1234")
    yield "C4-duplicate", file(b'{"a":{},"a":{}}')
    names = {"../../etc/x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}
    yield "C4-name", file(names, b"1")
    yield "C4-missing", file({})


CASES = [*a_cases(), *c_cases(), *i_cases()]
MUTANTS = 1000
LOADED = "I13-location"


def run(folder: Path, files: dict[str, bytes]) -> dict[str, Any]:
    """Loads files in a process of their own; what each led to, by name."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    before = sorted(path.name for path in folder.iterdir())
    output = folder.parent / f"{folder.name}.json"
    subprocess.run(
        [sys.executable, "-W", "error", CHILD, folder, output], check=True, cwd=folder,
        env={"PYTHONPATH": str(ROOT)}, timeout=600,
    )  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == before
    found = json.loads(output.read_text())
    assert found["grown"] < 512 << 20
    return found["results"]


@pytest.fixture(scope="module")
def forger(tmp_path_factory: pytest.TempPathFactory) -> Forger:
    return Forger(good_file(tmp_path_factory.mktemp("good")))


@pytest.fixture(scope="module")
def results(forger: Forger, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    files = {"good.graphc": forger.data, "same.graphc": pack(forger.members)}
    files |= {f"{i}.graphc": make(forger) for i, (_, make, _) in enumerate(CASES)}
    for name, data in safetensors_cases():
        files[f"{name}.safetensors"] = data
    return run(tmp_path_factory.mktemp("attacks"), files)


def test_the_forger_s_tools_make_good_files(results: Any):
    good = results["good.graphc"]
    assert good["error"] is None
    assert good["events"] == []
    assert results["same.graphc"]["fingerprint"] == good["fingerprint"]


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case[0] for case in CASES])
def test_attack(index: int, results: Any):
    name, _, message = CASES[index]
    result = results[f"{index}.graphc"]
    assert result["events"] == []
    assert result["seconds"] < SECONDS
    if name == LOADED:  # the places are renamed, and nothing reads the file
        assert result["error"] is None
        return
    assert result["is_load_error"], result
    with pytest.raises(graphc.errors.LoadError, match=message):
        raise graphc.errors.LoadError(result["message"])
    assert f"{index}.graphc: " in result["message"]
    assert len(result["message"]) < 5000
    assert "\x1b" not in result["message"]
    assert "root:" not in result["message"]


@pytest.mark.parametrize("name", [name for name, _ in safetensors_cases()])
def test_attack_on_weights(name: str, results: Any):
    result = results[f"{name}.safetensors"]
    assert result["is_load_error"], result
    assert result["events"] == []
    assert result["seconds"] < SECONDS


def check_mutants(files: dict[str, bytes], good: bytes, folder: Path) -> dict[str, int]:
    """Fails unless each file is refused, or is what the good one is."""
    found = run(folder, files | {"good.graphc": good})
    counts = {"refused": 0, "loaded": 0}
    for name, result in found.items():
        assert result["events"] == [], (name, result)
        assert result["seconds"] < SECONDS, (name, result)
        if result["error"] is None:
            counts["loaded"] += 1
        else:
            assert result["is_load_error"], (name, result)
            counts["refused"] += 1
    return counts | {"different": sum(
        r["error"] is None and r["fingerprint"] != found["good.graphc"]["fingerprint"]
        for r in found.values()
    )}  # fmt: skip


def mutants_of_files(forger: Forger, count: int) -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    return {f"{i}.graphc": mutate(forger.data, rng) for i in range(count)}


def test_mutants_of_files(forger: Forger, tmp_path: Path):
    folder = tmp_path / "mutants"
    folder.mkdir()
    counts = check_mutants(mutants_of_files(forger, MUTANTS), forger.data, folder)
    assert counts["different"] == 0
    assert counts["refused"] > 0.95 * MUTANTS


@pytest.mark.slow
def test_many_mutants_of_files(forger: Forger, tmp_path: Path):
    folder = tmp_path / "mutants"
    folder.mkdir()
    counts = check_mutants(mutants_of_files(forger, 10 * MUTANTS), forger.data, folder)
    assert counts["different"] == 0


def test_mutants_of_members_with_right_digests(forger: Forger, tmp_path: Path):
    """Whoever makes a file can sign it: what is in it must not be trusted either."""
    rng = np.random.default_rng(2)
    config = json.loads(forger.members[CONFIG])
    files: dict[str, bytes] = {}
    for i in range(300):
        changed = json.dumps(mutate_json(config, rng)).encode()
        files[f"config-{i}.graphc"] = pack(forger.members | {CONFIG: changed})
    for member in (GRAPH, WEIGHTS):
        for i in range(150):
            changed = mutate(forger.members[member], rng)
            files[f"{member}-{i}.graphc"] = pack(forger.members | {member: changed})
    folder = tmp_path / "mutants"
    folder.mkdir()
    counts = check_mutants(files, forger.data, folder)
    assert counts["refused"] > 300
