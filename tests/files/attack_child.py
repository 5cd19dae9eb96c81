"""Loads files of a folder one by one and notes what loading each of them did.

A module, the subject, says which files (`SUFFIXES`), how (`load`), what was loaded
(`fingerprint`), and does all that once with good files (`warm_up`).

What counts is noted by an audit hook, which sees opened files, imports, executed code,
processes and connections, whoever causes them.
"""

import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from graphc.ir.errors import GraphcError, LoadError

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


def attempt(subject: Any, path: Path, watch: Watch) -> dict[str, Any]:
    """What loading a file led to."""
    result: dict[str, Any] = {"error": None, "message": "", "fingerprint": None}
    watch.target = str(path)
    watch.events = []
    start = time.process_time()
    watch.active = True
    try:
        loaded = subject.load(path)
    except BaseException as error:
        watch.active = False
        result["error"] = type(error).__mro__[0].__name__
        result["is_load_error"] = isinstance(error, LoadError)
        result["is_ours"] = isinstance(error, GraphcError)
        watch.active = True
        result["message"] = str(error)  # describing an error opens nothing either
    else:
        watch.active = False
        result["fingerprint"] = subject.fingerprint(loaded)
    watch.active = False
    result["seconds"] = time.process_time() - start
    result["events"] = watch.events
    return result


def main() -> None:
    subject = importlib.import_module(sys.argv[1])
    folder, output = Path(sys.argv[2]), Path(sys.argv[3])
    files = sorted(p for p in folder.iterdir() if p.suffix in subject.SUFFIXES)
    good = [path for path in files if path.name.startswith("good")]
    subject.warm_up(good)  # from now on nothing is imported
    for path in good:
        try:
            subject.load(path.with_stem("none"))
        except LoadError as error:
            str(error)
    np.zeros(1).tobytes()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    vast = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (vast + MEMORY, vast + MEMORY))
    watch = Watch()
    sys.addaudithook(watch.hook)
    results = {path.name: attempt(subject, path, watch) for path in files}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - used
    output.write_text(json.dumps({"results": results, "grown": grown}))


main()
