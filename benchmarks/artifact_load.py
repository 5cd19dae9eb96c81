"""How fast programs from files are: loading, the first call, later calls.

    python -m benchmarks.artifact_load [--onnx PYTHON] [--torch PYTHON] [--rounds 5]

Artifacts with trust, without it on a machine that has compiled them before and on one
that has not, against `jax.export` and, where a Python that has them is named, ONNX
Runtime and AOTInductor. Each is loaded in processes of its own, which take turns on one
core; figures are medians, ratios medians over the rounds. The time to the first result
counts from the start of the process; CPU times are steadier on a busy machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
STAGES = (
    *("first result", "first result, CPU", "first call"),
    *("later call", "later call, CPU"),
)


def child(python: str, script: str, *arguments: str, cache: str = "off") -> str:
    """What a script prints, run on one core."""
    core = min(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(core), python, "-m", f"benchmarks.loading.{script}"]
    variables = os.environ | {"GRAPHC_CACHE": cache, "PYTHONPATH": str(ROOT)}
    variables["STARTED"] = repr(time.time())
    done = subprocess.run(
        [*command, *arguments], env=variables, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()


def contestants(onnx: str | None, torch: str | None) -> dict[str, tuple[str, str]]:
    """The Python and the script of each."""
    here = sys.executable
    found = {
        "graphc, trusted": (here, "graphc_artifact"),
        "graphc, seen before": (here, "graphc_artifact"),
        "graphc, never seen": (here, "graphc_artifact"),
        "jax.export": (here, "jax_export"),
    }
    found |= {"ONNX Runtime": (onnx, "onnx_runtime")} if onnx else {}
    found |= {"AOTInductor": (torch, "aot_inductor")} if torch else {}
    return found


def compare(
    model: str, running: dict[str, tuple[str, str]], rounds: int, folder: str
) -> None:
    """Prints a table for a model."""
    for python, script in dict.fromkeys(running.values()):
        child(python, script, "build", model, folder)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in running}
    wanted = None
    for number in range(rounds + 1):
        for name, (python, script) in running.items():
            rest = ("trust",) if name.endswith("trusted") else ()
            cache = f"{folder}/cache" if name.endswith("before") else "off"
            said = child(python, script, "load", model, folder, *rest, cache=cache)
            found = json.loads(said)
            results = np.array(found["results"])
            wanted = results if wanted is None else wanted
            np.testing.assert_allclose(results, wanted, rtol=1e-3, atol=1e-4)
            if number:  # before that, files and the cache were cold
                times[name].append(found["seconds"])
    print(f"\n{model:22}" + "".join(f"{stage:>20}" for stage in STAGES))
    baseline = times["jax.export"]
    for name, found in times.items():
        cells = [f"{name:22}"]
        for stage in STAGES:
            each = [seconds[stage] for seconds in found]
            pairs = zip(each, baseline, strict=True)
            ratio = statistics.median(t / b[stage] for t, b in pairs)
            cells.append(f"{statistics.median(each) * 1e3:11.2f} ms {ratio:4.2f}x")
        print("".join(f"{cell:>20}" for cell in cells), flush=True)


def main() -> None:
    """Prints a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--onnx", help="a Python with onnxruntime and onnx")
    parser.add_argument("--torch", help="a Python with torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["mlp", "cnn", "transformer"])
    options = parser.parse_args()
    running = contestants(options.onnx, options.torch)
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            compare(model, running, options.rounds, folder)


if __name__ == "__main__":
    main()
