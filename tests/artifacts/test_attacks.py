"""Hostile artifacts: each is refused by one kind of error, and nothing else happens.

The attacks are those of groups A (artifacts) and I (graph texts); machine code is
replaced, and what describes it lies. All files are loaded in one process, under an audit
hook and a limit on memory.
"""

import functools
import json
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers, ops
from graphc.artifacts import load, loading
from graphc.codegen.triton import plan_json
from graphc.files.tensors import dump_tensors
from graphc.runtime import triton_packing, triton_runtime, xla_export, xla_runtime
from tests.artifacts.forgery import GRAPH, MANIFEST, WEIGHTS, ArtifactForger
from tests.artifacts.machine_code import MachineCode
from tests.files.attacks import SECONDS, attempts, check_mutants, counted
from tests.files.forgery import (
    Case,
    Payload,
    container_cases,
    mutate,
    mutate_json,
    npy_of_objects,
    rezipped_pickle,
)

SUBJECT = "tests.artifacts.attacked"
MUTANTS = 200
X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


def good_file(folder: Path) -> bytes:
    """A model's artifact for XLA and for a GPU, with a constant and two sizes."""
    graphc.utils.set_random_seed(0)
    table = np.arange(8, dtype=np.float32)
    inputs = layers.Input((4,), name="x")
    hidden = layers.Dense(8, "relu", name="hidden")(inputs)
    model = graphc.Model(inputs, layers.Dense(3, name="scores")(hidden + table))
    path = folder / "good.gcx"
    with pytest.MonkeyPatch.context() as monkeypatch:
        MachineCode().install(monkeypatch)
        model.export(path, "predict", ["xla", "triton:sm_90"], batch=[1, 2])
    return path.read_bytes()


# -- what the manifest says ----------------------------------------------------------------


def changed(key: str, value: Any) -> Callable[[ArtifactForger], bytes]:
    return lambda f: f.contents(lambda m: m.__setitem__(key, value))


def option(key: str, value: Any) -> Callable[[ArtifactForger], bytes]:
    return lambda f: f.contents(lambda m: m["options"].__setitem__(key, value))


def sizes(compiled: Any, low: Any = None) -> Callable[[ArtifactForger], bytes]:
    return changed("contract", {"B": {"compiled": compiled, "low": low}})


def manifest_cases() -> Iterator[Case]:
    for kind in ("os.system", "init", None, [], {"a": 1}):
        yield f"M-kind-{kind}", changed("kind", kind), "an unknown kind"
    for i, name in enumerate((None, 3, "x" * 2000, "a\nb", "\x1b[2J", [])):
        yield f"M-name-{i}", changed("name", name), "must be printable text"
        yield f"M-input-{i}", changed("inputs", [name]), "must be printable text"
    for key in ("inputs", "outputs", "state"):
        for i, value in enumerate((None, 3, "x", {}, ["a", "a"])):
            yield f"M-{key}-{i}", changed(key, value), "are no list|not distinct"
        yield f"M-{key}-more", changed(key, ["a"] * 0), "manifest says|weights are not"
    for i, value in enumerate((None, [0], [-1], [2**70], ["x"], [True], [0, 0])):
        yield f"M-written-{i}", changed("written", value), "no list|its state|manifest"
    for i, value in enumerate(
        ([], None, 3, [0], [2, 1], [2**31], [2**70], [1.5], [True], ["1"], [1] * 2)
    ):
        yield f"M-sizes-{i}", sizes(value), "sizes of 'B' are|program of sizes"
    yield "M-low", sizes([1, 2], -1), "sizes of 'B' are none"
    yield "M-fewer-sizes", sizes([1]), "program of sizes that its contract lacks"
    yield "M-no-symbol", changed("contract", {}), "program of sizes|have no sizes"
    yield "M-many", sizes(list(range(1, 1000))), "at most 256 programs"
    vast = {f"S{i}": {"compiled": [1, 2], "low": None} for i in range(2000)}
    yield "M-vast", changed("contract", vast), "program of sizes|has no dimension"
    for i, value in enumerate((None, [], {"x": 1})):
        yield f"M-contract-{i}", changed("contract", value), "no JSON obj|the keys|prog"
        yield f"M-options-{i}", changed("options", value), "options: expected the keys"
    for key, value in (
        *(("passes", 3), ("passes", ["dce"]), ("precision", "x"), ("precision", None)),
        *(("precision", []), ("memory_budget", -1), ("memory_budget", "x")),
        *(("memory_budget", []), ("check", "nan"), ("check", 3)),
    ):
        yield f"M-{key}-{value}", option(key, value), "options are none"
    for i, value in enumerate((3, "x", "a" * 63, [], True)):
        yield f"M-weights-{i}", changed("weights", value), "weights is none"
    elsewhere = changed("weights", "a" * 64)
    yield "M-weights-elsewhere", elsewhere, "those of a graphc-artifact"


