"""Hostile files: each is refused by one kind of error, and nothing else happens.

The attacks are those of groups A (models), C (weights) and I (graph texts). All files
are loaded in one process, under an audit hook and a limit on memory.
"""

import base64
import json
import marshal
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from tests.files.attacks import SECONDS, attempts, check_mutants
from tests.files.forgery import (
    Case,
    Payload,
    container_cases,
    members_of,
    mutate,
    mutate_json,
    npy_of_objects,
    rezipped_pickle,
)
from tests.frontend.saving.forgery import (
    CONFIG,
    GRAPH,
    STRANGE_CONFIGS,
    WEIGHTS,
    ModelForger,
    good_file,
    layer_entry,
)

SUBJECT = "tests.frontend.saving.attacked"


def code_of_lambda() -> str:
    code = compile("lambda: __import__('os').system('touch marker')", "x", "eval")
    return base64.b64encode(marshal.dumps(code)).decode()


def weights(header: Any, data: bytes = b"") -> Callable[[ModelForger], bytes]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda f: f.replaced(
        weights__safetensors=struct.pack("<Q", len(text)) + text + data
    )


def other_optimizer_state(forger: ModelForger) -> bytes:
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


def noisy(change: Callable[[Any], Any]) -> Callable[[ModelForger], bytes]:
    """With another record of the graphs of a user's layer."""
    return lambda f: f.config(lambda c: change(layer_entry(c, "Noisy")["graph"]))


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
    for i, name in enumerate(("../../x", "a\nb", "\x1b[2J", "x" * 10_000_000, "\0")):
        message = "too long or has control" if i else "without the character '/'"
        yield f"A10-{i}", lambda f, n=name: f.layer_config(name=n), message
    huge = {"model/x": {"dtype": "F32", "shape": [2**36], "data_offsets": [0, 4]}}
    yield "A11-huge", weights(huge, b"1234"), "does not fit"
    vast = {"model/x": {"dtype": "F32", "shape": [2**36], "data_offsets": [0, 2**38]}}
    yield "A11-vast", weights(vast, b"1234"), "do not cover the file"
    yield "A11-units", lambda f: f.layer_config(units=2**40), "1099511627776"
    for i, source in enumerate(("/etc/hostname", "http://127.0.0.1:9/x", "/dev/zero")):
        for name in ("StringLookup", "IntegerLookup", "TextVectorization"):
            yield (
                f"A12-{name}-{i}",
                lambda f, s=source, n=name: f.layer(
                    class_name=n, config={"vocabulary": s}
                ),
                "made as its config says",
            )
        yield (
            f"A12-weights-{i}",
            lambda f, s=source: f.layer(
                class_name="Embedding",
                config={"input_dim": 2, "output_dim": 2, "weights": s},
            ),
            "made as its config says",
        )
    yield "A17-models", lambda f: f.config(nested_models), "does not fit model"
    yield from container_cases((CONFIG, GRAPH, WEIGHTS), (CONFIG,))


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
    def text(data: bytes) -> Callable[[ModelForger], bytes]:
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


@pytest.fixture(scope="module")
def forger(tmp_path_factory: pytest.TempPathFactory) -> ModelForger:
    return ModelForger(good_file(tmp_path_factory.mktemp("good")))


@pytest.fixture(scope="module")
def results(
    forger: ModelForger, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    files = {"good.graphc": forger.data, "same.graphc": forger.pack(forger.members)}
    files |= {f"{i}.graphc": make(forger) for i, (_, make, _) in enumerate(CASES)}
    for name, data in safetensors_cases():
        files[f"{name}.safetensors"] = data
    return attempts(SUBJECT, tmp_path_factory.mktemp("attacks"), files)


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


def mutants_of_files(forger: ModelForger, count: int) -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    return {f"{i}.graphc": mutate(forger.data, rng) for i in range(count)}


def test_mutants_of_files(forger: ModelForger, tmp_path: Path):
    folder = tmp_path / "mutants"
    folder.mkdir()
    counts = check_mutants(
        SUBJECT, mutants_of_files(forger, MUTANTS), ("good.graphc", forger.data), folder
    )
    assert counts["different"] == 0
    assert counts["refused"] > 0.95 * MUTANTS


@pytest.mark.slow
def test_many_mutants_of_files(forger: ModelForger, tmp_path: Path):
    folder = tmp_path / "mutants"
    folder.mkdir()
    counts = check_mutants(
        SUBJECT,
        mutants_of_files(forger, 10 * MUTANTS),
        ("good.graphc", forger.data),
        folder,
    )
    assert counts["different"] == 0


def test_mutants_of_members_with_right_digests(forger: ModelForger, tmp_path: Path):
    """Whoever makes a file can sign it: what is in it must not be trusted either."""
    rng = np.random.default_rng(2)
    config = json.loads(forger.members[CONFIG])
    files: dict[str, bytes] = {}
    for i in range(300):
        changed = json.dumps(mutate_json(config, rng, STRANGE_CONFIGS)).encode()
        files[f"config-{i}.graphc"] = forger.pack(forger.members | {CONFIG: changed})
    for member in (GRAPH, WEIGHTS):
        for i in range(150):
            changed = mutate(forger.members[member], rng)
            files[f"{member}-{i}.graphc"] = forger.pack(
                forger.members | {member: changed}
            )
    folder = tmp_path / "mutants"
    folder.mkdir()
    counts = check_mutants(SUBJECT, files, ("good.graphc", forger.data), folder)
    assert counts["refused"] > 300
