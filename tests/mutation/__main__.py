"""``python -m tests.mutation``: how many of the seeded bugs the kill suite notices."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import graphc.codegen.triton.module
import graphc.frontend.ops  # its functions have bugs, too
import graphc.importers.stablehlo.importing  # noqa: F401  and these
from tests.mutation.mutants import Mutant, Sources, read_mutants, seed
from tests.mutation.suite import checks_for

SECONDS = 60
"""The CPU time that the checks of one mutant may take: a bug that makes them loop is
noticed."""

KILLED, SURVIVED, STALE = 0, 1, 2


def judge(sources: Sources, mutant: Mutant, log: int) -> int:
    """Runs the checks with the bug, in this process; how it ended."""
    try:
        seed(sources, mutant)
    except (LookupError, FileNotFoundError) as error:
        os.write(log, f"stale: {error}\n".encode())
        return STALE
    for check in checks_for(mutant):
        try:
            check()
        except BaseException as error:  # pytest's failures are no Exceptions
            text = traceback.format_exception_only(error)[-1].strip()
            name = getattr(check, "func", check).__name__
            arguments = getattr(check, "args", ())
            os.write(log, f"{name}{arguments}: {text[:150]}\n".encode())
            return KILLED
    return SURVIVED


def run(sources: Sources, mutant: Mutant) -> tuple[str, str, float]:
    """Judges a mutant in a child process: the verdict, what noticed it, CPU seconds."""
    reader, writer = os.pipe()
    start = sum(os.times()[2:4])
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os._exit(judge(sources, mutant, writer))
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8", errors="replace") as told:
        why = told.read().strip()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    verdict = {SURVIVED: "survived", STALE: "stale"}.get(code, "killed")
    if code < 0:
        why = signal.Signals(-code).name
    return verdict, why, sum(os.times()[2:4]) - start


def check_baseline(mutants: list[Mutant]) -> None:
    """Runs every check that is meant for one of the mutants, without any bug."""
    known: set[str] = set()
    for mutant in mutants:
        for check in checks_for(mutant):
            name = f"{check.func.__name__}{check.args}"
            if name not in known:
                known.add(name)
                try:
                    check()
                except BaseException as error:
                    print(f"fails without a bug: {name}: {error!r:.300}", flush=True)
    print(f"{len(known)} checks", flush=True)


def selected(shard: str, only: str | None) -> list[Mutant]:
    """The mutants of a shard, or those whose name has `only` in it."""
    part, count = map(int, shard.split("/"))
    mutants = [m for m in read_mutants() if only is None or only in m.name]
    return mutants[part - 1 :: count]


def main() -> None:
    """Judges the mutants; exits with 1 if a bug that is none to ignore survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--shard", default="1/1")
    parser.add_argument("--only")
    parser.add_argument("--baseline", action="store_true", help="without the bugs")
    parser.add_argument("--least", type=float, default=0.95, help="the kill rate")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.chdir(Path(__file__).parents[2])
    if options.baseline:
        check_baseline(selected(options.shard, options.only))
        return
    sources = Sources()
    tally: Counter[str] = Counter()
    started = time.monotonic()
    for mutant in selected(options.shard, options.only):
        verdict, why, seconds = run(sources, mutant)
        if mutant.equivalent and verdict == "survived":
            verdict = "equivalent"
        tally[verdict] += 1
        print(f"{verdict:10} {seconds:5.1f} s  {mutant.name}\n    {why}", flush=True)
    judged = tally["killed"] + tally["survived"]
    rate = tally["killed"] / judged if judged else 1.0
    print(f"{dict(tally)} in {time.monotonic() - started:.0f} s, {rate:.1%} killed")
    sys.exit(rate < options.least)


if __name__ == "__main__":
    main()