def program_cases() -> Iterator[Case]:
    def program(number: int = 0, **changes: Any) -> Callable[[ArtifactForger], bytes]:
        return lambda f: f.program(number, **changes)

    for i, value in enumerate((None, "x", {}, [[]], [None])):
        yield f"P-list-{i}", changed("programs", value), "are no list|expected the keys"
    yield (
        "P-twice",
        lambda f: f.contents(lambda m: m["programs"].append(m["programs"][0])),
        "two programs",
    )
    yield (
        "P-exchanged",
        lambda f: f.contents(lambda m: m["programs"].reverse()),
        "members of the file",
    )
    yield (
        "P-fewer",
        lambda f: f.contents(lambda m: m["programs"].pop() and None),
        "memb",
    )
    for i, value in enumerate(
        (None, "", "os.system", "../x", "XLA", "xla:../x", "xla:" + "a" * 99, [])
    ):
        yield f"P-target-{i}", program(target=value), "is not complete"
    yield "P-other-target", program(target="numpy"), "members of the file"
    for i, value in enumerate(
        (None, {}, {"B": 3}, {"B": "1"}, {"B": True}, {"b": 1}, {"B": 1, "C": 1})
    ):
        yield f"P-sizes-{i}", program(sizes=value), "not complete|program of sizes|two"
    for i, value in enumerate((None, [], "x", 3)):
        yield f"P-facts-{i}", program(facts=value), "is not complete"
    for i, value in enumerate(
        ([], ["../x"], ["/etc/passwd"], ["a", "a"], [""], [WEIGHTS], [3], "x", None,
         ["kernels/missing.cubin"], ["x/" + GRAPH], ["a/b/../../" + GRAPH])
    ):  # fmt: skip
        yield (
            f"P-files-{i}",
            program(files=value),
            "members of the file|not distinct|another member|printable|no list",
        )
    for i, value in enumerate((None, "x", [3], ["\x1b[2J"], [["x"]], ["x" * 10**6])):
        yield f"P-numerics-{i}", program(numerics=value), "no list|printable text"
    yield "P-unknown", program(extra=1), "program: expected the keys"


# -- the graph and the weights -------------------------------------------------------------


def tensors(**arrays: np.ndarray[Any, Any]) -> bytes:
    return b"".join(dump_tensors(arrays))


def weight_cases() -> Iterator[Case]:
    for name, data in (
        ("pickle", pickle.dumps(Payload())), ("npy", npy_of_objects()),
        ("zip", rezipped_pickle()), ("empty", b""), ("zeros", bytes(100)),
    ):  # fmt: skip
        yield (
            f"A4-{name}",
            lambda f, d=data: f.replaced(weights__safetensors=d),
            "safetensors",
        )
    huge = b'{"w":{"dtype":"F32","shape":[68719476736],"data_offsets":[0,4]}}'
    yield (
        "A11-huge",
        lambda f: f.replaced(
            weights__safetensors=len(huge).to_bytes(8, "little") + huge + b"1234"
        ),
        "does not fit",
    )
    yield (
        "W-other",
        lambda f: f.replaced(weights__safetensors=tensors(w=X)),
        "weights are not those of the artifact",
    )

    def reshaped(forger: ArtifactForger) -> bytes:
        data = forger.members[WEIGHTS].replace(b"[4,8]", b"[8,4]")
        assert data != forger.members[WEIGHTS]
        return forger.pack(forger.members | {WEIGHTS: data})

    yield "W-shape", reshaped, r"is not f32\[4,8\]"


def graph_text(body: str, header: str = "%x: f32[4]) -> (f32[4]") -> bytes:
    return f"graph @f({header}) {{\n{body}\n}}\n".encode()


