"""Loads files of a folder one by one and notes what loading each of them did.

What counts is noted by an audit hook, which sees opened files, imports, executed code,
processes and connections, whoever causes them.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import graphc
from graphc.frontend.serialization.variable_paths import variable_paths

WATCHED = (
    "open", "import", "exec", "compile", "marshal.loads", "pickle.find_class",
    "ctypes.dlopen", "code.__new__", "os.", "subprocess.", "socket.", "shutil.",
    "tempfile.", "urllib.", "http.", "mmap.", "builtins.input", "webbrowser.",
)  # fmt: skip

MEMORY = 512 << 20


class Watch:
    """The events of one load, but the one opening of the file itself."""

    def __init__(self) -> None:
        self.target = ""
        self.events: list[str] = []
        self.active = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active or not event.startswith(WATCHED):
            return
        if event == "open":
            name, mode, _ = arguments
            mine = isinstance(name, int) or str(name) == self.target
            if mine and mode in ("rb", None):
                return
        self.events.append(f"{event} {str(arguments)[:200]}")


def load(path: Path) -> Any:
    """Loads a model or, by its ending, weights."""
    if path.suffix != ".safetensors":
        return graphc.load_model(path)
    model = build_small()
    model.load_weights(path)
    return model


def build_small() -> Any:
    return graphc.Sequential([graphc.Input((4,)), graphc.layers.Dense(3, name="d")])


def fingerprint(model: Any) -> str:
    """The architecture and the state of a model as text."""
    state = {
        path: v.numpy().tobytes().hex() for path, v in variable_paths(model).items()
    }
    if model.optimizer is not None:
        for i, variable in enumerate(model.optimizer.variables):
            state[str(i)] = variable.numpy().tobytes().hex()
    names = [(type(x).__name__, x.name) for x in model._flatten_layers()]
    return json.dumps([names, state], sort_keys=True)


def attempt(path: Path, watch: Watch) -> dict[str, Any]:
    """What loading a file led to."""
    result: dict[str, Any] = {"error": None, "message": "", "fingerprint": None}
    watch.target = str(path)
    watch.events = []
    start = time.process_time()
    watch.active = True
    try:
        model = load(path)
    except BaseException as error:
        watch.active = False
        result["error"] = type(error).__mro__[0].__name__
        result["is_load_error"] = isinstance(error, graphc.errors.LoadError)
        watch.active = True
        result["message"] = str(error)  # describing an error opens nothing either
    else:
        watch.active = False
        result["fingerprint"] = fingerprint(model)
    watch.active = False
    result["seconds"] = time.process_time() - start
    result["events"] = watch.events
    return result


def main() -> None:
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    build_small()
    files = sorted(
        p for p in folder.iterdir() if p.suffix in (".graphc", ".safetensors")
    )
    for path in files:
        if path.name.startswith("good"):  # warms up: from now on nothing is imported
            fingerprint(load(path))
            try:
                graphc.load_model(folder / "none.graphc")
            except graphc.errors.LoadError as error:
                str(error)
    np.zeros(1).tobytes()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    vast = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (vast + MEMORY, vast + MEMORY))
    watch = Watch()
    sys.addaudithook(watch.hook)
    results = {path.name: attempt(path, watch) for path in files}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - used
    output.write_text(json.dumps({"results": results, "grown": grown}))


main()
