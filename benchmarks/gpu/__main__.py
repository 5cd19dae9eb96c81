"""Measures graphc's Triton target beside torch and jax on this machine's GPU.

    python -m benchmarks.gpu --rows K4,K5 --budget 500

Rows run one after the other in a process of their own kind: when one fails, its error is
written down and the others go on in a new process. Each case is kept in
``benchmarks/results/<gpu>.json`` as soon as it is measured, so several runs make one table.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu import results
from benchmarks.gpu.cases import Case, free_memory
from benchmarks.gpu.frameworks import (
    COMPILED,
    EAGER,
    GPU,
    INTERPRETER,
    JAX,
    TUNED,
    Options,
    ceilings,
    forget_compilations,
    machine,
    strong_settings,
)
from benchmarks.gpu.rows import ROWS

BASELINES = {"eager": EAGER, "compile": COMPILED, "max-autotune": TUNED, "jax": JAX}

ENVIRONMENT = {
    # Memory that jax does not use is for the others.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}

FAILED = 3
"""The status of a process that stopped at a row that failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the rows that are asked for; returns the exit status."""
    options = _parser().parse_args(arguments)
    names = _listed(options.rows, ROWS)
    _listed(options.baselines, BASELINES)
    if options.worker:
        return work(names, options)
    deadline = time.monotonic() + options.budget
    failed: list[str] = []
    while names and time.monotonic() < deadline:
        done, ok = _in_process(names, options, deadline)
        if not ok:
            failed.append(names[done])
        names = names[done + (0 if ok else 1) :]
        if ok:
            break
    path = Path(options.output)
    for file in sorted(path.glob("*.json")):
        print(f"\n{file}\n{results.table(results.load(file))}")
    if names:
        print(f"\nno time was left for {','.join(names)}")
    if failed:
        print(f"\nfailed: {','.join(failed)}")
    return 1 if failed else 0


def _in_process(
    names: Sequence[str], options: argparse.Namespace, deadline: float
) -> tuple[int, bool]:
    """Runs rows in a process until one fails; how many ended before, and if none did."""
    command = [
        *(sys.executable, "-m", "benchmarks.gpu", "--worker"),
        *("--rows", ",".join(names), "--target", options.target),
        *("--baselines", options.baselines, "--output", options.output),
        *("--rounds", str(options.rounds), "--steps", str(options.steps)),
        *("--cases", options.cases, *(["--tiny"] if options.tiny else [])),
        *(["--resume"] if options.resume else []),
    ]
    done = 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT | os.environ
    ) as process:
        assert process.stdout is not None
        timer = _Stopped(process, deadline)
        for line in process.stdout:
            print(line, end="", flush=True)
            done += line.startswith("done ")
        status = process.wait()
        timer.close()
    if timer.hit:
        return done, True
    if status not in (0, FAILED):
        print(f"{names[done]} failed: the process ended with status {status}")
    return done, status == 0


class _Stopped:
    """Ends a process at the deadline."""

    def __init__(self, process: subprocess.Popen[str], deadline: float) -> None:
        self.hit = False
        self._process = process
        self._timer = threading.Timer(max(1.0, deadline - time.monotonic()), self._stop)
        self._timer.start()

    def _stop(self) -> None:
        self.hit = True
        self._process.kill()

    def close(self) -> None:
        self._timer.cancel()


def work(names: Sequence[str], options: argparse.Namespace) -> int:
    """Runs rows in this process, up to the first that fails."""
    chosen = Options(
        target=options.target,
        tiny=options.tiny,
        rounds=options.rounds,
        steps=options.steps,
        baselines=[BASELINES[name] for name in options.baselines.split(",")],
    )
    strong_settings()
    about = machine(chosen)
    about["ceilings"] = ceilings(chosen)
    about["date"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    path = results.path_for(about["gpu"], Path(options.output))
    print({**about["ceilings"], "gpu": about["gpu"], **about["versions"]}, flush=True)
    for name in names:

        def keep(case: dict[str, Any], name: str = name) -> None:
            print(f"  {name} {case['name']}", flush=True)
            if chosen.on_gpu:
                results.keep(path, name, {**about, **case})

        known = results.measured(path, name, about["commit"]) if options.resume else ()
        error = run_row(name, chosen, keep, options.cases, known)
        if error is not None:
            if chosen.on_gpu:
                results.keep_error(path, name, error)
            print(f"{name} failed: {error}", flush=True)
            return FAILED
        print(f"done {name}", flush=True)
    return 0


def run_row(
    name: str,
    options: Options,
    keep: Callable[[dict[str, Any]], None],
    containing: str = "",
    known: Collection[str] = (),
) -> str | None:
    """Runs the cases of a row up to the first that fails.

    Args:
        name: The row.
        options: What a run is to do.
        keep: Takes the result of each case.
        containing: What the names of cases must contain.
        known: The names of cases to leave out.

    Returns:
        The error, if there was one.
    """
    try:
        for case in ROWS[name].cases(options.tiny):
            if containing in case.name and case.name not in known:
                keep(_run_case(case, options))
    except Exception as error:
        traceback.print_exc()
        first = str(error).splitlines() or [""]
        return f"{type(error).__name__}: {first[0][:300]}"
    return None


def _run_case(case: Case, options: Options) -> dict[str, Any]:
    forget_compilations()
    free_memory()
    return {"name": case.name, **case.run(options)}


def _listed(text: str, known: Any) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in known:
            raise SystemExit(f"unknown: {name!r}; known are {', '.join(known)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    add = parser.add_argument
    add("--rows", default=",".join(ROWS), help="which rows to run")
    add("--cases", default="", help="run the cases whose names contain this")
    add("--baselines", default=",".join(BASELINES), help="what to compare with")
    add("--budget", type=float, default=86400.0, help="seconds after which to stop")
    add(
        "--rounds",
        type=int,
        default=30,
        help="how often contestants take turns; 0: check",
    )
    add(
        "--steps", type=int, default=50, help="training steps losses are compared after"
    )
    add("--target", default=GPU, choices=(GPU, INTERPRETER), help="graphc's target")
    add("--tiny", action="store_true", help="tiny shapes, to check the scripts")
    add("--resume", action="store_true", help="leave out what this commit has measured")
    add("--output", default=str(results.DIRECTORY), help="where results are kept")
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