def graph_cases() -> Iterator[Case]:
    def text(data: bytes) -> Callable[[ArtifactForger], bytes]:
        return lambda f: f.replaced(graph__gir=data)

    invalid = "graph.gir is not valid"
    for name, data in (
        ("I2-parentheses", b"graph @f(" + b"(" * 100_000),
        ("I2-attributes", graph_text(f"  %0 = add(%x) {{a={'[' * 100_000}")),
        ("I2-dims", graph_text("", f"%x: f32[{'(' * 100_000}B")),
        ("I2-sum", graph_text("", f"%x: f32[{'+'.join(['B'] * 10**6)}]")),
        ("I2-power", graph_text("", f"%x: f32[{'*'.join(['(B+C+1)'] * 200)}]")),
        ("I2-number", graph_text("", f"%x: f32[{'9' * 10**5}]")),
        ("I2-line", b"graph @f(" + b"%x: f32[], " * 10**5),
        ("I2-identifier", b"graph @" + b"f" * 10**7 + b"("),
        ("I3-before", graph_text("  return %y")),
        ("I3-op", graph_text("  %0 = custom_call(%x) : f32[4]\n  return %0")),
        ("I3-type", graph_text("  %0 = negate(%x) : f32[5]\n  return %0")),
        ("I4-rank", graph_text("", f"%x: f32[{','.join(['1'] * 10_000)}]) -> (f32[4]")),
        ("I4-negative", graph_text("  return %x", "%x: f32[-4]) -> (f32[-4]")),
        (
            "I4-constant",
            graph_text("  return %x") + b'const @c: f32[1099511627776] = "AAAA"\n',
        ),
        ("I10-empty", b""),
        ("I10-garbage", bytes(range(256))),
        ("I11-import", b"import os\n"),
        ("I17-utf16", "graph @f".encode("utf-16")),
    ):
        yield name, text(data), invalid
    yield "I13-other", text(graph_text("  return %x")), "no dimension symbol B"
    yield (
        "I13-result",
        lambda f: f.graph("return %", "return %x, %"),
        "is not valid|manifest says",
    )


CASES = [
    *container_cases((GRAPH, WEIGHTS), ()),
    *manifest_cases(),
    *program_cases(),
    *weight_cases(),
    *graph_cases(),
]


BOMBS: dict[str, Callable[[Any], Any]] = {
    "broadcast": lambda x: ops.sum(ops.broadcast_to(x[0], (2**20, 2**20))),
    "literal": lambda x: x + ops.sum(ops.ones((2**20, 2**20))),
    "iota": lambda x: x + ops.sum(ops.arange(2**31 - 1, dtype="float32")),
    "pad": lambda x: ops.sum(ops.pad(x, ((2**40, 2**40),))),
    "doubling": lambda x: functools.reduce(
        lambda y, _: ops.concatenate([y, y]), range(40), x
    )[0],
    "folding": lambda x: x + ops.sum(ops.matmul(*[ops.ones((2**15, 2**15))] * 2)),
    "loop": lambda x: ops.scan(lambda c, _: (c * 2.0, c), x, length=2**31 - 1)[0],
    "products": lambda x: functools.reduce(lambda y, _: y * y, range(2000), x),
}
"""Programs that are small as text and vast as results, or look as if they could be
computed beforehand."""


def bomb(forger: ArtifactForger, function: Callable[[Any], Any]) -> bytes:
    """An artifact of a function, without anything compiled."""
    graph = graphc.trace(function, graphc.TensorSpec((4,)))
    members = {name: data for name, data in forger.members.items() if "/" not in name}
    members |= {GRAPH: str(graph).encode(), WEIGHTS: tensors()}
    said = json.loads(members[MANIFEST])
    said |= {"inputs": ["x"], "outputs": ["y"], "state": [], "programs": []}
    said |= {"contract": {}}
    return forger.pack(members | {MANIFEST: json.dumps(said).encode()})


# -- machine code, with trust --------------------------------------------------------------


def trusted_cases() -> Iterator[tuple[str, Callable[[ArtifactForger], bytes]]]:
    """Files whose machine code, and what describes it, is garbage."""

    def member(name: str, data: bytes) -> Callable[[ArtifactForger], bytes]:
        def make(forger: ArtifactForger) -> bytes:
            (found,) = (n for n in forger.members if re.search(name, n))
            return forger.pack(forger.members | {found: data})

        return make

    def text(name: str, old: str, new: str) -> Callable[[ArtifactForger], bytes]:
        def make(forger: ArtifactForger) -> bytes:
            (found,) = (n for n in forger.members if re.search(name, n))
            changed = re.sub(old, new, forger.members[found].decode(), count=1)
            assert changed.encode() != forger.members[found]
            return forger.pack(forger.members | {found: changed.encode()})

        return make

    garbage = (b"", b"\0" * 50, b"[]", b"{}", b"[" * 10**5, b"9" * 10**5, b"null",
               b'{"Plan":[]}', b'{"a":' * 10**5, b"\xff", b"NaN")  # fmt: skip
    for name in ("plan.json", "kernels.json"):
        for i, data in enumerate(garbage):
            yield f"triton-{name}-{i}", member(f"2.{name}", data)
    for i, data in enumerate((b"", b"x" * 100, pickle.dumps(Payload()))):
        yield f"triton-constants-{i}", member(r"2.constants", data)
        yield f"xla-module-{i}", member(r"0.module", data)
    for i, (old, new) in enumerate(
        ((r'"Launch":\[0', '"Launch":[99'), (r'"Launch":\[0', '"Launch":[-1'),
         (r'"Address":\[\d+', '"Address":[99'), (r'"Address":\[0\]', '"Address":[0,8]'),
         (r'"Address":\[0\]', '"Address":[0,-8]'), (r'"Launch":', '"HostCall":'),
         (r'"arena",\d+', '"arena",0'), (r'"arena",\d+', '"arena",1e9'),
         (r'"arena",\d+', '"arena",-1'), (r'"arena"', '"result"'),
         (r'"type":"f32\[1,4\]"', '"type":"f32[1,8]"'),
         (r'"type":"f32\[1,4\]"', '"type":"f32[B,4]"'),
         (r'"type":"f32\[1,4\]"', '"type":"f32[99999999999,99999999999]"'))
    ):  # fmt: skip
        yield f"triton-plan-{i}", text("2.plan", old, new)
    for key in ("threads", "shared", "global_scratch", "registers"):
        for value in ("-1", "1e3", '"1"', "null", "true", str(2**70)):
            yield (
                f"triton-{key}-{value.strip(chr(34))}",
                text("2.kernels", f'"{key}": ?\\d+', f'"{key}": {value}'),
            )
    for key in ("binary", "entry"):
        for i, value in enumerate(("null", '""', '"x"', "[]", '"a\\\\nb"')):
            if key == "entry" and value == '"x"':
                continue  # which is for the driver to refuse
            yield (
                f"triton-{key}-{i}",
                text("2.kernels", f'"{key}": "[^"]*"', f'"{key}": {value}'),
            )
    for i, keys in enumerate(
        (None, [], "x", [1], [[]], ["a", "a"], ["a", "b"], {"a": 1})
    ):
        yield (
            f"xla-keys-{i}",
            lambda f, k=keys: f.contents(
                lambda m: m["programs"][0]["facts"].update(keys=k)
            ),
        )


# -- tests ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forger(tmp_path_factory: pytest.TempPathFactory) -> ArtifactForger:
    return ArtifactForger(good_file(tmp_path_factory.mktemp("good")))


def name_of(case: str) -> str:
    return f"{re.sub('[^A-Za-z0-9.-]', '_', case)}.gcx"


@pytest.fixture(scope="module")
def results(
    forger: ArtifactForger, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    files = {"good.gcx": forger.data, "same.gcx": forger.pack(forger.members)}
    files |= {f"{i}.gcx": make(forger) for i, (_, make, _) in enumerate(CASES)}
    for name, make in trusted_cases():
        files[name_of(f"trusted-{name}")] = make(forger)
    for name, function in BOMBS.items():
        files[f"compiled-{name}.gcx"] = bomb(forger, function)
    files |= mutants_of_files(forger, MUTANTS) | mutants_of_members(
        forger, MUTANTS // 10
    )
    return attempts(SUBJECT, tmp_path_factory.mktemp("attacks"), files)


def test_the_forger_s_tools_make_good_files(results: Any):
    good = results["good.gcx"]
    assert good["error"] is None
    assert good["events"] == []
    assert results["same.gcx"]["fingerprint"] == good["fingerprint"]


def test_attacks(results: Any):
    for index, (name, _, message) in enumerate(CASES):
        result = results[f"{index}.gcx"]
        assert result["events"] == [], name
        assert result["seconds"] < SECONDS, name
        assert result["is_load_error"], (name, result)
        assert re.search(message, result["message"]), (name, result["message"])
        assert f"{index}.gcx: " in result["message"], name
        assert len(result["message"]) < 5000, name
        assert "\x1b" not in result["message"], name


def test_attacks_with_trust(results: Any):
    for name, _ in trusted_cases():
        result = results[name_of(f"trusted-{name}")]
        assert result["is_load_error"], (name, result)
        assert result["seconds"] < SECONDS, name


@pytest.mark.parametrize("name", BOMBS)
def test_programs_that_look_small_compile_or_are_refused(name: str, results: Any):
    result = results[f"compiled-{name}.gcx"]
    assert result["error"] is None or result["is_ours"], result
    assert result["seconds"] < 5 * SECONDS


def test_untrusted_code_is_not_even_parsed(
    forger: ArtifactForger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """All compiled parts are garbage, with right digests."""
    parts = {name for name in forger.members if "/" in name}
    assert len(parts) > 8
    path = tmp_path / "f.gcx"
    path.write_bytes(forger.pack(forger.members | dict.fromkeys(parts, b"garbage")))

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("a compiled part was read")

    with monkeypatch.context() as patched:
        for module, name in (
            (loading, "read_program"), (triton_runtime, "unpack"), (xla_runtime, "unpack"),
            (triton_packing, "unpack_plan"), (plan_json, "plan_from_json"),
            (xla_export, "artifact_text"),
        ):  # fmt: skip
            patched.setattr(module, name, refuse)
        found = load(path)(X)
    path.write_bytes(forger.data)
    np.testing.assert_array_equal(found, load(path)(X))


def test_every_region_is_guarded(forger: ArtifactForger, tmp_path: Path):
    """One flipped byte in each member, each header and the directory; and each cut."""
    data, path = forger.data, tmp_path / "f.gcx"
    places = list(range(0, len(data), max(1, len(data) // 200)))
    places += [data.index(part) + len(part) // 2 for part in forger.members.values()]
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(graphc.errors.LoadError):
            load(path)
        path.write_bytes(data[:place])
        with pytest.raises(graphc.errors.LoadError):
            load(path)


def test_a_file_names_no_package_to_import(
    forger: ArtifactForger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A pipeline may name passes that are installed; a file's may not have them loaded."""

    def refuse(**named: Any) -> Any:
        raise AssertionError("looked for installed packages")

    monkeypatch.setattr("graphc.passes.plugins.entry_points", refuse)
    path = tmp_path / "f.gcx"
    for passes in ("evil", "decompose,evil", 'apply_rules{rules="evil"}', "evil{a=1}"):
        path.write_bytes(option("passes", passes)(forger))
        with pytest.raises(graphc.errors.PassError):
            load(path, "xla").prepare()


def mutants_of_files(forger: ArtifactForger, count: int) -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    return {f"mutant-{i}.gcx": mutate(forger.data, rng) for i in range(count)}


def mutants_of_members(forger: ArtifactForger, count: int) -> dict[str, bytes]:
    """With right digests: whoever makes a file can sign it."""
    rng = np.random.default_rng(2)
    manifest = json.loads(forger.members["manifest.json"])
    manifest.pop("members")
    files: dict[str, bytes] = {}
    for i in range(count):
        made = mutate_json(manifest, rng)
        made |= {"members": {}, "format": "x"}
        try:
            files[f"manifest-mutant-{i}.gcx"] = forger.contents(
                lambda m, made=made: made
            )
        except KeyError:  # a key of the manifest is gone, which another test has
            continue
    for member in (GRAPH, WEIGHTS):
        for i in range(count):
            data = mutate(forger.members[member], rng)
            files[f"{member}-mutant-{i}.gcx"] = forger.pack(
                forger.members | {member: data}
            )
    for name in [n for n in forger.members if re.search(r"(plan|kernels)\.json", n)]:
        for i in range(count // 2):
            text = json.dumps(mutate_json(json.loads(forger.members[name]), rng))
            made = forger.pack(forger.members | {name: text.encode()})
            files[f"trusted-{name.replace('/', '-')}-mutant-{i}.gcx"] = made
    return files


def check(files: dict[str, bytes], forger: ArtifactForger, folder: Path) -> Any:
    folder.mkdir()
    return check_mutants(SUBJECT, files, ("good.gcx", forger.data), folder)


def test_mutants_of_files(results: Any):
    files = {n: r for n, r in results.items() if n.startswith(("good", "mutant-"))}
    counts = counted(files, "good.gcx")
    assert counts["different"] == 0
    assert counts["refused"] > 0.95 * MUTANTS


def test_mutants_of_members(results: Any):
    files = {n: r for n, r in results.items() if "-mutant-" in n or n == "good.gcx"}
    counts = counted(files, "good.gcx")
    assert len(files) > 80
    assert counts["refused"] > 0.4 * len(files)


@pytest.mark.slow
def test_ten_thousand_mutants(forger: ArtifactForger, tmp_path: Path):
    counts = check(mutants_of_files(forger, 6000), forger, tmp_path / "files")
    assert counts["different"] == 0
    members = mutants_of_members(forger, 800)
    assert len(members) > 3000
    check(members, forger, tmp_path / "members")
